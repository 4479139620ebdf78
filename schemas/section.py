"""What every part of the configuration is written in: sections, durations, secrets and ranges."""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Annotated, Final, Never, Self

from msgspec import Meta, Struct

_UNITS: Final = {
    "d": Decimal(86400),
    "h": Decimal(3600),
    "m": Decimal(60),
    "s": Decimal(1),
    "ms": Decimal("0.001"),
}
_DURATION: Final = re.compile("".join(rf"(?:(?P<{unit}>\d+(?:\.\d+)?){unit})?" for unit in _UNITS), re.ASCII)


class Seconds(float):
    """A length of time; written as a number of seconds or as `500ms`, `30s`, `5m`, `1h`, `2d`, `1h30m`."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `text` writes, largest unit first, each unit once. Raises ValueError.

        >>> Seconds.parse("1h30m")
        5400.0
        """
        found = _DURATION.fullmatch(text)
        if not text or found is None:
            raise ValueError(f"expected a duration such as 1h30m, got {text!r}")
        amounts = found.groupdict()
        return cls(sum(Decimal(amounts[unit]) * size for unit, size in _UNITS.items() if amounts[unit]))

    @property
    def text(self) -> str:
        """The shortest way to write it: `1h30m`.

        >>> Seconds(90.5).text
        '1m30.5s'
        """
        rest = Decimal(repr(float(self)))
        if 0 < rest < 1:
            return f"{(rest * 1000).normalize():f}ms"
        words = []
        for unit in ("d", "h", "m"):
            amount, rest = divmod(rest, _UNITS[unit])
            words += [f"{amount:f}{unit}"] if amount else []
        words += [f"{rest.normalize():f}s"] if rest or not words else []
        return "".join(words)


class Secret:
    """A text that appears in no log, error, repr, metric or topic.

    No kind of `str`: whatever takes one for text (an encoder, a join, a slice) shall fail and not tell.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str = "") -> None:
        self._text = text

    def __repr__(self) -> str:
        return "<secret>"

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(self._text)

    def __deepcopy__(self, _: object) -> Self:
        return self

    def __reduce__(self) -> Never:
        raise TypeError("a secret is not to be stored")

    def reveal(self) -> str:
        """The value itself: call it where it is handed over, and nowhere else."""
        return self._text


Price = Annotated[float, Meta(ge=0, le=1_000_000)]  # beyond any machine's, and every sum of it is still a number
Amount = Annotated[float, Meta(gt=0, le=1_000_000_000_000)]
Share = Annotated[float, Meta(gt=0, le=1)]
Port = Annotated[int, Meta(ge=0, le=65535)]
Pattern = Annotated[str, Meta(min_length=1)]
# msgspec keeps ranges for its own types only: a duration's range travels in `extra`, under the same names
Lasting = Annotated[Seconds, Meta(extra={"gt": 0})]
Lateness = Annotated[Seconds, Meta(extra={"ge": 1, "le": 60, "multiple_of": 1})]
Silence = Annotated[Seconds, Meta(extra={"ge": 7200})]  # no rule looks back further than two hours of silence


def matches(endpoint: str, patterns: Iterable[str]) -> bool:
    """Whether any of the patterns (`*`, `?`, `[a-z]`) is the endpoint's."""
    return any(fnmatchcase(endpoint, pattern) for pattern in patterns)


class Section(Struct, frozen=True, kw_only=True):
    """One mapping of the configuration file."""
