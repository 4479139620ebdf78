"""How much can be spent between a breach and its end: the worst case of a configuration, which `tidegate check` prints.

    usd = replicas x price x (observe + decide + approve + execute + settle + 1 minute)

*replicas*  of `runaway_replicas` and `request_surge` those beyond `expected_max`, up to the endpoint's `max_replicas`:
            the most that the provider's quota or its autoscaler allows. Where that is not known, as many again are
            assumed, which is where `runaway_replicas` becomes critical. Of `hourly_spend` all of an endpoint's: beyond
            the allowance every dollar is one too many
*observe*   from the breach to the event that tells of it: `safety.poll_interval`; of `hourly_spend` twice that, since
            the ledger hears of a new replica one poll late, and of the time that has passed with the next one; of
            `request_surge` its `window`, by whose end it holds nothing but the surge
*decide*    until there is a command. These rules decide at the event itself, which may come `input.lateness` late
*approve*   `within`, if the command waits for an approval
*execute*   until the provider says yes, while its API is healthy: three requests (read and plan, read again, write)
            that take `timeout` at most; five in Kubernetes, seven at a LiteLLM proxy whose model has one deployment,
            since more is read than is written. At Hugging Face an update may be under way that must be waited for:
            `settle_within`, `poll_every` until it is seen to be over, and the last two requests once more
*settle*    until the replicas are gone: the executor's `settle_within`, which is an assumption about the provider
*1 minute*  is the one that billing rounds up to

What no formula can bound is said in its place: nobody stops what is in mode shadow, protected, or has no executor, nor
more endpoints in an hour than `max_actions_per_hour`. An approval that nobody gives and an API that is down are no part
of it; a breach that falls into the endpoint's cooldown is, as a number of its own. A surge that is answered with a
limit of requests stops growing after that time; what replicas are there by then, `runaway_replicas` takes away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from actions import policy
from schemas.config import Config
from schemas.executors import AnyExecutor, DryRun, HuggingFace, Kubernetes, LiteLLM
from schemas.outputs import Action, Mode, Severity

Rule = Literal["runaway_replicas", "request_surge", "hourly_spend"]
RUNAWAY: Final[Rule] = "runaway_replicas"
SURGE: Final[Rule] = "request_surge"
SPEND: Final[Rule] = "hourly_spend"

SEVERITIES: Final = {RUNAWAY: Severity.ERROR, SURGE: Severity.ERROR, SPEND: Severity.CRITICAL}  # at a breach
ASSUMED: Final = 2  # times `expected_max`, where nobody says how many there can be
USED_UP: Final = "max_actions_per_hour is used up"
HOP_S: Final = 1.0  # through Kafka and a process: from an event to its command, and from there to the first request
REQUESTS: Final = 3
REQUESTS_OF: Final[Mapping[type[AnyExecutor], int]] = {Kubernetes: 5, LiteLLM: 7}
AGAIN: Final = 2  # of them, after an update that was waited for
UPDATE_S: Final = 60.0  # an open episode asks again so often
MINUTE_S: Final = 60.0
HOUR_S: Final = 3600.0


class Wait(NamedTuple):
    """What passes until it stops, in seconds; `cooldown_s` only for a breach that falls into one."""

    observe_s: float
    decide_s: float
    approve_s: float
    execute_s: float
    settle_s: float
    cooldown_s: float

    @property
    def seconds(self) -> float:
        return self.observe_s + self.decide_s + self.approve_s + self.execute_s + self.settle_s


class Case(NamedTuple):
    """One endpoint under one rule. `wait`: why nobody stops it, if nobody does."""

    rule: Rule
    endpoint: str
    replicas: int
    is_assumed: bool  # the number of replicas
    price_usd_per_hour: float
    wait: Wait | str
    needs_approval: bool  # without which it is not stopped: a command that nobody answers is rejected

    @property
    def usd_per_hour(self) -> float:
        return self.replicas * self.price_usd_per_hour

    def usd(self, *, in_cooldown: bool = False) -> float | None:
        """The worst case; None: there is none, it goes on."""
        if isinstance(self.wait, str):
            return None
        billed_s = self.wait.seconds + MINUTE_S + (self.wait.cooldown_s if in_cooldown else 0.0)
        return self.usd_per_hour * billed_s / HOUR_S


class Bound(NamedTuple):
    """The worst case of one subject: an endpoint, a budget, or (None) all that a rule looks after, all at once."""

    rule: Rule
    subject: str | None
    cases: tuple[Case, ...]

    @property
    def stopped(self) -> tuple[Case, ...]:
        return tuple(case for case in self.cases if isinstance(case.wait, Wait))

    @property
    def goes_on(self) -> tuple[str, ...]:
        """Why some of it, or all, is not stopped."""
        return tuple(sorted({case.wait for case in self.cases if isinstance(case.wait, str)}))

    @property
    def seconds(self) -> float | None:
        """Until the last of it has stopped."""
        return max((case.wait.seconds for case in self.stopped if isinstance(case.wait, Wait)), default=None)

    def usd(self, *, in_cooldown: bool = False) -> float | None:
        """Of what is stopped; None: nothing is."""
        return sum(case.usd(in_cooldown=in_cooldown) or 0.0 for case in self.stopped) if self.stopped else None


def bounds(config: Config, window_s: float) -> list[Bound]:
    """Of each endpoint with a price, of each rule over them in total, and of each budget.

    `window_s` is that of `request_surge`. An endpoint that can have no more than is expected has none.
    """
    reckoning = _Reckoning(config, window_s)
    found: list[Bound] = []
    for rule in (RUNAWAY, SURGE):
        cases = reckoning.cases(rule, config.endpoints)
        found += [Bound(rule, case.endpoint, (case,)) for case in cases]
        found += [Bound(rule, None, reckoning.at_once(cases))] if len(cases) > 1 else []
    for name, budget in config.budgets.items():
        if config.rule(SPEND, budget=name).enabled:
            cases = reckoning.cases(SPEND, filter(budget.covers, config.endpoints))
            found += [Bound(SPEND, name, reckoning.at_once(cases))] if cases else []
    return found


class _Reckoning:
    def __init__(self, config: Config, window_s: float) -> None:
        self._config, self._window_s = config, window_s

    def cases(self, rule: Rule, endpoints: Iterable[str]) -> tuple[Case, ...]:
        found = (self._case(rule, endpoint) for endpoint in endpoints)
        return tuple(case for case in found if case is not None)

    def at_once(self, cases: tuple[Case, ...]) -> tuple[Case, ...]:
        """What can be stopped in one hour; those beyond are the dearest, at worst."""
        most = self._config.safety.max_actions_per_hour
        dearest_last = sorted(cases, key=lambda case: (not isinstance(case.wait, str), case.usd_per_hour))
        unstopped = sum(isinstance(case.wait, str) for case in cases)
        beyond = dearest_last[unstopped + most :]
        return (*dearest_last[: unstopped + most], *(case._replace(wait=USED_UP) for case in beyond))

    def _case(self, rule: Rule, endpoint: str) -> Case | None:
        """None: it costs nothing, there can be no breach, or nobody looks."""
        known = self._config.endpoint(endpoint)
        expected, price = known.expected_max or 0, known.price_usd_per_hour or 0.0
        most = ASSUMED * expected if known.max_replicas is None else known.max_replicas
        replicas = most if rule == SPEND else most - expected
        is_watched = rule == SPEND or self._config.rule(rule, endpoint).enabled  # a budget's is the budget's affair
        if not (price > 0 and replicas > 0 and is_watched):
            return None
        action = policy.respond(self._config, rule, SEVERITIES[rule], endpoint)
        asks = None if action is None else self._config.approval_of(rule, action, endpoint)
        needs_approval = asks is not None and asks.otherwise == "reject"
        wait = "it only alerts" if action is None else self._wait(rule, endpoint, action)
        return Case(rule, endpoint, replicas, known.max_replicas is None, price, wait, needs_approval)

    def _wait(self, rule: Rule, endpoint: str, action: Action) -> Wait | str:
        config = self._config
        if (why := self._is_held(rule, endpoint)) is not None:
            return why
        executor = config.executors.get(config.executor_for(endpoint, action) or "")
        if executor is None:
            return "no executor takes it"
        if (why := _is_unable(executor, rule, action)) is not None:
            return why
        poll_s, late_s = float(config.safety.poll_interval), float(config.input.lateness)
        asks = config.approval_of(rule, action, endpoint)
        return Wait(
            observe_s={RUNAWAY: poll_s, SURGE: self._window_s, SPEND: 2 * poll_s}[rule],
            decide_s=late_s + HOP_S,
            approve_s=0.0 if asks is None else float(asks.within),
            execute_s=_execute_s(executor),
            settle_s=float(executor.settle_within),
            cooldown_s=config.safety.cooldown + UPDATE_S + late_s + poll_s,
        )

    def _is_held(self, rule: Rule, endpoint: str) -> str | None:
        """Why no command for it is ever carried out."""
        safety = self._config.safety
        reasons = {
            "mode is shadow": self._config.mode_of(endpoint) is Mode.SHADOW,
            "the kill switch is on": safety.kill_switch,
            "it is protected": safety.protects(endpoint),
            "it is critical": rule == SPEND and bool(self._config.endpoint(endpoint).critical),
        }
        return next((why for why, holds in reasons.items() if holds), None)


def _is_unable(executor: AnyExecutor, rule: Rule, action: Action) -> str | None:
    """Why it does not carry out what it takes: a surge is answered with a limit of requests, the rest with a cap."""
    is_throttle = action is Action.THROTTLE
    match executor:
        case DryRun():
            return "the executor is a dry run"
        case LiteLLM() if is_throttle and rule != SURGE:
            return "its executor caps no replicas"
        case Kubernetes() if is_throttle and rule == SURGE:
            return "its executor limits no requests"
        case _:
            return None


def _execute_s(executor: AnyExecutor) -> float:
    if isinstance(executor, HuggingFace):
        waiting_s = executor.settle_within + executor.poll_every
        return HOP_S + (REQUESTS + AGAIN) * executor.timeout + waiting_s
    return HOP_S + REQUESTS_OF.get(type(executor), REQUESTS) * executor.timeout
