"""What the API of Kubernetes says and takes, as far as scaling goes, and how to ask it."""

from __future__ import annotations

import ssl
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

import httpx
import msgspec
from msgspec import Struct

from actions.failure import Failure
from actions.http import NO_BODY, Body, Client, Site, parsed
from schemas.executors import IN_CLUSTER, Kubernetes

T = TypeVar("T")

NAME: Final = "kubernetes"
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


class Owner(Struct, frozen=True):
    """Who has made an object."""

    kind: str
    name: str


class Metadata(Struct, frozen=True, rename="camel"):
    """Of an object. The items of a list have their versions, too."""

    name: str
    resource_version: str
    annotations: dict[str, str] = {}
    owner_references: tuple[Owner, ...] = ()


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

    def scales(self, workload: Workload) -> bool:
        of = self.spec.scale_target_ref
        return (of.kind.lower(), of.name) == (workload.kind, workload.name)

    @property
    def scaled_object(self) -> str | None:
        """The ScaledObject for which KEDA has made this HPA."""
        return next((owner.name for owner in self.metadata.owner_references if owner.kind == "ScaledObject"), None)


class Autoscalers(Struct, frozen=True):
    """A list of them."""

    items: list[Autoscaler]


class Cluster:
    """Reads and patches objects, with the token that the file holds now: projected tokens rotate."""

    def __init__(self, settings: Kubernetes) -> None:
        self._settings = settings
        self._client: Client | None = None  # until there is something to ask

    async def get(self, path: str, kind: type[T]) -> T | Failure:
        answer = await self._send("GET", path, NO_BODY)
        return answer if isinstance(answer, Failure) else parsed(answer, kind)

    async def patch(self, path: str, change: dict[str, Any]) -> Failure | None:
        """A merge patch. One that names a version that is no longer the newest can be tried again."""
        body = Body(content=msgspec.json.encode(change), headers=MERGE_PATCH)
        answer = await self._send("PATCH", path, body)
        if not isinstance(answer, Failure):
            return None
        return answer._replace(retryable=True) if answer.status == HTTPStatus.CONFLICT else answer

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _send(self, method: str, path: str, body: Body) -> httpx.Response | Failure:
        try:
            token = _token(self._settings)
            if self._client is None:
                settings = self._settings
                self._client = Client(Site(NAME, settings.url, settings.timeout, verify=_trusted(settings)))
        except OSError as error:  # there may be files in a moment: the pod has only just started
            return Failure(f"{NAME}: cannot read {error.filename or 'ca_file'}: {error.strerror}", retryable=True)
        bearing = {**body.headers, "authorization": f"Bearer {token}"}
        return await self._client.send(method, path, body._replace(headers=bearing, secrets=(token,)))


def _token(settings: Kubernetes) -> str:
    """The file is read even if the configuration has read it: what it holds may have changed since."""
    if settings.token is not None and settings.token_file is None:
        return settings.token.reveal()
    return Path(settings.token_file or SERVICE_ACCOUNT / "token").read_text(encoding="utf-8").strip()


def _trusted(settings: Kubernetes) -> ssl.SSLContext | bool:
    """Whom to believe that they are the API: the cluster's own authority, if the pod's own cluster is meant."""
    file = settings.ca_file
    if file is None and settings.url == IN_CLUSTER:
        file = str(SERVICE_ACCOUNT / "ca.crt")
    return True if file is None else ssl.create_default_context(cadata=Path(file).read_text(encoding="ascii"))
