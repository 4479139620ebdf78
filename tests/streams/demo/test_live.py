"""The whole demo on a real Kafka: what it says, and what lies in the topics and at the doubles afterwards."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec
import pytest

from schemas import topics
from schemas.config import Kafka
from schemas.outputs import Action, Command, Finding, Held, Mode, Result, State, Status
from schemas.signatures import refused
from streams.demo import Demo, DemoOptions, script
from streams.demo.outside import GATEWAY, HUB
from streams.demo.view import JsonView
from tests.running import read_topic

T = TypeVar("T")

CHANGED_ONCE = {  # what the provider and the gateway did in all: each brake on and off, none of them twice
    (script.SURGING, "PUT"): 2,
    (script.RUNAWAY, "PUT"): 2,
    (script.LAB[1], "PUT"): 2,
    (script.LAB[2], "PUT"): 2,
    (script.STUDIO[0], "PUT"): 2,  # a cap, which stays to the end, and the scaling that a resume forgot
    (script.STUDIO[0], "pause"): 1,
    (script.STUDIO[0], "resume"): 1,
}


class Topics(NamedTuple):
    """What the demo left in the topics."""

    findings: list[Finding]
    commands: list[Command]
    results: list[Result]

    def of_surge(self) -> tuple[Finding, list[Command]]:
        """The finding that opened it, and the commands about it in order of time."""
        (found,) = [f for f in self.findings if f.rule == "request_surge" and f.status is Status.OPEN]
        commands = [command for command in self.commands if command.episode == found.episode]
        return found, sorted(commands, key=lambda command: command.issued_at)

    def states(self, command: Command) -> list[State | None]:
        return [result.state for result in self.results if result.command_id == command.id]


async def read(kafka: Kafka, topic: str, kind: type[T]) -> list[T]:
    records = sorted(await read_topic(kafka, topic), key=lambda record: record.timestamp)
    return [msgspec.json.decode(record.value, type=kind) for record in records]


@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_the_demo_on_a_real_kafka(kafka: str, topic_prefix: str, tmp_path: Path) -> None:
    """A surge is approved by two, signed, carried out once, verified, restored and paged once; and all else, too."""
    out = io.StringIO()
    at = Kafka(bootstrap_servers=kafka, topic_prefix=topic_prefix, group=topic_prefix + "group")

    async def scenario() -> tuple[Demo, int, Topics]:
        demo = Demo(DemoOptions(output="json"), JsonView(out), tmp_path)
        code = await demo.play(at)
        findings = await read(at, topics.FINDINGS, Finding)
        commands = await read(at, topics.COMMANDS, Command)
        return demo, code, Topics(findings, commands, await read(at, topics.RESULTS, Result))

    demo, code, left = asyncio.run(asyncio.wait_for(scenario(), 550))
    lines = [json.loads(line) for line in out.getvalue().splitlines()]
    assert code == 0, out.getvalue()[-3000:]
    assert lines[-1]["ok"]
    assert lines[-1]["backfill_events_per_s"] > 0
    check_the_chain(demo, left)
    check_the_doubles(demo, left)
    check_that_no_secret_is_told(tmp_path, out.getvalue())


def check_the_chain(demo: Demo, left: Topics) -> None:
    """Finding -> question -> alice, bob -> signed command -> applied -> verified -> restore, verified."""
    _, (asked, issued, restore) = left.of_surge()
    assert (asked.held, asked.mode) == (Held.AWAITING_APPROVAL, Mode.APPROVE)
    approvals = [result.by for result in left.results if result.command_id == asked.id]
    assert approvals == [("alice",)]
    assert (issued.held, issued.mode, issued.executor) == (None, Mode.APPROVE, HUB)
    assert (issued.proposal, issued.approved_by) == (asked.id, ("alice", "bob"))
    assert refused(issued, [demo.signer.public]) is None
    assert left.states(issued) == [State.APPLYING, State.APPLIED, State.VERIFIED, State.RESTORED]
    assert (restore.action, restore.restores) == (Action.RESTORE, issued.id)
    assert left.states(restore) == [State.VERIFIED]
    carried_out = {result.executor for result in left.results if result.state is State.VERIFIED}
    assert carried_out == {HUB, GATEWAY}
    assert [result for result in left.results if result.refusal is not None or result.state is State.FAILED] == []


def check_the_doubles(demo: Demo, left: Topics) -> None:
    """The provider was told each thing once, its bill has the minutes; the pager has one incident, and its end."""
    outside = demo.outside
    assert outside.hub.applied == CHANGED_ONCE
    assert outside.gateway.applied == {(script.STUDIO[0], "apply"): 1, (script.STUDIO[0], "undo"): 1}
    grown = script.SURGE_REPLICAS - script.ACTORS[0].replicas
    minute_usd = script.ACTORS[0].price_usd_per_hour / 60
    assert outside.bill_usd([script.SURGING]) == pytest.approx(grown * minute_usd)
    found, _ = left.of_surge()
    (incident,) = outside.pager.incidents_of(found.episode)
    assert [event["event_action"] for event in incident.log] == ["trigger", "resolve"]


def check_that_no_secret_is_told(folder: Path, said: str) -> None:
    """What is in the files of secrets is nowhere else."""
    files = [*folder.glob("*.secret"), folder / "tidegate.key"]
    assert len(files) == 4
    logs = "".join(file.read_text() for file in folder.glob("*.log")) + (folder / "tidegate.yaml").read_text()
    for file in files:
        assert file.stat().st_mode & 0o077 == 0
        secret = file.read_text().splitlines()[-2 if file.suffix == ".key" else 0]
        assert secret not in logs + said


def demo(*options: str, folder: Path) -> subprocess.Popen[str]:
    run = "from streams.cli import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", run, "demo", "--output", "json", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
    )


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
