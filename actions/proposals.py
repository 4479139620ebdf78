"""From a finding about one endpoint to a claim: parameters, worth, and the state to come back to.

Evidence that does not say how far to throttle leads to no claim: a limit that was made up would be worse
than none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from actions import evidence, policy
from actions.brakes import MAX_REPLICAS, Claim
from actions.wording import what_is_wrong
from schemas.config import Config, Provider, matches
from schemas.outputs import Action, Cost, Finding
from schemas.topics import EXTERNAL

Parameters = dict[str, Any]


def propose(finding: Finding, config: Config) -> Claim | None:
    """What should be done about a finding of one endpoint; None: nothing, or nobody knows how far."""
    if finding.endpoint is None:
        return None
    action = policy.answer(config, finding, finding.endpoint)
    parameters = None if action is None else _parameters(finding, action, config)
    if action is None or parameters is None:
        return None
    if MAX_REPLICAS in parameters:
        parameters[MAX_REPLICAS] = max(parameters[MAX_REPLICAS], config.safety.min_replicas)
    cost = _cost(finding, action, parameters, config.endpoint(finding.endpoint).price_usd_per_hour)
    return claim(finding, finding.endpoint, (action, parameters), cost)


def claim(finding: Finding, endpoint: str, demand: tuple[Action, Parameters], cost: Cost) -> Claim:
    """A claim of the finding's episode on the endpoint."""
    action, parameters = demand
    return Claim(
        episode=finding.episode,
        rule=finding.rule,
        subject=finding.subject,
        finding_id=finding.id,
        severity=finding.severity,
        endpoint=endpoint,
        action=action,
        parameters=parameters,
        before=evidence.before(finding),
        cost=cost,
        reason=what_is_wrong(finding),
    )


def overflow_to(endpoint: str, config: Config) -> Provider | None:
    """The cheapest provider that takes the endpoint; equally cheap ones by name."""
    fitting = [provider for provider in config.overflow.providers if matches(endpoint, provider.endpoints)]
    return min(fitting, key=lambda provider: (provider.price_usd_per_hour, provider.name), default=None)


def overflow_parameters(provider: Provider | None) -> Parameters:
    """Empty without a provider: safety holds such a claim, so that somebody hears of it."""
    if provider is None:
        return {}
    return {"provider": provider.name, "price_usd_per_hour": provider.price_usd_per_hour}


def usd(amount: float) -> float:
    """Dollars with at most nine decimals, as money is written (contract section 5)."""
    return round(amount, 9)


def _parameters(finding: Finding, action: Action, config: Config) -> Parameters | None:
    if action is Action.THROTTLE:
        return THROTTLES.get(finding.rule, _throttle)(finding)
    if action is Action.OVERFLOW:
        return overflow_parameters(overflow_to(finding.endpoint or "", config))
    return {}


def _throttle(finding: Finding) -> Parameters | None:
    """What any rule's evidence may offer: the upper end of normal, else no growth beyond what is ready."""
    high = evidence.number(finding.evidence, "high_rps")
    if high is None:
        ready = evidence.number(evidence.before(finding), "ready_replicas")
        return None if ready is None else {"max_replicas": max(1, int(ready))}
    lowest = evidence.number(finding.evidence, "min_rps")
    return {"max_requests_per_second": max(high, lowest or 0)}


def _throttle_runaway(finding: Finding) -> Parameters | None:
    """The expected maximum.

    Nothing to cap when the replicas are within it again, or no maximum is set any more.
    """
    return {"max_replicas": max(1, int(finding.threshold))} if finding.value > finding.threshold else None


def _throttle_spike(finding: Finding) -> Parameters | None:
    """As many replicas as the upper end of normal pays for; none if it is not the replicas that cost so much."""
    high = evidence.number(finding.evidence, "high_usd_per_hour")
    price = evidence.number(finding.evidence, "price_usd_per_hour")
    replicas = evidence.number(finding.evidence, "replicas")
    if high is None or replicas is None or not price:
        return None
    most = max(1, int(high / price))
    return {"max_replicas": most} if most < replicas else None


def _throttle_thrash(finding: Finding) -> Parameters | None:
    """The lower end of the swing.

    A cap ends no swing between one replica and none.
    """
    low = evidence.number(finding.evidence, "replicas_low")
    return None if low is None or low < 1 else {"max_replicas": int(low)}


def _throttle_external(finding: Finding) -> Parameters | None:
    """What the configuration says of an alert of that name, which only it can know."""
    replicas = evidence.number(finding.evidence, "max_replicas")
    limit = evidence.number(finding.evidence, "max_requests_per_second")
    cap = {} if replicas is None else {"max_replicas": max(1, int(replicas))}
    return {**cap, **({} if limit is None else {"max_requests_per_second": limit})} or None


def _throttle_unknown(finding: Finding) -> None:
    """No claim: nobody knows how far, and a cap on its replicas would keep an endpoint slow, or its requests dear."""


UNLIMITED: Final = ("cost_per_request", "error_rate", "latency", "queue_depth")  # rules that do not know how far
THROTTLES: Final[Mapping[str, Callable[[Finding], Parameters | None]]] = {
    "cost_spike": _throttle_spike,
    EXTERNAL: _throttle_external,
    "runaway_replicas": _throttle_runaway,
    "scale_thrash": _throttle_thrash,
    **dict.fromkeys(UNLIMITED, _throttle_unknown),
}


def _cost(finding: Finding, action: Action, parameters: Parameters, price: float | None) -> Cost:
    replicas = _replicas(finding)
    if price is None or replicas is None:
        return Cost()
    left = {Action.SHUTDOWN: 0, Action.THROTTLE: parameters.get("max_replicas")}.get(action)
    saves = None if left is None else usd(max(0, replicas - left) * price)
    return Cost(rate_usd_per_hour=usd(replicas * price), saves_usd_per_hour=saves)


def _replicas(finding: Finding) -> float | None:
    if finding.rule == "runaway_replicas":
        return finding.value
    return evidence.number(evidence.before(finding), "ready_replicas")
