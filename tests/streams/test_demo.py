"""The demo: what it plays, how it keeps book of it, how it looks, and the whole of it on a real Kafka."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from msgspec import structs
from rich.console import Console
from streams.demo.worker import Worker, WorkerDied, events_read

from schemas.outputs import Action, Command, Cost, Finding, Held, Mode, Severity, Status, derive_id
from schemas.units import HOUR_US, US, rfc3339
from streams.demo import messages, script
from streams.demo.board import Board, State
from streams.demo.incidents import Arrival, Incidents, exit_code
from streams.demo.messages import Backfill, Summary
from streams.demo.script import Expectation
from streams.demo.view import JsonView, LinesView, TerminalView, choose_view
from streams.simulator import BACKFILL, Fleet

START_US = 1_800_000_000 * US
BY_RULE = {expected.rule: expected for expected in script.EXPECTED}


def finding(
    subject: str, status: Status = Status.OPEN, opened_us: int = START_US, rule: str = "runaway_replicas"
) -> Finding:
    episode = derive_id("episode", rule, subject, opened_us)
    return Finding(
        id=derive_id("finding", episode, status),
        episode=episode,
        rule=rule,
        subject=subject,
        endpoint=subject,
        status=status,
        severity=Severity.CRITICAL,
        opened_at=rfc3339(opened_us),
        at=rfc3339(opened_us),
        score=5.0,
        value=40.0,
        threshold=8.0,
        baseline=3.0,
        unit="replicas",
        evidence={},
        config_version="",
    )


def command(
    of: Finding,
    endpoint: str = "",
    mode: Mode = Mode.AUTO,
    held: Held | None = None,
    action: Action = Action.THROTTLE,
) -> Command:
    return Command(
        id=derive_id("command", of.episode, endpoint, action),
        action=action,
        endpoint=endpoint or of.subject,
        parameters={"max_replicas": 8},
        mode=mode,
        held=held,
        finding_id=of.id,
        episode=of.episode,
        rule=of.rule,
        issued_at=of.at,
        expires_at=None,
        reason="",
        cost=Cost(saves_usd_per_hour=80.0),
        before={},
    )


def restore(of: Command) -> Command:
    return Command(
        id=derive_id("restore", of.id),
        action=Action.RESTORE,
        endpoint=of.endpoint,
        parameters={},
        mode=Mode.AUTO,
        held=None,
        finding_id=of.finding_id,
        episode=of.episode,
        rule=of.rule,
        issued_at=of.issued_at,
        expires_at=None,
        reason="",
        cost=Cost(),
        before={},
        restores=of.id,
    )


def play_out(incidents: Incidents, expected: Expectation) -> None:
    """One incident from its finding to its restore."""
    opened = finding(expected.subject, rule=expected.rule)
    issued = [command(opened, action=action) for action in expected.actions]
    incidents.note_finding(opened)
    for one in issued:
        incidents.note_command(one, 1_800_000_000_250)
    incidents.note_finding(finding(expected.subject, Status.RESOLVED, rule=expected.rule))
    for one in issued:
        incidents.note_command(restore(one), 1_800_000_010_000)


def all_played() -> Incidents:
    incidents = Incidents(script.EXPECTED)
    for expected in script.EXPECTED:
        play_out(incidents, expected)
    return incidents


def summary(incidents: Incidents) -> Summary:
    arrivals = [Arrival(expected.keys[0], START_US, 1_800_000_000_200) for expected in script.EXPECTED]
    return Summary(tuple(incidents.outcomes(arrivals)), Backfill(600_000, 5.0), incidents.others)


def test_the_incidents_played_out_are_a_success() -> None:
    """Exit code 0 needs all: caught, and, where something was to be done, acted on and restored."""
    incidents = all_played()
    assert incidents.complete
    assert exit_code(incidents.outcomes([])) == 0
    assert {outcome.verdict for outcome in incidents.outcomes([])} == {"restored", "alerted"}


@pytest.mark.parametrize("rule", BY_RULE)
def test_one_incident_that_is_missing_is_a_failure(rule: str) -> None:
    """Each of them counts, and the summary names the one that is missing."""
    incidents = Incidents(script.EXPECTED)
    for other in script.EXPECTED:
        if other.rule != rule:
            play_out(incidents, other)
    outcomes = incidents.outcomes([])
    assert exit_code(outcomes) == 1
    assert [outcome.rule for outcome in outcomes if outcome.missing == "not caught"] == [rule]


def test_a_ladder_must_be_climbed_to_its_end() -> None:
    """A budget that is overspent twice is throttled, overflows and is shut down; the verdict names what is missing."""
    ladder = BY_RULE["daily_spend"]
    incidents = Incidents([ladder])
    (incident,) = incidents
    opened = finding(ladder.subject, rule="daily_spend")
    incidents.note_finding(opened)
    verdicts = []
    for action in ladder.actions:
        incidents.note_command(command(opened, script.STUDIO[0], action=action), 1)
        verdicts.append(incident.missing)
    assert verdicts == [
        "caught, but not answered with overflow",
        "caught, but not answered with shutdown",
        "acted on, but not restored",
    ]


def test_what_is_missing_goes_from_caught_to_acted_on_to_restored() -> None:
    """The verdict says how far the incident got."""
    incidents = Incidents([script.EXPECTED[1]])
    (incident,) = incidents
    opened = finding(script.RUNAWAY)
    verdicts = [incident.missing]
    incidents.note_finding(opened)
    verdicts.append(incident.missing)
    incidents.note_command(command(opened), 1)
    verdicts.append(incident.missing)
    incidents.note_command(restore(command(opened)), 2)
    verdicts.append(incident.missing)
    assert verdicts == [
        "not caught",
        "caught, but not answered with throttle",
        "acted on, but not restored",
        None,
    ]


@pytest.mark.parametrize(
    ("mode", "held"), [(Mode.SHADOW, Held.SHADOW), (Mode.APPROVE, Held.COOLDOWN), (Mode.APPROVE, None)]
)
def test_a_command_that_nobody_carries_out_is_no_action(mode: Mode, held: Held | None) -> None:
    """Only mode auto, not held back, counts as acted on."""
    incidents = Incidents(script.EXPECTED)
    opened = finding(script.RUNAWAY)
    incidents.note_finding(opened)
    incidents.note_command(command(opened, mode=mode, held=held), 1)
    missing = {outcome.subject: outcome.missing for outcome in incidents.outcomes([])}
    assert missing[script.RUNAWAY] == "caught, but not answered with throttle"


def test_every_command_of_an_incident_must_be_restored() -> None:
    """One endpoint whose brake stays on is a failure."""
    incidents = Incidents([BY_RULE["hourly_spend"]])
    opened = finding(script.LAB_BUDGET, rule="hourly_spend")
    first, second = command(opened, script.LAB[1]), command(opened, script.LAB[2])
    incidents.note_finding(opened)
    incidents.note_command(first, 1)
    incidents.note_command(second, 2)
    incidents.note_command(restore(first), 3)
    assert not incidents.complete
    incidents.note_command(restore(second), 4)
    assert incidents.complete


def test_an_episode_that_nobody_scripted_is_counted_apart() -> None:
    """A false alarm neither fails the demo nor goes unmentioned."""
    incidents = Incidents(script.EXPECTED)
    incidents.note_finding(finding("acme/bert-base"))
    incidents.note_finding(finding("acme/bert-base", Status.RESOLVED))
    assert incidents.others == 1


def test_seconds_are_from_the_breaching_events_arrival_to_the_first_command() -> None:
    """The breaching event is the incident's first at or after the time at which the episode opened."""
    incidents = all_played()
    arrivals = [
        Arrival(script.RUNAWAY, START_US - 1, 1_800_000_000_000),
        Arrival("acme/other", START_US, 1_800_000_000_100),
        Arrival(script.RUNAWAY, START_US + 5, 1_800_000_000_240),
        Arrival(script.RUNAWAY, START_US, 1_800_000_000_200),
    ]
    outcomes = {outcome.subject: outcome for outcome in incidents.outcomes(arrivals)}
    assert outcomes[script.RUNAWAY].seconds == pytest.approx(0.050)
    assert outcomes[script.RUNAWAY].saves_usd_per_hour == 80.0
    assert outcomes[script.SURGING].seconds is None


def test_a_rung_that_a_higher_one_replaced_is_taken_back_with_it() -> None:
    """Only the last command is restored; each of the others is named by the one that took its place."""
    ladder = BY_RULE["daily_spend"]
    incidents = Incidents([ladder])
    opened = finding(ladder.subject, rule="daily_spend")
    incidents.note_finding(opened)
    rungs = [command(opened, script.STUDIO[0], action=action) for action in ladder.actions]
    climbed = [rungs[0], *(structs.replace(up, restores=low.id) for low, up in pairwise(rungs))]
    for rung in climbed:
        incidents.note_command(rung, 1)
    assert not incidents.complete
    incidents.note_command(restore(climbed[-1]), 2)
    assert incidents.complete
    (outcome,) = incidents.outcomes([])
    assert outcome.saves_usd_per_hour == 80.0, "what was replaced saves nothing any more"


def test_the_same_output_twice_changes_nothing() -> None:
    """Outputs may be written again after a crash; the first time counts."""
    incidents = all_played()
    before = incidents.outcomes([])
    opened = finding(script.RUNAWAY)
    incidents.note_command(command(opened), 1_900_000_000_000)
    assert incidents.outcomes([]) == before


def test_the_history_uses_nearly_the_whole_allowance_of_an_hour() -> None:
    """Before anything goes wrong the lab has spent 98 to 99.5 % of what it may."""
    fleet = Fleet(script.ACTORS, 1, START_US)
    list(fleet.advance(START_US + HOUR_US, BACKFILL))
    spent = fleet.meter.spend_usd(script.LAB, START_US, START_US + HOUR_US)
    assert 0.98 < spent / script.allowance_usd() < 0.995


def test_the_bill_brings_the_spend_below_the_level_at_which_episodes_resolve() -> None:
    """Even with some dollars of overshoot the hour is under 80 % of the allowance once the bill is there."""
    fleet = Fleet(script.ACTORS, 1, START_US)
    list(fleet.advance(START_US + HOUR_US, BACKFILL))
    (bill,) = [cue for cue in script.cues() if "35% lower" in cue.text]
    lines = bill.play(fleet)
    assert len(lines) == len(script.LAB)
    spent = fleet.meter.spend_usd(script.LAB, START_US, START_US + HOUR_US)
    assert spent + 5 < 0.8 * script.allowance_usd()


def test_the_cues_change_what_they_say_and_put_it_right_again() -> None:
    """At the end of the script the fleet is as it was at its beginning."""
    fleet = Fleet(script.ACTORS, 1, START_US)
    list(fleet.advance(START_US + HOUR_US, BACKFILL))
    before = {actor.name: fleet.reading(actor.name).target for actor in script.ACTORS}
    highest = dict(before)
    for cue in script.cues():
        cue.play(fleet)
        list(fleet.advance(fleet.now_us + 5 * US))
        for name in before:
            highest[name] = max(highest[name], fleet.reading(name).ready)
    assert highest[script.RUNAWAY] == script.RUNAWAY_REPLICAS
    assert highest[script.LAB[1]] == script.LAB_REPLICAS
    assert {name: fleet.reading(name).ready for name in before} == before


def test_the_studios_bill_climbs_the_ladder_and_is_taken_back() -> None:
    """Whatever the hour is: by the studio's clock it is about noon, and the whole bill is of this day."""
    shares = [sum(script.STUDIO_LINES[: page + 1]) for page in range(len(script.STUDIO_LINES))]
    assert [share > step for share, step in zip(shares, (1.2, 1.5, 2.0), strict=False)] == [True] * 3
    assert shares[0] < 1.5 < shares[1] < 2.0
    assert shares[-1] < 0.8 * 1.2
    for hour in range(24):
        now_us = START_US + hour * HOUR_US
        zone = ZoneInfo(script.zone_at_noon(now_us))
        local = [datetime.fromtimestamp(now_us / US - s, zone) for s in (0, script.STUDIO_BILLED_FROM_S)]
        assert local[0].hour == script.NOON
        assert local[0].date() == local[1].date()


def test_the_board_follows_an_incident_through_its_states() -> None:
    """ok, then what is wrong, then the brake, then restored."""
    board = Board(Fleet(script.cast(1), 1, START_US))
    opened = finding(script.RUNAWAY)
    states = [board.state(script.RUNAWAY)]
    board.note_finding(opened)
    states.append(board.state(script.RUNAWAY))
    board.note_command(command(opened))
    states.append(board.state(script.RUNAWAY))
    board.note_finding(finding(script.RUNAWAY, Status.RESOLVED))
    board.note_command(restore(command(opened)))
    states.append(board.state(script.RUNAWAY))
    assert states == [State.OK, State.RUNAWAY, State.THROTTLED, State.RESTORED]


def show(view: Any) -> None:
    board = Board(Fleet(script.cast(1), 1, START_US))
    opened = finding(script.RUNAWAY)
    view.progress("starting Kafka")
    view.say(messages.started("127.0.0.1:9092", 200))
    view.progress("the worker reads the history", 0.5)
    view.say(messages.read(Backfill(600_000, 5.0)))
    view.frame(board.frame(1.0))
    view.say(messages.cued(script.cues()[0], 3.0))
    view.say(messages.found(opened, 6.1))
    view.say(messages.commanded(command(opened), 6.2))
    view.sum_up(summary(all_played()))
    view.close()


def test_a_pipe_gets_plain_lines() -> None:
    """No escape sequences, no carriage returns, no bars; every message and the summary are there."""
    out = io.StringIO()
    show(choose_view("table", out))
    text = out.getvalue()
    assert not set("\x1b\r━│┃╸") & set(text)
    for words in (
        "starting Kafka ...",
        "120,000 events/s",
        "throttle shop/search-rerank",
        "0.050 s",
        "$80.00/h",
    ):
        assert words in text
    opened = finding(script.RUNAWAY)
    assert f"finding   {opened.id[:8]}  " in text
    assert f"command   {command(opened).id[:8]}  " in text
    assert isinstance(choose_view("table", out), LinesView)


def test_json_is_one_object_a_line() -> None:
    """Programs get every event with its fields, and nothing else on stdout."""
    out = io.StringIO()
    show(choose_view("json", out))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    names = [line["event"] for line in lines]
    assert names == ["started", "backfill", "script", "finding", "command", *["incident"] * 9, "summary"]
    assert lines[3]["finding"]["rule"] == "runaway_replicas"
    assert lines[5]["seconds_to_command"] == pytest.approx(0.050)
    assert lines[-1]["ok"] is True
    assert isinstance(choose_view("json", out), JsonView)


def test_a_terminal_gets_a_live_table_and_keeps_what_was_said() -> None:
    """After the moving picture is gone, the messages and the summary stay on the screen."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=40, legacy_windows=False)
    show(TerminalView(console))
    shown = out.getvalue()
    assert "\x1b[" in shown
    kept = shown[shown.rindex("tidegate demo, ") :]  # the title of the last table
    for words in ("9 x the usual requests", "Command sent", "incidents were caught"):
        assert words in kept


def test_the_worker_counts_only_input_events() -> None:
    """Roll-ups and findings are tidegate's own; what went wrong with an event does not matter."""
    scraped = (
        "# TYPE tidegate_events counter\n"
        'tidegate_events_total{outcome="accepted",topic="inference.requests.v1"} 5.0\n'
        'tidegate_events_total{outcome="late",topic="demo.inference.requests.v1"} 2.0\n'
        'tidegate_events_total{outcome="accepted",topic="tidegate.rollups.v1"} 100.0\n'
    )
    assert events_read(scraped) == 7


def keep_checking(worker: Worker, deadline: float) -> None:
    while time.monotonic() < deadline:
        worker.check()
        time.sleep(0.05)


def test_a_worker_that_dies_is_noticed_with_the_end_of_its_log(tmp_path: Path) -> None:
    """The demo says what the worker said last, instead of waiting for it."""
    with Worker(tmp_path / "no-such-file.yaml", port=0) as worker:
        deadline = time.monotonic() + 60
        with pytest.raises(WorkerDied, match="no-such-file"):
            keep_checking(worker, deadline)


def demo(*options: str, folder: Path) -> subprocess.Popen[str]:
    run = "from streams.cli import main; main()"
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.Popen(
        [sys.executable, "-c", run, "demo", "--output", "json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_the_demo_on_a_real_kafka(tmp_path: Path) -> None:
    """All incidents are caught, those to be acted on were and are restored, and nothing is left on disk."""
    with demo(folder=tmp_path) as process:
        out, err = process.communicate(timeout=550)
    assert process.returncode == 0, out[-3000:] + err
    last = json.loads(out.splitlines()[-1])
    assert last["ok"]
    assert last["backfill_events_per_s"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.kafka
@pytest.mark.timeout(240)
def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    """Ctrl-C stops the broker and the worker, and removes their folders."""
    with demo(folder=tmp_path) as process:
        assert process.stdout is not None
        while json.loads(process.stdout.readline())["event"] != "history":
            pass
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=90)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_broker_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """A wrong --kafka is answered in a sentence on stderr, and stdout stays empty."""
    with demo("--kafka", "127.0.0.1:1", folder=tmp_path) as process:
        out, err = process.communicate(timeout=90)
    assert process.returncode == 1
    assert (out, err) == ("", "tidegate demo: no Kafka broker answered at 127.0.0.1:1\n")
    assert list(tmp_path.iterdir()) == []
