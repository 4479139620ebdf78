"""What the API of Kubernetes says and takes, as far as scaling goes, and how to ask it."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Struct

from actions.failure import Failure
from actions.http import NO_BODY, Body, Client, Site, parsed
from schemas.executors import IN_CLUSTER, Kubernetes

T = TypeVar("T")

SERVICE_ACCOUNT: Final = Path("/var/run/secrets/kubernetes.io/serviceaccount")
MERGE_PATCH: Final = {"content-type": "application/merge-patch+json"}


class Workload(NamedTuple):
    """One workload, as the configuration names it."""

    namespace: str
    kind: str
    name: str

    @property
    def path(self) -> str:
        """Of what scales it."""
        within = f"namespaces/{quote(self.namespace)}"
        if self.kind == "scaledobject":
            return f"/apis/keda.sh/v1alpha1/{within}/scaledobjects/{quote(self.name)}"
        return f"/apis/apps/v1/{within}/{self.kind}s/{quote(self.name)}/scale"

    @property
    def autoscalers_path(self) -> str:
        return f"/apis/autoscaling/v2/namespaces/{quote(self.namespace)}/horizontalpodautoscalers"

    def __str__(self) -> str:
        return "/".join(self)


class Metadata(Struct, frozen=True, rename="camel"):
    """Of an object. The items of a list have their versions, too."""

    name: str
    resource_version: str
    annotations: dict[str, str] = {}


class Count(Struct, frozen=True):
    """The API leaves out a 0."""

    replicas: int = 0


class Scale(Struct, frozen=True):
    """`autoscaling/v1`: what is wanted, and what runs."""

    metadata: Metadata
    spec: Count = Count()
    status: Count = Count()


class ScaleTarget(Struct, frozen=True, rename="camel"):
    """What an autoscaler scales. KEDA's may leave out what is a Deployment."""

    name: str
    kind: str = "Deployment"
    api_version: str = "apps/v1"


class AutoscalerSpec(Struct, frozen=True, rename="camel"):
    """What an HPA and a ScaledObject have in common."""

    scale_target_ref: ScaleTarget


class Autoscaler(Struct, frozen=True):
    """An `autoscaling/v2` HorizontalPodAutoscaler, or a `keda.sh/v1alpha1` ScaledObject."""

    metadata: Metadata
    spec: AutoscalerSpec


class Autoscalers(Struct, frozen=True):
    """A list of them."""

    items: list[Autoscaler]


class Cluster:
    """Reads and patches objects, with the token that the file holds now: projected tokens rotate."""

    def __init__(self, settings: Kubernetes) -> None:
        self._token, self._token_file = settings.token, settings.token_file
        if settings.token is None and settings.token_file is None:
            self._token_file = str(SERVICE_ACCOUNT / "token")
        self._client = Client(Site("kubernetes", settings.url, settings.timeout, verify=_trusted(settings)))

    async def get(self, path: str, kind: type[T]) -> T | Failure:
        token = self._current_token()
        if isinstance(token, Failure):
            return token
        answer = await self._client.send("GET", path, _bearing(token, NO_BODY))
        return answer if isinstance(answer, Failure) else parsed(answer, kind)

    async def patch(self, path: str, change: dict[str, Any]) -> Failure | None:
        """A merge patch. One that names a version that is no longer the newest can be tried again."""
        token = self._current_token()
        if isinstance(token, Failure):
            return token
        body = Body(content=msgspec.json.encode(change), headers=MERGE_PATCH)
        answer = await self._client.send("PATCH", path, _bearing(token, body))
        if not isinstance(answer, Failure):
            return None
        return answer._replace(retryable=True) if answer.status == HTTPStatus.CONFLICT else answer

    async def close(self) -> None:
        await self._client.close()

    def _current_token(self) -> str | Failure:
        if self._token_file is None:
            return self._token.reveal() if self._token is not None else ""
        try:
            return Path(self._token_file).read_text(encoding="utf-8").strip()
        except OSError as error:
            return Failure(f"kubernetes: cannot read {self._token_file}: {error.strerror}", retryable=True)


def _bearing(token: str, body: Body) -> Body:
    return body._replace(headers={**body.headers, "authorization": f"Bearer {token}"}, secrets=(token,))


def _trusted(settings: Kubernetes) -> ssl.SSLContext | bool:
    """Whom to believe that they are the API: the cluster's own authority, if the pod's own cluster is meant."""
    if settings.ca_file is not None:
        return ssl.create_default_context(cafile=settings.ca_file)
    if settings.url == IN_CLUSTER:
        return ssl.create_default_context(cafile=str(SERVICE_ACCOUNT / "ca.crt"))
    return True
