"""Sentences for three in the morning."""

from __future__ import annotations

from actions import ActionFold
from actions.wording import LONGEST, figure, short, what_is_wrong, what_to_do
from schemas.config import Safety
from schemas.outputs import Action, Mode
from tests.actions.findings import alerts, daily, runaway, settings, spend, surge


def test_figures_have_no_needless_digits() -> None:
    """Thousands are set apart, zeros at the end are not written."""
    assert [figure(value) for value in (45.0, 12.5, 1234.567, 0.0, 100.0)] == [
        "45",
        "12.5",
        "1,234.57",
        "0",
        "100",
    ]


def test_a_finding_is_one_sentence_with_its_numbers() -> None:
    """What, where, how much, the limit, and what is normal."""
    told = what_is_wrong(surge("acme/a", 0))
    assert told == "request_surge on acme/a: 45 req/s, limit 25 req/s, normal 5 req/s"


def test_a_budget_speaks_of_money() -> None:
    """Spent, allowed, and what it costs now."""
    assert what_is_wrong(spend(0, [("acme/a", 30, 2.0)])) == (
        "Budget all: $60.00 spent in the last 60 minutes, the allowance is $50.00 per hour; "
        "it now costs $60.00 per hour"
    )


def test_a_warning_says_when_the_allowance_runs_out() -> None:
    """As long as there is time to do something about it."""
    found = spend(0, [], evidence={"rate_usd_per_hour": 70.0, "runs_out_at": "2026-11-22T19:41:06.250000Z"})
    assert what_is_wrong(found).endswith(
        "it now costs $70.00 per hour, which will have spent the allowance at 2026-11-22 19:41:06 UTC"
    )


def test_a_day_is_told_as_a_share_of_its_amount() -> None:
    """Spent, of how much, and what it costs now."""
    assert what_is_wrong(daily(0, [("acme/a", 40, 2.0)])) == (
        "Budget all: $2,412.00 spent since midnight, 201 % of $1,200.00 a day; it now costs $80.00 per hour"
    )


def test_a_day_says_when_it_gets_worse() -> None:
    """The nearest step that will be reached before midnight."""
    steps = {"critical": None, "error": "2026-11-22T19:41:06.250000Z"}
    found = daily(0, [], evidence={"daily_usd": 1200.0, "rate_usd_per_hour": 80.0, "next_steps": steps}, value=1441.0)
    assert what_is_wrong(found) == (
        "Budget all: $1,441.00 spent since midnight, 120.08 % of $1,200.00 a day; "
        "at $80.00 per hour it will be error at 2026-11-22 19:41:06 UTC"
    )


def test_a_day_without_evidence_is_still_a_sentence() -> None:
    """What nobody told is left out."""
    assert what_is_wrong(daily(0, [], evidence={})) == "Budget all: $2,412.00 spent since midnight"


def test_a_command_that_was_sent_is_told_from_one_that_was_not() -> None:
    """Shadow says that nothing was done, a held one says why."""
    told = [
        alerts(ActionFold(config).apply(runaway("acme/a", 0), None))[1].summary.split(", saving")[0]
        for config in (settings(), settings(mode=Mode.SHADOW), settings(safety=Safety(protected=("acme/a",))))
    ]
    assert told == [
        "Command sent: throttle acme/a to at most 8 replicas",
        "Nothing was done (mode shadow); auto would throttle acme/a to at most 8 replicas",
        "Not done, because the endpoint is protected: throttle acme/a to at most 8 replicas",
    ]


def test_a_summary_fits() -> None:
    """Names come from outside and may be long."""
    assert len(short("x" * 2000)) == LONGEST


def test_every_action_can_be_said() -> None:
    """Also those that this stage sends without an alert, and limits that nobody has words for."""
    told = [
        what_to_do(Action.OVERFLOW, "acme/a", {"provider": "runpod"}),
        what_to_do(Action.SHUTDOWN, "acme/a", {}),
        what_to_do(Action.RESTORE, "acme/a", {}),
        what_to_do(Action.THROTTLE, "acme/a", {"max_replicas": 1, "max_tokens": 5}),
    ]
    assert told == [
        "overflow acme/a to runpod",
        "shut down acme/a",
        "restore acme/a",
        "throttle acme/a to at most 1 replica and max_tokens 5",
    ]
