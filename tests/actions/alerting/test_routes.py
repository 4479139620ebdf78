from __future__ import annotations

from actions.alerting.labels import action_after, labels_of
from actions.alerting.routes import Pace, Routes
from schemas.config import Budget, Config
from schemas.outputs import UNSEALED, Severity
from schemas.receivers import Alerting, Alertmanager, Route, Slack
from schemas.section import Seconds
from schemas.units import US
from tests.actions.alerting.alerts import alert, command, config, episode_id

TREE = Route(
    receiver="all",
    group_by=("team",),
    repeat_interval=Seconds(3600),
    routes=(
        Route(receiver="audit", matchers=("severity=~.+",), continue_=True),
        Route(
            receiver="search",
            matchers=("team=search",),
            group_interval=Seconds(60),
            routes=(Route(receiver="pager", matchers=('severity="critical"',), group_by=("episode", "rule")),),
        ),
        Route(receiver="never", matchers=("team=search",)),
    ),
)


def routes() -> Routes:
    return Routes(config("all", "audit", "search", "pager", "never", route=TREE))


def test_the_first_route_that_matches_takes_an_alert_and_continue_lets_the_next_have_it_too() -> None:
    """The deepest that matches, as Alertmanager walks the tree."""
    labels = {"team": "search", "severity": "warning", "episode": "e"}
    assert [target.receiver for target in routes().targets(labels)] == ["audit", "search"]
    assert [target.receiver for target in routes().targets({**labels, "severity": "critical"})] == ["audit", "pager"]


def test_what_no_route_takes_is_the_roots() -> None:
    """Nothing is lost because nobody thought of it."""
    assert [target.receiver for target in routes().targets({"team": "ads"})] == ["all"]


def test_a_route_inherits_what_it_leaves_open() -> None:
    """From the one above, and that one from the defaults."""
    labels = {"team": "search", "severity": "critical", "rule": "latency", "episode": "e"}
    _, pager = routes().targets(labels)
    assert pager.group_labels == {"episode": "e", "rule": "latency"}
    assert pager.pace == Pace(0, 60 * US, 3600 * US)
    assert pager.group_key == '{}/{team="search"}/{severity="critical"}:{episode="e", rule="latency"}'


def test_one_receiver_is_the_roots_by_itself() -> None:
    """Who has one need not name it twice, and hears of each episode apart."""
    (target,) = Routes(config("pager", route=Route())).targets({"episode": "e"})
    assert target == ("pager", '{}:{episode="e"}', {"episode": "e"}, Pace(0, 10 * US, 4 * 3600 * US))


def test_without_receivers_nobody_is_told() -> None:
    """Alerts are in their topic all the same."""
    assert Routes(Config()).targets({"episode": "e"}) == []


def test_a_receiver_is_told_once_though_two_routes_lead_to_it() -> None:
    """In the group of the first."""
    twice = Route(receiver="a", routes=(Route(receiver="b", continue_=True), Route(receiver="b", group_by=())))
    (target,) = Routes(config("a", "b", route=twice)).targets({"episode": "e"})
    assert target.group_labels == {"episode": "e"}


def test_an_alertmanager_gets_all_at_once_and_again_before_it_forgets() -> None:
    """It groups, waits and repeats by rules of its own."""
    known = Config(
        receivers={"am": Alertmanager(url="http://x", resend_every=Seconds(30)), "slack": Slack()},
        alerting=Alerting(route=Route(receiver="am", group_by=("team",), group_wait=Seconds(30))),
    )
    (target,) = Routes(known).targets({"team": "search"})
    assert (target.group_labels, target.pace) == ({}, Pace(0, US, 30 * US))


def test_the_labels_are_those_of_the_alert_and_of_what_it_is_about() -> None:
    """What is not known of it is not there."""
    known = config("a")
    assert labels_of(alert("e", severity=Severity.ERROR), known) == {
        "alertname": "latency",
        "rule": "latency",
        "severity": "error",
        "subject": "acme/bert",
        "endpoint": "acme/bert",
        "namespace": "acme",
        "team": "search",
        "episode": episode_id("e"),
    }


def test_a_budget_is_a_label_and_has_no_endpoint() -> None:
    """Not of a region, which is a subject too."""
    known = Config(budgets={"all": Budget(daily_usd=5.0, endpoints=("*",))})
    of_budget = labels_of(alert("e", rule="daily_spend", subject="all", endpoint=None), known)
    of_region = labels_of(alert("e", rule="regional_cost", subject="eu", endpoint=None), known)
    assert (of_budget["budget"], "endpoint" in of_budget, "budget" in of_region) == ("all", False, False)


def test_the_action_is_one_that_came_into_force() -> None:
    """What was held has done nothing that could follow from it."""
    assert action_after(command("e", "shutdown")) == "shutdown"
    assert action_after(command("e", "shutdown", held="awaiting_approval"), "throttle") == "throttle"
    assert action_after(alert("e", "worse"), "throttle") == "throttle"
    assert labels_of(alert("e"), config("a"), "throttle")["action"] == "throttle"


def test_a_brake_that_was_released_is_no_action_any_more() -> None:
    """Nothing follows from it, though the episode goes on."""
    released = alert("e", command_id=UNSEALED, details={"action": "shutdown", "released": True})
    assert action_after(released, "shutdown") is None
