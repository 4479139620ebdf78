"""`tidegate dlq` on a real Kafka: dead letters are listed, shown and sent again, once each."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from schemas.config import Config, Kafka
from schemas.decode import MAX_VALUE_BYTES, bad_event
from schemas.events import Why
from schemas.topics import DEAD_LETTERS, REQUESTS, ROLLUPS, SCALING, Place
from schemas.units import US
from streams import broker, topics
from streams.dead_letters import DeadLetters
from streams.dlq import resend
from streams.dlq.letters import REPLAYED, Reader, Selection, chosen_topics
from streams.errors import UsageError
from streams.options import since_us
from streams.outbox import BULK, Outbox, new_producer
from tests.running import read_all
from tests.streams.test_lane import Row

WAIT_S: Final = 60.0
TIDEGATE: Final = (sys.executable, "-c", "from streams.cli import main; main()")
HEADERS: Final = (("trace", b"\x00\xff"), ("none", None))
BAD: Final = (
    (REQUESTS, Row(11, key=b"acme/a", value=b"\x1b[31m{\xff", headers=HEADERS), Why.MALFORMED),
    (REQUESTS, Row(12, key=b"acme/b", value=b"{}"), Why.INVALID),
    (REQUESTS, Row(13), Why.EMPTY),
    (SCALING, Row(11, key=b"acme/a", value=b'{"endpoint": "acme/a"}'), Why.INVALID),
)


def dlq(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*TIDEGATE, "dlq", *arguments], cwd=folder, capture_output=True, text=True, timeout=WAIT_S, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip


def objects(done: subprocess.CompletedProcess[str]) -> list[Any]:
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


async def fill(config: Config, bad: Sequence[tuple[str, Row, Why]] = BAD) -> None:
    """Declare the topics, and write these as dead letters of partition 1, as a worker does."""
    await topics.declare(config)
    producer = new_producer(config.kafka)
    await producer.start()
    outbox = Outbox(producer, lambda: None)
    for topic, row, why in bad:
        letter = DeadLetters(topic, 1).letter(bad_event(row, why, f"it is {why}"))
        await outbox.send_many(config.kafka.topic_prefix + letter.topic, [letter])
    await outbox.flushed()
    await producer.stop()


@pytest.fixture
def cluster(kafka: str, topic_prefix: str, tmp_path: Path) -> Config:
    """A configuration with topics of its own, in `tidegate.yaml` of the folder, too."""
    settings = {"bootstrap_servers": kafka, "topic_prefix": topic_prefix}
    (tmp_path / "tidegate.yaml").write_text(json.dumps({"kafka": settings}))
    return Config(kafka=Kafka(bootstrap_servers=kafka, topic_prefix=topic_prefix))


def sent_again(config: Config, topic: str) -> list[tuple[Any, ...]]:
    found = asyncio.run(read_all(config.kafka, topic, 1))
    return [(record.key, record.value, tuple(record.headers)) for record in found]


@pytest.mark.kafka
def test_letters_are_listed_by_topic_and_reason(cluster: Config, tmp_path: Path) -> None:
    """With counts, times and the newest offsets; a topic's name may have its prefix and suffix, or neither."""
    asyncio.run(fill(cluster))
    rows = objects(dlq(tmp_path, "ls", "--output", "json"))
    assert [(row["topic"], row["error_type"], row["count"], row["newest"]) for row in rows] == [
        (REQUESTS + DEAD_LETTERS, "empty", 1, [2]),
        (REQUESTS + DEAD_LETTERS, "invalid", 1, [1]),
        (REQUESTS + DEAD_LETTERS, "malformed", 1, [0]),
        (SCALING + DEAD_LETTERS, "invalid", 1, [0]),
    ]
    full = cluster.kafka.topic_prefix + SCALING + DEAD_LETTERS
    assert objects(dlq(tmp_path, "ls", "-o", "json", "--topic", full)) == rows[3:]
    assert objects(dlq(tmp_path, "ls", "-o", "json", "--topic", SCALING, "--since", "1h")) == rows[3:]
    assert objects(dlq(tmp_path, "ls", "-o", "json", "--since", "2999-01-01T00:00:00Z")) == []
    assert "no dead letters" in dlq(tmp_path, "ls", "--topic", ROLLUPS).stdout


@pytest.mark.kafka
def test_a_letter_is_shown_as_it_came_and_harms_no_terminal(cluster: Config, tmp_path: Path) -> None:
    """Bytes that would colour a terminal are escaped for people, and exact for programs."""
    asyncio.run(fill(cluster))
    done = dlq(tmp_path, "show", "--topic", REQUESTS, "--why", "malformed")
    assert "\x1b" not in done.stdout
    assert f"from    {Place(REQUESTS, 1, 11)}" in done.stdout
    assert "malformed: it is malformed" in done.stdout
    assert r"\x1b[31m{\xff" in done.stdout
    (exact,) = objects(dlq(tmp_path, "show", "-o", "json", "--topic", REQUESTS, "--offset", "0"))
    assert exact["value"] == {"base64": "G1szMW17/w=="}
    assert exact["headers"] == [["trace", {"base64": "AP8="}], ["none", None]]
    assert [row["place"] for row in objects(dlq(tmp_path, "show", "-o", "json", "--limit", "1", "-t", REQUESTS))] == [
        str(Place(REQUESTS + DEAD_LETTERS, 0, 2))
    ]


@pytest.mark.kafka
def test_events_are_sent_again_once_and_as_they_came(cluster: Config, tmp_path: Path) -> None:
    """To their own partition, with one header more; what was sent is passed over, unless it is asked for."""
    asyncio.run(fill(cluster))
    dry = dlq(tmp_path, "replay", "--dry-run")
    assert (dry.returncode, sent_again(cluster, REQUESTS)) == (0, [])
    (some,) = objects(dlq(tmp_path, "replay", "--yes", "-o", "json", "--topic", REQUESTS, "--why", "malformed"))
    assert (some["sent"], some["sent_before"]) == (1, 0)
    (rest,) = objects(dlq(tmp_path, "replay", "--yes", "-o", "json", "--topic", REQUESTS))
    assert (rest["sent"], rest["sent_before"]) == (2, 1)

    def marker(offset: int) -> tuple[str, bytes]:
        return REPLAYED, str(Place(REQUESTS + DEAD_LETTERS, 0, offset)).encode()

    expected = [
        (b"acme/a", b"\x1b[31m{\xff", (*HEADERS, marker(0))),
        (b"acme/b", b"{}", (marker(1),)),
        (None, None, (marker(2),)),
    ]
    assert sent_again(cluster, REQUESTS) == expected
    assert sent_again(cluster, SCALING) == []
    assert "0 sent; 3 were sent before" in dlq(tmp_path, "replay", "--yes", "--topic", REQUESTS).stdout
    (again,) = objects(dlq(tmp_path, "replay", "--yes", "--again", "-o", "json", "-t", REQUESTS, "--limit", "1"))
    assert again["sent"] == 1
    assert sent_again(cluster, REQUESTS) == [*expected, expected[0]]
    assert "were sent again" in dlq(tmp_path, "ls").stdout


@pytest.mark.kafka
def test_a_replay_that_dies_goes_on_where_it_was(cluster: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged and marked is not sent again; of one batch at most the marks may be missing."""
    many = [(REQUESTS, Row(n, key=b"k", value=b"%d" % n), Why.INVALID) for n in range(10)]
    monkeypatch.setattr(resend, "BATCH", 4)
    real, calls = resend._acknowledged, 0

    async def dies_before_the_second_marks(futures: list[Any]) -> None:
        nonlocal calls
        calls += 1
        await real(futures)
        if calls == 3:
            raise KeyboardInterrupt

    async def replayed() -> int:
        selection = Selection((REQUESTS,))
        async with Reader(cluster.kafka) as reader:
            return await resend.send(cluster.kafka, reader, await resend.plan(reader, selection, again=False), None)

    asyncio.run(fill(cluster, many))
    monkeypatch.setattr(resend, "_acknowledged", dies_before_the_second_marks)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(replayed())
    monkeypatch.setattr(resend, "_acknowledged", real)
    assert asyncio.run(replayed()) == 6
    assert asyncio.run(replayed()) == 0
    values = [int(value) for _, value, _ in sent_again(cluster, REQUESTS)]
    assert values == [0, 1, 2, 3, 4, 5, 6, 7, 4, 5, 6, 7, 8, 9]


@pytest.mark.kafka
def test_a_record_of_somebody_else_is_shown_and_never_sent(cluster: Config, tmp_path: Path) -> None:
    """Nobody knows where it belongs."""

    async def write() -> None:
        await fill(cluster, [])
        producer = broker.new_producer(cluster.kafka)
        await producer.start()
        await producer.send_and_wait(cluster.kafka.topic_prefix + REQUESTS + DEAD_LETTERS, b"hello", b"k")
        await producer.stop()

    asyncio.run(write())
    assert objects(dlq(tmp_path, "ls", "-o", "json"))[0]["error_type"] == "foreign"
    (told,) = objects(dlq(tmp_path, "replay", "--yes", "-o", "json"))
    assert (told["sent"], told["foreign"]) == (0, 1)


@pytest.mark.kafka
def test_without_a_terminal_a_replay_must_be_told_yes(cluster: Config, tmp_path: Path) -> None:
    """On one it asks, and takes no for an answer."""
    asyncio.run(fill(cluster))
    done = dlq(tmp_path, "replay")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    asked = subprocess.run(
        [*TIDEGATE, "dlq", "replay"], cwd=tmp_path, capture_output=True, text=True, timeout=WAIT_S, check=False,
        stdin=theirs,
    )  # fmt: skip
    os.close(ours)
    os.close(theirs)
    assert "Send 4 events again?" in asked.stderr
    assert "0 sent" in asked.stdout
    assert sent_again(cluster, REQUESTS) == []


@pytest.mark.kafka
def test_missing_topics_are_one_clear_message(cluster: Config, tmp_path: Path) -> None:
    """With their names, and the command that makes them."""
    done = dlq(tmp_path, "ls", "--topic", REQUESTS)
    assert done.returncode == 1
    assert f"{cluster.kafka.topic_prefix}{REQUESTS}{DEAD_LETTERS}" in done.stderr
    assert "tidegate topics create" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("ls", "--topic", "inference.request.v1"), "did you mean 'inference.requests.v1'?"),
        (("show", "--why", "malformd"), "did you mean 'malformed'?"),
        (("replay", "--since", "yesterday"), "--since: expected 90s, 1h or 2d"),
        (("ls", "--since", "2026-01-01T00:00:00"), "with an offset"),
        (("show", "--limit", "0"), "--limit"),
    ],
)
def test_a_mistake_of_usage_is_named(arguments: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """Exit code 2, before any broker is asked."""
    done = dlq(tmp_path, *arguments)
    assert done.returncode == 2
    assert told in done.stderr


def test_since_is_an_age_or_a_moment() -> None:
    """In microseconds."""
    assert since_us("1h30m", 10_000 * US) == (10_000 - 5400) * US
    assert since_us("1970-01-01T01:00:01+01:00", 10_000 * US) == US
    with pytest.raises(UsageError):
        chosen_topics(["nothing"])


@pytest.mark.kafka
def test_many_letters_keep_their_order_and_are_all_acknowledged(cluster: Config) -> None:
    """Whether they are packed into batches or sent one by one, some larger than a batch, some without anything."""
    sizes = [BULK * 40, 3, BULK, 1, BULK - 1, BULK * 2]
    large = {7: b"x" * 900_000, 900: b"y" * 700_000, BULK * 40 + 2: None}

    async def scenario() -> list[Any]:
        await topics.declare(cluster)
        producer = new_producer(cluster.kafka)
        await producer.start()
        outbox, made, at = Outbox(producer, lambda: None), DeadLetters(REQUESTS, 0), 0
        for size in sizes:
            rows = [Row(n, key=None, value=large.get(n, b"%d" % n)) for n in range(at, at + size)]
            letters = [made.letter(bad_event(row, Why.INVALID, "")) for row in rows]
            await outbox.send_many(cluster.kafka.topic_prefix + REQUESTS + DEAD_LETTERS, letters)
            at += size
        await outbox.flushed()
        await producer.stop()
        return await read_all(cluster.kafka, REQUESTS + DEAD_LETTERS, 0)

    found = asyncio.run(asyncio.wait_for(scenario(), WAIT_S))
    assert [int(dict(record.headers)["source.offset"]) for record in found] == list(range(sum(sizes)))
    assert [record.value for record in found] == [large.get(n, b"%d" % n) for n in range(sum(sizes))]


@pytest.mark.kafka
def test_an_event_that_only_its_compression_let_in_fits_into_its_letter(cluster: Config) -> None:
    """Kafka's limit is on what is sent; the same bytes, sent as they are, would stop the worker."""
    huge = Row(11, key=b"acme/a", value=b"x" * (9 << 20))
    asyncio.run(fill(cluster, [(REQUESTS, huge, Why.TOO_LARGE)]))
    (letter,) = asyncio.run(read_all(cluster.kafka, REQUESTS + DEAD_LETTERS, 0))
    assert letter.value == b"x" * MAX_VALUE_BYTES
