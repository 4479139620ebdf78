from __future__ import annotations

import msgspec

from schemas.outputs import Rollup
from schemas.topics import FINDINGS, REQUESTS, ROLLUPS, clock_of
from tests.chaos.oracle import Comparison, Expected, Written, _note, compare, digest, identify
from tests.streams.test_lane import Row


def owed(*rows: tuple[str, str, bytes]) -> Expected:
    """Writer, id and content of what should be there."""
    expected = Expected()
    for writer, identity, content in rows:
        expected.add(writer, identity, digest(content))
    return expected


def found(*rows: tuple[str, bytes]) -> Written:
    written = Written()
    for identity, content in rows:
        written.add(identity, digest(content))
    return written


OWED = owed(("requests-0", "a", b"1"), ("requests-0", "b", b"2"), ("requests-1", "c", b"3"))


def compared(*rows: tuple[str, bytes]) -> Comparison:
    return compare(FINDINGS, OWED, found(*rows))


def test_repeats_are_counted_and_are_no_fault() -> None:
    """Each id with its content, however often, in any order between folds."""
    seen = compared(("c", b"3"), ("a", b"1"), ("b", b"2"), ("a", b"1"), ("b", b"2"))
    assert (seen.ids, seen.repeats, seen.wrong) == (3, 2, 0)


def test_what_is_missing_is_lost() -> None:
    """It is named."""
    assert compared(("a", b"1"), ("c", b"3")).lost == ["b"]


def test_what_nobody_owes_is_unaccounted_for() -> None:
    """It is named, unless the wall clock alone accounts for it."""
    rows = (("a", b"1"), ("b", b"2"), ("c", b"3"), ("x", b"4"))
    assert compared(*rows).unaccounted == ["x"]
    written = found(*rows)
    written.by_others.add("x")
    assert compare(FINDINGS, OWED, written).wrong == 0


def test_another_content_is_different_and_a_second_one_ambiguous() -> None:
    """The first counts: it is what a consumer keeps that drops what it has seen."""
    seen = compared(("a", b"1"), ("b", b"9"), ("c", b"3"), ("a", b"8"))
    assert (seen.different, seen.ambiguous) == (["b"], ["a"])


def test_what_comes_after_a_later_one_of_its_fold_is_overtaken() -> None:
    """A reader that knows how far each fold has come would drop it as seen."""
    assert compared(("b", b"2"), ("a", b"1"), ("c", b"3")).overtaken == ["a"]


def test_rollups_of_two_budgets_do_not_overtake_each_other() -> None:
    """Each budget has a sequence of its own."""
    rows = [("all requests 0 1", b"1"), ("half requests 0 1", b"2"), ("all requests 0 2", b"3")]
    expected = owed(*(("requests-0", identity, content) for identity, content in rows))
    assert compare(ROLLUPS, expected, found(rows[0], rows[2], rows[1])).wrong == 0
    assert compare(ROLLUPS, expected, found(rows[2], rows[0], rows[1])).overtaken == ["all requests 0 1"]


def test_two_workers_may_vouch_for_the_same_second() -> None:
    """What they heard by then may differ, and nobody owes it."""
    written = Written()
    for heard_us in (5, 6):
        value = msgspec.json.encode(Rollup("b", clock_of(REQUESTS), 0, 7, 7_000_000, heard_us=heard_us))
        _note(written, ROLLUPS, Row(0, key=b"b", value=value))
    assert compare(ROLLUPS, Expected(), written).wrong == 0
    assert compare(ROLLUPS, Expected(), written).by_others == 1


def test_records_are_known_by_what_readers_know_them_by() -> None:
    """An id, a roll-up's place, a dead letter's source."""
    source = (("source.topic", b"t"), ("source.partition", b"1"), ("source.offset", b"7"))
    assert identify(FINDINGS, b'{"id": "f"}', ()) == "f"
    assert identify(ROLLUPS, b'{"budget": "b", "source": "s", "partition": 1, "seq": 2}', ()) == "b s 1 2"
    assert identify("t.dlq", b"{", source) == "t 1 7"
