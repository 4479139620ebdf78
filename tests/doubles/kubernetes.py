"""The part of the Kubernetes API that scales, with KEDA and HPAs, and controllers that follow at once or on `settle`.

- Every write makes a new `resourceVersion`; a patch that names an old one is 409 Conflict.
- What is 0 or empty is left out of a Scale's spec.
- A merge patch must say so in its content type: else 415. A null takes a key away.
- An HPA sets its workload back to its own wish, unless that is at 0.
- KEDA sets what it scales to `paused-replicas`, and to its own wish when that is taken away.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from tests.doubles.server import Double

TOKEN: Final = "a-token-of-a-service-account"  # noqa: S105 -- no real one
PAUSED_REPLICAS: Final = "autoscaling.keda.sh/paused-replicas"
PAUSED: Final = "autoscaling.keda.sh/paused"


class Workload(Struct):
    """A Deployment or StatefulSet. `wish`: what its autoscaler wants, if it has one."""

    replicas: int
    running: int
    version: int = 1
    wish: int | None = None


class Scaler(Struct):
    """A ScaledObject."""

    target: dict[str, str]
    annotations: dict[str, str] = {}
    version: int = 1


class KubernetesDouble(Double):
    """Workloads by `kind/name`, in the one namespace `llm`. `follows`: all is settled after each write."""

    def __init__(self, *, follows: bool = False) -> None:
        super().__init__()
        self._follows = follows
        self.tokens = {TOKEN}
        self.may_list_autoscalers = True
        self.workloads: dict[str, Workload] = {}
        self.scalers: dict[str, Scaler] = {}
        self.autoscalers: dict[str, dict[str, str]] = {}  # name -> scaleTargetRef
        within, keda = "/apis/apps/v1/namespaces/llm", "/apis/keda.sh/v1alpha1/namespaces/llm/scaledobjects/{name}"
        self._app.router.add_get(f"{within}/{{kind}}s/{{name}}/scale", self._scale)
        self._app.router.add_patch(f"{within}/{{kind}}s/{{name}}/scale", self._patch_scale)
        self._app.router.add_get(keda, self._scaled_object)
        self._app.router.add_patch(keda, self._patch_scaled_object)
        self._app.router.add_get("/apis/autoscaling/v2/namespaces/llm/horizontalpodautoscalers", self._hpas)

    def add(self, kind: str, name: str, replicas: int) -> Workload:
        workload = self.workloads[f"{kind}/{name}"] = Workload(replicas, replicas)
        return workload

    def add_autoscaler(self, name: str, workload: str, wish: int) -> None:
        """An HPA of a workload that is there."""
        kind, of = workload.split("/")
        self.workloads[workload].wish = wish
        self.autoscalers[name] = {"apiVersion": "apps/v1", "kind": kind.capitalize(), "name": of}

    def add_scaled_object(self, name: str, of: str, wish: int, **annotations: str) -> None:
        """A ScaledObject of a Deployment that is there: as KEDA allows, it does not say the kind."""
        self.workloads[f"deployment/{of}"].wish = wish
        given = {key.replace("_", "-"): value for key, value in annotations.items()}
        self.scalers[name] = Scaler({"name": of}, {f"autoscaling.keda.sh/{key}": given[key] for key in given})

    def settle(self) -> None:
        """Let every controller do its work."""
        for scaler in self.scalers.values():
            workload = self.workloads[f"deployment/{scaler.target['name']}"]
            held = scaler.annotations.get(PAUSED_REPLICAS)
            if held is None and scaler.annotations.get(PAUSED) == "true":
                continue
            workload.replicas = int(held) if held is not None else workload.wish or 0
        for target in self.autoscalers.values():
            workload = self.workloads[f"{target['kind'].lower()}/{target['name']}"]
            workload.replicas = workload.wish or 0 if workload.replicas else 0
        for workload in self.workloads.values():
            workload.running = workload.replicas

    def refusal(self, request: web.Request) -> web.Response | None:
        """The API says less; this one repeats what it was given, as some gateways do."""
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        return None if given in self.tokens else _status(401, "Unauthorized", f"Unauthorized: {given}")

    async def _scale(self, request: web.Request) -> web.Response:
        workload = self._workload(request)
        return workload if isinstance(workload, web.Response) else _scale(request.match_info["name"], workload)

    async def _patch_scale(self, request: web.Request) -> web.Response:
        workload = self._workload(request)
        if isinstance(workload, web.Response):
            return workload
        patch = await _merge_patch(request, workload.version)
        if isinstance(patch, web.Response):
            return patch
        replicas = patch.get("spec", {}).get("replicas", workload.replicas)
        if not isinstance(replicas, int) or replicas < 0:
            return _status(422, "Invalid", "spec.replicas: must be greater than or equal to 0")
        workload.replicas, workload.version = replicas, workload.version + 1
        self._changed(f"{request.match_info['name']} {replicas}")
        return _scale(request.match_info["name"], workload)

    async def _scaled_object(self, request: web.Request) -> web.Response:
        scaler = self.scalers.get(request.match_info["name"])
        return _missing(request) if scaler is None else _scaled_object(request.match_info["name"], scaler)

    async def _patch_scaled_object(self, request: web.Request) -> web.Response:
        scaler = self.scalers.get(request.match_info["name"])
        if scaler is None:
            return _missing(request)
        patch = await _merge_patch(request, scaler.version)
        if isinstance(patch, web.Response):
            return patch
        merged = {**scaler.annotations, **patch["metadata"].get("annotations", {})}
        scaler.annotations = {key: value for key, value in merged.items() if value is not None}
        scaler.version += 1
        self._changed(f"{request.match_info['name']} {scaler.annotations.get(PAUSED_REPLICAS)}")
        return _scaled_object(request.match_info["name"], scaler)

    async def _hpas(self, _request: web.Request) -> web.Response:
        if not self.may_list_autoscalers:
            return _status(403, "Forbidden", 'horizontalpodautoscalers.autoscaling is forbidden: User "tidegate"')
        items = [_hpa(name, target) for name, target in self.autoscalers.items()]
        items += [_hpa(f"keda-hpa-{name}", scaler.target, name) for name, scaler in self.scalers.items()]
        return web.json_response({"kind": "HorizontalPodAutoscalerList", "items": items})

    def _changed(self, change: str) -> None:
        self.changes.append(change)
        if self._follows:
            self.settle()

    def _workload(self, request: web.Request) -> Workload | web.Response:
        found = self.workloads.get(f"{request.match_info['kind']}/{request.match_info['name']}")
        return _missing(request) if found is None else found


async def _merge_patch(request: web.Request, version: int) -> dict[str, Any] | web.Response:
    if request.content_type != "application/merge-patch+json":
        return _status(415, "UnsupportedMediaType", f"the body of the request was in an unknown format: {request}")
    patch: dict[str, Any] = msgspec.json.decode(await request.read())
    if patch.get("metadata", {}).get("resourceVersion", str(version)) != str(version):
        return _status(409, "Conflict", "the object has been modified; please apply your changes to the latest version")
    return patch


def _scale(name: str, workload: Workload) -> web.Response:
    return web.json_response(
        {
            "kind": "Scale",
            "apiVersion": "autoscaling/v1",
            "metadata": {"name": name, "namespace": "llm", "resourceVersion": str(workload.version)},
            "spec": {"replicas": workload.replicas} if workload.replicas else {},
            "status": {"replicas": workload.running, "selector": f"app={name}"},
        }
    )


def _scaled_object(name: str, scaler: Scaler) -> web.Response:
    annotations = {"annotations": scaler.annotations} if scaler.annotations else {}
    return web.json_response(
        {
            "kind": "ScaledObject",
            "apiVersion": "keda.sh/v1alpha1",
            "metadata": {"name": name, "namespace": "llm", "resourceVersion": str(scaler.version), **annotations},
            "spec": {"scaleTargetRef": scaler.target, "maxReplicaCount": 9},
        }
    )


def _hpa(name: str, target: dict[str, str], scaled_object: str | None = None) -> dict[str, Any]:
    """KEDA's own say the kind of what they scale, whatever the ScaledObject says."""
    owner = {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "name": scaled_object, "controller": True}
    metadata = {"name": name, "namespace": "llm", "resourceVersion": "1"}
    owned = {"ownerReferences": [owner]} if scaled_object is not None else {}
    target = {"apiVersion": "apps/v1", "kind": "Deployment", **target}
    return {"metadata": {**metadata, **owned}, "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 9}}


def _missing(request: web.Request) -> web.Response:
    return _status(404, "NotFound", f'"{request.match_info["name"]}" not found')


def _status(code: int, reason: str, message: str) -> web.Response:
    body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason}
    return web.json_response({**body, "code": code}, status=code)
