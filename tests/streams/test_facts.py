from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import Kafka
from streams import broker, facts
from streams.facts import PARTITION, Restored, Row, StateUnread, Writer, select
from streams.stage import StateFormatError
from streams.topics import _NewTopic as NewTopic


def checkpoint(writer: Writer, at: int, states: dict[bytes, bytes], *, complete: bool = True) -> list[Row]:
    rows = [writer.row(subject, at, state) for subject, state in states.items()]
    if complete:
        rows.append(writer.row(PARTITION, at, b"position %d" % at))
    return rows


def as_dict(restored: Restored) -> dict[bytes, bytes]:
    return {fact.subject: fact.state for fact in restored.facts if fact.state is not None}


def compacted(rows: list[Row]) -> list[Row]:
    """What a log cleaner leaves: the last record of each key."""
    return list(dict(rows).items())


def test_nothing_is_restored_from_an_empty_log() -> None:
    """Without a complete checkpoint reading begins at offset 0, with no position."""
    assert select([]) == Restored(0, None, [], {})


def test_a_fact_survives_its_encoding() -> None:
    """A subject may contain the separator itself."""
    key, value = Writer({}, b"w" * 12, 1).row(b"a\0b", 7, b"state")
    assert value is not None
    assert facts.decode(key, value) == facts.Stored(b"a\0b", 7, b"state", 1)


def test_the_newest_complete_checkpoint_wins() -> None:
    """Each subject has its newest state, whichever of the complete checkpoints wrote it."""
    writer = Writer({}, b"w" * 12, 1)
    rows = checkpoint(writer, 10, {b"a": b"1", b"b": b"1"}) + checkpoint(writer, 20, {b"a": b"2"})
    restored = select(compacted(rows))
    assert (restored.next, restored.position) == (20, b"position 20")
    assert as_dict(restored) == {b"a": b"2", b"b": b"1"}


def test_an_unfinished_checkpoint_is_void() -> None:
    """Facts beyond the last partition fact are ignored, and have not replaced those before it."""
    writer = Writer({}, b"w" * 12, 1)
    rows = checkpoint(writer, 10, {b"a": b"0"}) + checkpoint(writer, 20, {b"a": b"1"})
    rows += checkpoint(writer, 30, {b"a": b"2", b"b": b"2"}, complete=False)
    restored = select(compacted(rows))
    assert restored.next == 20
    assert as_dict(restored) == {b"a": b"1"}


def test_a_zombies_older_facts_lose() -> None:
    """A writer that lost its partition and writes on replaces nothing that is newer."""
    zombie, owner = Writer({}, b"z" * 12, 1), Writer({}, b"o" * 12, 1)
    rows = checkpoint(zombie, 10, {b"a": b"old"}) + checkpoint(owner, 30, {b"a": b"new"})
    rows += checkpoint(zombie, 20, {b"a": b"older"})
    assert as_dict(select(compacted(rows))) == {b"a": b"new"}


def test_earlier_writers_get_a_tombstone_for_what_is_rewritten() -> None:
    """Their keys of other subjects stay, and the log shrinks to what is needed."""
    rows = checkpoint(Writer({}, b"1" * 12, 1), 10, {b"a": b"1", b"b": b"1"})
    second = Writer(select(rows).keys, b"2" * 12, 1)
    rows += [*checkpoint(second, 20, {b"a": b"2"}), *second.obsolete(20, [b"a"])]
    restored = select(compacted(rows))
    assert as_dict(restored) == {b"a": b"2", b"b": b"1"}
    assert {subject: len(keys) for subject, keys in restored.keys.items()} == {b"a": 1, b"b": 1, PARTITION: 1}


def test_a_key_beyond_the_checkpoint_is_not_buried() -> None:
    """Its writer may be just about to complete the checkpoint that it belongs to."""
    zombie = Writer({}, b"z" * 12, 1)
    rows = checkpoint(zombie, 50, {b"a": b"50"}, complete=False)
    owner = Writer(select(rows).keys, b"o" * 12, 1)
    rows += [*checkpoint(owner, 20, {b"a": b"20"}), *owner.obsolete(20, [b"a"])]
    rows.append(zombie.row(PARTITION, 50, b"position"))
    assert as_dict(select(rows)) == {b"a": b"50"}


KEY = b"acme/bert\0" + b"w" * 12 + b"@7"


@pytest.mark.parametrize("value", [(1, 7, b"state"), (facts.FORMAT + 1, 1, 7, b"state"), (facts.FORMAT, 7, b"state")])
def test_a_fact_of_another_format_is_refused(value: tuple[object, ...]) -> None:
    """Older, newer or of no shape at all: it is named with its place, and never misread."""
    with pytest.raises(StateFormatError, match=rf"^t, partition 3: .*acme/bert.* format {value[0]}"):
        select([(KEY, msgspec.msgpack.encode(value))], "t, partition 3")


@pytest.mark.parametrize("value", [b"\xc1", b"\x80", b"state", b"", msgspec.msgpack.encode({"shape": "new"})])
def test_what_is_no_fact_is_refused(value: bytes) -> None:
    """Whoever wrote it there, and whatever it is."""
    with pytest.raises(StateFormatError, match="format None"):
        facts.decode(KEY, value)


@pytest.mark.parametrize("stale", [b"acme/bert", PARTITION])
def test_a_state_of_another_format_is_refused(stale: bytes) -> None:
    """One is enough, of whatever subject; what an unfinished checkpoint of another version left does not count."""
    rows = [
        Writer({}, b"w" * 12, 8 if subject == stale else 7).row(subject, 10, b"state")
        for subject in (b"acme/llama", b"acme/bert", PARTITION)
    ]
    rows += checkpoint(Writer({}, b"n" * 12, 9), 20, {b"acme/llama": b"state"}, complete=False)
    restored = select(rows)
    with pytest.raises(StateFormatError, match=rf"'{stale.decode() or 'the partition itself'}'.* 8, expected 7"):
        restored.require(7, "t, partition 0")
    select([row for row in rows if not row[0].startswith(stale + b"\0")]).require(7, "t")


def test_a_fact_too_large_names_its_subject_and_size() -> None:
    """No broker would take it, so it must not be tried."""
    with pytest.raises(facts.FactTooLarge, match=r"'acme/bert' takes \d+ bytes"):
        facts.encode(b"acme/bert", 1, bytes(facts.MAX_FACT_BYTES + 1), 1)


LOG = [b"a", b"b", b"a", b"c", b"c", b"a", b"d", b"b"] * 4  # the subject that each offset changes


def truth(at: int) -> dict[bytes, bytes]:
    """The state below an offset: how often each subject was changed."""
    return {subject: b"%d" % LOG[:at].count(subject) for subject in LOG[:at]}


def test_of_a_forgotten_subject_nothing_is_left() -> None:
    """Neither in the log nor in the memory of who writes it: names that are ever new pile up in neither."""
    rows: list[Row] = []
    writer = Writer({}, b"w" * 12, 1)
    for at in range(1, 100):
        name, before = b"job-%d" % at, b"job-%d" % (at - 1)
        rows += [*checkpoint(writer, at, {name: b"1"}), *writer.obsolete(at, [name, before])]
    restored = select(compacted(rows))
    assert as_dict(restored) == {b"job-99": b"1"}
    assert restored.keys == writer._known
    assert set(restored.keys) == {b"job-99", PARTITION}


MEMORY = 7  # records, after which a subject that none of them changed is forgotten


def remembered(at: int) -> dict[bytes, bytes]:
    """The state below an offset, if it begins anew for a subject that was forgotten."""
    counts: dict[bytes, tuple[int, int]] = {}  # subject -> count, offset of its last record
    for offset, subject in enumerate(SPARSE[:at]):
        counts = {name: kept for name, kept in counts.items() if offset - kept[1] <= MEMORY}
        count, _ = counts.get(subject, (0, -1))
        counts[subject] = count + 1, offset
    return {name: b"%d,%d" % kept for name, kept in counts.items()}


def alive(facts: dict[bytes, bytes], at: int) -> dict[bytes, bytes]:
    """What a stage keeps of what it is given to restore: the same rule, as of the position."""
    return {name: state for name, state in facts.items() if at - 1 - int(state.split(b",")[1]) <= MEMORY}


SPARSE = [b"a", b"b", b"a", b"c", *[b"d", b"e"] * 5, b"a", *[b"f", b"g", b"h"] * 4, b"b", b"c", b"a"] * 2
TURN = st.tuples(st.integers(0, 1), st.integers(1, 9), st.sampled_from(["whole", "torn", "unburied"]), st.booleans())


@given(st.lists(TURN, max_size=20))
def test_what_was_forgotten_stays_forgotten(plan: list[tuple[int, int, str, bool]]) -> None:
    """Two owners, one of them a zombie; checkpoints without their end or without their tombstones; restarts.

    Stale facts of forgotten subjects come back, and the rule drops them again: what is restored is the true state.
    """
    rows: list[Row] = checkpoint(Writer({}, b"0" * 12, 1), 0, {})
    writers = [Writer(select(rows).keys, name * 12, 1) for name in (b"1", b"2")]
    places, states = [0, 0], [dict[bytes, bytes](), dict[bytes, bytes]()]
    dirty: list[set[bytes]] = [set(), set()]
    for turn, (which, advance, how, restarts) in enumerate(plan):
        places[which] = at = min(places[which] + advance, len(SPARSE))
        was, states[which] = states[which], remembered(at)
        dirty[which] |= {name for name in was.keys() | states[which].keys() if was.get(name) != states[which].get(name)}
        changed = {name: states[which][name] for name in dirty[which] & states[which].keys()}
        rows += checkpoint(writers[which], at, changed, complete=how != "torn")
        if how == "whole":
            rows += writers[which].obsolete(at, dirty[which])
        if how != "torn":
            dirty[which].clear()
        restored = select(compacted(rows))
        assert alive(as_dict(restored), restored.next) == remembered(restored.next)
        if restarts:
            states[which], places[which] = remembered(restored.next), restored.next
            writers[which] = Writer(restored.keys, b"%012d" % turn, 1)
            dirty[which] = as_dict(restored).keys() - states[which].keys()


@given(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=12))
def test_restore_is_the_fold_up_to_the_last_complete_checkpoint(plan: list[tuple[int, bool]]) -> None:
    """Owners come, crash in mid-checkpoint and go: what is restored is always the true state."""
    rows: list[Row] = []
    writer, at, last_complete = Writer({}, b"0" * 12, 1), 0, 0
    for n, (advance, complete) in enumerate(plan, 1):
        begun, at = at, min(at + advance, len(LOG))
        changed = {subject: truth(at)[subject] for subject in LOG[begun:at]}
        rows += checkpoint(writer, at, changed, complete=complete)
        if complete:
            rows += writer.obsolete(at, changed)
            last_complete = at
        else:
            restored = select(compacted(rows))
            writer, at = Writer(restored.keys, b"%012d" % n, 1), restored.next
        restored = select(compacted(rows))
        assert restored.next == last_complete
        assert as_dict(restored) == truth(last_complete)


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(1, 6), st.booleans()), max_size=16))
def test_a_zombie_that_goes_on_changes_nothing(plan: list[tuple[int, int, bool]]) -> None:
    """Two owners of one partition, both writing and burying: what is restored is always the true state."""
    rows = checkpoint(Writer({}, b"0" * 12, 1), 4, truth(4))
    places = [4, 4]
    writers = [Writer(select(rows).keys, writer * 12, 1) for writer in (b"1", b"2")]
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
    owner, zombie = Writer({}, b"o" * 12, 1), Writer({}, b"z" * 12, 1)
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


@pytest.mark.kafka
def test_a_partition_without_a_state_is_one_clear_message(kafka: str, topic_prefix: str) -> None:
    """Its source has got a partition more: no time-out, but which topic, and the command that mends it."""
    settings, topic = Kafka(bootstrap_servers=kafka), f"{topic_prefix}state"

    async def scenario() -> Restored:
        admin = await broker.connect(settings)
        await admin.create_topics([NewTopic(topic, 1, 1)])
        await admin.close()
        return await facts.read(settings, topic, 1)

    with pytest.raises(StateUnread, match=rf"{topic} has 1 partitions.*tidegate topics create"):
        asyncio.run(asyncio.wait_for(scenario(), 30))
