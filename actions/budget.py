"""A budget that is overspent: which of its endpoints to brake, and how far, to get back below the allowance.

The dearest endpoint that is not critical goes first. It is capped to the replicas that are needed to bring
the budget's rate down to `resolve_below` of the allowance, but to no fewer than one; what remains is asked
of the next. What brakes already in force will save is taken off first, since the evidence may be older than
their effect.

A rule may mark the endpoints that are expensive for the budget. The rungs above a throttle are then for these, but for
these whatever the rate is now: it is money spent that led there. An endpoint for which a rung is out of reach (not
expensive, nobody cheaper to overflow to, too much down already) is asked for the next lower one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Final

from msgspec import structs

from actions import evidence, policy, proposals
from actions.brakes import MAX_REPLICAS, RUNGS, Brake, Claim
from actions.evidence import Spender
from schemas.config import Config, RuleSettings
from schemas.outputs import Action, Cost, Finding

DUST: Final = 1e-9  # USD per hour: what float sums may be off by


def excess(finding: Finding, config: Config, braking: Callable[[str], Sequence[Brake]]) -> float:
    """By how many USD per hour the budget will be above its goal once all in force has its effect."""
    spenders = evidence.spenders(finding)
    rate = evidence.number(finding.evidence, "rate_usd_per_hour")
    if rate is None:
        rate = sum(spender.usd_per_hour for spender in spenders)
    goal = _resolve_below(finding, config) * _told(finding, "allowance_usd_per_hour")
    return rate - goal - sum(relief(spender, braking(spender.endpoint)) for spender in spenders)


def propose(
    finding: Finding, spender: Spender, config: Config, over: float, below: Action | None = None
) -> Claim | None:
    """What to ask of an endpoint, as it stands under brakes, when the budget is `over` by USD per hour.

    With `below`: what else, if that rung is out of its reach.
    """
    if config.endpoint(spender.endpoint).critical or spender.usd_per_hour <= 0:
        return None
    for action in policy.descend(config, finding.rule, finding.severity, spender.endpoint):
        if below is not None and RUNGS[action] >= RUNGS[below]:
            continue
        claim = _ask(finding, spender, config, (action, over))
        if claim is not None:
            return claim
    return None


def _ask(finding: Finding, spender: Spender, config: Config, asked: tuple[Action, float]) -> Claim | None:
    action, over = asked
    if action is Action.THROTTLE:
        return _throttle(finding, spender, over, config.safety.min_replicas)
    is_meant = spender.expensive is not False or policy.is_own(config, finding.rule, spender.endpoint)
    if not is_meant or (over <= DUST and spender.expensive is not True):
        return None
    if action is Action.OVERFLOW:
        return _overflow(finding, spender, config)
    return _claim(finding, spender, (action, {}), spender.usd_per_hour)


def relief(spender: Spender, brakes: Sequence[Brake]) -> float:
    """What brakes in force take off the endpoint's present rate."""
    return max((_relief(spender, brake) for brake in brakes), default=0.0)


def under(spender: Spender, brakes: Sequence[Brake]) -> Spender:
    """The endpoint as it will be once its brakes have their effect."""
    caps = [brake.command.parameters.get(MAX_REPLICAS, spender.replicas) for brake in brakes]
    down = any(brake.command.action is Action.SHUTDOWN for brake in brakes)
    return spender._replace(replicas=0 if down else min([spender.replicas, *caps]))


def _relief(spender: Spender, brake: Brake) -> float:
    left = under(spender, [brake]).usd_per_hour
    if brake.command.action is Action.OVERFLOW:
        left -= min(brake.command.cost.saves_usd_per_hour or 0.0, left)
    return spender.usd_per_hour - left


def _throttle(finding: Finding, spender: Spender, over: float, at_least: int) -> Claim | None:
    cap = max(at_least, spender.replicas - ceil(over / spender.price_usd_per_hour - DUST))
    if cap >= spender.replicas:
        return None
    saves = (spender.replicas - cap) * spender.price_usd_per_hour
    return _claim(finding, spender, (Action.THROTTLE, {MAX_REPLICAS: cap}), saves)


def _overflow(finding: Finding, spender: Spender, config: Config) -> Claim | None:
    """What the replicas that it has cannot serve goes elsewhere: it must not grow again while the budget is spent.

    None where the cheapest provider saves nothing. Where there is none at all, safety holds the claim.
    """
    provider = proposals.overflow_to(spender.endpoint, config)
    cheaper = 0.0 if provider is None else spender.price_usd_per_hour - provider.price_usd_per_hour
    if provider is not None and cheaper <= 0:
        return None
    cap = {} if provider is None else {MAX_REPLICAS: spender.replicas}
    demand = (Action.OVERFLOW, {**proposals.overflow_parameters(provider), **cap})
    return _claim(finding, spender, demand, cheaper * spender.replicas)


def _claim(finding: Finding, spender: Spender, demand: tuple[Action, proposals.Parameters], saves: float) -> Claim:
    rate = evidence.number(finding.evidence, "rate_usd_per_hour")
    cost = Cost(
        spend_usd=proposals.usd(finding.value),
        budget_usd=proposals.usd(_told(finding, "daily_usd")),
        rate_usd_per_hour=None if rate is None else proposals.usd(rate),
        saves_usd_per_hour=proposals.usd(saves),
    )
    claim = proposals.claim(finding, spender.endpoint, demand, cost)
    return structs.replace(claim, before={"ready_replicas": spender.replicas})


def _told(finding: Finding, name: str) -> float:
    """An amount of the evidence; a rule that tells none has it as its threshold."""
    amount = evidence.number(finding.evidence, name)
    return finding.threshold if amount is None else amount


def _resolve_below(finding: Finding, config: Config) -> float:
    """The rule's own goal, also for a budget that has left the configuration since the finding was made."""
    budget = config.budgets.get(finding.subject)
    own = {} if budget is None else budget.rules
    return (own.get(finding.rule) or config.rules.get(finding.rule) or RuleSettings()).resolve_below
