"""How commands reach the outside: the `executors` section, one kind for each system that can be told.

An executor takes the actions and endpoints that it is configured for; of several that could, the first by name
(`Config.executor_for`). Its name is in the command, and signed with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from msgspec import Meta, field

from schemas.outputs import Action
from schemas.section import Lasting, Pattern, Seconds, Secret, Section, matches

Brake = Literal["throttle", "overflow", "shutdown"]
Workload = Annotated[str, Meta(pattern="^[^/]+/(deployment|statefulset|scaledobject)/[^/]+$")]


class Executor(Section, frozen=True, tag_field="type"):
    """What all kinds have. `timeout` is of one HTTP request; `give_up_after` of one command, retries and all.

    `settle_within` is an assumption: how long after its yes the other side has done it. Only `tidegate check` uses it.
    """

    endpoints: tuple[Pattern, ...] = ("*",)
    actions: tuple[Brake, ...] = ("throttle", "overflow", "shutdown")
    timeout: Lasting = Seconds(10)
    give_up_after: Lasting = Seconds(300)
    settle_within: Lasting = Seconds(60)

    def takes(self, endpoint: str, action: Action) -> bool:
        """Whether a command is for it."""
        return action.value in self.actions and matches(endpoint, self.endpoints)


class DryRun(Executor, frozen=True, tag="dry_run"):
    """Says what it would do, and does nothing."""


class HuggingFace(Executor, frozen=True, tag="huggingface"):
    """Hugging Face Inference Endpoints. A token that may write: `inference.endpoints.write`."""

    actions: tuple[Brake, ...] = ("throttle", "shutdown")
    url: Pattern = "https://api.endpoints.huggingface.cloud/v2"
    token: Secret | None = None
    token_file: str | None = None
    poll_every: Lasting = Seconds(5)  # while an endpoint is `updating`


class Webhook(Executor, frozen=True, tag="webhook"):
    """A signed POST to a gateway or a script of yours."""

    url: Secret | None = None  # may hold a token
    url_file: str | None = None
    secret: Secret | None = None  # of the HMAC-SHA256 over the body
    secret_file: str | None = None


class LiteLLM(Executor, frozen=True, tag="litellm"):
    """A LiteLLM proxy: a model's rate limit, and its fallbacks.

    `models`: endpoint -> model name in the proxy; `providers`: provider of `overflow` -> the same. Each is its own name
    unless it is named here.
    """

    actions: tuple[Brake, ...] = ("throttle", "overflow")
    url: Pattern = "http://localhost:4000"
    key: Secret | None = None
    key_file: str | None = None
    models: Mapping[str, Pattern] = field(default_factory=dict)
    providers: Mapping[str, Pattern] = field(default_factory=dict)


IN_CLUSTER: Final = "https://kubernetes.default.svc"  # with the service account of the pod, unless told otherwise


class Kubernetes(Executor, frozen=True, kw_only=True, tag="kubernetes"):
    """The scale subresource of a workload, or the annotation of a KEDA ScaledObject.

    `workloads`: endpoint -> `namespace/deployment/name`, `.../statefulset/name` or `.../scaledobject/name`; it takes
    only endpoints that are named here. A `token_file` is read anew for each request: projected tokens rotate.
    """

    actions: tuple[Brake, ...] = ("throttle", "shutdown")
    url: Pattern = IN_CLUSTER
    token: Secret | None = None
    token_file: str | None = None
    ca_file: str | None = None
    workloads: Mapping[str, Workload]

    def takes(self, endpoint: str, action: Action) -> bool:
        return endpoint in self.workloads and super().takes(endpoint, action)


AnyExecutor = DryRun | HuggingFace | Webhook | LiteLLM | Kubernetes
