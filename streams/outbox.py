"""What one partition sends, in the order in which it sends it, and what of that is not yet acknowledged.

The producer is idempotent: it repeats what a broker did not answer, in order and without duplicates, for
as long as it must. So nothing here sends twice, for that could overtake; being patient for a stated
number of times is the retry. When that is not enough the outbox gives up loudly, and the worker stops
before anything is committed past it: once it has failed it fails for ever, whoever is told first.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaConnectionError, KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from schemas.config import Kafka
from streams import broker
from streams.errors import TidegateError
from streams.lane import silence
from streams.stage import Outgoing

MAX_BYTES: Final = 8 * 1024 * 1024  # of one record: a fact may be large
BULK: Final = 32  # so many records are packed into batches here: `send` costs ten times as much for each
IN_FLIGHT: Final = 10_000  # records of one partition that wait for an acknowledgement
PATIENCE_S: Final = 15.0  # how long one attempt may take
ATTEMPTS: Final = 4
LINGER_MS: Final = 0  # a command must not wait; while a request is under way the next ones gather by themselves
BATCH_BYTES: Final = 512 * 1024  # below the megabyte that a topic takes by default

log = structlog.get_logger("tidegate.outbox")


class SendFailed(TidegateError):
    """A record could not be written."""


def new_producer(kafka: Kafka) -> Any:
    """The one producer of a worker, not yet started. Must be called where a loop runs."""
    return broker.new_producer(
        kafka,
        acks="all",
        enable_idempotence=True,
        linger_ms=LINGER_MS,
        max_batch_size=BATCH_BYTES,
        max_request_size=MAX_BYTES,
        request_timeout_ms=int(PATIENCE_S * 1000),
    )


class Outbox:
    """In order, bounded, and loud. `on_retry` is told of every attempt that was in vain."""

    def __init__(self, producer: Any, on_retry: Callable[[], None], patience_s: float = PATIENCE_S) -> None:
        self._producer = producer
        self._on_retry = on_retry
        self._patience_s = patience_s
        self._sent: deque[tuple[str, asyncio.Future[Any]]] = deque()
        self._failure: SendFailed | None = None

    async def send(
        self, topic: str, key: bytes | None, value: bytes | None, *,
        partition: int | None = None, headers: Sequence[tuple[str, bytes | None]] = (),
    ) -> None:  # fmt: skip
        """Hand over one record. Waits while too many are in flight; raises what became of earlier ones."""
        self._raise_failure()
        self._forget_acknowledged()
        while len(self._sent) >= IN_FLIGHT:
            await self._acknowledged(*self._sent[0])
            self._forget_acknowledged()
        if key is None and partition is None:
            partition = 0  # else the partitioner would draw one at random
        record = {"value": value, "key": key, "partition": partition, "headers": list(headers)}
        self._remember(topic, await self._hand_over(topic, lambda: self._producer.send(topic, **record)))

    async def send_many(self, topic: str, records: Sequence[Outgoing], partition: int = 0) -> None:
        """Hand over records for one partition, in their order; they may lack key and value, which `send` refuses."""
        if len(records) < BULK and not any(key is None and value is None for _, key, value, _ in records):
            for _, key, value, headers in records:
                await self.send(topic, key, value, partition=partition, headers=headers)
            return
        self._raise_failure()
        self._forget_acknowledged()
        left = iter(records)
        record = next(left, None)
        while record is not None:
            batch = self._producer.create_batch()
            while record is not None and _packed(batch, record):
                record = next(left, None)
            await self._send_batch(topic, partition, batch)

    async def _send_batch(self, topic: str, partition: int, batch: Any) -> None:
        batch.close()  # it is sent as it is, and at once
        future = await self._hand_over(topic, lambda: self._producer.send_batch(batch, topic, partition=partition))
        self._remember(topic, future)

    async def flushed(self) -> None:
        """Returns when everything sent before this call is acknowledged."""
        self._raise_failure()
        for topic, future in list(self._sent):
            await self._acknowledged(topic, future)

    def _remember(self, topic: str, future: asyncio.Future[Any]) -> None:
        self._sent.append((topic, future))
        future.add_done_callback(partial(self._silence_after_a_refusal, topic))

    def _silence_after_a_refusal(self, topic: str, future: asyncio.Future[Any]) -> None:
        """What was handed over later must not get into the log: who drops what it has seen would drop this one then.

        A broker refuses a gap by itself, but only of a producer of which it has something in that partition.
        """
        if not future.cancelled() and (error := future.exception()) is not None:
            silence(self._producer)
            self._failure = self._failure or failed(topic, error)

    def _forget_acknowledged(self) -> None:
        while self._sent and self._sent[0][1].done():
            topic, future = self._sent.popleft()
            if (error := future.exception()) is not None:
                raise self._fail(failed(topic, error)) from error

    def _fail(self, failure: SendFailed) -> SendFailed:
        self._failure = failure
        return failure

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    async def _hand_over(self, topic: str, send: Callable[[], Awaitable[Any]]) -> asyncio.Future[Any]:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                future: asyncio.Future[Any] = await send()
            except (
                KafkaTimeoutError,
                KafkaConnectionError,
            ):  # a full buffer, or no metadata: nothing was taken
                self._in_vain(topic, attempt)
            except MessageSizeTooLargeError as error:
                raise self._fail(SendFailed(f"a record for {topic} is larger than {MAX_BYTES} bytes")) from error
            except KafkaError as error:
                raise self._fail(failed(topic, error)) from error
            else:
                return future
        raise self._fail(gave_up(topic, self._patience_s))

    async def _acknowledged(self, topic: str, future: asyncio.Future[Any]) -> None:
        for attempt in range(1, ATTEMPTS + 1):
            await asyncio.wait({future}, timeout=self._patience_s)
            if future.done():
                if (error := future.exception()) is not None:
                    raise self._fail(failed(topic, error)) from error
                return
            self._raise_failure()  # of another record: this one will never be answered
            self._in_vain(topic, attempt)
        raise self._fail(gave_up(topic, self._patience_s))

    def _in_vain(self, topic: str, attempt: int) -> None:
        self._on_retry()
        log.warning("not acknowledged", topic=topic, after_s=self._patience_s, attempt=attempt, of=ATTEMPTS)


def _packed(batch: Any, record: Outgoing) -> bool:
    """Whether the batch took it: the first one always fits, whatever its size."""
    _, key, value, headers = record
    return batch.append(timestamp=None, key=key, value=value, headers=list(headers)) is not None


def failed(topic: str, error: BaseException) -> SendFailed:
    """The broker said no."""
    return SendFailed(f"could not write to {topic}: {type(error).__name__} {error}".rstrip())


def gave_up(topic: str, patience_s: float) -> SendFailed:
    """The broker said nothing."""
    return SendFailed(f"could not write to {topic}: not acknowledged in {ATTEMPTS} x {patience_s:g} s")
