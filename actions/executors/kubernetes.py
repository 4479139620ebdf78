"""Kubernetes: the scale subresource of a workload, or the annotation with which KEDA holds its autoscaling.

A Deployment or StatefulSet is scaled down to the cap, or to 0, and never up. At 0 replicas an autoscaler of its own
(HPA) lets it be; above, it would undo a cap within seconds, so a throttle of such a workload is refused. KEDA undoes
both, unless it is told by its ScaledObject.

A ScaledObject gets `autoscaling.keda.sh/paused-replicas`: "0" for a shutdown; for a throttle the cap, or the present
replicas if these are fewer, so that it neither grows nor is scaled up. One that is at 0 already is not throttled:
holding it there would be a shutdown. One that somebody holds lower already is left as it is.

A write names the version that was read; if somebody has changed the object since, it is 409, and to be tried again.
Only what still is as a brake of the chain has set it comes back. Whatever else it is by then, somebody else has chosen.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final, NamedTuple

from actions.executors.chain import settings, with_setting
from actions.executors.interface import Plan, Reading, Saved
from actions.executors.kubernetes_api import Autoscaler, Autoscalers, Cluster, Scale, Workload
from actions.failure import Failure
from schemas.executors import Kubernetes
from schemas.outputs import Action, Command

HELD: Final = "autoscaling.keda.sh/paused"
HELD_AT: Final = "autoscaling.keda.sh/paused-replicas"
FOUND: Final = "found"  # in `before`: what the first shutdown of a chain has found
NOT_TO_BE_SEEN: Final = frozenset({HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND})


class Stand(NamedTuple):
    """Where a workload stands: how many replicas are wanted, and how many run."""

    workload: Workload
    replicas: int
    running: int
    version: str  # of what a write changes
    held_at: int | None = None  # by KEDA

    @property
    def is_scaled_by_keda(self) -> bool:
        """Whether KEDA's annotation is what a command sets."""
        return self.workload.kind == "scaledobject"

    @property
    def key(self) -> str:
        return "paused_replicas" if self.is_scaled_by_keda else "replicas"

    @property
    def dial(self) -> int | None:
        """What a command sets; None: nothing holds it."""
        return self.held_at if self.is_scaled_by_keda else self.replicas

    @property
    def saved(self) -> Saved:
        return {"replicas": self.replicas, **({"paused_replicas": self.held_at} if self.is_scaled_by_keda else {})}

    def needs(self, wanted: int | None) -> bool:
        """Whether it is above, or not held at all."""
        return wanted is not None and (self.dial is None or self.dial > wanted)

    def is_ours(self, cap: int, before: Saved) -> bool:
        """Whether it is as a brake has set it, and was otherwise before.

        Who was at 0 when the first shutdown of the chain came was stopped by somebody else, maybe after it began.
        """
        was = before.get(FOUND, before[self.key]) if self.dial == 0 else before[self.key]
        return self.dial in settings(before, _wanted(cap, before)) and self.dial != was

    def wrong(self, cap: int) -> str | None:
        """What a cap still has to change."""
        if self.is_scaled_by_keda and self.held_at is None and (self.replicas > 0 or cap == 0):
            return f"{self.workload}: {HELD_AT} is not set"
        if self.dial is not None and self.dial > cap:
            return f"{self.workload}: {self.key} is {self.dial}, not at most {cap}"
        return f"{self.workload}: {self.running} replicas still run" if self.running > cap else None


class KubernetesExecutor:
    """One cluster."""

    def __init__(self, settings: Kubernetes) -> None:
        self._workloads = {endpoint: Workload(*path.split("/")) for endpoint, path in settings.workloads.items()}
        self._cluster = Cluster(settings)

    async def plan(self, command: Command) -> Plan | Failure:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        cap, stand = look
        if in_vain := await self._autoscaled(stand.workload, cap):
            return in_vain
        wanted = _wanted(cap, stand.saved)
        change = f"{stand.workload}: {stand.key} {'unset' if stand.dial is None else stand.dial} -> {wanted}"
        found = {FOUND: stand.dial} if cap == 0 else {}
        before = stand.saved if wanted is None else with_setting({**stand.saved, **found}, command, wanted)
        return Plan(before, (change,) if stand.needs(wanted) else ())

    async def apply(self, command: Command, before: Saved) -> Failure | None:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        cap, stand = look
        wanted = _wanted(cap, before)
        return await self._turn(stand, wanted) if stand.needs(wanted) else None

    async def undo(self, command: Command, before: Saved) -> Failure | None:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        cap, stand = look
        return await self._turn(stand, before[stand.key]) if stand.is_ours(cap, before) else None

    async def read_back(self, command: Command, back_to: Saved | None = None) -> Reading | Failure:
        look = await self._look(command)
        if isinstance(look, Failure):
            return look
        cap, stand = look
        after: dict[str, Any] = {**stand.saved, "running": stand.running}
        if back_to is None:
            return Reading(after, stand.wrong(cap))
        if stand.is_ours(cap, back_to):
            return Reading(after, f"{stand.workload}: {stand.key} is still {stand.dial}")
        if stand.dial != back_to[stand.key]:
            after["kept"] = [f"{stand.key} stays {stand.dial}, was {back_to[stand.key]}"]
        return Reading(after, None)

    async def close(self) -> None:
        await self._cluster.close()

    async def _look(self, command: Command) -> tuple[int, Stand] | Failure:
        """What the command allows, and how things are."""
        workload, cap = self._workloads.get(command.endpoint), _cap(command)
        if workload is None:
            return Failure(f"kubernetes: no workload is named for {command.endpoint}", retryable=False)
        if isinstance(cap, Failure):
            return cap
        stand = await self._stand(workload)
        return stand if isinstance(stand, Failure) else (cap, stand)

    async def _stand(self, workload: Workload) -> Stand | Failure:
        if workload.kind == "scaledobject":
            return await self._held(workload)
        return _standing(workload, await self._cluster.get(workload.path, Scale))

    async def _held(self, workload: Workload) -> Stand | Failure:
        """Where a ScaledObject stands, and what it scales."""
        scaler = await self._cluster.get(workload.path, Autoscaler)
        if isinstance(scaler, Failure):
            return scaler
        of = scaler.spec.scale_target_ref
        if of.api_version != "apps/v1":
            return Failure(f"{workload}: what it scales is of {of.api_version}, not of apps/v1", retryable=False)
        scaled = Workload(workload.namespace, of.kind.lower(), of.name)
        stand = _standing(workload, await self._cluster.get(scaled.path, Scale))
        if isinstance(stand, Failure):
            return stand
        held_at = _held_at(scaler.metadata.annotations, stand.replicas)
        return stand._replace(version=scaler.metadata.resource_version, held_at=held_at)

    async def _autoscaled(self, workload: Workload, cap: int) -> Failure | None:
        """Why a command would not last: somebody else scales the workload. Not being allowed to look is no reason."""
        if workload.kind == "scaledobject":
            return None
        found = await self._cluster.get(workload.autoscalers_path, Autoscalers)
        if isinstance(found, Failure):
            return None if found.status in NOT_TO_BE_SEEN else found
        for hpa in found.items:
            if hpa.scales(workload) and hpa.scaled_object is not None:
                why = f"KEDA scales it: name the ScaledObject {hpa.scaled_object} instead"
                return Failure(f"{workload}: {why}", retryable=False)
            if hpa.scales(workload) and cap > 0:
                return Failure(f"{workload}: the HPA {hpa.metadata.name} would scale it up again", retryable=False)
        return None

    async def _turn(self, stand: Stand, to: int | None) -> Failure | None:
        metadata: dict[str, Any] = {"resourceVersion": stand.version}
        if stand.is_scaled_by_keda:
            metadata["annotations"] = {HELD_AT: None if to is None else str(to)}
            return await self._cluster.patch(stand.workload.path, {"metadata": metadata})
        return await self._cluster.patch(stand.workload.path, {"metadata": metadata, "spec": {"replicas": to}})


def _standing(workload: Workload, scale: Scale | Failure) -> Stand | Failure:
    if isinstance(scale, Failure):
        return scale
    return Stand(workload, scale.spec.replicas, scale.status.replicas, scale.metadata.resource_version)


def _held_at(annotations: dict[str, str], replicas: int) -> int | None:
    """How many replicas KEDA holds a workload at. One that is paused without a number is held where it is."""
    if (number := annotations.get(HELD_AT, "")).isdecimal():
        return int(number)
    return replicas if annotations.get(HELD) == "true" else None


def _cap(command: Command) -> int | Failure:
    """The most replicas that a command allows."""
    if command.action is Action.SHUTDOWN:
        return 0
    cap = command.parameters.get("max_replicas")
    if isinstance(cap, int):
        return cap
    why = f"a {command.action} without max_replicas cannot be done by scaling"
    return Failure(f"kubernetes: {command.endpoint}: {why}", retryable=False)


def _wanted(cap: int, before: Saved) -> int | None:
    """What to set; None: nothing. It depends on what was, not on what is: it is the same after a crash."""
    if cap == 0:
        return 0
    return min(cap, _was(before)) or None


def _was(before: Saved) -> int:
    """How many replicas there were to be."""
    held_at: int | None = before.get("paused_replicas")
    replicas: int = before["replicas"]
    return replicas if held_at is None else held_at
