"""What a provider runs: endpoints whose replicas come and go over time, and what it bills for them.

Modelled on Hugging Face Inference Endpoints: autoscaling between `minReplica` and `maxReplica`, a write that makes an
endpoint `updating` for a while, pause and resume with their effect on the scaling, and bills by the started minute
from the moment a replica initializes. No clock and no socket: times are seconds, handed in, and never go back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0
STARTED_BEFORE: Final = -math.inf


class Conditions(NamedTuple):
    """How the provider behaves. `forgets_scaling`: a pause sets the replicas to 0..0, a resume to 1..1."""

    start_s: float = 60.0  # from wanted to ready
    update_s: float = 20.0  # how long a write is being carried out: until then the replicas stay as they are
    forgets_scaling: bool = True


USUAL: Final = Conditions()


class HostingError(Exception):
    """A request that the provider refuses, with the HTTP status that it answers."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(slots=True)
class Replica:
    """One machine. It costs from `start_s` to `end_s`, and answers from `ready_s` on."""

    start_s: float
    ready_s: float
    end_s: float | None = None

    def minutes(self, now_s: float) -> int:
        """Started minutes, as they are billed."""
        until_s = now_s if self.end_s is None else min(now_s, self.end_s)
        return math.ceil(max(0.0, until_s - self.start_s) / MINUTE_S)


@dataclass(slots=True)
class Hosted:
    """One endpoint. `wanted`: as many replicas as its autoscaler would like, whatever the scaling allows."""

    name: str
    price_usd_per_hour: float
    least: int = 1
    most: int = 10
    scale_to_zero_timeout: int | None = None  # minutes
    wanted: int = 1
    conditions: Conditions = USUAL
    rest: str | None = None  # the state in which nothing runs: paused, scaledToZero, failed, pending
    update_failed: str | None = None  # why
    message: str = ""
    replicas: list[Replica] = field(default_factory=list)
    updating_until_s: float | None = None

    def warm(self, now_s: float) -> Self:
        """With all that is wanted ready at once: how it was before anybody looked."""
        self.replicas = [Replica(now_s, now_s) for _ in range(self.target)]
        return self

    @property
    def target(self) -> int:
        """So many replicas there are to be."""
        return 0 if self.rest is not None else min(max(self.wanted, self.least), self.most)

    def state(self, now_s: float) -> str:
        """In Hugging Face's words."""
        self.advance(now_s)
        if self.rest is not None:
            return self.rest
        if self.updating_until_s is not None:
            return "updating"
        if self.update_failed is not None:
            return "updateFailed"
        return "running" if self.ready(now_s) or self.target == 0 else "initializing"

    def ready(self, now_s: float) -> int:
        self.advance(now_s)
        return sum(replica.ready_s <= now_s for replica in self._alive())

    def advance(self, now_s: float) -> None:
        """Whatever happened by itself until now."""
        if self.updating_until_s is not None:
            if now_s < self.updating_until_s:
                return
            now_s, self.updating_until_s = self.updating_until_s, None
        self._scale(now_s)

    def want(self, replicas: int, now_s: float) -> None:
        """The load asks for so many from now on."""
        self.advance(now_s)
        self.wanted = replicas
        self.advance(now_s)

    def update(self, scaling: Mapping[str, Any], now_s: float) -> None:
        """Merge what was sent into the scaling."""
        self._not_while_updating(now_s)
        least, most = scaling.get("minReplica", self.least), scaling.get("maxReplica", self.most)
        if not 0 <= least <= most:
            raise HostingError(400, f"Bad Request: minReplica {least} must not exceed maxReplica {most}")
        self.least, self.most = least, most
        self.scale_to_zero_timeout = scaling.get("scaleToZeroTimeout", self.scale_to_zero_timeout)
        self.update_failed = None
        if self.rest != "paused":
            self.rest, self.updating_until_s = None, now_s + self.conditions.update_s

    def pause(self, now_s: float) -> None:
        self._not_while_updating(now_s)
        if self.conditions.forgets_scaling:
            self.least = self.most = 0
        self._rest("paused", now_s)

    def resume(self, now_s: float) -> None:
        self._not_while_updating(now_s)
        if self.rest != "paused":
            raise HostingError(400, "Bad Request: Endpoint is already running")
        if self.conditions.forgets_scaling:
            self.least = self.most = 1
        self.rest = None
        self._scale(now_s)

    def scale_to_zero(self, now_s: float) -> None:
        self._not_while_updating(now_s)
        self._rest("scaledToZero", now_s)

    def fail(self, message: str, now_s: float) -> None:
        self.message = message
        self._rest("failed", now_s)

    def request(self, now_s: float) -> None:
        """Somebody uses it: this wakes who scaled to zero, and nobody else."""
        if self.rest == "scaledToZero":
            self.rest = None
            self._scale(now_s)

    def bill_usd(self, now_s: float, started_from_s: float = STARTED_BEFORE) -> float:
        """What its replicas cost until now; only of those that started at that time or later."""
        self.advance(now_s)
        billed = (replica.minutes(now_s) for replica in self.replicas if replica.start_s >= started_from_s)
        return sum(billed) * self.price_usd_per_hour * MINUTE_S / HOUR_S

    def _alive(self) -> list[Replica]:
        return [replica for replica in self.replicas if replica.end_s is None]

    def _rest(self, state: str, now_s: float) -> None:
        self.advance(now_s)
        self.rest, self.updating_until_s = state, None
        self._scale(now_s)

    def _scale(self, now_s: float) -> None:
        """As many replicas as the target says; the newest go first."""
        alive = self._alive()
        for replica in alive[self.target :]:
            replica.end_s = now_s
        missing = self.target - len(alive)
        self.replicas += [Replica(now_s, now_s + self.conditions.start_s) for _ in range(missing)]

    def _not_while_updating(self, now_s: float) -> None:
        if self.state(now_s) == "updating":
            raise HostingError(409, "Conflict: Endpoint is updating")
