"""`Inputs`: what proves that nothing came, and what does not."""

from __future__ import annotations

from detectors.inputs import Inputs, Part, Silence
from schemas.topics import REQUESTS, SCALING
from schemas.units import US

M = 60 * US


def part(*told_us: int) -> Part:
    """A partition whose roll-ups had these times."""
    one = Part()
    for time_us in told_us:
        one.tell(time_us)
    return one


def test_what_is_not_read_proves_nothing() -> None:
    """However late it is: the worker may be away."""
    assert part(10 * M).silence(10 * M).length_us == 0


def test_later_roll_ups_prove_it() -> None:
    """Of the minutes that are over by then: more of the same minute may be on its way."""
    assert part(10 * M, 17 * M).silence(10 * M) == Silence(10 * M, 16 * M)
    assert part(10 * M, 17 * M, 17 * M + US).silence(10 * M) == Silence(10 * M, 17 * M)


def test_a_mark_proves_it() -> None:
    """It was read to its end: all that came is told."""
    one = part(10 * M)
    one.mark(15 * M, 10 * M)
    assert one.silence(10 * M) == Silence(10 * M, 15 * M)


def test_a_mark_proves_nothing_before_what_is_heard_and_not_told() -> None:
    """The last requests are told when the next ones come. They may be anybody's."""
    one = part(10 * M)
    one.mark(15 * M, 11 * M)
    assert one.silence(10 * M) == Silence(11 * M, 15 * M)
    assert one.silence(8 * M) == Silence(11 * M, 15 * M)


def test_the_longer_of_two_proofs_counts() -> None:
    """What later roll-ups have proven does not become less when the whole partition falls silent."""
    one = part(10 * M, 20 * M, 20 * M + US)
    one.mark(22 * M, 20 * M + US)
    assert one.silence(10 * M) == Silence(10 * M, 20 * M)
    one.mark(40 * M, 20 * M + US)
    assert one.silence(10 * M) == Silence(20 * M + US, 40 * M)


def test_a_mark_holds_until_something_is_told() -> None:
    """Then more may be on its way."""
    one = part(10 * M)
    one.mark(15 * M, 10 * M)
    one.tell(10 * M + 30 * US)
    assert one.silence(10 * M).length_us == 0
    assert one.until_us == 15 * M, "but it was read until then"


def test_all_partitions_prove_together() -> None:
    """Nothing is known before all of them are read."""
    inputs = Inputs()
    for number in (0, 1):
        inputs.part(REQUESTS, number).tell(10 * M)
    inputs.part(REQUESTS, 0).mark(15 * M, 10 * M)
    assert inputs.silence(REQUESTS, 10 * M).length_us == 0
    inputs.part(REQUESTS, 1).mark(14 * M, 10 * M)
    assert inputs.silence(REQUESTS, 10 * M) == Silence(10 * M, 14 * M)
    assert (inputs.until_us(REQUESTS), inputs.until_us(SCALING), inputs.now_us) == (14 * M, -1, 15 * M)


def test_of_nothing_nothing_is_known() -> None:
    """No input, no silence."""
    inputs = Inputs()
    assert (inputs.silence(REQUESTS, 0).length_us, inputs.now_us) == (0, -1)
