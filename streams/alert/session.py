"""One time of delivering, from the lease to its loss: restore, read to the end, and only then tell.

What is read before anything is sent is folded, so after an outage nobody is told what is over.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple, TypeVar

import msgspec
import structlog

from actions.alerting.dispatch import Came, Dispatch
from actions.receivers.interface import Receiver
from schemas.config import Config
from schemas.orders import Order
from schemas.outputs import Alert, Result, State
from schemas.receivers import AnyReceiver
from schemas.topics import ALERTS, APPROVALS, RESULTS, STATE
from schemas.units import US
from schemas.unreadable import UNREADABLE
from streams.alert import state
from streams.alert.concurrent import first
from streams.alert.deliverer import Change, Deliverer, Links
from streams.alert.inputs import Inputs
from streams.alert.lease import Lease
from streams.alert.metrics import AlertMetrics
from streams.alert.state import Keeper, Position
from streams.outbox import Outbox

CHANGES: Final = frozenset({State.VERIFIED, State.EXPIRED, State.RESTORED})  # what receivers may show
MEASURE_S: Final = 1.0

Build = Callable[[str, AnyReceiver], Receiver]
T = TypeVar("T", Alert, Order, Result)

log = structlog.get_logger("tidegate.alert")


class Shared(NamedTuple):
    """What outlives a session."""

    producer: Any
    lease: Lease
    metrics: AlertMetrics
    clock: Callable[[], int]


class Session:
    """Delivers by one configuration. `ready` once all that the logs held is known."""

    def __init__(self, config: Config, receivers: dict[str, Receiver], shared: Shared) -> None:
        self.ready = False
        self._config, self._shared = config, shared
        self._dispatch = Dispatch(config)
        self._topic = config.kafka.topic_prefix + ALERTS + STATE
        links = Links(self._dispatch, shared.metrics, shared.clock, self._save, shared.lease.sure)
        self._deliverers = [Deliverer(name, receiver, links) for name, receiver in receivers.items()]
        self._keeper: Keeper | None = None
        self._position = Position()

    async def run(self) -> None:
        """Until it is told to `stop`; then everything is saved. Cancelled, nothing more is written."""
        try:
            async with Inputs(self._config.kafka) as inputs:
                await self._begin(inputs)
                delivering = asyncio.gather(*[deliverer.run() for deliverer in self._deliverers])
                await first(self._read(inputs), self._keep(), self._measure(), delivering)
            await self._checkpoint()
        finally:
            for deliverer in self._deliverers:
                await deliverer.close()
            self._shared.metrics.active.set(0)

    def stop(self) -> None:
        """`run` returns after what is under way."""
        for deliverer in self._deliverers:
            deliverer.stop()

    async def _begin(self, inputs: Inputs) -> None:
        await self._shared.lease.sure()
        epoch = await state.claim(self._shared.producer, self._topic)
        kept = await state.read(self._config.kafka)
        self._dispatch.restore(kept.facts.items())
        self._position, ends = await inputs.seek(kept.position)
        while not await inputs.has_reached(ends, (ALERTS, APPROVALS)):
            await self._take(inputs)
        self._dispatch.route_again(self._shared.clock())
        outbox = Outbox(self._shared.producer, self._shared.metrics.retries.inc)
        self._keeper = Keeper(outbox, self._topic, epoch, kept.keys)
        self._dispatch.mark_all()
        await self._checkpoint()
        self.ready = True
        self._shared.metrics.active.set(1)
        log.info("delivering", receivers=sorted(self._config.receivers), position=self._position.alerts)

    async def _read(self, inputs: Inputs) -> None:
        while True:
            if await self._take(inputs):
                for deliverer in self._deliverers:
                    deliverer.wake()

    async def _take(self, inputs: Inputs) -> bool:
        came = await inputs.next()
        for topic, records in came:
            for record in records:
                self._apply(topic, record)
        return bool(came)

    def _apply(self, topic: str, record: Any) -> None:  # noqa: ANN401 -- aiokafka is annotated in part only
        match topic:
            case _ if topic == ALERTS:
                self._alert(record)
            case _ if topic == APPROVALS:
                self._order(record)
            case _ if topic == RESULTS:
                self._result(record)

    def _alert(self, record: Any) -> None:  # noqa: ANN401
        alert = self._decoded(ALERTS, record, Alert)
        if record.offset < (self._position.alerts or 0):
            if alert is not None:
                self._dispatch.remember(alert)
            return
        if alert is not None:
            came_us = min(record.timestamp * 1000, self._shared.clock())
            self._dispatch.hear(alert, Came(record.offset, came_us))
        self._position = Position(record.offset + 1, self._position.results)

    def _order(self, record: Any) -> None:  # noqa: ANN401
        order = self._decoded(APPROVALS, record, Order)
        if order is None:
            return
        refusal = self._dispatch.order(order, self._shared.clock())
        if refusal is not None and self.ready:
            log.warning("order not heard", verb=order.verb.value, who=order.who, id=order.id, reason=refusal.value)

    def _result(self, record: Any) -> None:  # noqa: ANN401
        result = self._decoded(RESULTS, record, Result)
        if result is not None and result.state in CHANGES:
            for deliverer in self._deliverers:
                deliverer.add_change(Change(record.offset, result))
        self._position = Position(self._position.alerts, record.offset + 1)

    def _decoded(self, topic: str, record: Any, kind: type[T]) -> T | None:  # noqa: ANN401
        try:
            return msgspec.json.decode(record.value or b"", type=kind)
        except UNREADABLE as error:
            self._shared.metrics.unreadable.labels(topic).inc()
            log.error("unreadable", topic=topic, offset=record.offset, reason=str(error))  # noqa: TRY400
            return None

    async def _save(self) -> None:
        if self._keeper is not None:
            begun_s = time.monotonic()
            await self._keeper.save(self._dispatch.changed())
            self._shared.lease.doubt(time.monotonic() - begun_s)

    async def _checkpoint(self) -> None:
        """All that was read, and from where to read on."""
        if self._keeper is None:
            return
        waiting = [one.oldest_change for one in self._deliverers if one.oldest_change is not None]
        results = min(waiting, default=self._position.results)
        position = Position(self._position.alerts, results)
        await self._keeper.save(self._dispatch.changed(), position)
        await self._shared.lease.commit(position.alerts or 0)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(self._config.kafka.checkpoint_every)
            await self._checkpoint()

    async def _measure(self) -> None:
        metrics = self._shared.metrics
        while True:
            now_us = self._shared.clock()
            for name, backlog in self._dispatch.backlogs.items():
                count, since_us = backlog.pending()
                metrics.pending.labels(name).set(count)
                metrics.oldest.labels(name).set(0.0 if since_us is None else max(0, now_us - since_us) / US)
            await asyncio.sleep(MEASURE_S)
