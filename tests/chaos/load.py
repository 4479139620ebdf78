"""What the producer writes: a simulated fleet with surges, runaways, bad records, late events and bills.

It is endless and drawn from the seed. Event time runs `SPEED` times as fast as the wall clock and ends about now.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final, NamedTuple

from aiokafka.errors import KafkaError

from schemas.config import Config
from schemas.topics import REQUESTS, SCALING
from schemas.units import US
from streams import broker
from streams.simulator import BACKFILL, Emitted, Fleet, draw_profiles

ENDPOINTS: Final = 40
SPEED: Final = 15  # seconds of event time in a second
WARM_S: Final = 700  # of event time; the learned normals speak after 600
INCIDENT_EVERY_S: Final = 25
INCIDENT_S: Final = (20, 90)
SURGE: Final = 12.0
RUNAWAY: Final = 40  # replicas
BAD_SHARE: Final = 0.01
LATE_SHARE: Final = 0.01
LATEST_S: Final = 60  # beyond the lateness of 10 s, too
BILL_EVERY_S: Final = 300
ACK_S: Final = 240.0
IN_FLIGHT: Final = 5000
CLOSE_S: Final = 5.0
BAD_VALUES: Final = (
    b"", b"{}", b"not json", b'{"endpoint":"acme/bert-base","time":', b'{"endpoint":7,"time":1}', b"\xff\xfe\x00",
    b'{"endpoint":"acme/bert-base","time":"yesterday"}', b'{"endpoint":"acme/bert-base","time":4102444800}',
)  # fmt: skip


class Message(NamedTuple):
    """A record to write."""

    topic: str
    key: bytes
    value: bytes


def seconds(seed: int, start_us: int) -> Iterator[list[Message]]:
    """The messages of each second of event time, the first at `start_us`, in the order in which they are written."""
    rng = random.Random(f"load {seed}")  # noqa: S311 -- no secret
    fleet = Fleet(draw_profiles(seed, ENDPOINTS), seed, start_us)
    late: list[tuple[int, int, Emitted]] = []
    number = itertools.count()
    for second, _ in enumerate(_incidents(fleet, rng)):
        now: list[Emitted] = []
        for event in _events(fleet, second, start_us):
            if rng.random() < LATE_SHARE:
                heapq.heappush(late, (second + rng.randint(1, LATEST_S), next(number), event))
            else:
                now.append(event)
        while late and late[0][0] <= second:
            now.append(heapq.heappop(late)[2])
        yield [Message(event.topic, event.key, event.value) for event in now] + list(_strays(rng, len(now)))


def _incidents(fleet: Fleet, rng: random.Random) -> Iterator[None]:
    """Each second: what is over ends, and now and then something begins."""
    ends: dict[str, int] = {}
    for second in itertools.count():
        for endpoint in [endpoint for endpoint, end in ends.items() if end <= second]:
            fleet.load(endpoint, 1.0)
            fleet.want(endpoint, None)
            del ends[endpoint]
        if second >= WARM_S and second % INCIDENT_EVERY_S == 0:
            endpoint = rng.choice(fleet.profiles).name
            ends[endpoint] = second + rng.randint(*INCIDENT_S)
            if rng.random() < 0.5:
                fleet.load(endpoint, SURGE)
            else:
                fleet.want(endpoint, RUNAWAY)
        yield


def _events(fleet: Fleet, second: int, start_us: int) -> Iterator[Emitted]:
    now_us = start_us + (second + 1) * US
    yield from fleet.advance(now_us, BACKFILL)
    if second and second % BILL_EVERY_S == 0:
        for profile in fleet.profiles[:: len(fleet.profiles) // 4]:
            yield fleet.bill(profile.name, now_us - BILL_EVERY_S * US, now_us, share=0.9)


def _strays(rng: random.Random, beside: int) -> Iterator[Message]:
    """Records that nothing can be read from, about so many in a hundred."""
    for _ in range(beside):
        if rng.random() < BAD_SHARE:
            yield Message(rng.choice((REQUESTS, SCALING)), b"acme/bert-base", rng.choice(BAD_VALUES))


class Writer:
    """Writes the load at its pace, each message until the broker has acknowledged it."""

    def __init__(self, config: Config, seed: int, minutes: float) -> None:
        self.written = 0  # acknowledged
        self.again = 0  # written once more, because nobody knew what had become of them
        self._config = config
        ahead_s = WARM_S + minutes * 60 * SPEED
        self._seconds = seconds(seed, (int(time.time()) - int(ahead_s)) * US)
        self._producer: Any = None
        self._unknown: deque[tuple[Message, asyncio.Future[Any]]] = deque()

    async def run(self, stopped: asyncio.Event) -> None:
        """History at once, then second after second until told to stop. A broker that is away is waited for."""
        for _ in range(WARM_S):
            await self._write(next(self._seconds))
        while not stopped.is_set():
            await self._write(next(self._seconds))
            await asyncio.sleep(1 / SPEED)
        await self._settle(0)
        await self._producer.stop()

    async def _write(self, messages: Iterable[Message]) -> None:
        for message in messages:
            await self._send(message)
        await self._settle(IN_FLIGHT)

    async def _send(self, message: Message) -> None:
        while True:
            try:
                producer = await self._connected()
                future = await producer.send(
                    self._config.kafka.topic_prefix + message.topic, message.value, message.key
                )
            except KafkaError:
                await self._begin_again()
            else:
                self._unknown.append((message, future))
                return

    async def _settle(self, most: int) -> None:
        """Return when at most so many messages are not acknowledged."""
        while self._unknown and (len(self._unknown) > most or self._unknown[0][1].done()):
            try:
                await asyncio.wait_for(asyncio.shield(self._unknown[0][1]), ACK_S)
            except (KafkaError, TimeoutError):
                await self._begin_again()
            else:
                self._unknown.popleft()
                self.written += 1

    async def _connected(self) -> Any:
        if self._producer is None:
            self._producer = broker.new_producer(
                self._config.kafka, acks="all", enable_idempotence=True, linger_ms=5, metadata_max_age_ms=2000
            )
            await self._producer.start()
        return self._producer

    async def _begin_again(self) -> None:
        """With a new producer, which writes once more what nobody knows to be written."""
        unknown, self._unknown = self._unknown, deque()
        for _, future in unknown:
            future.cancel()
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaError, TimeoutError):
                await asyncio.wait_for(producer.stop(), CLOSE_S)
        await asyncio.sleep(CLOSE_S / 5)
        self.again += len(unknown)
        for message, _ in unknown:
            await self._send(message)
