"""The worst case between a breach and its end: the formula, and that nothing that happens exceeds it."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any, Final, Literal

import numpy as np
import pytest
from msgspec import structs

from actions import ActionFold
from actions.executors.interface import Plan
from actions.overshoot import HOP_S, RUNAWAY, SPEND, SURGE, Bound, bounds
from detectors import SETTINGS, ScalingFold, scaling_rules
from schemas.config import ApprovalRule, Budget, Config, Endpoint, Mode, Policy, Safety, Seconds
from schemas.events import Scaling
from schemas.executors import DryRun, HuggingFace, Kubernetes, LiteLLM, Webhook
from schemas.outputs import Action, Command, Finding
from schemas.units import US
from streams.simulator.hosting import Conditions, Hosted
from tests.hosted import LLAMA, Account, account

WINDOW_S: Final = 10.0
HF: Final = HuggingFace(timeout=Seconds(2), poll_every=Seconds(5), settle_within=Seconds(20))
SAFETY: Final = Safety(poll_interval=Seconds(30), cooldown=Seconds(300))


def config(**fields: Any) -> Config:
    """One endpoint, twelve replicas at most where three are expected, at 36 dollars: a cent a second each."""
    chosen = {
        "mode": Mode.AUTO,
        "endpoints": {LLAMA: Endpoint(expected_max=3, max_replicas=12, price_usd_per_hour=36.0)},
        "rules": {name: settings() for name, settings in SETTINGS.items()},
        "executors": {"hf": HF},
        "safety": SAFETY,
    }
    return Config(**{**chosen, **fields})


def bound(of: Config, rule: str = RUNAWAY, subject: str | None = LLAMA) -> Bound:
    [found] = [each for each in bounds(of, WINDOW_S) if (each.rule, each.subject) == (rule, subject)]
    return found


@pytest.mark.parametrize(
    ("rule", "subject", "seconds", "replicas"),
    [
        (RUNAWAY, LLAMA, 30 + 11 + (1 + 5 * 2 + 20 + 5) + 20, 9),
        (SURGE, LLAMA, 10 + 11 + (1 + 5 * 2 + 20 + 5) + 20, 9),
        (SPEND, "all", 60 + 11 + (1 + 5 * 2 + 20 + 5) + 20, 12),
    ],
)
def test_it_is_the_sum_of_what_passes_times_the_rate(rule: str, subject: str, seconds: float, replicas: int) -> None:
    """Observed, decided, carried out, settled; and the minute that billing rounds up to."""
    found = bound(config(budgets={"all": Budget(daily_usd=24, endpoints=("*",))}), rule, subject)
    assert found.seconds == seconds
    assert found.usd() == pytest.approx((seconds + 60) * replicas * 0.01)
    again = (300 + 60 + 10 + 30) * replicas * 0.01
    assert found.usd(in_cooldown=True) == pytest.approx((found.usd() or 0) + again)


def test_an_approval_counts_with_all_the_time_that_it_may_take() -> None:
    """Whether a command that nobody answers goes or not decides whether the number depends on a person."""
    ways: tuple[Literal["reject", "issue"], ...] = ("reject", "issue")
    for otherwise in ways:
        policy = Policy(persons=2, within=Seconds(600), otherwise=otherwise)
        found = bound(config(approvals=(ApprovalRule(approve=policy),)))
        assert found.seconds == (bound(config()).seconds or 0) + 600
        assert [case.needs_approval for case in found.cases] == [otherwise == "reject"]


def test_a_gateway_has_no_update_to_wait_for() -> None:
    """Three requests, and what its owner says it takes."""
    webhook = Webhook(timeout=Seconds(1), settle_within=Seconds(2))
    assert bound(config(executors={"gateway": webhook})).seconds == 30 + 11 + (1 + 3) + 2


def test_where_nobody_says_how_many_there_can_be_twice_the_expected_are_assumed() -> None:
    """And it is said."""
    [case] = bound(config(endpoints={LLAMA: Endpoint(expected_max=3, price_usd_per_hour=36.0)})).cases
    assert (case.replicas, case.is_assumed) == (3, True)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"mode": Mode.SHADOW}, "mode is shadow"),
        ({"executors": {}}, "no executor takes it"),
        ({"executors": {"dry": DryRun()}}, "the executor is a dry run"),
        ({"executors": {"proxy": LiteLLM()}}, "its executor caps no replicas"),
        ({"safety": Safety(protected=("acme/*",))}, "it is protected"),
        ({"safety": Safety(kill_switch=True)}, "the kill switch is on"),
        ({"actions": {"runaway_replicas": "none"}}, "it only alerts"),
    ],
)
def test_what_nobody_stops_has_no_bound(fields: dict[str, Any], why: str) -> None:
    """A number would be a lie: the reason stands in its place."""
    found = bound(config(**fields))
    assert (found.usd(), found.seconds, found.goes_on) == (None, None, (why,))


def test_a_limit_of_requests_is_for_who_can_limit_them() -> None:
    """A surge is answered with one, which a cluster cannot carry out."""
    cluster = Kubernetes(workloads={LLAMA: "llm/deployment/llama"})
    assert bound(config(executors={"cluster": cluster}), SURGE).goes_on == ("its executor limits no requests",)
    assert bound(config(executors={"cluster": cluster})).goes_on == ()
    assert bound(config(executors={"proxy": LiteLLM()}), SURGE).goes_on == ()


def test_a_rule_that_is_off_stops_nothing_and_says_nothing() -> None:
    """Neither for an endpoint nor for a budget."""
    off = {name: settings(enabled=False) for name, settings in SETTINGS.items()}
    assert bounds(config(rules=off, budgets={"all": Budget(daily_usd=24, endpoints=("*",))}), WINDOW_S) == []


def test_a_budget_does_not_stop_what_is_critical() -> None:
    """The rest of it is counted, and that one told; its own runaway is stopped all the same."""
    known = Endpoint(expected_max=3, max_replicas=12, price_usd_per_hour=36.0)
    both = {LLAMA: known, "acme/vital": structs.replace(known, critical=True)}
    found = bound(config(endpoints=both, budgets={"all": Budget(daily_usd=24, endpoints=("*",))}), SPEND, "all")
    assert (len(found.stopped), found.goes_on) == (1, ("it is critical",))
    assert bound(config(endpoints=both), subject="acme/vital").goes_on == ()


def test_all_at_once_are_no_more_than_the_hour_allows() -> None:
    """At worst it is the dearest that are left."""
    three = {f"acme/{n}": Endpoint(expected_max=1, max_replicas=2, price_usd_per_hour=36.0 * n) for n in (1, 2, 3)}
    limited = config(endpoints=three, safety=structs.replace(SAFETY, max_actions_per_hour=2))
    found = bound(limited, subject=None)
    assert found.goes_on == ("max_actions_per_hour is used up",)
    assert found.usd() == pytest.approx(sum(bound(limited, subject=f"acme/{n}").usd() or 0 for n in (1, 2)))


@pytest.mark.parametrize(
    "endpoint",
    [
        Endpoint(expected_max=3, max_replicas=12),
        Endpoint(expected_max=3, max_replicas=3, price_usd_per_hour=1.0),
        Endpoint(expected_max=3, max_replicas=12, price_usd_per_hour=0.0),
    ],
)
def test_what_costs_nothing_or_cannot_grow_is_not_listed(endpoint: Endpoint) -> None:
    """No price, none to pay, or a quota at what is expected."""
    assert bounds(config(endpoints={LLAMA: endpoint}), WINDOW_S) == []


class Watch:
    """Everything from the collector's poll to the executor's last request, over the double, in virtual time.

    Polls, the way of an event, of a command and of each request take what chance says, within what is assumed.
    """

    def __init__(self, of: Config, at: Account, rng: Random) -> None:
        self._of, self._at, self._rng = of, at, rng
        self._detect, self._act = ScalingFold(of, 0, scaling_rules()), ActionFold(of)
        self._poll_s = at.clock() + rng.uniform(0, of.safety.poll_interval)
        self._polls = 0
        self._before: dict[str, Any] = {}
        self.obeyed: list[Command] = []
        at.double.arrives = lambda: self._pass(HF.timeout)

    async def until(self, action: Action) -> None:
        """The next command that does this has been carried out."""
        begun = len(self.obeyed)
        while all(command.action is not action for command in self.obeyed[begun:]):
            assert self._polls < 100
            self._at.clock.now_s = max(self._at.clock.now_s, self._poll_s)
            self._poll_s += self._of.safety.poll_interval
            for command in self._decide():
                await self._obey(command)

    def _decide(self) -> list[Command]:
        now_s, llama = self._at.clock(), self._at.double[LLAMA]
        event, at_us = Scaling(LLAMA, now_s, llama.ready(now_s), llama.target), np.array([round(now_s * US)])
        self._pass(self._of.input.lateness)
        logged_us = round(self._at.clock() * US)
        self._polls += 1
        findings = [f for f in self._detect.apply([event], at_us, [self._polls]) if isinstance(f, Finding)]
        self._pass(HOP_S)
        outputs = [output for finding in findings for output in self._act.apply(finding, logged_us)]
        return [output for output in outputs if isinstance(output, Command) and output.held is None]

    async def _obey(self, command: Command) -> None:
        self._pass(HOP_S)
        executor = self._at.executor
        if command.action is Action.RESTORE:
            undone = self.obeyed[-1]
            await self._at.settle(lambda: executor.undo(undone, self._before))
        else:
            self._may_be_updated_by_hand()
            plan = await executor.plan(command)
            assert isinstance(plan, Plan)
            self._before = dict(plan.before)
            await self._at.settle(lambda: executor.apply(command, self._before))
        self.obeyed.append(command)

    def _may_be_updated_by_hand(self) -> None:
        if self._rng.random() < 0.5:
            self._at.double[LLAMA].update({}, self._at.clock())

    def _pass(self, most_s: float) -> None:
        self._at.clock.now_s += self._rng.uniform(0, most_s)


async def billed_share(seed: int, *, in_cooldown: bool) -> float:
    """What a breach at a random moment cost, as a share of what was said it could."""
    rng = Random(seed)  # noqa: S311 -- chance, not secrecy
    most = rng.randint(4, 12)
    of = config(endpoints={LLAMA: Endpoint(expected_max=3, max_replicas=most, price_usd_per_hour=36.0)})
    how = Conditions(start_s=rng.uniform(0, 120), update_s=rng.uniform(0, HF.settle_within))
    llama = Hosted(LLAMA, 36.0, most=most, wanted=3, conditions=how)
    async with asyncio.timeout(30), account(llama, timeout=Seconds(5)) as at:
        watch = Watch(of, at, rng)
        if in_cooldown:
            llama.want(most, at.clock())
            await watch.until(Action.THROTTLE)
            llama.want(3, at.clock())
            await watch.until(Action.RESTORE)
            at.clock.now_s += how.update_s
        breach_s = at.clock() + rng.uniform(0, 30)
        at.clock.now_s = breach_s
        llama.want(most, breach_s)
        await watch.until(Action.THROTTLE)
        at.clock.now_s += how.update_s
        assert llama.ready(at.clock()) <= 3
        worst = bound(of).usd(in_cooldown=in_cooldown)
        assert worst is not None
        return llama.bill_usd(at.clock(), started_from_s=breach_s) / worst


@pytest.mark.parametrize("in_cooldown", [False, True])
def test_the_bill_of_a_breach_never_exceeds_what_was_said_and_comes_near_it(*, in_cooldown: bool) -> None:
    """Poll, detect, decide, carry out, at random moments and paces: the double bills no more, and not far less."""
    shares = [asyncio.run(billed_share(seed, in_cooldown=in_cooldown)) for seed in range(25)]
    assert 0.3 < max(shares) <= 1
