from __future__ import annotations

from itertools import islice

from schemas.topics import INPUTS
from schemas.units import US
from tests.chaos.load import BAD_VALUES, WARM_S, seconds

START_US = 1_800_000_000 * US


def test_a_seed_is_a_load_of_every_kind_of_event() -> None:
    """The same seed writes the same, bad records and bills among them."""
    some = [list(islice(seconds(seed, START_US), WARM_S)) for seed in (1, 1, 2)]
    assert some[0] == some[1] != some[2]
    written = [message for second in some[0] for message in second]
    assert {message.topic for message in written} == set(INPUTS)
    assert {message.value for message in written} >= set(BAD_VALUES)
