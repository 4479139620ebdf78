"""What the section `alerting` must be, beyond the types of its values: routes, inhibitions, and who hears of what."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from actions.alerting.labels import LABELS
from actions.alerting.matchers import BadMatcher, Matcher
from schemas.config import Config
from schemas.receivers import Route
from streams.typed_yaml import KeyPath, Report
from streams.values import nearest

ROUTE: KeyPath = ("alerting", "route")


def wrong_matcher(text: str) -> str | None:
    """What is wrong with a matcher, in the configuration or on the command line."""
    try:
        label = Matcher.parse(text).label
    except BadMatcher as error:
        return str(error)
    return None if label in LABELS else _unknown(label)


def check_alerting(config: Config, report: Report) -> None:
    """Errors: what could not be routed as it is meant."""
    root = config.alerting.route
    if root.matchers:
        report.error((*ROUTE, "matchers"), "the root takes every alert, and has no matchers")
    if root.receiver is None and len(config.receivers) > 1:
        names = ", ".join(sorted(config.receivers))
        report.error((*ROUTE, "receiver"), f"is required, where there are several receivers: one of {names}")
    for route, path in _routes(root, ROUTE):
        _route(route, path, config, report)
    for index, rule in enumerate(config.alerting.inhibit):
        path = ("alerting", "inhibit", index)
        _matchers(rule.source, (*path, "source"), report)
        _matchers(rule.target, (*path, "target"), report)
        _labels(rule.equal, (*path, "equal"), report)


def warn_of_alerting(config: Config, report: Report) -> None:
    """Warnings: who never hears of anything."""
    if not config.receivers:
        if report.was_given(("alerting",)):
            report.warning(("alerting",), "there is nobody to tell: no receivers are configured")
        return
    routed = {route.receiver for route, _ in _routes(config.alerting.route, ROUTE)}
    if config.alerting.route.receiver is None:
        routed |= set(config.receivers)  # the only one
    for name in sorted(config.receivers.keys() - routed):
        report.warning(("receivers", name), "no route leads to it: it hears of nothing")


def _routes(route: Route, path: KeyPath) -> Iterator[tuple[Route, KeyPath]]:
    yield route, path
    for index, below in enumerate(route.routes):
        yield from _routes(below, (*path, "routes", index))


def _route(route: Route, path: KeyPath, config: Config, report: Report) -> None:
    if route.receiver is not None and route.receiver not in config.receivers:
        known = nearest(route.receiver, config.receivers) or "; there are no receivers"
        report.error((*path, "receiver"), f"unknown receiver '{route.receiver}'{known}")
    _matchers(route.matchers, (*path, "matchers"), report)
    _labels(route.group_by or (), (*path, "group_by"), report)


def _matchers(texts: Iterable[str], path: KeyPath, report: Report) -> None:
    for index, text in enumerate(texts):
        if (wrong := wrong_matcher(text)) is not None:
            report.error((*path, index), wrong)


def _labels(labels: Iterable[str], path: KeyPath, report: Report) -> None:
    for index, label in enumerate(labels):
        if label not in LABELS:
            report.error((*path, index), _unknown(label))


def _unknown(label: str) -> str:
    known = nearest(label, LABELS)
    return f"unknown label '{label}'{known if 'did you mean' in known else '; known are ' + ', '.join(sorted(LABELS))}"
