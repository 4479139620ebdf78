from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import Kafka
from streams import broker, facts
from streams.facts import PARTITION, Restored, Row, UnknownFormat, Writer, select
from streams.topics import _NewTopic as NewTopic


def checkpoint(writer: Writer, at: int, states: dict[bytes, bytes], *, complete: bool = True) -> list[Row]:
    rows = [writer.row(subject, at, state) for subject, state in states.items()]
    if complete:
        rows.append(writer.row(PARTITION, at, b"position %d" % at))
    return rows


def as_dict(restored: Restored) -> dict[bytes, bytes]:
    return {fact.subject: fact.state for fact in restored.facts}


def compacted(rows: list[Row]) -> list[Row]:
    """What a log cleaner leaves: the last record of each key."""
    return list(dict(rows).items())


def test_nothing_is_restored_from_an_empty_log() -> None:
    """Without a complete checkpoint reading begins at offset 0, with no position."""
    assert select([]) == Restored(0, None, [], {})


def test_a_fact_survives_its_encoding() -> None:
    """A subject may contain the separator itself."""
    key, value = Writer({}, b"w" * 12).row(b"a\0b", 7, b"state")
    assert value is not None
    assert facts.decode(key, value) == facts.Stored(b"a\0b", 7, b"state")


def test_the_newest_complete_checkpoint_wins() -> None:
    """Each subject has its newest state, whichever of the complete checkpoints wrote it."""
    writer = Writer({}, b"w" * 12)
    rows = checkpoint(writer, 10, {b"a": b"1", b"b": b"1"}) + checkpoint(writer, 20, {b"a": b"2"})
    restored = select(compacted(rows))
    assert (restored.next, restored.position) == (20, b"position 20")
    assert as_dict(restored) == {b"a": b"2", b"b": b"1"}


def test_an_unfinished_checkpoint_is_void() -> None:
    """Facts beyond the last partition fact are ignored, and have not replaced those before it."""
    writer = Writer({}, b"w" * 12)
    rows = checkpoint(writer, 10, {b"a": b"0"}) + checkpoint(writer, 20, {b"a": b"1"})
    rows += checkpoint(writer, 30, {b"a": b"2", b"b": b"2"}, complete=False)
    restored = select(compacted(rows))
    assert restored.next == 20
    assert as_dict(restored) == {b"a": b"1"}


def test_a_zombies_older_facts_lose() -> None:
    """A writer that lost its partition and writes on replaces nothing that is newer."""
    zombie, owner = Writer({}, b"z" * 12), Writer({}, b"o" * 12)
    rows = checkpoint(zombie, 10, {b"a": b"old"}) + checkpoint(owner, 30, {b"a": b"new"})
    rows += checkpoint(zombie, 20, {b"a": b"older"})
    assert as_dict(select(compacted(rows))) == {b"a": b"new"}


def test_earlier_writers_get_a_tombstone_for_what_is_rewritten() -> None:
    """Their keys of other subjects stay, and the log shrinks to what is needed."""
    rows = checkpoint(Writer({}, b"1" * 12), 10, {b"a": b"1", b"b": b"1"})
    second = Writer(select(rows).keys, b"2" * 12)
    rows += checkpoint(second, 20, {b"a": b"2"}) + second.obsolete(20, [b"a"])
    restored = select(compacted(rows))
    assert as_dict(restored) == {b"a": b"2", b"b": b"1"}
    assert {subject: len(keys) for subject, keys in restored.keys.items()} == {b"a": 1, b"b": 1, PARTITION: 1}


def test_a_key_beyond_the_checkpoint_is_not_buried() -> None:
    """Its writer may be just about to complete the checkpoint that it belongs to."""
    zombie = Writer({}, b"z" * 12)
    rows = checkpoint(zombie, 50, {b"a": b"50"}, complete=False)
    owner = Writer(select(rows).keys, b"o" * 12)
    rows += checkpoint(owner, 20, {b"a": b"20"}) + owner.obsolete(20, [b"a"])
    rows.append(zombie.row(PARTITION, 50, b"position"))
    assert as_dict(select(rows)) == {b"a": b"50"}


def test_another_format_is_refused() -> None:
    """A fact of a later version is named in the error, never misread."""
    with pytest.raises(UnknownFormat, match="format 2"):
        facts.decode(b"a\0" + b"w" * 12 + b"a", msgspec.msgpack.encode((2, 7, b"state")))
    with pytest.raises(UnknownFormat, match="not in format"):
        facts.decode(b"a\0" + b"w" * 12 + b"a", msgspec.msgpack.encode({"shape": "new"}))


def test_a_fact_too_large_names_its_subject_and_size() -> None:
    """No broker would take it, so it must not be tried."""
    with pytest.raises(facts.FactTooLarge, match=r"'acme/bert' takes \d+ bytes"):
        facts.encode(b"acme/bert", 1, bytes(facts.MAX_FACT_BYTES + 1))


LOG = [b"a", b"b", b"a", b"c", b"c", b"a", b"d", b"b"] * 4  # the subject that each offset changes


def truth(at: int) -> dict[bytes, bytes]:
    """The state below an offset: how often each subject was changed."""
    return {subject: b"%d" % LOG[:at].count(subject) for subject in LOG[:at]}


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=12))
def test_restore_is_the_fold_up_to_the_last_complete_checkpoint(plan: list[tuple[int, bool]]) -> None:
    """Owners come, crash in mid-checkpoint and go: what is restored is always the true state."""
    rows: list[Row] = []
    writer, at, last_complete = Writer({}, b"0" * 12), 0, 0
    for n, (advance, complete) in enumerate(plan, 1):
        begun, at = at, min(at + advance, len(LOG))
        changed = {subject: truth(at)[subject] for subject in LOG[begun:at]}
        rows += checkpoint(writer, at, changed, complete=complete)
        if complete:
            rows += writer.obsolete(at, changed)
            last_complete = at
        else:
            restored = select(compacted(rows))
            writer, at = Writer(restored.keys, b"%012d" % n), restored.next
        restored = select(compacted(rows))
        assert restored.next == last_complete
        assert as_dict(restored) == truth(last_complete)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6), st.booleans()), max_size=16))
def test_a_zombie_that_goes_on_changes_nothing(plan: list[tuple[int, int, bool]]) -> None:
    """Two owners of one partition, both writing and burying: what is restored is always the true state."""
    rows = checkpoint(Writer({}, b"0" * 12), 4, truth(4))
    places = [4, 4]
    writers = [Writer(select(rows).keys, writer * 12) for writer in (b"1", b"2")]
    dirty: list[set[bytes]] = [set(), set()]  # an unfinished checkpoint's subjects are in the next one too
    for which, advance, complete in plan:
        begun, at = places[which], min(places[which] + advance, len(LOG))
        places[which] = at
        dirty[which] |= set(LOG[begun:at])
        changed = {subject: truth(at)[subject] for subject in dirty[which]}
        rows += checkpoint(writers[which], at, changed, complete=complete)
        if complete:
            rows += writers[which].obsolete(at, changed)
            dirty[which].clear()
        restored = select(compacted(rows))
        assert as_dict(restored) == truth(restored.next)


@pytest.mark.kafka
def test_facts_are_read_back_from_a_real_log(kafka: str, topic_prefix: str) -> None:
    """The last complete checkpoint, without the unfinished one and without a zombie's older facts."""
    settings, topic = Kafka(bootstrap_servers=kafka), f"{topic_prefix}state"
    owner, zombie = Writer({}, b"o" * 12), Writer({}, b"z" * 12)
    rows = checkpoint(owner, 10, {b"a": b"10", b"b": b"10"}) + checkpoint(owner, 20, {b"a": b"20"})
    rows += checkpoint(zombie, 15, {b"a": b"15"}) + checkpoint(owner, 30, {b"b": b"30"}, complete=False)

    async def scenario() -> Restored:
        admin = await broker.connect(settings)
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await admin.close()
        producer = broker.new_producer(settings)
        await producer.start()
        for key, value in rows:
            await producer.send(topic, value, key, partition=0)
        await producer.stop()
        return await facts.read(settings, topic, 0)

    restored = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert (restored.next, restored.position) == (20, b"position 20")
    assert as_dict(restored) == {b"a": b"20", b"b": b"10"}
