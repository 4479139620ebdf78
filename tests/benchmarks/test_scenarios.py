"""Each scenario runs, on logs too small to say anything: what it measures is there, whatever it is."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks import actions, alerts, checkpoints, episodes, latency, memory, profiling, replay, throughput, workers
from benchmarks.__main__ import app
from benchmarks.log import Log, name, pieces, write_file
from benchmarks.process import BenchmarkFailed, figures
from benchmarks.programs.receivers import Door
from benchmarks.site import Site
from benchmarks.table import Column, Table

TINY = Log(events=2_000, endpoints=20, partitions=2)


@pytest.fixture
def site(kafka: str, topic_prefix: str) -> Site:
    return Site(kafka, topic_prefix)


def test_a_log_is_in_order_of_time_and_has_the_events_that_it_says() -> None:
    """Also where it has more than one piece, and each name is new."""
    log = Log(events=150_000, endpoints=150_000, in_turn=True)
    keys = [key for piece in pieces(log, 1e9) for key in piece.keys]
    times = [float(value.split(b'"time":')[1].split(b",")[0]) for piece in pieces(log, 1e9) for value in piece.values]
    assert keys == [name(log, number) for number in range(150_000)]
    assert times == sorted(times)
    assert 1e9 - log.span_s == times[0] < times[-1] < 1e9


def test_a_table_shows_and_keeps_what_it_was_given() -> None:
    """Numbers in their form for people, as they are for programs; a missing one is missing."""
    table = Table("t", (Column("a"), Column("b", ".2f")), (("x", 1 / 3), ("y", None)), ("n",))
    assert table.as_json() == {"title": "t", "rows": [{"a": "x", "b": 1 / 3}, {"a": "y", "b": None}], "notes": ["n"]}


def test_a_program_that_fails_says_why() -> None:
    """With the end of what it wrote on stderr."""
    with pytest.raises(BenchmarkFailed, match="no such thing"):
        figures([sys.executable, "-c", "raise SystemExit('no such thing')"])


def test_a_sample_counts_for_its_innermost_frame_that_tells() -> None:
    """A function of a library counts for who called it."""
    carry = "carry (/x/streams/worker.py:80)"
    rule = "observe (/x/detectors/rules/request_surge.py:9)"
    stacks = f"{carry};{rule};add (/x/numpy/core.py:1) 3\n{carry} 1\nelse (/x/y.py:1) 1\nf (<frozen importlib>:1) 9\n"
    found = profiling.shares(stacks)
    assert found == {"judge: rules, learned normals, episodes": 0.6, "Faust and the event loop": 0.2, "other": 0.2}


def test_each_scenario_has_a_command() -> None:
    """And says what it takes."""
    scenarios = ("throughput", "latency", "memory", "checkpoints", "replay", "workers", "profile")
    for scenario in (*scenarios, "actions", "alerts", "episodes"):
        assert CliRunner().invoke(app, [scenario, "--help"]).exit_code == 0


@pytest.mark.kafka
def test_throughput(site: Site) -> None:
    """The worker beside the yardstick, each having read the whole log."""
    table = throughput.compare(site, TINY, runs=1, peers=False)
    assert [row[:2] for row in table.rows] == [
        (throughput.BARE, TINY.events),
        (throughput.WORKER, TINY.events),
        (throughput.BUDGETED, TINY.events),
    ]


@pytest.mark.kafka
def test_latency(site: Site, tmp_path: Path) -> None:
    """Each incident has a delay, and so has each echo."""
    found = latency.measure(site, tmp_path, incidents=2, rates=[200])
    assert [(len(delays.worker), len(delays.echo)) for delays in found.delays] == [(2, 2)]


@pytest.mark.kafka
def test_memory(site: Site, tmp_path: Path) -> None:
    """A size after each part of the log, and one at rest."""
    sizes = memory.growth(site.filled(TINY), tmp_path, TINY.events, parts=2, settled_s=0)
    assert len(sizes) == 3
    assert min(sizes) > 0


@pytest.mark.kafka
def test_checkpoints(site: Site, tmp_path: Path) -> None:
    """A worker that starts again is up to date some time after it was restored, and that after it was assigned."""
    (row,) = checkpoints.restart(site, tmp_path, sizes=(TINY.endpoints,), missed=500).rows
    _, assigned, restored, current = row
    assert isinstance(assigned, float)
    assert isinstance(restored, float)
    assert isinstance(current, float)
    assert assigned > 0
    assert 0 <= restored <= current


def test_replay(tmp_path: Path) -> None:
    """A process of some CPU time and memory."""
    file = tmp_path / "log.ndjson"
    write_file(TINY, file)
    spent = replay.spent(replay.replay(file))
    assert spent.cpu_s > 0
    assert spent.peak_rss_mib > 0


@pytest.mark.kafka
def test_workers(site: Site, tmp_path: Path) -> None:
    """A worker joins under load, and each probe comes through."""
    table = workers.join(site.declared("join", workers.PARTITIONS), tmp_path, rate=200, seconds=4)
    assert [row[0] for row in table.rows] == ["two workers", "a third joins"]


@pytest.mark.parametrize("part", episodes.PARTS)
def test_an_episode_is_acted_on_carried_out_and_told(part: str) -> None:
    """Else its memory would say nothing: a brake and its restore, and each receiver told of a beginning and an end."""
    measured = episodes.PARTS[part]()
    for number in range(1, 4):
        measured.episode(number, f"bench/endpoint-{number}")
    receivers = len(episodes.CONFIG.receivers)
    assert measured.done == (3 * 2 * receivers if part == "dispatch of alerts" else 3 * 2)


def test_what_grows_with_each_episode_is_seen_to_grow() -> None:
    """At each mark, beyond what was there before."""

    class Leak:
        done = 0

        def __init__(self) -> None:
            self.kept: list[bytes] = []

        def episode(self, number: int, endpoint: str) -> None:
            self.kept.append(bytes(10_000) + endpoint.encode() * number)

    first, last = episodes.growth(Leak(), (50, 100), endpoints=10)
    assert 1.5 * first < last < 2.5 * first


def test_only_the_runaways_and_their_effects_count() -> None:
    """Other findings, held commands and the steps before the last do not."""
    told: list[tuple[str, dict[str, Any], bool]] = [
        ("control.findings.v1", {"rule": "runaway_replicas"}, True),
        ("control.findings.v1", {"rule": "telemetry_gap"}, False),
        ("control.commands.v1", {"rule": "runaway_replicas", "held": None}, True),
        ("control.commands.v1", {"rule": "runaway_replicas", "held": "cooldown"}, False),
        ("control.results.v1", {"state": "verified"}, True),
        ("control.results.v1", {"state": "applied"}, False),
        ("control.results.v1", {"state": None}, False),
    ]
    assert [actions.is_step(topic, value) for topic, value, _ in told] == [wanted for *_, wanted in told]


def test_a_receiver_takes_no_more_than_it_allows() -> None:
    """What is one too many is refused, with the time after which it will be taken; an alert told twice counts once."""
    door = Door(limit=(2, 10.0))
    assert [door.take(b'{"a": "bench/endpoint-0000007"}', now_s) for now_s in (1.0, 2.0, 4.0)] == [None, None, 7.0]
    assert door.take(b"bench/endpoint-0000008", 11.5) is None
    assert door.seen() == {"alerts": 2, "requests": 3, "refused": 1, "first_s": 1.0, "last_s": 11.5}


def test_one_receiver_down_is_compared_by_medians() -> None:
    """Of the others, each with itself."""
    up, half = dict.fromkeys(alerts.OTHERS, 10.0), dict.fromkeys(alerts.OTHERS, 5.0)
    rows = alerts.down_table([(up, up, half), (half, half, up), (up, half, up)]).rows
    assert [row[1:] for row in rows] == [(10.0, 5.0, 0.5, 10.0, 1.0)] * len(alerts.OTHERS)


@pytest.mark.kafka
def test_actions(site: Site, tmp_path: Path) -> None:
    """Each runaway becomes a command and that an effect, in this order, beside its echo and a bare exchange."""
    found = actions.measure(site, tmp_path, incidents=2, update_s=0.0)
    assert {len(times) for times in found} == {2}
    assert min(*found.decided, *found.verified) >= 0


@pytest.mark.kafka
def test_alerts(site: Site, tmp_path: Path) -> None:
    """Those that are up are told of everything, whatever becomes of the one that is down."""
    found = alerts.rates(site, tmp_path, alerts.Telling(alerts.OTHERS, 5, alerts.REFUSED))
    assert found.keys() == set(alerts.OTHERS)
    assert min(found.values()) > 0
