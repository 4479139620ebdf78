"""Replay: the worker's decisions from files, in event order, in bounded memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import SETTINGS
from schemas.config import Config
from schemas.outputs import Alert, Command, Finding, Result
from schemas.topics import BILLING, FINDINGS, REQUESTS, SCALING
from schemas.units import rfc3339
from streams import configuration
from streams.core_stage import CoreStage, encode
from streams.lines import Line
from streams.replay import Replay
from streams.stages import RequestStage, ScalingStage

T0: Final = 1_700_000_000
NOW_MS: Final = 1_800_000_000_000
WAIT_S: Final = 60.0
TIDEGATE: Final = (sys.executable, "-c", "from streams.cli import main; main()")
CONFIG: Final = """
mode: auto
endpoints:
  acme/llama: {expected_max: 8, price_usd_per_hour: 2.0}
  acme/bert: {expected_max: 4, price_usd_per_hour: 0.5}
budgets:
  all: {daily_usd: 2400, endpoints: ["acme/*"]}
safety: {expires_after: 5m, cooldown: 1m}
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    file = tmp_path_factory.mktemp("config") / "tidegate.yaml"
    file.write_text(CONFIG)
    return configuration.load(file, SETTINGS, {})


def requests(seconds: int = 1200) -> list[dict[str, Any]]:
    """A steady endpoint with a surge of 20 s from second 800 on."""
    counts = (40 if 800 <= s < 820 else 2 + s % 2 for s in range(seconds))
    return [{"endpoint": "acme/llama", "time": T0 + s + 0.25, "count": n} for s, n in enumerate(counts)]


def scaling(until: int = 1200) -> list[dict[str, Any]]:
    """Two replicas each, reported every 15 s, and a runaway of one from second 840 to 960."""
    return [
        {"endpoint": name, "time": T0 + s, "ready_replicas": n, "target_replicas": n}
        for s in range(0, until, 15)
        for name, n in (("acme/bert", 40 if 840 <= s < 960 else 2), ("acme/llama", 2))
    ]


def billing() -> list[dict[str, Any]]:
    """A bill for the first ten minutes that blows the hour's allowance of 100 USD."""
    return [{"endpoint": "acme/llama", "period_start": T0, "period_end": T0 + 600, "cost_usd": 110.0}]


def ndjson(events: Iterable[dict[str, Any]]) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def saved(folder: Path, **events: list[dict[str, Any]]) -> dict[str, str]:
    """Topic -> file name of its events."""
    topics = {"requests": REQUESTS, "scaling": SCALING, "billing": BILLING}
    files = {topics[name]: folder / f"{name}.ndjson" for name in events}
    for name, rows in events.items():
        files[topics[name]].write_text(ndjson(rows))
    return {topic: str(file) for topic, file in files.items()}


def no_complaint(*line: object) -> None:
    pytest.fail(f"bad line: {line}")


def replayed(config: Config, files: dict[str, str]) -> list[Finding | Command | Result | Alert]:
    return list(Replay(config, files, no_complaint, now_ms=NOW_MS).run())


def findings(values: Iterable[object], rule: str) -> list[bytes]:
    return [encode(value) for value in values if isinstance(value, Finding) and value.rule == rule]


@pytest.mark.parametrize(
    ("topic", "kind", "rule"),
    [(REQUESTS, RequestStage, "request_surge"), (SCALING, ScalingStage, "runaway_replicas")],
)
def test_findings_are_those_of_the_stage_byte_for_byte(
    config: Config, tmp_path: Path, topic: str, kind: Callable[[Config, int], CoreStage], rule: str
) -> None:
    """As the worker writes them for one partition, keyed and all."""
    events = requests() if topic == REQUESTS else scaling()
    lines = [Line(i, NOW_MS, json.dumps(e).encode(), e["endpoint"].encode()) for i, e in enumerate(events)]
    applied = kind(config, 0).apply(lines)
    expected = [out.value for out in applied.outgoing if out.topic == FINDINGS]
    assert len(expected) >= 2
    files = saved(tmp_path, requests=requests(), scaling=scaling(), billing=billing())
    assert findings(replayed(config, files), rule) == expected


def test_inputs_are_merged_by_event_time(config: Config, tmp_path: Path) -> None:
    """What one input shows comes before what another shows later, whichever file is longer."""
    files = saved(tmp_path, requests=requests(), scaling=scaling(), billing=billing())
    opened = [v for v in replayed(config, files) if isinstance(v, Finding) and v.status == "open"]
    assert [finding.rule for finding in opened] == ["hourly_spend", "request_surge", "runaway_replicas"]
    assert [finding.at for finding in opened] == sorted(finding.at for finding in opened)


def test_a_command_follows_the_finding_that_called_for_it(config: Config, tmp_path: Path) -> None:
    """Each one comes after its finding, and each is taken off again."""
    values = replayed(config, saved(tmp_path, requests=requests(), scaling=scaling()))
    seen: set[str] = set()
    for value in values:
        if isinstance(value, Finding):
            seen.add(value.id)
        if isinstance(value, Command):
            assert value.finding_id in seen
    actions = [(v.action, v.endpoint) for v in values if isinstance(v, Command) and v.held is None]
    assert ("throttle", "acme/llama") in actions
    assert ("throttle", "acme/bert") in actions
    assert ("restore", "acme/llama") in actions
    assert ("restore", "acme/bert") in actions


def test_what_expires_while_its_source_is_silent_is_restored(config: Config, tmp_path: Path) -> None:
    """The scaling events end in mid-runaway; the requests go on, and their time ends the command."""
    values = replayed(config, saved(tmp_path, requests=requests(1400), scaling=scaling(until=850)))
    (restore,) = [v for v in values if isinstance(v, Command) and (v.action, v.endpoint) == ("restore", "acme/bert")]
    assert rfc3339((T0 + 840 + 300) * 1_000_000) <= restore.issued_at < rfc3339((T0 + 840 + 302) * 1_000_000)


@settings(max_examples=10)
@given(size=st.integers(50, 100_000))
def test_the_size_of_a_block_changes_nothing(
    config: Config, size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """However much is read, and so folded, at once."""
    files = saved(tmp_path_factory.mktemp("blocks"), requests=requests(1000), scaling=scaling(1000), billing=billing())
    whole = replayed(config, files)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("streams.lines.BLOCK", size)
        assert replayed(config, files) == whole


# -- the command ----------------------------------------------------------------------------------------------------


def run(folder: Path, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """`tidegate replay` in a process of its own, with its configuration."""
    (folder / "tidegate.yaml").write_text(CONFIG)
    command = [*TIDEGATE, "replay", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, timeout=WAIT_S, cwd=folder, check=False)


def options(files: dict[str, str]) -> list[str]:
    return [part for topic, name in files.items() for part in (f"--{topic.split('.')[1]}", name)]


def test_json_is_one_object_a_line_of_the_same_bytes(config: Config, tmp_path: Path) -> None:
    """Findings and commands, no alerts, as the topics carry them; a table line for each else."""
    files = saved(tmp_path, requests=requests(), scaling=scaling(), billing=billing())
    done = run(tmp_path, *options(files), "--output", "json")
    told = [encode(v) for v in replayed(config, files) if not isinstance(v, Alert)]
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == told
    table = run(tmp_path, *options(files), "--all")
    assert len(table.stdout.splitlines()) == len(told)


def test_a_table_has_what_is_new_and_says_what_is_left_open(config: Config, tmp_path: Path) -> None:
    """Of `--all` every line but those of an update that is no rise, and those of renewals."""
    counts = [(s, 40 if s >= 300 else 2) for s in range(0, 1200, 15)]
    rows = [{"endpoint": "acme/bert", "time": T0 + s, "ready_replicas": n, "target_replicas": n} for s, n in counts]
    files = saved(tmp_path, requests=requests(), scaling=rows)
    still, every = run(tmp_path, *options(files)), run(tmp_path, *options(files), "--all")
    lines = every.stdout.decode().splitlines()
    repeated = [line for line in lines if ", goes on: " in line or "  Renewed: " in line]
    assert any(", goes on: " in line for line in repeated)
    assert any("  Renewed: " in line for line in repeated)
    assert still.stdout.decode().splitlines() == [line for line in lines if line not in repeated]
    words = [word for word in replayed(config, files) if isinstance(word, Finding)]
    left = len({word.episode for word in words} - {word.episode for word in words if word.status == "resolved"})
    assert left == 1
    assert "tidegate: 1 episode is still open" in still.stderr.decode().splitlines()


def test_standard_input_is_a_file_like_any_other(tmp_path: Path) -> None:
    """`--requests -` gives what the file gives."""
    files = saved(tmp_path, requests=requests())
    from_file = run(tmp_path, *options(files), "-o", "json")
    from_stdin = run(tmp_path, "--requests", "-", "-o", "json", stdin=ndjson(requests()).encode())
    assert from_stdin.stdout == from_file.stdout != b""


def with_bad_lines(folder: Path) -> str:
    """A log of 22 lines, two of them bad."""
    rows = ndjson(requests(20)).splitlines()
    rows.insert(3, '{"endpoint": "acme/llama", "time": "soon"}')
    rows.insert(10, '{"endpoint": "acme/llama"')
    file = folder / "log.ndjson"
    file.write_text("\n".join(rows))
    return str(file)


def test_bad_lines_are_reported_counted_and_skipped(tmp_path: Path) -> None:
    """With file, number and reason on stderr; nothing of it on stdout."""
    log = with_bad_lines(tmp_path)
    done = run(tmp_path, "--requests", log)
    told = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert done.stdout == b""
    assert told[0].startswith(f"{log}:4: invalid: ")
    assert "$.time" in told[0]
    assert told[1].startswith(f"{log}:11: malformed: ")
    assert "20 events read" in told[-1]
    assert "2 bad" in told[-1]


def test_strict_makes_a_bad_line_a_failure(tmp_path: Path) -> None:
    """After all of it was read: the good lines are decided on all the same."""
    done = run(tmp_path, "--requests", with_bad_lines(tmp_path), "--strict")
    assert done.returncode == 1
    assert b"20 events read" in done.stderr
    assert run(tmp_path, *options(saved(tmp_path, requests=requests(20))), "--strict").returncode == 0


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ('{"endpoint":"a","time":1,"latency_ms":3}\n{"endpoint":"a","time":2,"\x7f":1}\n', "latency_ms, \\x7f"),
        ("endpoint,time,latency_ms,\x7f\na,1,3,\na,2,,1\n", "latency_ms, \\x7f"),
        ('{"endpoint":"a","time":1,"status":200}\n{"specversion":"1.0"}\n[]\nx\n', None),
        ("endpoint,time,status\na,1,200\n", None),
    ],
)
def test_fields_that_no_event_has_are_named_once(tmp_path: Path, content: str, told: str | None) -> None:
    """`latency_ms` is no `duration_s`: the rule that reads it would stay silent, and nobody know why."""
    (tmp_path / "log").write_text(content)
    done = run(tmp_path, "--requests", "log")
    lines = [line for line in done.stderr.decode().splitlines() if "ignored" in line]
    assert lines == ([f"log: ignored: {told}"] if told else [])


def test_of_many_fields_that_no_event_has_ten_are_named(tmp_path: Path) -> None:
    """A mistake of structure is no wall of text."""
    row = {"endpoint": "a", "time": 1, **{f"x{n}": n for n in range(2000)}}
    (tmp_path / "log").write_text(json.dumps(row))
    told = run(tmp_path, "--requests", "log").stderr.decode().splitlines()
    assert told[0] == f"log: ignored: {', '.join(f'x{n}' for n in range(10))} and 1,990 more"


@pytest.mark.parametrize(("is_in_order", "warned"), [(True, False), (False, True)])
def test_a_file_that_is_out_of_order_is_told(tmp_path: Path, is_in_order: bool, warned: bool) -> None:  # noqa: FBT001
    """Newest first, as many an export is: almost all events are late."""
    rows = requests(100)
    files = saved(tmp_path, requests=rows if is_in_order else rows[::-1])
    done = run(tmp_path, *options(files))
    asked = [line for line in done.stderr.decode().splitlines() if line.endswith("are the files in order of time?")]
    assert [line.split(":")[0] for line in asked] == list(files.values())[:warned]
    assert not asked or " of 100 events were late: " in asked[0]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{}\n", b'{"endpoint":1}\n{"endpoint":'])
def test_nothing_readable_is_a_failure(tmp_path: Path, content: bytes) -> None:
    """An empty file too: a pipe that brought nothing is more often a mistake than a quiet day."""
    done = run(tmp_path, "--requests", "-", stdin=content)
    assert done.returncode == 1
    assert b"0 events read" in done.stderr
    assert b"Traceback" not in done.stderr


def test_what_is_wrong_with_the_command_line_is_one_line(tmp_path: Path) -> None:
    """Exit code 2, and the words to mend it."""
    table = {
        (): "at least one of --requests",
        ("--requests", "-", "--scaling", "-"): "only one input can be -",
        ("--requests", "nowhere"): "nowhere: expected a file",
        ("--requests", "."): ".: expected a file",
        ("--requests", "tidegate.yaml"): "tidegate.yaml: expected the columns endpoint, time",
    }
    for arguments, words in table.items():
        done = run(tmp_path, *arguments)
        assert done.returncode == 2
        assert words in done.stderr.decode()
        assert b"Traceback" not in done.stderr


def test_a_reader_that_leaves_early_gets_no_traceback(tmp_path: Path) -> None:
    """As with `| head -1`, be the output longer than a pipe holds or not."""
    rows = [
        {"endpoint": f"acme/{i}", "time": T0 + i / 100, "ready_replicas": 50, "target_replicas": 50}
        for i in range(3000)
    ]
    (tmp_path / "tidegate.yaml").write_text(CONFIG)
    command = [*TIDEGATE, "replay", *options(saved(tmp_path, scaling=rows)), "-o", "json"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b'{"id"')
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait(WAIT_S) == 1
    assert b"Traceback" not in told
    assert b"Exception" not in told


def blocks(lines: int) -> Iterator[bytes]:
    """A log of so many requests of a hundred endpoints."""
    for start in range(0, lines, 1000):
        yield b"".join(
            b'{"endpoint":"acme/%d","time":%d.5,"duration_s":0.4}\n' % (n % 100, T0 + n // 1000)
            for n in range(start, start + 1000)
        )


def peak_kib(folder: Path, lines: int) -> int:
    """The most memory that a replay of so many lines from a pipe ever had."""
    command = [*TIDEGATE, "replay", "--requests", "-"]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for block in blocks(lines):
            process.stdin.write(block)
        process.stdin.close()
        told = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, told
    assert b"%d events read" % lines in told
    return usage.ru_maxrss


def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    """Ten times the lines, the same peak: a file of any size can be replayed."""
    assert peak_kib(tmp_path, 2_000_000) < 1.1 * peak_kib(tmp_path, 200_000)
