"""Latency: from the arrival of the event that crosses to its command, under load, beside the shortest program.

Each incident is one request event with a `count` far above what its endpoint has learned as normal, so that this very
event crosses. It arrives when the broker appends it to the log; it ends when a plain consumer has the command. With
each goes an event through an echo, two hops as the worker has them, in the same moment on the same machine.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import orjson

from benchmarks.arrivals import Arrivals
from benchmarks.log import Log, name
from benchmarks.process import Worker, running, say, wait_for_line
from benchmarks.site import Site, local_site
from benchmarks.table import Column, Row, Table
from benchmarks.throughput import worker
from schemas.topics import APPROVALS, COMMANDS, DEAD_LETTERS, FINDINGS, RESULTS
from streams.broker import new_producer

PARTITIONS: Final = 2  # both busy
CALM: Final = 1_000  # events a second
HISTORY_S: Final = 700  # the normals are warm after 600
HISTORY_RATE: Final = 2  # requests a second of each endpoint
SURGE: Final = 1_000  # requests in one event; at most 100 in 10 s are normal here
EVERY_S: Final = 0.1  # between two incidents
START_S: Final = 3.0  # of the echo and the load
SETTLE_S: Final = 3.0  # of load before the first incident
ANSWER_S: Final = 30.0  # for the last command, after the last incident
CHECKPOINT_EVERY: Final = "2s"
ECHO: Final = tuple(topic + DEAD_LETTERS for topic in (APPROVALS, RESULTS, FINDINGS))  # no worker reads these


class Delays(NamedTuple):
    """Seconds of each incident, and the load that there really was (events a second)."""

    worker: list[float]
    echo: list[float]
    rate: float


class Found(NamedTuple):
    """Of each load in turn; and how many checkpoints there were meanwhile."""

    delays: list[Delays]
    checkpoints: float


def run(incidents: int, events: int) -> list[Table]:
    with local_site() as kafka, tempfile.TemporaryDirectory() as folder:
        whole = Log(events=events, partitions=PARTITIONS)
        took = worker(kafka.filled(whole), whole)
        most = took["events"] / took["wall_s"]
        say(f"latency: the worker reads at most {most:,.0f} events per second here")
        return [table(measure(kafka, Path(folder), incidents, [CALM, int(most / 2)]), most)]


def measure(kafka: Site, folder: Path, incidents: int, rates: Sequence[int]) -> Found:
    """So many incidents at each rate of events per second, each of an endpoint of its own."""
    endpoints = incidents * len(rates)
    history = Log(endpoints * HISTORY_S * HISTORY_RATE, endpoints, PARTITIONS, HISTORY_S, namespace="probe")
    site = kafka.filled(history)
    with Worker(site.config(folder, kafka={"checkpoint_every": CHECKPOINT_EVERY})) as watched:
        watched.until(watched.has_read(history.events))
        delays = [
            under_load(site, rate, history, range(n * incidents, (n + 1) * incidents)) for n, rate in enumerate(rates)
        ]
        return Found(delays, watched.total("tidegate_checkpoint_seconds_count"))


def table(found: Found, most: float) -> Table:
    rows: list[Row] = []
    for delays in found.delays:
        own, echo = quantiles(delays.worker), quantiles(delays.echo)
        rows += [
            (f"tidegate at {delays.rate:,.0f} events/s", len(delays.worker), *own),
            (f"aiokafka echo, the same {delays.rate:,.0f} events/s", len(delays.echo), *echo),
            ("ratio", "", *(a / b for a, b in zip(own, echo, strict=True))),
        ]
    return Table(
        "Latency: from the crossing event in the log to its command at a consumer, ms",
        (Column(""), Column("incidents"), Column("p50", ".1f"), Column("p99", ".1f"), Column("max", ".1f")),
        rows,
        (
            f"{PARTITIONS} busy partitions, a checkpoint every {CHECKPOINT_EVERY} ({found.checkpoints:.0f} in all)",
            f"the worker's maximum, reading a backlog of the same kind: {most:,.0f} events/s",
        ),
    )


def quantiles(delays_s: list[float]) -> tuple[float, float, float]:
    """Median, 99th percentile and maximum, in ms."""
    p50, p99, most = np.quantile(delays_s, (0.5, 0.99, 1.0)) * 1000
    return float(p50), float(p99), float(most)


def under_load(site: Site, rate: int, history: Log, endpoints: range) -> Delays:
    """One incident of each endpoint, while the load runs."""
    seconds = int(START_S + SETTLE_S + len(endpoints) * EVERY_S)
    topics = [site.prefix + topic for topic in ECHO]
    with (
        running("echo", site.address, *topics) as echo_program,
        running("load", site.address, site.requests, PARTITIONS, rate, seconds) as load,
    ):
        wait_for_line(echo_program)
        time.sleep(SETTLE_S)
        own, echo = asyncio.run(_incidents(site, topics, [(name(history, n), n % PARTITIONS) for n in endpoints]))
        done = orjson.loads(load.communicate(timeout=seconds + ANSWER_S)[0])
    say(f"latency at {rate:,} events/s: p99 {quantiles(own)[1]:.1f} ms, echo {quantiles(echo)[1]:.1f} ms")
    return Delays(own, echo, done["events"] / done["wall_s"])


def key_of(record: Any) -> bytes:  # noqa: ANN401 -- aiokafka's
    key: bytes = record.key
    return key


async def _incidents(site: Site, echo: list[str], probes: list[tuple[bytes, int]]) -> tuple[list[float], list[float]]:
    producer = new_producer(site.kafka, acks="all")
    await producer.start()
    surged: dict[bytes, float] = {}  # key -> when the log took it, seconds since the epoch
    echoed: dict[bytes, float] = {}
    try:
        async with (
            Arrivals(site, site.prefix + COMMANDS, key_of) as commands,
            Arrivals(site, echo[-1], key_of) as echoes,
        ):
            for key, partition in probes:
                event = {"endpoint": key.decode(), "time": time.time(), "count": SURGE}
                sent = await producer.send_and_wait(site.requests, orjson.dumps(event), key=key, partition=partition)
                surged[key] = sent.timestamp / 1000
                sent = await producer.send_and_wait(echo[0], orjson.dumps(event), key=key, partition=0)
                echoed[key] = sent.timestamp / 1000
                await asyncio.sleep(EVERY_S)
            return await commands.since(surged), await echoes.since(echoed)
    finally:
        await producer.stop()
