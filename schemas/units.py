"""Time and money as integers: no order of arrival and no length of a batch can change a sum.

Time is microseconds since the epoch (`*_us`), money is 1e-9 US dollars (`*_nano`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Final

US: Final = 1_000_000  # microseconds in a second
HOUR_US: Final = 3600 * US
NANO: Final = 1_000_000_000  # nano-dollars in a dollar
LATEST_S: Final = 253_402_300_799.0  # 9999-12-31T23:59:59Z, the last second RFC 3339 can write

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def to_us(time: float | datetime) -> int:
    """Seconds since the epoch, or a datetime with an offset, as microseconds since the epoch."""
    if isinstance(time, datetime):
        return (time - _EPOCH) // _MICROSECOND
    return round(time * US)


def rfc3339(time_us: int) -> str:
    """`2026-11-22T19:41:06.250000Z`: always UTC, always microseconds, so that text sorts as time does."""
    return (_EPOCH + time_us * _MICROSECOND).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_rfc3339(text: str) -> int:
    """The inverse of `rfc3339`. Raises ValueError at what is no time, or none with an offset."""
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"expected a time with an offset, got {text!r}")
    return to_us(time)


def is_time(text: str) -> bool:
    """Whether `from_rfc3339` reads it, and `rfc3339` can write it again.

    >>> [is_time(text) for text in ("2026-11-22T19:41:06Z", "2026-11-22T19:41:06", "9999-12-31T23:59:59-23:00")]
    [True, False, False]
    """
    try:
        rfc3339(from_rfc3339(text))
    except (ValueError, OverflowError):  # no time, or one beyond the calendar
        return False
    return True


def to_nano(usd: float) -> int:
    """Dollars as they were written (the shortest decimal of the float), to the nearest nano-dollar."""
    return int((Decimal(repr(usd)) * NANO).to_integral_value(ROUND_HALF_EVEN))


def to_usd(nano: int) -> float:
    """Nano-dollars as a JSON number with at most nine decimals."""
    return float(Decimal(nano) / NANO)
