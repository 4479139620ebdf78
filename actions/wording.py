"""The sentences that a person reads at three in the morning: what is wrong, what was done, with units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from actions.evidence import number
from schemas.outputs import Action, Command, Finding, Held
from schemas.topics import EXTERNAL

LONGEST: Final = 1024  # characters of an alert's summary
RENEWED: Final = "renewed: "  # how the reason of a renewal begins
CENTS: Final = 0.1  # US dollars, from which on cents are exact enough

HELD_BECAUSE: Final[Mapping[Held, str]] = {
    Held.KILL_SWITCH: "the kill switch is on",
    Held.EVIDENCE_TOO_OLD: "the evidence is too old to act on",
    Held.PROTECTED: "the endpoint is protected",
    Held.REFUSED: "an operator said no to it in this episode",
    Held.TELEMETRY_GAP: "its source is silent, and nobody knows how it is now",
    Held.NO_PROVIDER: "no provider is configured for it",
    Held.ALREADY_IN_FORCE: "the same or a stronger brake is in force",
    Held.COOLDOWN: "it was commanded a moment ago",
    Held.MAX_ACTIONS_PER_HOUR: "this hour's number of actions is used up",
    Held.MAX_ACTIONS_PER_ENDPOINT: "this endpoint has had its actions of this hour",
    Held.BLAST_RADIUS: "too large a share of the endpoints or replicas would be down",
    Held.SHADOW: "mode is shadow",
    Held.AWAITING_APPROVAL: "it waits for approval",
}


def figure(value: float) -> str:
    """At most two decimals, and none that are zero: `1,234.5`."""
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def percent(share: float) -> str:
    """`5.2 %`, from 0.052."""
    return f"{figure(100 * share)} %"


def seconds(value: float) -> str:
    """`870 ms` below a second, `1.25 s` from there on."""
    return f"{figure(1000 * value)} ms" if value < 1 else f"{figure(value)} s"


def usd(value: float) -> str:
    """`$1,234.50`."""
    return f"${value:,.2f}"


def lasting(seconds: float) -> str:
    """Its two largest units: `2 d 3 h`, `12 min`.

    >>> lasting(93_600), lasting(725.5), lasting(3)
    ('1 d 2 h', '12 min 5 s', '3 s')
    """
    left, parts = int(seconds), list[str]()
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, left = divmod(left, size)
        parts += [f"{amount} {unit}"] if amount else []
    return " ".join(parts[:2]) or "0 s"


def small_usd(value: float) -> str:
    """As `usd`, with enough decimals to tell small amounts apart: `$0.00042`."""
    return usd(value) if value >= CENTS else f"${value:.6f}".rstrip("0").rstrip(".")


def clock(timestamp: str) -> str:
    """`2026-11-22 19:41:06 UTC`, from a timestamp of the wire."""
    return f"{timestamp[:19].replace('T', ' ')} UTC"


def what_is_wrong(finding: Finding) -> str:
    """One sentence, no full stop: `request_surge on acme/bert: 45 req/s, limit 25 req/s, normal 5 req/s`."""
    return SENTENCES.get(finding.rule, _measured)(finding)


def what_to_do(action: Action, endpoint: str, parameters: Mapping[str, Any]) -> str:
    """`throttle acme/bert to at most 12.5 requests per second`."""
    match action:
        case Action.THROTTLE:
            limits = [_limit(name, value) for name, value in parameters.items()]
            return f"throttle {endpoint} to at most {' and '.join(limits)}"
        case Action.OVERFLOW:
            cap = parameters.get("max_replicas")
            here = "" if cap is None else f", at most {_limit('max_replicas', cap)} here"
            return f"overflow {endpoint} to {parameters.get('provider', 'another provider')}{here}"
        case Action.SHUTDOWN:
            return f"shut down {endpoint}"
        case Action.RESTORE:
            return f"restore {endpoint}"


def what_was_done(command: Command) -> str:
    """What became of a command; one that is held says why, a shadow one that nothing happened."""
    deed = what_to_do(command.action, command.endpoint, command.parameters)
    saving = command.cost.saves_usd_per_hour
    worth = "" if saving is None else f", saving {usd(saving)} per hour"
    if command.held is None:
        return f"{'Renewed' if is_renewal(command) else 'Command sent'}: {deed}{worth}"
    if command.held is Held.SHADOW:
        return f"Nothing was done (mode shadow); auto would {deed}{worth}"
    if command.held is Held.AWAITING_APPROVAL:
        return f"Waiting for approval of {command.id[:8]}: {deed}{worth}"
    return f"Not done, because {HELD_BECAUSE[command.held]}: {deed}{worth}"


def is_renewal(command: Command) -> bool:
    """Whether it only goes on with what was commanded before."""
    return command.reason.startswith(RENEWED)


def in_name_only(command: Command) -> str:
    """What to add where nothing happened."""
    return "" if command.held is None else f" (mode {command.mode.value})"


def short(*sentences: str) -> str:
    """Sentences as one text that fits into an alert."""
    text = ". ".join(sentence for sentence in sentences if sentence) + "."
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."


def _limit(name: str, value: float) -> str:
    if name == "max_requests_per_second":
        return f"{figure(value)} requests per second"
    if name == "max_replicas":
        return _replicas(value)
    return f"{name} {value}"


def _measured(finding: Finding) -> str:
    normal = "" if finding.baseline is None else f", normal {figure(finding.baseline)} {finding.unit}"
    return (
        f"{finding.rule} on {finding.subject}: {figure(finding.value)} {finding.unit}, "
        f"limit {figure(finding.threshold)} {finding.unit}{normal}"
    )


def _hourly_spend(finding: Finding) -> str:
    rate = number(finding.evidence, "rate_usd_per_hour")
    now = "" if rate is None else f"; it now costs {usd(rate)} per hour"
    end = finding.evidence.get("runs_out_at")
    until = f", which will have spent the allowance at {clock(end)}" if now and isinstance(end, str) else ""
    return (
        f"hourly_spend on {finding.subject}: {usd(finding.value)} spent in the last 60 minutes, "
        f"the allowance is {usd(finding.threshold)} per hour{now}{until}"
    )


def _telemetry_gap(finding: Finding) -> str:
    if finding.endpoint is None:
        told = finding.evidence.get("reasons")
        reasons = [_missing(reason) for reason in told if isinstance(reason, Mapping)] if isinstance(told, list) else []
        return f"telemetry_gap on {finding.subject}: {'; '.join(reasons) or 'what was missing has come'}"
    replicas, rate = (number(finding.evidence, name) for name in ("replicas", "usd_per_hour"))
    missed = number(finding.evidence, "expected_requests")
    up = "" if replicas is None else f" with {figure(replicas)} replica{'' if replicas == 1 else 's'} up"
    cost = f" at {usd(rate)} per hour" if rate else ""
    relied = f"; {figure(missed)} could be relied on meanwhile" if missed else ""
    return f"{finding.subject}: no request for {lasting(finding.value)}{up}{cost}{relied}"


def _missing(reason: Mapping[str, Any]) -> str:
    """What a budget should hear of, and does not."""
    age = lasting(number(reason, "age_s") or 0.0)
    allowed = f"allowed are {lasting(number(reason, 'allowed_s') or 0.0)}"
    match reason.get("what"):
        case "requests":
            missed = figure(number(reason, "expected_requests") or 0.0)
            return f"no request of any endpoint for {age}; {missed} could be relied on meanwhile"
        case "scaling":
            return f"no report of replicas for {age}, {allowed}"
        case "bills":
            return f"the newest bill ends {age} ago, {allowed}"
        case _:
            some = figure(number(reason, "endpoints_total") or 0.0)
            return f"the oldest price is from {age} ago, {allowed}; of {some} endpoints they are too old"


def _cold_starts(finding: Finding) -> str:
    told = f"cold_starts on {finding.subject}: {figure(finding.value)} cold starts{_window(finding)}"
    each, daily = (number(finding.evidence, name) for name in ("usd_each", "usd_per_day"))
    worth = "" if each is None else f", {usd(each)} each to load the model"
    pace = "" if daily is None else f"; at this pace {usd(daily)} per day"
    return f"{told}, limit {figure(finding.threshold)}{worth}{pace}"


def _scale_thrash(finding: Finding) -> str:
    told = finding.evidence
    changes, low, high = (number(told, name) for name in ("changes", "replicas_low", "replicas_high"))
    warm = number(told, "warm_usd_per_day")
    cheap, dear = (number(told, f"usd_per_day_{end}") for end in ("low", "high"))
    swing = "" if low is None or high is None else f", between {figure(low)} and {figure(high)}"
    often = "" if changes is None else f"{figure(changes)} time{'' if changes == 1 else 's'}"
    turns = f"replicas changed direction {often}{_window(finding)}{swing}: " if often else ""
    pace = f"a pace of {figure(finding.value)} a day, limit {figure(finding.threshold)}"
    worth = "" if cheap is None or dear is None else f"; that costs {_from_to(cheap, dear)} per day"
    instead = " instead" if warm is not None and cheap is not None and warm < cheap else ""
    kept = "" if warm is None else f"; one replica kept warm costs {usd(warm)} per day{instead}"
    return f"scale_thrash on {finding.subject}: {turns}{pace}{worth}{kept}"


def _low_utilization(finding: Finding) -> str:
    told = finding.evidence
    wasted, saves = (number(told, name) for name in ("wasted_usd_per_hour", "saves_usd_per_day"))
    ready = number(told, "ready_replicas")
    of = "" if ready is None else f" of {_replicas(ready)}"
    mean = f"{figure(100 * finding.value)} % mean utilization{of}{_window(finding)}"
    worth = "" if wasted is None else f"; {usd(wasted)} per hour wasted"
    advice = told.get("advice")
    saving = "" if saves is None else f", saving {usd(saves)} per day"
    advised = f"; advice: {advice}{saving}" if isinstance(advice, str) else ""
    limit = figure(100 * finding.threshold)
    return f"low_utilization on {finding.subject}: {mean}, limit {limit} %{worth}{advised}"


def _window(finding: Finding) -> str:
    seconds = number(finding.evidence, "window_s")
    return "" if seconds is None else f" in the last {figure(seconds / 60)} minutes"


def _replicas(count: float) -> str:
    return f"{figure(count)} replica{'' if count == 1 else 's'}"


def _from_to(low: float, high: float) -> str:
    return usd(low) if low == high else f"{usd(low)} to {usd(high)}"


def _cost_spike(finding: Finding) -> str:
    who = f"cost_spike on {finding.subject}: it" if finding.endpoint is None else finding.subject
    normal = "" if finding.baseline is None else f", normal is {usd(finding.baseline)}"
    return (
        f"{who} costs {usd(finding.value)} per hour (the last 10 minutes){normal}, "
        f"the limit is {usd(finding.threshold)} per hour"
    )


def _cost_per_request(finding: Finding) -> str:
    now, usual = (number(finding.evidence, name) for name in ("usd_per_1000_requests", "usual_usd_per_1000_requests"))
    since = finding.evidence.get("since")
    when = f" since {clock(since)}" if isinstance(since, str) else ""
    costs = "" if now is None else f"; 1,000 of them cost {small_usd(now)} in the last hour"
    instead = f" instead of {small_usd(usual)}" if costs and usual is not None else ""
    hourly = number(finding.evidence, "usd_per_hour")
    rate = "" if hourly is None else f", {usd(hourly)} per hour in all"
    if finding.evidence.get("accepted") is True:
        return f"{finding.subject}: requests go on costing more, which is usual from now on{costs}{rate}"
    return f"{finding.subject}: requests cost {figure(finding.value)} % more than usual{when}{costs}{instead}{rate}"


def _regional_cost(finding: Finding) -> str:
    told = finding.evidence
    saving, dear, cheap = (number(told, name) for name in ("saving_usd_per_day", "usd", "cheaper_usd"))
    if saving is None or dear is None or cheap is None:
        return f"{finding.subject}: no region is cheaper any more"
    model, unit, here, there = (told.get(name) for name in ("model", "per", "region", "cheaper_region"))
    return (
        f"{finding.subject}: {model} costs {small_usd(dear)} per {unit} in {here}, {figure(finding.value)} % more than "
        f"{small_usd(cheap)} in {there}; moving it would save {usd(saving)} per day"
    )


def _queue_depth(finding: Finding) -> str:
    deepest, for_s = (number(finding.evidence, name) for name in ("deepest", "for_s"))
    if deepest is None or for_s is None:
        return _measured(finding)
    return (
        f"queue_depth on {finding.subject}: never fewer than {figure(finding.value)} requests waiting in the last "
        f"{seconds(for_s)}, limit {figure(finding.threshold)}, deepest {figure(deepest)}"
    )


def _latency(finding: Finding) -> str:
    quantile, requests, slow, window_s = (
        number(finding.evidence, name) for name in ("quantile", "requests", "slow", "window_s")
    )
    if quantile is None or requests is None or slow is None or window_s is None:
        return _measured(finding)
    most = "at most " if finding.evidence.get("is_at_most") is True else ""
    return (
        f"latency on {finding.subject}: p{figure(100 * quantile)} {most}{seconds(finding.value)} over the last "
        f"{seconds(window_s)}, limit {seconds(finding.threshold)}; "
        f"{figure(slow)} of {figure(requests)} requests took longer than that"
    )


def _error_rate(finding: Finding) -> str:
    errors, requests, window_s = (number(finding.evidence, name) for name in ("errors", "requests", "window_s"))
    if errors is None or requests is None or window_s is None:
        return _measured(finding)
    return (
        f"error_rate on {finding.subject}: {percent(finding.value)} of the requests failed, {figure(errors)} of "
        f"{figure(requests)} in the last {seconds(window_s)}, limit {percent(finding.threshold)}"
    )


def _daily_spend(finding: Finding) -> str:
    daily, rate = number(finding.evidence, "daily_usd"), number(finding.evidence, "rate_usd_per_hour")
    share = f", {figure(100 * finding.value / daily)} % of {usd(daily)} a day" if daily else ""
    now = "" if rate is None else f"; {_pace(finding, usd(rate))}"
    return f"daily_spend on {finding.subject}: {usd(finding.value)} spent since midnight{share}{now}"


def _pace(finding: Finding, rate: str) -> str:
    """What it costs now, and the nearest step that will be reached today."""
    told = finding.evidence.get("next_steps")
    steps = told.items() if isinstance(told, Mapping) else ()
    reached = min(((at, step) for step, at in steps if isinstance(at, str)), default=None)
    if reached is None:
        return f"it now costs {rate} per hour"
    return f"at {rate} per hour it will be {reached[1]} at {clock(reached[0])}"


def _external(finding: Finding) -> str:
    """In the words of whoever wrote that rule; what it is about may not be in them."""
    told = finding.evidence
    name, notes = told.get("alertname"), told.get("annotations")
    words = [notes.get(key) for key in ("summary", "description", "message")] if isinstance(notes, Mapping) else []
    said = next((word for word in words if isinstance(word, str) and word), "it fires")
    where = "" if finding.endpoint is None else f" on {finding.endpoint}"
    return f"{name}{where}: {said}".rstrip(".")[:LONGEST]


SENTENCES: Final[Mapping[str, Callable[[Finding], str]]] = {
    "cold_starts": _cold_starts,
    "cost_per_request": _cost_per_request,
    "cost_spike": _cost_spike,
    "daily_spend": _daily_spend,
    "error_rate": _error_rate,
    EXTERNAL: _external,
    "hourly_spend": _hourly_spend,
    "latency": _latency,
    "low_utilization": _low_utilization,
    "queue_depth": _queue_depth,
    "regional_cost": _regional_cost,
    "scale_thrash": _scale_thrash,
    "telemetry_gap": _telemetry_gap,
}
