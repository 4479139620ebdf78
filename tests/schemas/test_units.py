"""Time and money as integers: exact, and the same however they are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.units import LATEST_S, NANO, US, from_rfc3339, rfc3339, to_nano, to_us, to_usd

MOMENTS = st.integers(min_value=0, max_value=int(LATEST_S) * US)
OFFSETS = st.integers(min_value=-23 * 60, max_value=23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MONEY = st.integers(min_value=-(10**21), max_value=10**21)


@given(MOMENTS)
def test_a_moment_survives_being_written_as_text(time_us: int) -> None:
    """RFC 3339 text keeps every microsecond."""
    assert from_rfc3339(rfc3339(time_us)) == time_us


@given(MOMENTS, MOMENTS)
def test_text_sorts_as_time_does(one: int, other: int) -> None:
    """Of two moments the later one has the greater text."""
    assert (rfc3339(one) < rfc3339(other)) == (one < other)


@given(st.datetimes(min_value=datetime(1970, 1, 3), max_value=datetime(9999, 12, 29)), OFFSETS)
def test_an_offset_does_not_change_the_moment(local: datetime, offset: timezone) -> None:
    """A datetime is the same moment in every time zone."""
    time = local.replace(tzinfo=offset)
    assert to_us(time) == to_us(time.astimezone(UTC)) == from_rfc3339(time.isoformat())


@pytest.mark.parametrize("text", ["", "noon", "2026-11-27", "2026-11-27T12:00:00", "2026-11-27T12:00:00+99:99"])
def test_what_is_no_moment_is_a_value_error(text: str) -> None:
    """A time without an offset is none either; who reads what others wrote looks for one kind of error."""
    with pytest.raises(ValueError, match=r"offset|isoformat"):
        from_rfc3339(text)


@given(st.integers(min_value=0, max_value=4_000_000_000 * US))
def test_seconds_as_a_number_keep_their_microseconds(time_us: int) -> None:
    """A float of seconds is exact to the microsecond for more than a century."""
    assert to_us(time_us / US) == time_us


@given(st.decimals(min_value=-(10**5), max_value=10**5, places=9, allow_nan=False))
def test_money_is_what_was_written(usd: Decimal) -> None:
    """Up to nine decimals of a dollar are exact, although they come as a float."""
    assert to_nano(float(usd)) == int(usd * NANO)


@pytest.mark.parametrize(
    ("usd", "nano"),
    [(0.1, 100_000_000), (1.27, 1_270_000_000), (-0.3, -300_000_000), (1e-9, 1), (0.5e-9, 0), (1.5e-9, 2)],
)
def test_money_is_rounded_half_to_even_below_a_nano_dollar(usd: float, nano: int) -> None:
    """What is finer than a nano-dollar goes to the nearest one, halves to the even one."""
    assert to_nano(usd) == nano


@given(
    st.lists(st.floats(min_value=-1e6, max_value=1e6)).flatmap(
        lambda usd: st.tuples(st.just(usd), st.permutations(usd))
    )
)
def test_a_sum_of_money_does_not_depend_on_the_order(orders: tuple[list[float], list[float]]) -> None:
    """Integers add up to the same in any order."""
    one, other = orders
    assert sum(map(to_nano, one)) == sum(map(to_nano, other))


@given(MONEY)
def test_dollars_are_the_nearest_number(nano: int) -> None:
    """As a JSON number money is the float nearest to it."""
    assert to_usd(nano) == float(Decimal(nano) / NANO)


@given(st.lists(MONEY, min_size=2).map(sorted))
def test_dollars_keep_their_order(amounts: list[int]) -> None:
    """More nano-dollars are never fewer dollars."""
    assert all(to_usd(less) <= to_usd(more) for less, more in pairwise(amounts))
