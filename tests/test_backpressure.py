"""More comes in than a worker can take: it falls behind, says so, does not act on what is too old, and catches up."""

from __future__ import annotations

import asyncio
import re
import signal
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from schemas.topics import ALERTS, COMMANDS, SCALING
from streams import topics
from tests.running import WAIT_S, Job, Starter, producer, read_all, read_topic, until
from tests.streams.slow import CAPACITY

CONFIG: Final = """
kafka: {{bootstrap_servers: "{address}", topic_prefix: "{prefix}", group: "{prefix}group",
         session_timeout: 6s, checkpoint_every: 1s}}
http: {{port: 0}}
mode: auto
defaults: {{expected_max: 10}}
safety: {{max_evidence_age: 4s}}
"""
OVERLOAD: Final = 3  # x capacity
SECONDS: Final = 5
TICKS: Final = 50  # a second


async def overload(job: Job, incident: str, after_s: float) -> None:
    """Write three times what the worker can take, as it happens; a runaway of `incident` after so long."""
    begin, told = time.time(), False
    async with producer(job) as made:
        for tick in range(SECONDS * TICKS):
            await asyncio.sleep(max(0.0, begin + tick / TICKS - time.time()))
            for n in range(OVERLOAD * CAPACITY // TICKS):
                await send(made, job, f"acme/{n % 20}", 2)
            if tick / TICKS >= after_s and not told:
                told = True
                await send(made, job, incident, 40)


async def send(made: Any, job: Job, endpoint: str, replicas: int) -> None:
    event = {"endpoint": endpoint, "time": time.time(), "ready_replicas": replicas, "target_replicas": replicas}
    await made.send(job.config.kafka.topic_prefix + SCALING, msgspec.json.encode(event), endpoint.encode())


async def runaway(job: Job, endpoint: str) -> None:
    async with producer(job) as made:
        await send(made, job, endpoint, 40)


async def answers(job: Job, endpoint: str) -> list[tuple[str, str | None]]:
    """Mode and reason of every command for the endpoint."""
    commands = [msgspec.json.decode(record.value) for record in await read_topic(job.config.kafka, COMMANDS)]
    return [(command["mode"], command["held"]) for command in commands if command["endpoint"] == endpoint]


def lag(url: str) -> float:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:  # noqa: S310 -- the worker's own
        text = answer.read().decode()
    found = re.search(
        rf'^tidegate_lag_records{{partition="0",topic="{re.escape(SCALING)}"}} (\S+)$', text, re.MULTILINE
    )
    return float(found[1]) if found else 0.0


@pytest.mark.kafka
def test_what_is_too_old_when_it_is_reached_leads_to_an_alert_and_no_command(
    kafka: str,
    topic_prefix: str,
    tmp_path: Path,
    start_program: Starter,
) -> None:
    """Before the overload and after it a runaway is braked; in the middle of it people are told alone."""
    job = Job.of(CONFIG, kafka, topic_prefix, tmp_path)
    seen: list[float] = []

    async def scenario() -> None:
        await topics.declare(job.config, partitions=1)
        worker = start_program(sys.executable, "-m", "tests.streams.slow", str(job.file))

        async def answered(endpoint: str) -> bool:
            assert worker.process.poll() is None, worker.lines()
            seen.append(await asyncio.to_thread(lag, url))
            return bool(await answers(job, endpoint))

        async def caught_up() -> bool:
            seen.append(await asyncio.to_thread(lag, url))
            return seen[-1] == 0

        port = msgspec.json.decode(await worker.until('"listening"'))["port"]
        url = f"http://127.0.0.1:{port}/metrics"
        await runaway(job, "acme/before")
        await until(lambda: answered("acme/before"))
        await overload(job, "acme/amid", SECONDS - 0.5)
        await until(lambda: answered("acme/amid"))
        assert max(seen) > CAPACITY
        await until(caught_up)
        await runaway(job, "acme/after")
        await until(lambda: answered("acme/after"))
        assert await answers(job, "acme/before") == [("auto", None)]
        assert await answers(job, "acme/amid") == [("shadow", "evidence_too_old")]
        assert await answers(job, "acme/after") == [("auto", None)]
        alerts = [msgspec.json.decode(record.value) for record in await read_all(job.config.kafka, ALERTS, 0)]
        assert "acme/amid" in {alert["endpoint"] for alert in alerts}
        worker.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.process.wait, WAIT_S) == 0, worker.lines()

    asyncio.run(asyncio.wait_for(scenario(), 3 * WAIT_S))
