"""Alerts: how many a second each receiver is told of, alone, together, beside one that is down, and as they allow.

`tidegate alert` on a real Kafka, and receivers in a process of their own that take what they get. Each alert is an
episode of its own, so each is a notification: written down before it is sent, sent, and written down as told. Only
Alertmanager, which groups by itself, gets what came meanwhile in one request.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from threading import Barrier
from typing import Any, Final, NamedTuple

import httpx
import msgspec
import orjson

from actions import alerts
from benchmarks.episodes import findings
from benchmarks.process import TIDEGATE, Worker, running, say, wait_for_line
from benchmarks.programs.receivers import CHAT_LIMIT, PAGER_LIMIT, PATHS, SILENT
from benchmarks.site import Site, local_site
from benchmarks.table import Column, Row, Table
from schemas.topics import ALERTS, RESULTS
from streams.broker import new_producer

UNLIMITED: Final = (sys.executable, "-m", "benchmarks.programs.alert")
AS_IT_IS: Final = (*TIDEGATE, "alert")
SHOWN: Final = {"pager": "PagerDuty", "manager": "Alertmanager", "chat": "Slack", "hook": "webhook"}
NAMES: Final = tuple(SHOWN)
DOWN: Final = "pager"  # of the runs in which one is
OTHERS: Final = tuple(name for name in NAMES if name != DOWN)
REFUSED: Final = "http://127.0.0.1:9"  # nobody listens there
WAYS: Final = (None, REFUSED, SILENT)  # up, and two ways of being down
DOWN_TIMEOUT: Final = "1s"
MINUTE_S: Final = 60.0
PATIENCE_S: Final = 120.0  # for all to be at the start
ENOUGH: Final = 300  # alerts: more than those with a limit take in a minute
ALLOWED: Final = {"pager": PAGER_LIMIT, "chat": CHAT_LIMIT}

Seen = dict[str, dict[str, float]]  # by receiver, as `benchmarks.programs.receivers` tells it
Rates = dict[str, float]  # by receiver, a second


@dataclass(frozen=True)
class Telling:
    """So many alerts for each of these receivers; and one more that is down, at that address or path.

    They come when all who share the `start` are there.
    """

    names: Sequence[str]
    count: int
    down: str | None = None
    is_limited: bool = False
    start: Barrier = field(default_factory=lambda: Barrier(1))


class Bare(NamedTuple):
    """A second: POSTs one after the other, and the same with a record acknowledged before and after each."""

    posts: float
    recorded: float


def run(count: int, runs: int) -> list[Table]:
    with local_site() as kafka, tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        alone = {
            each: (rates(kafka, folder, Telling((each,), count))[each], measure_bare(kafka, count)) for each in NAMES
        }
        together = rates(kafka, folder, Telling(NAMES, count))
        down = [at_once(kafka, folder, [Telling(OTHERS, count, at) for at in WAYS]) for _ in range(runs)]
        tables = [rates_table(alone, together), down_table(list(zip(*down, strict=True)))]
        return [*tables, limits_table(in_a_minute(kafka, folder))]


def at_once(kafka: Site, folder: Path, tellings: Sequence[Telling]) -> list[Rates]:
    """Each by a process of its own, in the same moments: they find the machine equally busy."""
    start = Barrier(len(tellings), timeout=PATIENCE_S)
    with ThreadPoolExecutor(len(tellings)) as pool:
        return list(pool.map(lambda telling: rates(kafka, folder, replace(telling, start=start)), tellings))


def rates(kafka: Site, folder: Path, telling: Telling) -> Rates:
    """Alerts a second of each receiver that is up; the alerts come when all are at the start."""

    def is_over(seen: Seen) -> bool:
        return all(seen[name]["alerts"] >= telling.count for name in telling.names)

    begun_s, seen = told(kafka, folder, telling, is_over)
    found = {name: seen[name]["alerts"] / (seen[name]["last_s"] - begun_s) for name in telling.names}
    say(f"alerts: {', '.join(f'{name} {rate:,.0f}/s' for name, rate in found.items())}, down: {telling.down}")
    return found


def in_a_minute(kafka: Site, folder: Path) -> Seen:
    """What each had taken a minute after its first."""
    telling = Telling(NAMES, ENOUGH, is_limited=True)

    def is_over(seen: Seen) -> bool:
        begun = [each["first_s"] for each in seen.values()]
        return min(begun) > 0 and time.time() >= max(begun) + MINUTE_S

    return told(kafka, folder, telling, is_over)[1]


def told(kafka: Site, folder: Path, telling: Telling, is_over: Callable[[Seen], bool]) -> tuple[float, Seen]:
    """Tell them: when the first alert was written (seconds since the epoch), and what they have seen in the end."""
    with running("receivers", "limited" if telling.is_limited else "") as receivers:
        url, site = wait_for_line(receivers), kafka.declared("alerts", 1)
        config = site.config(folder, **sections(url, telling))
        with Worker(config, command=AS_IT_IS if telling.is_limited else UNLIMITED) as program:
            program.until(lambda: bool(program.logged("delivering")))
            telling.start.wait()
            begun_s = time.time()
            asyncio.run(write(site, telling.count))
            program.until(lambda: is_over(_seen(url)))
            return begun_s, _seen(url)


def sections(url: str, telling: Telling) -> Mapping[str, Mapping[str, Any]]:
    """Every alert goes to every receiver at once."""
    known: dict[str, dict[str, Any]] = {
        "pager": {"type": "pagerduty", "url": url, "routing_key": "k" * 32},
        "manager": {"type": "alertmanager", "url": url},
        "chat": {"type": "slack", "url": url + PATHS["chat"]},
        "hook": {"type": "webhook", "url": url + PATHS["hook"]},
    }
    chosen = {name: known[name] for name in telling.names}
    if telling.down is not None:
        address = telling.down if telling.down.startswith("http") else url + telling.down
        chosen[DOWN] = {**known[DOWN], "url": address, "timeout": DOWN_TIMEOUT}
    routes = [{"receiver": name, "continue": True} for name in chosen]
    route = {"receiver": next(iter(chosen)), "group_wait": "0s", "group_interval": "0s", "routes": routes}
    return {"receivers": chosen, "alerting": {"route": route}}


async def write(site: Site, count: int) -> None:
    """So many alerts, each of an episode of its own."""
    producer = new_producer(site.kafka, acks="all")
    await producer.start()
    try:
        for number in range(count):
            opened, _ = findings(number, f"bench/endpoint-{number:07d}")
            await producer.send(site.prefix + ALERTS, msgspec.json.encode(alerts.fires(opened)), partition=0)
        await producer.flush()
    finally:
        await producer.stop()


def measure_bare(kafka: Site, count: int) -> Bare:
    """What the same programs could do at most, one after the other, as each receiver is told."""
    with running("receivers") as receivers:
        return asyncio.run(_bare(kafka.declared("bare", 1), wait_for_line(receivers) + PATHS["hook"], count))


async def _bare(site: Site, url: str, count: int) -> Bare:
    opened, _ = findings(0, "bench/endpoint")
    body = msgspec.json.encode(alerts.fires(opened))
    producer = new_producer(site.kafka, acks="all")
    await producer.start()
    try:
        async with httpx.AsyncClient() as client:

            async def post() -> None:
                (await client.post(url, content=body)).raise_for_status()

            async def recorded() -> None:
                await producer.send_and_wait(site.prefix + RESULTS, body)
                await post()
                await producer.send_and_wait(site.prefix + RESULTS, body)

            await recorded()  # the first of each opens connections
            return Bare(await _rate(post, count), await _rate(recorded, count))
    finally:
        await producer.stop()


async def _rate(once: Callable[[], Any], count: int) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        await once()
    return count / (time.perf_counter() - begun)


def rates_table(alone: Mapping[str, tuple[float, Bare]], together: Rates) -> Table:
    rows: list[Row] = []
    for name, (rate, bare) in alone.items():
        ratios = rate / bare.posts, rate / bare.recorded
        rows.append((SHOWN[name], rate, bare.posts, ratios[0], bare.recorded, ratios[1], together[name]))
    of_bare = (Column("bare POSTs"), Column("ratio", ".2f"), Column("with records"), Column("ratio", ".2f"))
    return Table(
        "Alerts: per second, the receivers' limits lifted",
        (Column("told of each alert"), Column("alone"), *of_bare, Column("all four at once")),
        rows,
        (
            "bare: one after the other, measured after each; with records: one acknowledged before and after each POST",
            "Alertmanager is told once a second, and of up to 100 alerts: this is its pace, whatever the machine",
        ),
    )


def down_table(found: Sequence[Sequence[Rates]]) -> Table:
    """Of each of the `WAYS` its runs."""
    up, refused, silent = found
    rows = [
        (
            SHOWN[name], median(run[name] for run in up),
            median(run[name] for run in refused), _ratio(name, refused, up),
            median(run[name] for run in silent), _ratio(name, silent, up),
        ) for name in OTHERS
    ]  # fmt: skip
    of, ratio = SHOWN[DOWN], Column("ratio", ".2f")
    return Table(
        f"Alerts: {of} is down, and the others go on",
        (Column("alerts per second"), Column(f"without {of}"), Column("refuses"), ratio, Column("is silent"), ratio),
        rows,
        (f"medians of {len(up)} runs, in each of which all three ran at once; of the ratios, too",),
    )


def _ratio(name: str, runs: Sequence[Rates], others: Sequence[Rates]) -> float:
    return median(run[name] / beside[name] for run, beside in zip(runs, others, strict=True))


def limits_table(seen: Seen) -> Table:
    allowed = {name: most * MINUTE_S / window_s for name, (most, window_s) in ALLOWED.items()}
    rows = [(SHOWN[n], seen[n]["alerts"], allowed.get(n), seen[n]["refused"]) for n in NAMES]
    return Table(
        f"Alerts: in the first minute, of {ENOUGH} that came at once, with the receivers' own limits",
        (Column(""), Column("alerts"), Column("allowed"), Column("answered with 429")),
        rows,
    )


def _seen(url: str) -> Seen:
    found: Seen = orjson.loads(httpx.get(f"{url}/seen").content)
    return found
