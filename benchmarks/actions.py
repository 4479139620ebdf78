"""Commands: from a finding to its command, and from the command to its effect, read back at the other side.

One runaway after another, each on an endpoint of its own; `tidegate execute` caps its replicas at Hugging Face's
double. All times are the broker's, of the records of finding, command and result. Meanwhile each goes through an echo
with as many hops, and another endpoint is read, capped and read again by a bare client.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import httpx
import orjson
import uvloop
from aiokafka import TopicPartition

from benchmarks.latency import quantiles
from benchmarks.log import Log, name
from benchmarks.process import TIDEGATE, Worker, running, say, wait_for_line
from benchmarks.programs.hugging_face import BARE, MOST, REPLICAS
from benchmarks.site import Site, local_site
from benchmarks.table import Column, Row, Table
from schemas.outputs import State
from schemas.signatures import PrivateKey
from schemas.topics import COMMANDS, FINDINGS, RESULTS, SCALING
from streams.broker import new_consumer, new_producer

PARTITIONS: Final = 2
EVERY_S: Final = 0.2  # between two runaways
HOPS: Final = (FINDINGS, COMMANDS, RESULTS)  # of a site of its own for the echo
EXECUTOR: Final = "hf"
RULE: Final = "runaway_replicas"
EXPECTED_MAX: Final = 10
PATIENCE_S: Final = 120.0  # for the last one
REALISTIC_S: Final = 20.0  # an endpoint is `updating` for so long after a write
FEW: Final = 10  # times fewer runaways where each takes so long

Times = dict[str, float]  # by endpoint; seconds since the epoch
Wanted = Callable[[str, Mapping[str, Any]], bool]


class Found(NamedTuple):
    """Seconds of each runaway, of each echo hop beside it, and of each bare exchange of requests."""

    decided: list[float]
    verified: list[float]
    first_hop: list[float]
    second_hop: list[float]
    http: list[float]


def run(incidents: int) -> list[Table]:
    with local_site() as kafka, tempfile.TemporaryDirectory() as folder:
        quick = measure(kafka, Path(folder), incidents, 0.0)
        slow = measure(kafka, Path(folder), max(2, incidents // FEW), REALISTIC_S)
        return [table(quick), slow_table(slow)]


def measure(kafka: Site, folder: Path, incidents: int, update_s: float) -> Found:
    """So many runaways, at a double whose endpoints are `updating` so long after a write."""
    site, echo = kafka.declared("actions", PARTITIONS), kafka.declared("echo", 1)
    log = Log(endpoints=incidents)
    endpoints = [name(log, number).decode() for number in range(incidents)]
    with running("hugging_face", incidents, update_s) as double:
        url = wait_for_line(double)
        config = site.config(folder, **sections(url, folder))
        executor = (*TIDEGATE, "execute", "--executor", EXECUTOR)
        with Worker(config) as worker, Worker(config, command=executor) as hands:
            for each in (worker, hands):
                each.until(each.ready)
            with running("echo", echo.address, *(echo.prefix + topic for topic in HOPS)) as echoing:
                wait_for_line(echoing)
                found = _run(_incidents(site, echo, endpoints, url if update_s == 0 else ""))
    decided, verified = quantiles(found.decided)[1], quantiles(found.verified)[1]
    say(f"actions: to command p99 {decided:.0f} ms, to verified {verified:.0f} ms")
    return found


def sections(url: str, folder: Path) -> Mapping[str, Mapping[str, Any]]:
    """A key to sign with, and the double as the only executor."""
    key, file = PrivateKey.generate(), folder / "signing.pem"
    file.write_text(key.pem().reveal())
    file.chmod(0o600)
    return {
        "defaults": {"price_usd_per_hour": 1.0, "expected_max": EXPECTED_MAX},
        "signing": {"key_file": str(file), "trusted": [str(key.public)]},
        "executors": {EXECUTOR: {"type": "huggingface", "url": url, "token": "none"}},
    }


def table(found: Found) -> Table:
    floor = [hop + http for hop, http in zip(found.second_hop, found.http, strict=True)]
    return Table(
        "Actions: by the broker's clock, ms",
        COLUMNS,
        [
            *_compared("finding to command", found.decided, ("echo, one hop", found.first_hop)),
            *_compared("command to verified", found.verified, ("echo, one hop, and bare GET, PUT, GET", floor)),
        ],
        (f"one runaway every {EVERY_S:g} s; the double carries out at once what it is told",),
    )


def slow_table(found: Found) -> Table:
    return Table(
        f"Actions: the same, endpoints being `updating` for {REALISTIC_S:g} s after a write, ms",
        COLUMNS,
        [
            ("finding to command", len(found.decided), *quantiles(found.decided)),
            ("command to verified", len(found.verified), *quantiles(found.verified)),
        ],
        (f"of these {REALISTIC_S:g} s are the other side's; how soon it is seen that they are over is tidegate's",),
    )


COLUMNS: Final = (Column(""), Column("runaways"), Column("p50", ".1f"), Column("p99", ".1f"), Column("max", ".1f"))


def _compared(what: str, own_s: list[float], beside: tuple[str, list[float]]) -> list[Row]:
    own, bare = quantiles(own_s), quantiles(beside[1])
    ratio = (a / b for a, b in zip(own, bare, strict=True))
    return [(what, len(own_s), *own), (beside[0], len(beside[1]), *bare), ("ratio", "", *ratio)]


class Trail:
    """When the log took the first record of each endpoint in each of some topics, by the broker's clock."""

    def __init__(self, site: Site, topics: Mapping[str, int], is_wanted: Wanted) -> None:
        self._is_wanted = is_wanted
        self.times: dict[str, Times] = {topic: {} for topic in topics}
        self._topics = {TopicPartition(site.prefix + topic, n): topic for topic, c in topics.items() for n in range(c)}
        self._consumer = new_consumer(site.kafka, auto_offset_reset="earliest")

    async def __aenter__(self) -> Self:
        await self._consumer.start()
        self._consumer.assign(list(self._topics))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def until(self, topic: str, endpoints: Sequence[str]) -> None:
        """Read, until there is one of each of them in the topic."""
        async with asyncio.timeout(PATIENCE_S):
            while not set(endpoints) <= self.times[topic].keys():
                for tp, records in (await self._consumer.getmany(timeout_ms=200)).items():
                    self._note(self._topics[tp], records)

    def _note(self, topic: str, records: Sequence[Any]) -> None:
        for record in records:
            if self._is_wanted(topic, orjson.loads(record.value)):
                self.times[topic].setdefault(record.key.decode(), record.timestamp / 1000)


def is_step(topic: str, value: Mapping[str, Any]) -> bool:
    """Of findings the runaways, of commands those that are carried out, of results those that say that it is so."""
    if topic == RESULTS:
        return bool(value["state"] == State.VERIFIED.value)
    return bool(value["rule"] == RULE and value.get("held") is None)


async def _incidents(site: Site, echo: Site, endpoints: Sequence[str], url: str) -> Found:
    """Without a `url` the double is too slow to be asked beside."""
    http: list[float] = []
    partitions = {FINDINGS: 1, COMMANDS: PARTITIONS, RESULTS: 1}
    async with (
        Trail(site, partitions, is_step) as trail,
        Trail(echo, dict.fromkeys(HOPS, 1), lambda *_: True) as echoed,
        _producer(site) as producer,
        httpx.AsyncClient() as client,
    ):
        for number, endpoint in enumerate(endpoints):
            event = runaway(endpoint)
            await producer.send_and_wait(
                site.prefix + SCALING, event, key=endpoint.encode(), partition=number % PARTITIONS
            )
            await producer.send_and_wait(echo.prefix + HOPS[0], event, key=endpoint.encode())
            await asyncio.sleep(EVERY_S / 2)
            if url:
                http.append(await _bare(client, f"{url}/endpoint/{BARE}"))
            await asyncio.sleep(EVERY_S / 2)
        await trail.until(RESULTS, endpoints)
        await echoed.until(HOPS[-1], endpoints)
    decided, verified = (_between(trail.times, pair, endpoints) for pair in pairwise(HOPS))
    first_hop, second_hop = (_between(echoed.times, pair, endpoints) for pair in pairwise(HOPS))
    return Found(decided, verified, first_hop, second_hop, http)


def runaway(endpoint: str) -> bytes:
    """More replicas than are expected."""
    replicas = {"ready_replicas": REPLICAS, "target_replicas": REPLICAS, "min_replicas": 1, "max_replicas": MOST}
    return orjson.dumps({"endpoint": endpoint, "time": time.time(), **replicas, "state": "running"})


async def _bare(client: httpx.AsyncClient, url: str) -> float:
    """Seconds of what has to be asked at the least: how it is, that it be capped, and how it is then."""
    begun = time.perf_counter()
    (await client.get(url)).raise_for_status()
    (await client.put(url, json={"compute": {"scaling": {"maxReplica": EXPECTED_MAX}}})).raise_for_status()
    (await client.get(url)).raise_for_status()
    return time.perf_counter() - begun


def _between(times: Mapping[str, Times], pair: tuple[str, str], endpoints: Sequence[str]) -> list[float]:
    first, second = pair
    return [times[second][endpoint] - times[first][endpoint] for endpoint in endpoints]


@asynccontextmanager
async def _producer(site: Site) -> AsyncIterator[Any]:
    producer = new_producer(site.kafka, acks="all")
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def _run(coroutine: Any) -> Found:  # noqa: ANN401 -- asyncio's word for it is long
    """On the loop that tidegate has."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        found: Found = runner.run(coroutine)
        return found
