"""How the demo looks: on a pipe, for programs, and on a terminal."""

from __future__ import annotations

import io
import json
from typing import Any, Final

import pytest
from msgspec import structs
from rich.console import Console

from schemas.outputs import Refusal, State
from streams.demo import messages, script
from streams.demo.board import Board
from streams.demo.messages import Backfill
from streams.demo.view import JsonView, LinesView, TerminalView, choose_view
from streams.simulator import Fleet
from tests.streams.demo.outputs import START_US, all_played, command, finding, proposal, restore, result, summary

READ_BACK: Final = {"state": "running", "ready_replicas": 4, "scaling": {"minReplica": 1, "maxReplica": 8}}


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
    view.say(messages.approved(command(opened).id, ("alice",), 2, 6.3))
    for came in (result(command(opened), after=READ_BACK), result(command(opened), State.RESTORED, after=READ_BACK)):
        if (said := messages.came(came, 7.0)) is not None:
            view.say(said)
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
        "1.750 s",
        "alice has approved it, 1 of 2",
        "hub has read back shop/search-rerank: running, 4 replicas ready, at most 8",
        "PagerDuty: 9 incidents, 9 triggers, 9 resolves; 1 incident, 1 trigger, 1 resolve of request_surge",
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
    came = ["approval", "verified", "restored"]
    assert names == ["started", "backfill", "script", "finding", "command", *came, *["incident"] * 9, "summary"]
    assert lines[3]["finding"]["rule"] == "runaway_replicas"
    assert lines[6]["result"]["after"] == READ_BACK
    assert lines[8]["seconds_to_command"] == pytest.approx(0.050)
    assert lines[8]["approved_by"] == ["alice", "bob"]
    assert lines[8]["pagerduty"] == {"incidents": 1, "triggers": 1, "resolves": 1}
    assert lines[-1]["pagerduty"] == {"incidents": 9, "triggers": 9, "resolves": 9}
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


def test_what_came_of_a_command_is_told_once() -> None:
    """Not each step on the way, and a restore with what it restores; what goes wrong is told as that."""
    brake = command(finding(script.RUNAWAY))
    silent = [result(brake, State.APPLYING), result(brake, State.APPLIED), result(restore(brake))]
    assert [messages.came(one, 1.0) for one in silent] == [None] * 3
    wrong = [
        result(brake, State.FAILED, reason="nobody there"),
        result(brake, None, refusal=Refusal.BAD_SIGNATURE, reason="altered"),
    ]
    told = [messages.came(one, 1.0) for one in wrong]
    assert [(said.event, said.text.partition("  ")[2]) for said in told if said is not None] == [
        ("failed", f"failed: {script.RUNAWAY}: nobody there"),
        ("failed", f"bad_signature: {script.RUNAWAY}: altered"),
    ]


def test_what_was_approved_says_by_whom_and_who_signed_it() -> None:
    """A command that waits, and one that nobody had to approve, say neither."""
    opened = finding(script.SURGING)
    issued = structs.replace(
        command(opened), proposal=proposal(opened).id, approved_by=("alice", "bob"), signature="ed25519:0123456789:AAAA"
    )
    assert messages.commanded(issued, 1.0).text.endswith("approved by alice and bob, signed with key 01234567")
    for plain in (proposal(opened), command(opened)):
        assert "signed" not in messages.commanded(plain, 1.0).text
