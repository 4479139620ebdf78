"""What operators see and say, on a real Kafka."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from actions.results import unheard
from schemas.orders import Order, Verb
from schemas.outputs import Command, Finding, Held, Refusal, State
from schemas.units import US
from streams.cli import INTERRUPTED
from streams.operate import speaking
from tests.actions.findings import START_US, later, surge
from tests.actions.lives import command, proposal, refusal, renewal, result
from tests.running import TIDEGATE, WAIT_S, Starter
from tests.streams.operate.cluster import Cluster, Said, Worker

ENTER_SCREEN: Final = "\x1b[?1049h"
LEAVE_SCREEN: Final = "\x1b[?1049l"


def now_s() -> float:
    """As the builders of commands count time."""
    return time.time() - START_US / US


@pytest.fixture
def cluster(kafka: str, topic_prefix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    monkeypatch.setattr("streams.operate.options.logs.configure", lambda *_: None)  # pytest's own handlers stay
    monkeypatch.setenv("COLUMNS", "200")
    return Cluster(kafka, topic_prefix, tmp_path)


def asking(cluster: Cluster, **sections: object) -> Worker:
    """A worker that asks two persons before it throttles."""
    rules = [{"actions": ["throttle"], "approve": {"persons": 2}}]
    cluster.configure(**{"mode": "auto", "approvals": rules, "executors": {"hf": {"type": "dry_run"}}, **sections})
    return Worker(cluster)


def found(cluster: Cluster, worker: Worker, finding: Finding) -> Command:
    """The one command that comes of a finding."""
    said = worker.find(finding)
    cluster.write(*said)
    (given,) = (one for one in said if isinstance(one, Command))
    return given


def test_the_present_is_read_from_the_topics_alone(cluster: Cluster) -> None:
    """What is in force, what waits, who said yes, the kill switch, silences and failures, for programs and people."""
    now = now_s()
    first = cluster.worker.sign(command("acme/a", now - 600))
    later = cluster.worker.sign(renewal(first, now - 100))
    asked = proposal("acme/b", now - 60)
    broken = command("acme/c", now - 50)
    cluster.write(
        later, first, asked, broken,
        result(first, State.APPLYING, now - 599, before={"max_replicas": 10}), result(first, State.APPLIED, now - 595),
        result(first, State.VERIFIED, now - 590, after={"max_replicas": 4}),
        result(asked, State.AWAITING_APPROVAL, now - 30, by=("alice",), executor=None),
        result(broken, State.FAILED, now - 20, reason="404 from the API"),
        refusal(first, Refusal.REPLAYED, now - 10, executor="other", reason="seen before"),
    )  # fmt: skip
    assert cluster.run("silence", "add", 'rule="latency"', "--for", "2h", *cluster.by("bob")).code == 0
    (status,) = cluster.run("status", "--output", "json").objects
    assert [(row["endpoint"], row["state"], row["renewals"]) for row in status["in_force"]] == [
        ("acme/a", "verified", 1),
        ("acme/c", "failed", 0),
    ]
    assert status["in_force"][0]["saved_usd"] == pytest.approx(36 * 595 / 3600, rel=0.1)
    assert [(row["endpoint"], row["approved_by"], row["persons"]) for row in status["waiting"]] == [
        ("acme/b", ["alice"], 2)
    ]
    assert [row["what"] for row in status["troubles"]] == ["failed", "refused: replayed"]
    assert [row["matchers"] for row in status["silences"]] == [['rule="latency"']]
    assert status["warnings"] == []

    page = cluster.run("status").out
    for told in (
        "saving $36.00 per hour, and $36.00 more once",
        "verified by hf",
        "1 of 2 (alice)",
        "rejected in",
        "404 from the API",
    ):
        assert told in page
    rows = cluster.run("commands", "ls", "-o", "json").objects
    assert [(row["endpoint"], row["state"]) for row in rows] == [
        ("acme/a", "verified"), ("acme/b", "awaiting_approval"), ("acme/c", "failed"),
    ]  # fmt: skip
    assert [row["id"] for row in cluster.run("commands", "ls", "-o", "json", "--all", "-e", "acme/a").objects] == [
        first.id, later.id
    ]  # fmt: skip
    trail = cluster.run("commands", "show", later.id[:6], "-o", "json").objects
    assert [(row["says"].partition(":")[0], row["who"]) for row in trail] == [
        ("issued", "the worker"), ("applying", "hf"), ("applied", "hf"), ("verified", "hf"), ("renewed", "the worker"),
        ("refused (replayed)", "other"),
    ]  # fmt: skip
    assert trail[0]["signature"] == f"good, key {cluster.worker.public.id}"
    assert (trail[1]["before"], trail[3]["after"]) == ({"max_replicas": 10}, {"max_replicas": 4})
    shown = cluster.run("commands", "show", first.id).out
    assert "saves $36.00/h, saved so far $" in shown
    assert "before: max_replicas 10" in shown


def test_two_persons_approve_and_one_cannot_do_it_twice(cluster: Cluster) -> None:
    """Each word is signed by its own key; the first is counted, the second issues the command."""
    worker = asking(cluster)
    asked = found(cluster, worker, surge("acme/b", now_s()))
    done = cluster.run("commands", "approve", asked.id[:8], *cluster.by("alice"), reply=worker)
    assert (done.code, done.out) == (0, "approved, 1 of 2 (alice)\n"), done.error
    again = cluster.run("commands", "approve", asked.id[:8], *cluster.by("alice"))
    assert (again.code, "alice has approved it already" in again.error) == (1, True)
    done = cluster.run("commands", "approve", asked.id, *cluster.by("bob"), reply=worker)
    assert done.code == 0, done.error
    assert "approved by alice and bob: throttle acme/b to at most 12.5 requests per second" in done.out
    late = cluster.run("commands", "approve", asked.id, *cluster.by("bob"))
    assert (late.code, "awaits no approval: it is issued as" in late.error) == (1, True)
    trail = cluster.run("commands", "show", asked.id, "-o", "json").objects
    assert [(row["kind"], row["who"], row["signature"]) for row in trail if row["kind"] != "result"] == [
        ("command", "the worker", ""),
        ("order", "alice", "good"),
        ("order", "bob", "good"),
        ("command", "alice and bob", f"good, key {cluster.worker.public.id}"),
    ]


def test_no_is_no_and_one_person_is_enough(cluster: Cluster) -> None:
    """With who and why in the audit trail."""
    worker = asking(cluster)
    asked = found(cluster, worker, surge("acme/b", now_s()))
    done = cluster.run("commands", "reject", asked.id, *cluster.by("bob"), reply=worker)
    assert (done.code, done.out) == (0, "rejected by bob: because\n"), done.error
    assert "rejected" in cluster.run("commands", "ls", "--state", "rejected").out


def test_a_refusal_is_told_and_ends_with_one(cluster: Cluster) -> None:
    """And so is one of the safety stages that no approval overrules; nobody at all is another message."""
    asked = proposal("acme/b", now_s())
    cluster.write(asked)

    def refuses(order: Order) -> Sequence[Said]:
        return [unheard(order, Refusal.UNKNOWN_COMMAND, START_US, "the command awaits no approval")]

    done = cluster.run("commands", "reject", asked.id, *cluster.by("alice"), reply=refuses)
    assert (done.code, done.out) == (1, "")
    assert "refused (unknown_command)" in done.error

    def holds(_: Order) -> Sequence[Said]:
        return [result(asked, State.HELD, now_s(), reason=Held.PROTECTED.value, executor=None)]

    done = cluster.run("commands", "approve", asked.id, *cluster.by("bob"), reply=holds)
    assert (done.code, "held all the same: the endpoint is protected" in done.error) == (1, True)


def test_without_a_worker_the_order_is_written_and_that_is_said(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It counts as soon as one runs."""
    monkeypatch.setattr(speaking, "ANSWER_S", 0.5)
    done = cluster.run("pause-actions", *cluster.by("alice"))
    assert (done.code, "no worker answered within 0.5 s" in done.error) == (1, True)
    assert [order.verb for order in cluster.orders()] == [Verb.PAUSE]
    assert "KILL SWITCH ON" in cluster.run("status").out


def test_a_brake_is_rolled_back_by_any_id_of_its_chain(cluster: Cluster) -> None:
    """The order names the first, which no renewal changes."""
    worker = asking(cluster, approvals=[])
    begun = surge("acme/b", now_s() - 600)
    found(cluster, worker, begun)
    renewed = found(cluster, worker, later(begun, now_s() - 60))
    assert renewed.restores is not None
    done = cluster.run("commands", "rollback", renewed.id[:10], *cluster.by("bob"), reply=worker)
    assert done.code == 0, done.error
    assert "rolled back: restore acme/b" in done.out
    assert [order.command_id for order in cluster.orders()] == [renewed.restores]
    held = command("acme/h", now_s(), held=Held.COOLDOWN)
    cluster.write(held)
    done = cluster.run("commands", "rollback", held.id, *cluster.by("bob"))
    assert (done.code, "is not in force: it is held (cooldown)" in done.error) == (1, True)


def test_the_kill_switch_is_on_once_the_worker_says_so(cluster: Cluster) -> None:
    """With who and why; and off again."""
    worker = asking(cluster)
    done = cluster.run("pause-actions", "--for", "1h", *cluster.by("alice"), reply=worker)
    assert done.code == 0, done.error
    assert "by alice: because" in done.out
    (status,) = cluster.run("status", "-o", "json").objects
    assert [(row["by"], row["why"]) for row in status["pauses"]] == [("alice", "because")]
    assert "bob: because" in cluster.run("resume-actions", *cluster.by("bob"), reply=worker).out
    (status,) = cluster.run("status", "-o", "json").objects
    assert status["pauses"] == []
    done = cluster.run("resume-actions", *cluster.by("bob"), reply=worker)
    assert (done.code, "actions are not paused" in done.error) == (1, True)


def test_silences_are_listed_and_ended(cluster: Cluster) -> None:
    """By the beginning of the id."""
    assert cluster.run("silence", "add", 'endpoint=~"acme/.*"', "--for", "2h", *cluster.by("alice")).code == 0
    (row,) = cluster.run("silence", "ls", "-o", "json").objects
    assert (row["by"], row["matchers"]) == ("alice", ['endpoint=~"acme/.*"'])
    assert cluster.run("silence", "expire", row["id"][:5], *cluster.by("bob")).code == 0
    assert cluster.run("silence", "ls").out == "no silences\n"
    assert len(cluster.run("silence", "ls", "--all", "-o", "json").objects) == 1
    wrong = cluster.run("silence", "add", "latency", "--for", "2h", *cluster.by("alice"))
    assert (wrong.code, "silence add: expected a label" in wrong.error) == (2, True)


def test_watching_in_a_pipe_writes_a_line_for_each_change(cluster: Cluster, start_program: Starter) -> None:
    """Until it is interrupted, as `tail -f`."""
    own = command("acme/a", now_s())

    async def scenario() -> int:
        watching = start_program(*TIDEGATE, "status", "--watch", "--config", str(cluster.file))
        await watching.until("nothing is in force")
        await asyncio.to_thread(cluster.write, own, result(own, State.VERIFIED, now_s()))
        await watching.until(f"command  {own.id[:8]}  Command sent: throttle acme/a")
        await watching.until(f"result   {own.id[:8]}  verified, by hf")
        return await asyncio.to_thread(watching.signalled, signal.SIGINT)

    assert asyncio.run(scenario()) == INTERRUPTED


def test_watching_on_a_terminal_gives_it_back(cluster: Cluster) -> None:
    """The picture has a screen of its own, which goes with Ctrl-C."""
    ours, theirs = pty.openpty()
    watching = subprocess.Popen(
        [*TIDEGATE, "status", "--watch", "--config", str(cluster.file)],
        stdin=theirs, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"},
    )  # fmt: skip
    os.close(theirs)
    try:
        seen = read_until(ours, "nothing is in force")
        watching.send_signal(signal.SIGINT)
        seen += read_until(ours, LEAVE_SCREEN)
        assert ENTER_SCREEN in seen
        assert watching.wait(WAIT_S) == INTERRUPTED
    finally:
        watching.kill()
        watching.wait(WAIT_S)
        os.close(ours)


def read_until(terminal: int, text: str) -> str:
    """What the terminal shows, up to the text."""
    seen = ""
    while text not in seen:
        assert select.select([terminal], [], [], WAIT_S)[0], seen
        seen += os.read(terminal, 4096).decode(errors="replace")
    return seen
