"""What the rules over an endpoint's past keep of it, and which reports they were not given yet.

A report is given to them once its second has closed: all others of that second and before are there by then, so they
come in order of event time, however late some were and wherever batches ended.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from detectors.episodes import Reading
from detectors.report import Report
from detectors.rule import HistoryRule
from schemas.units import HOUR_US, US

SILENCE_US: Final = HOUR_US  # after which the memory of an endpoint begins anew

_encode = msgspec.msgpack.Encoder().encode


class Histories:
    """The memories of one partition, by endpoint and rule."""

    def __init__(self, rules: Mapping[str, HistoryRule[Any, Any]]) -> None:
        self.rules = rules
        self._blanks = {name: rule.Memory() for name, rule in rules.items()}
        self._memories: dict[str, dict[str, msgspec.Struct]] = {}
        self._waiting: dict[int, set[str]] = {}  # second -> who reported in it, while it is open

    def expect(self, endpoint: str, report: Report) -> None:
        """A report that is to be taken when its second closes."""
        if self.rules:
            self._waiting.setdefault(report.time_us // US, set()).add(endpoint)

    def next_second(self) -> int | None:
        """The first in which reports wait."""
        return min(self._waiting, default=None)

    def close(self, second: int, reports: Mapping[str, Sequence[Report]]) -> set[str]:
        """Take the reports of a second that is over: whose memory this changed."""
        return {
            endpoint
            for endpoint in self._waiting.pop(second, ())
            if self._take(endpoint, second * US, reports.get(endpoint, ()))
        }

    def is_blank(self, rule: str, endpoint: str) -> bool:
        """Whether a rule keeps no more of an endpoint than of a new one: then there is nothing to say."""
        memory = self._memories[endpoint][rule]
        return memory == self._blanks[rule]

    def read(self, rule: str, endpoint: str, reports: Sequence[Report], at_us: int) -> Reading:
        """What a rule says of an endpoint, given what it reported before `at_us`."""
        last = reports[bisect_right(reports, at_us - 1, key=_time) - 1]
        return self.rules[rule].read(endpoint, self._memories[endpoint][rule], last, at_us)

    def _take(self, endpoint: str, start_us: int, reports: Sequence[Report]) -> bool:
        first = bisect_left(reports, start_us, key=_time)
        end = bisect_left(reports, start_us + US, key=_time)
        for place in range(first, end):
            report, before = reports[place], reports[place - 1] if place else None
            if report == before:  # sent twice
                continue
            if before is None or report.time_us - before.time_us > SILENCE_US:
                before = None
                self._memories[endpoint] = {name: rule.Memory() for name, rule in self.rules.items()}
            memories = self._memories[endpoint]
            for name, rule in self.rules.items():
                rule.take(endpoint, memories[name], report, before)
        return first < end

    # -- state -----------------------------------------------------------------------------------------------------

    def forget(self, endpoint: str) -> None:
        """All of an endpoint."""
        self._memories.pop(endpoint, None)

    def snapshot(self, endpoint: str) -> dict[str, msgspec.Raw]:
        """What each rule keeps of an endpoint, but for what is blank."""
        kept = self._memories.get(endpoint, {})
        return {rule: msgspec.Raw(_encode(memory)) for rule, memory in kept.items() if memory != self._blanks[rule]}

    def restore(self, endpoint: str, states: Mapping[str, msgspec.Raw], waiting: Sequence[Report]) -> None:
        """The inverse, for an endpoint that is new; `waiting` are the reports of seconds that are open."""
        self._memories[endpoint] = {
            name: msgspec.msgpack.decode(states[name], type=rule.Memory) if name in states else rule.Memory()
            for name, rule in self.rules.items()
        }
        for report in waiting:
            self.expect(endpoint, report)


def _time(report: Report) -> int:
    return report.time_us
