"""Sentences for three in the morning."""

from __future__ import annotations

from typing import Any, Final

import pytest
from msgspec import structs

from actions import ActionFold
from actions.wording import LONGEST, figure, short, what_is_wrong, what_to_do
from schemas.config import Safety
from schemas.outputs import Action, Finding, Mode
from tests.actions.findings import alerts, daily, finding, runaway, settings, spend, surge


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
    assert what_is_wrong(surge("acme/a", 0)) == "request_surge on acme/a: 45 req/s, limit 25 req/s, normal 5 req/s"


def test_a_budget_speaks_of_money() -> None:
    """Spent, allowed, and what it costs now."""
    assert what_is_wrong(spend(0, [("acme/a", 30, 2.0)])) == (
        "hourly_spend on all: $60.00 spent in the last 60 minutes, the allowance is $50.00 per hour; "
        "it now costs $60.00 per hour"
    )


def test_a_warning_says_when_the_allowance_runs_out() -> None:
    """As long as there is time to do something about it."""
    found = spend(0, [], evidence={"rate_usd_per_hour": 70.0, "runs_out_at": "2026-11-22T19:41:06.250000Z"})
    assert what_is_wrong(found).endswith(
        "it now costs $70.00 per hour, which will have spent the allowance at 2026-11-22 19:41:06 UTC"
    )


def gap(endpoint: str | None, value: float, **evidence: Any) -> Finding:
    told = {"rule": "telemetry_gap", "subject": endpoint or "all", "endpoint": endpoint, "value": value, "unit": "s"}
    return structs.replace(surge("acme/a", 0), evidence={"clock": "wall", **evidence}, **told)


def test_a_silence_says_how_long_and_what_it_costs() -> None:
    """With what could be relied on meanwhile, as far as it is known."""
    told = what_is_wrong(gap("acme/a", 725.5, expected_requests=240.04, replicas=2, usd_per_hour=4.0))
    assert told == (
        "acme/a: no request for 12 min 5 s with 2 replicas up at $4.00 per hour; 240.04 could be relied on meanwhile"
    )
    assert what_is_wrong(gap("acme/a", 60.0, replicas=1)) == "acme/a: no request for 1 min with 1 replica up"


def test_a_budget_says_what_is_missing() -> None:
    """Each source with its age, and what is allowed."""
    reasons = [
        {"what": "requests", "age_s": 600, "allowed_s": 300, "expected_requests": 1200},
        {"what": "scaling", "age_s": 400, "allowed_s": 300},
        {"what": "bills", "age_s": 180_000, "allowed_s": 129_600},
        {"what": "prices", "age_s": 8_640_000, "allowed_s": 7_776_000, "endpoints_total": 3},
    ]
    assert what_is_wrong(gap(None, 600, reasons=reasons)) == (
        "telemetry_gap on all: no request of any endpoint for 10 min; 1,200 could be relied on meanwhile; "
        "no report of replicas for 6 min 40 s, allowed are 5 min; "
        "the newest bill ends 2 d 2 h ago, allowed are 1 d 12 h; "
        "the oldest price is from 100 d ago, allowed are 90 d; of 3 endpoints they are too old"
    )
    nothings: tuple[dict[str, Any], ...] = ({"reasons": []}, {}, {"reasons": "?"})
    for nothing in nothings:
        assert what_is_wrong(gap(None, 0, **nothing)) == "telemetry_gap on all: what was missing has come"


QUEUE: Final = {"least": 15, "deepest": 41, "last": 20, "for_s": 30}
LATENCY: Final = {"quantile": 0.95, "is_at_most": False, "requests": 1760, "slow": 370, "window_s": 60}
ERRORS: Final = {"errors": 52, "requests": 1000, "lower_bound": 0.03, "window_s": 300}


@pytest.mark.parametrize(
    ("rule", "value", "threshold", "evidence", "sentence"),
    [
        (
            "queue_depth", 15.0, 10.0, QUEUE,
            "never fewer than 15 requests waiting in the last 30 s, limit 10, deepest 41",
        ),
        (
            "latency", 1.31, 0.5, LATENCY,
            "p95 1.31 s over the last 60 s, limit 500 ms; 370 of 1,760 requests took longer than that",
        ),
        (
            "latency", 0.4, 0.5, {**LATENCY, "is_at_most": True, "slow": 0, "quantile": 0.999},
            "p99.9 at most 400 ms over the last 60 s, limit 500 ms; 0 of 1,760 requests took longer than that",
        ),
        (
            "error_rate", 0.052, 0.01, ERRORS,
            "5.2 % of the requests failed, 52 of 1,000 in the last 300 s, limit 1 %",
        ),
    ],
)  # fmt: skip
def test_what_waits_is_slow_or_fails_is_told_in_its_own_words(
    rule: str, value: float, threshold: float, evidence: dict[str, Any], sentence: str
) -> None:
    """With the numbers that a person asks for next; without them, with those that every finding has."""
    found = finding(rule, "acme/a", "acme/a", 0, value=value, threshold=threshold, evidence=evidence)
    assert what_is_wrong(found) == f"{rule} on acme/a: {sentence}"
    bare = finding(rule, "acme/a", "acme/a", 0, value=value, threshold=threshold)
    assert what_is_wrong(bare).startswith(f"{rule} on acme/a: {figure(value)} req/s, limit")


def test_a_day_is_told_as_a_share_of_its_amount() -> None:
    """Spent, of how much, and what it costs now."""
    assert what_is_wrong(daily(0, [("acme/a", 40, 2.0)])) == (
        "daily_spend on all: $2,412.00 spent since midnight, 201 % of $1,200.00 a day; it now costs $80.00 per hour"
    )


def test_a_day_says_when_it_gets_worse() -> None:
    """The nearest step that will be reached before midnight."""
    steps = {"critical": None, "error": "2026-11-22T19:41:06.250000Z"}
    found = daily(0, [], evidence={"daily_usd": 1200.0, "rate_usd_per_hour": 80.0, "next_steps": steps}, value=1441.0)
    assert what_is_wrong(found) == (
        "daily_spend on all: $1,441.00 spent since midnight, 120.08 % of $1,200.00 a day; "
        "at $80.00 per hour it will be error at 2026-11-22 19:41:06 UTC"
    )


def test_a_day_without_evidence_is_still_a_sentence() -> None:
    """What nobody told is left out."""
    assert what_is_wrong(daily(0, [], evidence={})) == "daily_spend on all: $2,412.00 spent since midnight"


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


COLD = {"window_s": 3600.0, "usd_each": 2.34, "usd_per_day": 617.76}
THRASH = {
    "window_s": 3600.0,
    "changes": 6,
    "replicas_low": 0,
    "replicas_high": 1,
    "usd_per_day_low": 288.0,
    "usd_per_day_high": 720.0,
    "warm_usd_per_day": 36.0,
}
IDLE = {
    "window_s": 3600.0,
    "ready_replicas": 4,
    "wasted_usd_per_hour": 7.6,
    "advice": "fewer replicas",
    "saves_usd_per_day": 144.0,
}


def told(rule: str, value: float, threshold: float, evidence: dict[str, Any]) -> str:
    return what_is_wrong(finding(rule, "acme/a", "acme/a", 0, value=value, threshold=threshold, evidence=evidence))


def test_cold_starts_say_what_one_costs() -> None:
    """And what a day like this would; where nobody knows, nothing."""
    assert told("cold_starts", 11, 10, COLD) == (
        "cold_starts on acme/a: 11 cold starts in the last 60 minutes, limit 10, $2.34 each to load the model; "
        "at this pace $617.76 per day"
    )
    assert told("cold_starts", 11, 10, {}) == "cold_starts on acme/a: 11 cold starts, limit 10"


def test_a_thrash_says_its_pace_and_its_price_and_what_would_be_cheaper() -> None:
    """From the lower price to the higher, or the one that was measured."""
    assert told("scale_thrash", 144, 50, THRASH) == (
        "scale_thrash on acme/a: replicas changed direction 6 times in the last 60 minutes, between 0 and 1: "
        "a pace of 144 a day, limit 50; that costs $288.00 to $720.00 per day; "
        "one replica kept warm costs $36.00 per day instead"
    )
    measured = THRASH | {"usd_per_day_high": 288.0, "warm_usd_per_day": None}
    assert told("scale_thrash", 144, 50, measured).endswith("limit 50; that costs $288.00 per day")
    dear = told("scale_thrash", 144, 50, THRASH | {"warm_usd_per_day": 288.0})
    assert dear.endswith("that costs $288.00 to $720.00 per day; one replica kept warm costs $288.00 per day")
    assert "changed direction 1 time in the last" in told("scale_thrash", 24, 50, THRASH | {"changes": 1})
    assert told("scale_thrash", 144, 50, {}) == "scale_thrash on acme/a: a pace of 144 a day, limit 50"


def test_low_utilization_says_what_is_wasted_and_what_to_do() -> None:
    """In percent, with the advice and its dollars."""
    assert told("low_utilization", 0.04, 0.1, IDLE) == (
        "low_utilization on acme/a: 4 % mean utilization of 4 replicas in the last 60 minutes, limit 10 %; "
        "$7.60 per hour wasted; advice: fewer replicas, saving $144.00 per day"
    )
    assert told("low_utilization", 0.0, 0.1, {}) == "low_utilization on acme/a: 0 % mean utilization, limit 10 %"


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
