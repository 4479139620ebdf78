"""The routing tree: who hears of an alert, in which group, and at what pace. As Alertmanager walks it.

An alert that matches a route goes on to its routes; the first that matches takes it, and the next ones too as long as
each says `continue`. Where none matches, the route itself takes it. What a route leaves open comes from the one above.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from msgspec import structs

from actions.alerting.matchers import Matcher, match_all, parse_all
from schemas.config import Config
from schemas.receivers import Alertmanager, AnyReceiver, Route
from schemas.section import Seconds
from schemas.units import to_us

ROOT: Final = Route(
    group_by=("episode",),  # a group for each, so that nobody waits for another
    group_wait=Seconds(0),
    group_interval=Seconds(10),  # Alertmanager's 5m are for groups of many; one episode has few lines to wait for
    repeat_interval=Seconds(4 * 3600),  # Alertmanager's own
)
ALERTMANAGER_INTERVAL_US: Final = 1_000_000  # it groups by itself: hand over what there is, all at once


class Pace(NamedTuple):
    """How long a new group waits, how far apart two notifications are, and after how long all is told again."""

    wait_us: int
    interval_us: int
    repeat_us: int


class Target(NamedTuple):
    """One receiver of an alert, and the group in which it hears of it."""

    receiver: str
    group_key: str
    group_labels: dict[str, str]
    pace: Pace


class Step(NamedTuple):
    """A route, complete, with its matchers read. `path` names it in the key of its groups."""

    route: Route
    matchers: tuple[Matcher, ...]
    path: str
    steps: tuple[Step, ...]


class Routes:
    """The tree of a configuration that was checked."""

    def __init__(self, config: Config) -> None:
        self._receivers = config.receivers
        root = config.alerting.route
        named = root.receiver or next(iter(config.receivers), None)
        self._root = _step(structs.replace(root, receiver=named), ROOT, "{}")

    def targets(self, labels: Mapping[str, str]) -> list[Target]:
        """Each receiver once, in the group of the first route that leads to it."""
        found: dict[str, Target] = {}
        for step in _walk(self._root, labels):
            receiver = step.route.receiver
            if receiver is not None and receiver not in found:
                found[receiver] = _target(receiver, self._receivers[receiver], step, labels)
        return list(found.values())


def _step(route: Route, above: Route, path: str) -> Step:
    inherited = ("receiver", "group_by", "group_wait", "group_interval", "repeat_interval")
    left_open = {name: getattr(above, name) for name in inherited if getattr(route, name) is None}
    whole, matchers = structs.replace(route, **left_open), parse_all(route.matchers)
    own = f"{path}/{{{','.join(map(str, matchers))}}}" if above is not ROOT else path
    return Step(whole, matchers, own, tuple(_step(below, whole, own) for below in route.routes))


def _walk(step: Step, labels: Mapping[str, str]) -> Iterator[Step]:
    """The routes that take an alert which `step` matches."""
    is_taken = False
    for below in step.steps:
        if match_all(below.matchers, labels):
            is_taken = True
            yield from _walk(below, labels)
            if not below.route.continue_:
                return
    if not is_taken:
        yield step


def _target(name: str, receiver: AnyReceiver, step: Step, labels: Mapping[str, str]) -> Target:
    route = step.route
    if isinstance(receiver, Alertmanager):
        repeat_us = to_us(receiver.resend_every)
        return Target(name, f"{step.path}:{{}}", {}, Pace(0, min(ALERTMANAGER_INTERVAL_US, repeat_us), repeat_us))
    grouped = {label: labels.get(label, "") for label in route.group_by or ()}
    shown = ", ".join(f'{label}="{value}"' for label, value in sorted(grouped.items()))
    pace = Pace(_us(route.group_wait), _us(route.group_interval), _us(route.repeat_interval))
    return Target(name, f"{step.path}:{{{shown}}}", grouped, pace)


def _us(seconds: Seconds | None) -> int:
    return to_us(seconds or 0.0)  # never None: inherited from `ROOT` at last
