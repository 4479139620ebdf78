"""The report: for people as tables, for programs as one JSON object."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from tests.chaos.campaign import Report
from tests.chaos.oracle import EXAMPLES, Comparison
from tests.chaos.schedule import Fault


def as_dict(report: Report) -> dict[str, Any]:
    """All of it, with lists of ids shortened to their length and a few examples."""
    verdict = report.verdict
    return {
        "seed": report.plan.seed,
        "minutes": report.plan.minutes,
        "seconds": report.seconds,
        "passed": report.passed,
        "faults": {fault: {"goal": goal, "done": report.done[fault]} for fault, goal in report.plan.goals.items()},
        "missed": report.missed,
        "kills": report.kills,
        "workers_started": report.workers_started,
        "stopped_by_themselves": dict(report.stopped_by_themselves),
        "written": report.written,
        "written_again": report.written_again,
        "read": {} if verdict is None else verdict.read,
        "topics": [] if verdict is None else [_topic(topic) for topic in verdict.topics],
        "state": [] if verdict is None else verdict.state,
        "failures": report.failures,
    }


def _topic(topic: Comparison) -> dict[str, Any]:
    return {
        name: {"count": len(value), "examples": value[:EXAMPLES]} if isinstance(value, list) else value
        for name, value in topic._asdict().items()
    }


def show(report: Report, console: Console) -> None:
    """What was done, what came out, and whether that is well."""
    faults = Table("fault", "goal", "done", title=f"seed {report.plan.seed}, {report.plan.minutes:g} minutes")
    for fault, goal in report.plan.goals.items():
        faults.add_row(fault, str(goal), str(report.done[Fault(fault)]))
    console.print(faults)
    console.print(
        f"{report.kills} kills of workers in all; {report.workers_started} workers started; {report.written} records"
        f" written, {report.written_again} once more; {report.seconds:g} s"
    )
    for reason, number in report.stopped_by_themselves.items():
        console.print(f"stopped by themselves, as documented: {number} x {reason}")
    if report.verdict is not None:
        console.print(_outputs(report.verdict.topics))
        for line in report.verdict.state:
            console.print(line, markup=False)
    for fault in report.missed:
        console.print(f"not as often as planned: {fault}")
    for line in report.failures:
        console.print(line, markup=False)
    console.print("nothing lost, nothing different, no id with two meanings" if report.passed else "FAILED")


def _outputs(topics: list[Comparison]) -> Table:
    columns = ("topic", "ids", "repeats", "by others", "lost", "different", "two meanings", "extra", "overtaken")
    table = Table(*columns)
    for t in topics:
        wrong = (t.lost, t.different, t.ambiguous, t.unaccounted, t.overtaken)
        numbers = (t.ids, t.repeats, t.by_others, *map(len, wrong))
        table.add_row(t.topic, *map(str, numbers))
    return table
