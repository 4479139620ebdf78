"""Silence through Kafka and a real worker: a source stops, the worker dies, the source comes back."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from schemas.outputs import Alert, Finding, Rollup, Status
from schemas.topics import ALERTS, COMMANDS, FINDINGS, ROLLUPS, SCALING, clock_of
from streams import topics
from tests.running import TIDEGATE, WAIT_S, Job, Message, Starter, read_all, read_topic, until, write

CONFIG: Final = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", group: "{prefix}group",
         session_timeout: 6s, checkpoint_every: 500ms}}
http: {{port: 0}}
mode: auto
actions: {{telemetry_gap: shutdown}}
defaults: {{expected_max: 10, price_usd_per_hour: 2.0}}
budgets:
  all: {{daily_usd: 600, endpoints: ["*"]}}
rules:
  telemetry_gap: {{scaling_after: 5s, resolve_after: 1s}}
"""
REGULAR_S: Final = 70  # more than 12 times `scaling_after`
SILENT_S: Final = 130  # so that the clock is in another minute than the last report


def reports(start_s: int, end_s: int, every_s: int) -> list[Message]:
    """Of one endpoint's replicas."""
    value = b'{"endpoint":"acme/bert","time":%d,"ready_replicas":2,"target_replicas":2}'
    return [Message(SCALING, b"acme/bert", value % second) for second in range(start_s, end_s, every_s)]


async def found(job: Job) -> list[Finding]:
    return await decoded(job, FINDINGS, Finding)


async def decoded(job: Job, topic: str, kind: type[Any]) -> list[Any]:
    return [msgspec.json.decode(r.value, type=kind) for r in await read_all(job.config.kafka, topic, 0)]


@pytest.mark.kafka
def test_a_source_that_stops_is_told_of_until_it_comes_back(
    kafka: str, topic_prefix: str, start_program: Starter, tmp_path: Path
) -> None:
    """One episode over the death of a worker, alerts for people, and no command, although one is configured."""
    job = Job.of(CONFIG, kafka, topic_prefix, tmp_path)
    now = int(time.time())
    stopped = now - SILENT_S

    async def opened() -> bool:
        return bool(await found(job))

    async def resolved() -> bool:
        return "resolved" in [alert.status for alert in await decoded(job, ALERTS, Alert)]

    async def scenario() -> None:
        await topics.declare(job.config, partitions=1)
        await write(job, reports(stopped - REGULAR_S, stopped + 1, 2), itertools.repeat(100))
        worker = start_program(*TIDEGATE, "run", "--config", str(job.file))
        await until(opened)
        worker.signalled(signal.SIGKILL)
        again = start_program(*TIDEGATE, "run", "--config", str(job.file))
        await again.until('"assigned"')
        # a sender's clock may be ahead of Kafka's by five minutes: this test need not wait for minutes to pass
        await write(job, reports(now, now + 240, 4), itertools.repeat(100))
        await until(resolved)
        assert again.signalled(signal.SIGTERM) == 0, again.log.read_text()
        await check(job, stopped)

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))


async def check(job: Job, stopped: int) -> None:
    findings = await found(job)
    opened, over = findings[0], findings[-1]
    assert {(one.rule, one.subject, one.endpoint, one.episode) for one in findings} == {
        ("telemetry_gap", "all", None, opened.episode)
    }
    assert (opened.status, over.status) == (Status.OPEN, Status.RESOLVED)
    (reason,) = opened.evidence["reasons"]
    assert (opened.evidence["clock"], reason["what"], reason["allowed_s"]) == ("wall", "scaling", 5)
    assert SILENT_S - 5 < reason["age_s"] == opened.value < SILENT_S + WAIT_S
    assert await read_topic(job.config.kafka, COMMANDS) == []
    alerts = {alert.id: alert.status for alert in await decoded(job, ALERTS, Alert)}  # a killed worker's come again
    assert list(alerts.values()) == ["firing", "resolved"]
    marks = [one for one in await decoded(job, ROLLUPS, Rollup) if one.source == clock_of(SCALING)]
    assert marks, "what proved it lies in the log"
    assert all(mark.time_us > stopped * 1_000_000 for mark in marks)
