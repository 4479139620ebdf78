"""A test is played through the core as it is, and judged by what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson
import pytest

from schemas.outputs import Finding
from schemas.topics import BILLING, REQUESTS, SCALING
from schemas.units import US
from streams.core_stage import encode
from streams.lines import Line
from streams.replay import Replay
from streams.rule_tests import run
from streams.rule_tests.format import MONDAY
from streams.rule_tests.logs import logs
from streams.rule_tests.reading import read
from streams.rule_tests.run import Verdict, judge, play

RUNAWAY: Final = 'scaling: [{endpoint: acme/bert, series: "2 for 5m, then 30 for 2m, then 2 for 2m"}]'
CONFIG: Final = "config: {mode: auto, endpoints: {acme/bert: {expected_max: 20, price_usd_per_hour: 1}}}"


def written(folder: Path, test: str, config: str = CONFIG) -> Any:
    """The file with one test, of which these lines are given."""
    lines = "".join(f"    {line}\n" for line in test.splitlines())
    file = folder / "rules.yaml"
    file.write_text(f"{config}\ntests:\n  - name: it\n{lines}")
    found = read(str(file), {})
    assert found.problems == ()
    return found


def verdict(folder: Path, test: str, config: str = CONFIG) -> Verdict:
    found = written(folder, test, config)
    return judge(found.tests[0], found.config)


def no_complaint(*line: object) -> None:
    pytest.fail(f"bad line: {line}")


def log(folder: Path, test: str) -> dict[str, list[Line]]:
    return logs(written(folder, f"{test}\nfindings: []").tests[0])


def fields(lines: list[Line]) -> list[dict[str, Any]]:
    """The events, with times from the start of the test."""
    found = []
    for line in lines:
        event = orjson.loads(line.value or b"")
        times = {name: event[name] - MONDAY / US for name in event.keys() & {"time", "period_start", "period_end"}}
        found.append({**event, **times})
    return found


# -- events ---------------------------------------------------------------------------------------------------------


def test_a_series_of_requests_says_of_each_what_is_written_of_all(tmp_path: Path) -> None:
    """Numbers over time among it; keyed by the endpoint, in the log when they happen."""
    series = (
        '{endpoint: acme/bert, series: "1/s for 4s", queue_depth: "3 for 2s, then 15", duration_s: 0.4, region: eu}'
    )
    found = log(tmp_path, f"requests: [{series}]")[REQUESTS]
    always = {"endpoint": "acme/bert", "duration_s": 0.4, "region": "eu"}
    depths = [3, 3, 15, 15]
    assert fields(found) == [{**always, "time": float(at), "queue_depth": depth} for at, depth in enumerate(depths)]
    assert [line.timestamp for line in found] == [MONDAY // 1000 + at * 1000 for at in range(4)]
    assert {line.key for line in found} == {b"acme/bert"}


def test_errors_are_spread_evenly(tmp_path: Path) -> None:
    """One request in four fails with status 500, the others have theirs."""
    series = '{endpoint: a, series: "10/s for 2s, then 10/s for 2s", status: 201, errors: "25% for 2s, then 0"}'
    found = [event["status"] for event in fields(log(tmp_path, f"requests: [{series}]")[REQUESTS])]
    assert found == [201, 201, 201, 500] * 5 + [201] * 20


def test_one_per_cent_of_errors_is_one_in_a_hundred(tmp_path: Path) -> None:
    """Where an event counts several requests, too."""
    for series in ('"100/s for 10s"', '"3000/s for 2s"'):
        events = fields(log(tmp_path, f"requests: [{{endpoint: a, series: {series}, errors: 1%}}]")[REQUESTS])
        total = sum(event.get("count", 1) for event in events)
        failed = sum(event.get("count", 1) for event in events if event["status"] == 500)
        assert failed == pytest.approx(total / 100, abs=2)


def test_replicas_are_reported_every_so_often(tmp_path: Path) -> None:
    """Every 15 s where nothing else is said."""
    series = 'endpoint: a, at: 1m, series: "2 for 30s, then 2->4 for 30s"'
    more = "utilization: 0.07, state: running, max_replicas: 9"
    found = fields(log(tmp_path, f"scaling: [{{{series}, {more}}}]")[SCALING])
    assert [event["time"] for event in found] == [60, 75, 90, 105]
    assert [(event["ready_replicas"], event["target_replicas"]) for event in found] == [(2, 2), (2, 2), (2, 4), (2, 4)]
    assert all((event["utilization"], event["state"], event["max_replicas"]) == (0.07, "running", 9) for event in found)
    assert len(log(tmp_path, 'scaling: [{endpoint: a, series: "2 for 1m", every: 1s}]')[SCALING]) == 60


def test_a_bill_is_taken_at_its_time_or_when_its_period_ends(tmp_path: Path) -> None:
    """A series of lines has one for each part of its period."""
    bills = "{endpoint: a, to: 1h, cost_usd: 3.5, at: 9h}, {endpoint: b, to: 1h, cost_usd: 1}"
    late, soon = log(tmp_path, f"billing: [{bills}]")[BILLING][::-1]
    assert (late.timestamp, soon.timestamp) == (MONDAY // 1000 + 9 * 3_600_000, MONDAY // 1000 + 3_600_000)
    series = '{endpoint: a, from: 1h, to: 4h, every: 1h, cost_usd: "2 for 2h, then 5"}'
    found = fields(log(tmp_path, f"billing: [{series}]")[BILLING])
    assert [event["cost_usd"] for event in found] == [2, 2, 5]
    assert [(event["period_start"], event["period_end"]) for event in found] == [
        (3600, 7200),
        (7200, 10800),
        (10800, 14400),
    ]


def test_single_events_take_their_place_in_the_log(tmp_path: Path) -> None:
    """By when the log took them; with what is given of the wire's fields, and no more."""
    events = """\
requests: [{endpoint: a, series: 1/s for 3s}]
events:
  - {topic: requests, at: 0.5s, logged: 1.5s, endpoint: b, count: 20, status: 500}
  - {topic: scaling, at: 1s, endpoint: b, ready_replicas: 1, target_replicas: 2, cold_start: true}
  - {topic: billing, at: 2s, endpoint: b, period_start: 0s, period_end: 1s, cost_usd: -1, line_id: x}"""
    found = log(tmp_path, events)
    assert [(event["endpoint"], event["time"]) for event in fields(found[REQUESTS])] == [
        ("a", 0),
        ("a", 1),
        ("b", 0.5),
        ("a", 2),
    ]
    assert fields(found[REQUESTS])[2]["count"] == 20
    assert fields(found[SCALING])[0]["cold_start"] is True
    assert fields(found[BILLING])[0]["cost_usd"] == -1


def test_an_event_that_cannot_be_read_fails_the_test(tmp_path: Path) -> None:
    """It would go to the dead letters: no rule would ever see it."""
    found = verdict(tmp_path, "requests: [{endpoint: a, series: 1/s for 1s, status: 700}]\nfindings: []")
    assert not found.passed
    assert "status" in found.unread[0]
    early = "{topic: requests, at: 1h, logged: 5m, endpoint: a}"
    assert "ahead of the log" in verdict(tmp_path, f"events: [{early}]\nfindings: []").unread[0]


# -- the core -------------------------------------------------------------------------------------------------------


def test_what_is_found_is_what_replay_finds_in_the_same_log(tmp_path: Path) -> None:
    """Byte for byte, whatever is folded at once."""
    text = (
        f"{RUNAWAY}\nrequests: [{{endpoint: acme/bert, series: '10/s for 12m, then 90/s for 20s, then 10/s for 2m'}}]"
    )
    found = written(tmp_path, f"{text}\nfindings: []")
    files = {}
    for topic, lines in logs(found.tests[0]).items():
        files[topic] = str(tmp_path / topic)
        (tmp_path / topic).write_bytes(b"".join((line.value or b"") + b"\n" for line in lines))
    replayed = [encode(value) for value in Replay(found.config, files, no_complaint).run()]
    assert len(replayed) > 4
    with pytest.MonkeyPatch.context() as patch:
        for size in (run.CHUNK, 7):
            patch.setattr(run, "CHUNK", size)
            assert [encode(value) for value in play(found.tests[0], found.config).values] == replayed


def test_the_clock_goes_on_where_the_test_says_so(tmp_path: Path) -> None:
    """Until then, what ends by itself ends."""
    text = 'scaling: [{endpoint: acme/bert, series: "2 for 5m, then 30 for 2m"}]'
    end = "{at: 5m, action: throttle}, {at: 20m, action: restore, rule: runaway_replicas}"
    assert verdict(tmp_path, f"{text}\nuntil: 20m1s\ncommands: [{end}]").passed
    assert not verdict(tmp_path, f"{text}\nuntil: 19m\ncommands: [{end}]").passed
    assert verdict(tmp_path, f"{text}\ncommands: [{{at: 5m, action: throttle}}]").passed


# -- the judgement --------------------------------------------------------------------------------------------------

OPENS: Final = "{at: 5m, rule: runaway_replicas, subject: acme/bert, status: open, severity: error, value: 30}"
RESOLVES: Final = "{at: 8m, rule: runaway_replicas, status: resolved}"


def test_findings_are_complete_and_in_order(tmp_path: Path) -> None:
    """One too many fails the test as one too few does."""
    assert verdict(tmp_path, f"{RUNAWAY}\nfindings: [{OPENS}, {RESOLVES}]").passed
    for wrong in (OPENS, RESOLVES, f"{RESOLVES}, {OPENS}", f"{OPENS}, {RESOLVES}, {RESOLVES}", ""):
        assert not verdict(tmp_path, f"{RUNAWAY}\nfindings: [{wrong}]").passed


def test_what_is_not_given_is_not_compared(tmp_path: Path) -> None:
    """A list that is not there, either; an empty one means none."""
    assert verdict(tmp_path, f"{RUNAWAY}\ncommands: [{{action: throttle}}, {{action: restore}}]").passed
    assert verdict(tmp_path, f"{RUNAWAY}\nfindings: [{{}}, {{}}]").passed
    assert not verdict(tmp_path, f"{RUNAWAY}\nfindings: [{{}}, {{}}]\ncommands: []").passed


def test_other_rules_are_not_compared_where_rules_are_named(tmp_path: Path) -> None:
    """Neither are the commands that they call for."""
    assert verdict(tmp_path, f"{RUNAWAY}\nrules: [request_surge]\nfindings: []\ncommands: []").passed
    assert not verdict(tmp_path, f"{RUNAWAY}\nrules: [runaway_replicas]\nfindings: []").passed


def test_updates_are_left_out_unless_they_are_asked_for_or_more_severe(tmp_path: Path) -> None:
    """An open episode speaks once a minute; that would have to be written down again and again."""
    long = 'scaling: [{endpoint: acme/bert, series: "30 for 3m, then 41 for 3m"}]'
    found = written(tmp_path, f"{long}\nfindings: []")
    values = play(found.tests[0], found.config).values
    came = [value for value in values if isinstance(value, Finding)]
    assert len(came) > 3
    brief = "{status: open, severity: error}, {status: update, severity: critical}"
    assert verdict(tmp_path, f"{long}\nfindings: [{brief}]").passed
    every = ", ".join(f"{{status: {value.status}, severity: {value.severity}}}" for value in came)
    assert verdict(tmp_path, f"{long}\nupdates: true\nfindings: [{every}]").passed
    assert not verdict(tmp_path, f"{long}\nupdates: true\nfindings: [{brief}]").passed


def test_times_count_from_the_start(tmp_path: Path) -> None:
    """Whenever that is."""
    assert verdict(tmp_path, f"start: 2026-11-23T10:00:00+01:00\n{RUNAWAY}\nfindings: [{OPENS}, {RESOLVES}]").passed


def test_a_test_needs_no_configuration(tmp_path: Path) -> None:
    """The defaults do: ten replicas, no budgets, mode shadow."""
    commands = "{action: throttle, held: shadow, expires_at: 20m, parameters: {max_replicas: 10}}, {action: restore}"
    assert (
        verdict(tmp_path, f"{RUNAWAY}\nfindings: [{{value: 30, threshold: 10}}, {{}}, {{}}]", config="").passed is False
    )
    assert verdict(tmp_path, f"{RUNAWAY}\ncommands: [{commands}]", config="").passed
