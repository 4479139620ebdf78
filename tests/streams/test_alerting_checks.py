"""Mistakes in the section `alerting`: each is told with its line, and with what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from detectors import SETTINGS
from streams import configuration

TWO = """receivers:
  pager: {type: webhook, url: "http://a/x"}
  slack: {type: webhook, url: "http://b/x"}
alerting:
"""
ROUTED = f"{TWO}  route: {{receiver: pager, routes: [{{receiver: slack}}]}}\n"


def problems(folder: Path, text: str) -> list[str]:
    file = folder / "tidegate.yaml"
    file.write_text(text)
    found = configuration.check(file, SETTINGS, {})
    return [f"{problem.line} {problem.severity} {problem.path}: {problem.message}" for problem in found]


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("{}", "5 error alerting.route.receiver: is required, where there are several receivers: one of pager, slack"),
        ("{receiver: page}", "error alerting.route.receiver: unknown receiver 'page'; did you mean 'pager'?"),
        ("{receiver: pager, matchers: [team=a]}", "error alerting.route.matchers: the root takes every alert"),
        (
            "{receiver: pager, routes: [{receiver: slack, matchers: [teem=a]}]}",
            "error alerting.route.routes[0].matchers[0]: unknown label 'teem'; did you mean 'team'?",
        ),
        (
            "{receiver: pager, routes: [{receiver: slack, matchers: ['rule=~(']}]}",
            "error alerting.route.routes[0].matchers[0]: expected a regular expression",
        ),
        (
            "{receiver: pager, group_by: [zone]}",
            "error alerting.route.group_by[0]: unknown label 'zone'; known are action, alertname, budget",
        ),
    ],
)
def test_a_route_that_cannot_be_meant_is_an_error_in_its_line(tmp_path: Path, route: str, expected: str) -> None:
    """Nobody finds out at night that a page went nowhere."""
    found = [one for one in problems(tmp_path, f"{TWO}  route: {route}\n") if " error " in one]
    assert len(found) == 1
    assert expected in found[0]
    assert found[0].startswith("5 ")


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{source: [a], target: [team=b]}", "inhibit[0].source[0]: expected a label"),
        ("{source: [team=a], target: [x=b]}", "inhibit[0].target[0]: unknown label 'x'"),
        ("{source: [team=a], target: [team=b], equal: [x]}", "inhibit[0].equal[0]: unknown label 'x'"),
    ],
)
def test_an_inhibition_that_cannot_be_meant_is_an_error(tmp_path: Path, rule: str, expected: str) -> None:
    """It would silence what nobody thought of, or nothing."""
    (found,) = problems(tmp_path, f"{ROUTED}  inhibit: [{rule}]\n")
    assert expected in found


def test_who_is_in_no_route_is_warned_of(tmp_path: Path) -> None:
    """It hears of nothing, which is hardly meant."""
    (found,) = problems(tmp_path, f"{TWO}  route: {{receiver: pager}}\n")
    assert found == "3 warning receivers.slack: no route leads to it: it hears of nothing"


def test_routes_without_receivers_are_warned_of(tmp_path: Path) -> None:
    """Alerts stay in their topic."""
    (found,) = problems(tmp_path, "alerting: {external_url: 'http://x'}\n")
    assert "there is nobody to tell" in found


@pytest.mark.parametrize("text", [ROUTED, 'receivers: {one: {type: webhook, url: "http://a/x"}}\n'])
def test_what_is_routed_is_in_order(tmp_path: Path, text: str) -> None:
    """One receiver needs no route; the shipped inhibition is right."""
    assert problems(tmp_path, text) == []
