"""What an executor has said so far, read from `control.results.v1` each time that partitions are assigned.

It is read from well before the first command that is not settled: what is in force bounds it, not the topic's age. And
it is read to its end as it is after the assignment, so that nothing that a predecessor told is missed.
"""

from __future__ import annotations

import asyncio
from typing import Final

import msgspec
import structlog

from actions.docket import Past
from schemas.config import Config
from schemas.outputs import Result
from schemas.topics import RESULTS
from schemas.units import from_rfc3339
from schemas.unreadable import UNREADABLE
from streams.broker import BrokerUnreachable
from streams.log_reader import LogReader, LogUnreadable

SKEW_MS: Final = 600_000  # what the clocks of brokers, and of who writes, may differ by
REPLAY_MS: Final = 86_400_000  # for so long it must be known what is over
AGAIN_S: Final = 2.0

log = structlog.get_logger("tidegate.execute")


async def read_past(config: Config, executor: str, first_ms: int, now_ms: int) -> Past:
    """What was said since the command of `first_ms` was logged, and for a day at least. Waits for an absent broker."""
    lifetime_ms = int(config.safety.expires_after * 1000)
    since_ms = max(0, min(first_ms, now_ms - max(REPLAY_MS, 2 * lifetime_ms)) - SKEW_MS)
    while True:
        try:
            return await _read(config, executor, since_ms)
        except (BrokerUnreachable, LogUnreadable) as error:
            log.warning("cannot read what was done before", reason=str(error), retry_in_s=AGAIN_S)
            await asyncio.sleep(AGAIN_S)


async def _read(config: Config, executor: str, since_ms: int) -> Past:
    past, decoder = Past(executor), msgspec.json.Decoder(Result)
    async with LogReader(config.kafka) as reader:
        for stretch in await reader.stretches([RESULTS], since_ms):
            async for record in reader.records(stretch):
                try:
                    result = decoder.decode(record.value or b"")
                    from_rfc3339(result.at)  # or it would stop who reads it
                    past.add(result)
                except (*UNREADABLE, ValueError):
                    log.warning("result not readable", partition=stretch.tp.partition, offset=record.offset)
    return past
