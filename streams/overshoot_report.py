"""What `tidegate check` says of the worst case between a breach and its end (`actions/overshoot.py`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Final

from msgspec import structs

from actions.overshoot import SURGE, Bound, Wait, bounds
from schemas.config import Config, Seconds
from streams.narration import as_json
from streams.options import Output

MOST_ROWS: Final = 20  # of one rule
DEFAULT_WINDOW_S: Final = 10.0  # of a rule that the configuration does not know
TITLE: Final = "From a breach until it is stopped, at worst (docs/actions.md has the formula):"
NOTHING: Final = "No breach is stopped by itself: "
ASSUMED: Final = "* twice what is expected: max_replicas does not say how many there can be"
HEAD: Final = ("rule", "subject", "replicas", "USD/h", "stops in", "USD", "in a cooldown", "")
LEFT: Final = (0, 1, 7)  # columns of words


def lines(config: Config, output: Output) -> Iterator[str]:
    """A table, or one object a line. Nothing if no endpoint has a price."""
    settings = structs.asdict(config.rules[SURGE]) if SURGE in config.rules else {}
    found = bounds(config, float(settings.get("window", DEFAULT_WINDOW_S)))
    if output is Output.JSON:
        yield from (as_json(as_fields(bound)) for bound in found)
    elif any(bound.stopped for bound in found):
        yield TITLE
        yield from _aligned([HEAD, *_rows(found)])
        if any(case.is_assumed for bound in found for case in bound.cases):
            yield ASSUMED
    elif found:
        yield NOTHING + ", ".join(sorted({why for bound in found for why in bound.goes_on}))


def as_fields(bound: Bound) -> dict[str, Any]:
    """Flat, but for the seconds of each part, where all of it waits for the same."""
    waits = {case.wait for case in bound.stopped}
    wait = next(iter(waits)) if len(waits) == 1 else None
    return {
        "rule": bound.rule,
        "subject": bound.subject,
        "worst_usd": _rounded(bound.usd()),
        "worst_usd_in_cooldown": _rounded(bound.usd(in_cooldown=True)),
        "seconds": bound.seconds,
        "parts": wait._asdict() if isinstance(wait, Wait) else None,
        "replicas": sum(case.replicas for case in bound.cases),
        "replicas_assumed": any(case.is_assumed for case in bound.cases),
        "usd_per_hour": _rounded(sum(case.usd_per_hour for case in bound.cases)),
        "needs_approval": any(case.needs_approval for case in bound.stopped),
        "not_stopped": list(bound.goes_on),
    }


def _rows(found: list[Bound]) -> Iterator[tuple[str, ...]]:
    """Of each rule the dearest subjects, and the total."""
    for _, group in groupby(found, key=lambda bound: bound.rule):
        members = list(group)
        single = sorted((b for b in members if b.subject is not None), key=lambda bound: -(bound.usd() or 0.0))
        yield from map(_row, single[:MOST_ROWS])
        if len(single) > MOST_ROWS:
            yield ("", f"and {len(single) - MOST_ROWS} more", *[""] * (len(HEAD) - 2))
        yield from (_row(bound) for bound in members if bound.subject is None)


def _row(bound: Bound) -> tuple[str, ...]:
    replicas = sum(case.replicas for case in bound.cases)
    assumed = "*" if any(case.is_assumed for case in bound.cases) else " "
    subject = f"all {len(bound.cases)} at once" if bound.subject is None else bound.subject
    rate = f"{sum(case.usd_per_hour for case in bound.cases):,.2f}"
    ends_in = "never" if bound.seconds is None else Seconds(round(bound.seconds, 3)).text
    worst = (_dollars(bound.usd()), _dollars(bound.usd(in_cooldown=True)))
    return (bound.rule, subject, f"{replicas}{assumed}", rate, ends_in, *worst, _remark(bound))


def _remark(bound: Bound) -> str:
    """What the number leaves out."""
    remarks = ["if approved"] if any(case.needs_approval for case in bound.stopped) else []
    untouched = len(bound.cases) - len(bound.stopped)
    which = f"{untouched} of {len(bound.cases)} not stopped" if bound.stopped else "not stopped"
    remarks += [f"{which}: {', '.join(bound.goes_on)}"] if untouched else []
    return "; ".join(remarks)


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    """As wide as it must be: a report that is cut off at 80 columns is none."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        told = (text.ljust(width) if i in LEFT else text.rjust(width) for i, (text, width) in enumerate(cells))
        yield "  ".join(told).rstrip()


def _dollars(usd: float | None) -> str:
    return "no end" if usd is None else f"{usd:,.2f}"


def _rounded(usd: float | None) -> float | None:
    return None if usd is None else round(usd, 9)
