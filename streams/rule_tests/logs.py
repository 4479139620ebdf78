"""From a test to logs: for each input topic its records, in the order in which the log took them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import orjson
from msgspec import structs

from schemas.topics import BILLING, REQUESTS, SCALING
from schemas.units import US
from streams.lines import Line
from streams.rule_tests.format import (
    BillingEvent,
    BillingSeries,
    RequestEvent,
    RequestSeries,
    RuleTest,
    ScalingEvent,
    ScalingSeries,
)
from streams.rule_tests.shorthand import MILLION, Levels, Tick

FAILED: Final = 500  # the status of what `errors` lets fail
Fields = dict[str, Any]


class Taken(NamedTuple):
    """An event, and when the log took it, from the start of the test."""

    logged_us: int
    topic: str
    fields: Fields


def logs(test: RuleTest) -> dict[str, list[Line]]:
    """Input topic -> its log. Of two events that were taken at once, the one that is written first comes first."""
    found: dict[str, list[Taken]] = {}
    for taken in _events(test):
        found.setdefault(taken.topic, []).append(taken)
    return {topic: _log(events, test.start) for topic, events in found.items()}


def _log(events: list[Taken], start_us: int) -> list[Line]:
    events.sort(key=lambda taken: taken.logged_us)
    return [
        Line(offset, -(-(start_us + logged_us) // 1000), orjson.dumps(fields), fields["endpoint"].encode())
        for offset, (logged_us, _, fields) in enumerate(events)
    ]


def _events(test: RuleTest) -> Iterator[Taken]:
    def clock(offset_us: int) -> float:
        return (test.start + offset_us) / US

    for requests in test.requests:
        yield from _requests(requests, clock)
    for scaling in test.scaling:
        yield from _scaling(scaling, clock)
    for bills in test.billing:
        yield from _billing(bills, clock)
    for event in test.events:
        yield _event(event, clock)


Clock = Callable[[int], float]


def _requests(entry: RequestSeries, clock: Clock) -> Iterator[Taken]:
    ticks, begin_us = list(entry.series.ticks()), _us(entry.at)
    times_us = [tick.at_us for tick in ticks]
    whole = {name: getattr(entry, name) for name in ("status", "queue_depth", "input_tokens", "output_tokens")}
    columns = {name: list(map(round, levels.values(times_us))) for name, levels in whole.items() if levels is not None}
    if entry.duration_s is not None:
        columns["duration_s"] = [round(value, 6) for value in entry.duration_s.values(times_us)]
    if entry.errors is not None:
        columns["status"] = _statuses(entry.errors, ticks, columns.get("status", [200] * len(ticks)))
    always = _present({"endpoint": entry.endpoint, "region": entry.region})
    for place, (at_us, count) in enumerate(ticks):
        fields = {
            **always,
            "time": clock(begin_us + at_us),
            **{name: column[place] for name, column in columns.items()},
        }
        if count > 1:
            fields["count"] = count
        yield Taken(begin_us + at_us, REQUESTS, fields)


def _statuses(errors: Levels, ticks: list[Tick], statuses: list[int]) -> list[int]:
    """Evenly among the others, one fails whenever a whole one is due."""
    found, due = [], 0  # millionths of a request
    for share, tick, status in zip(errors.values([tick.at_us for tick in ticks]), ticks, statuses, strict=True):
        due += round(share * MILLION) * tick.requests
        fails = due >= MILLION * tick.requests
        due -= MILLION * tick.requests * fails
        found.append(FAILED if fails else status)
    return found


def _scaling(entry: ScalingSeries, clock: Clock) -> Iterator[Taken]:
    begin_us, every_us = _us(entry.at), _us(entry.every)
    times_us = range(0, entry.series.series.length_us, every_us)
    used = entry.utilization.values(times_us) if entry.utilization else iter(())
    always = _present({name: getattr(entry, name) for name in ("min_replicas", "max_replicas", "region", "instance")})
    for at_us in times_us:
        ready, target = entry.series.at(at_us)
        fields = {"endpoint": entry.endpoint, "time": clock(begin_us + at_us), **always}
        fields |= {"ready_replicas": ready, "target_replicas": target}
        if entry.state is not None:
            fields["state"] = entry.state.at(at_us)
        if (share := next(used, None)) is not None:
            fields["utilization"] = share
        yield Taken(begin_us + at_us, SCALING, fields)


def _billing(entry: BillingSeries, clock: Clock) -> Iterator[Taken]:
    from_us, to_us = _us(entry.from_), _us(entry.to)
    step_us = _us(entry.every) if entry.every else max(1, to_us - from_us)
    starts = range(from_us, max(to_us, from_us + 1), step_us)
    costs = entry.cost_usd.values([start - from_us for start in starts])
    always = _present({"region": entry.region, "provider": entry.provider, "estimated": entry.estimated or None})
    for start_us, cost in zip(starts, costs, strict=True):
        end_us = min(start_us + step_us, to_us)
        period = {"period_start": clock(start_us), "period_end": clock(end_us)}
        logged_us = end_us if entry.at is None else _us(entry.at)
        yield Taken(logged_us, BILLING, {"endpoint": entry.endpoint, **period, "cost_usd": cost, **always})


def _event(event: RequestEvent | ScalingEvent | BillingEvent, clock: Clock) -> Taken:
    fields = _present(structs.asdict(event))
    at_us = _us(fields.pop("at"))
    if isinstance(event, BillingEvent):
        fields |= {name: clock(_us(fields[name])) for name in ("period_start", "period_end")}
        return Taken(at_us, BILLING, fields)
    fields["time"] = clock(at_us)
    logged_us = at_us if event.logged is None else _us(fields.pop("logged"))
    return Taken(logged_us, REQUESTS if isinstance(event, RequestEvent) else SCALING, fields)


def _present(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}


def _us(seconds: float) -> int:
    return round(seconds * US)
