"""What was decided about an episode, and which words of the configuration decided it."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final

from msgspec import Struct

from actions import policy as policies
from actions.safety import IN_FORCE_ALL_THE_SAME
from actions.wording import HELD_BECAUSE, what_was_done
from schemas.config import Config
from schemas.outputs import Action, Command, Cost, Finding, Held, Mode
from schemas.topics import EXTERNAL
from streams.explain.settings import Setting, Values, plain
from streams.typed_yaml import KeyPath

ACTIONS_PAGE: Final = "docs/actions.md"
SHIPPED: Final = f"as shipped ({ACTIONS_PAGE})"

_SAFETY: Final[Mapping[Held, str]] = {
    Held.KILL_SWITCH: "kill_switch",
    Held.EVIDENCE_TOO_OLD: "max_evidence_age",
    Held.COOLDOWN: "cooldown",
    Held.MAX_ACTIONS_PER_HOUR: "max_actions_per_hour",
    Held.BLAST_RADIUS: "max_share_down",
}


class Policy(Struct, frozen=True):
    """Which action answers a finding of this severity; None: people are told, and that is all."""

    severity: str
    action: Action | None
    origin: str

    def __str__(self) -> str:
        action = "nothing but an alert" if self.action is None else self.action.value
        return f"at severity {self.severity}: {action}, {self.origin}"


class Ending(Struct, frozen=True):
    """The command that took the place of another one, or took it off."""

    id: str
    action: Action
    at: str
    reason: str


class Ruling(Struct, frozen=True):
    """A command: what it does, what held it and what says so, and what ends it."""

    id: str
    action: Action
    endpoint: str
    sentence: str
    issued_at: str
    mode: Mode
    mode_now: Setting
    held: Held | None
    because: str | None
    decided_by: Setting | None
    cost: Cost
    expires_at: str | None
    expires_after: Setting
    restores: str | None  # the id of the command whose place it takes, or that it takes off
    ended: Ending | None
    policy: Policy | None

    @property
    def held_by_safety(self) -> bool:
        """Whether it was never in force; what its mode holds is followed as if it had been carried out."""
        return self.held not in IN_FORCE_ALL_THE_SAME

    @property
    def in_force(self) -> bool:
        """Whether it was, until something ended it."""
        return not self.held_by_safety and self.action is not Action.RESTORE


def policy_of(finding: Finding, endpoint: str | None, values: Values) -> Policy:
    """What answers the finding on the endpoint; None: on any that has no word of its own, as for a budget."""
    config, rule, severity = values.config, finding.rule, finding.severity
    own = None if endpoint is None else config.endpoint(endpoint).actions.get(rule)
    if endpoint is not None and own is None and rule == EXTERNAL and "action" in finding.evidence:
        mapped: KeyPath = ("external", "alerts", str(finding.evidence.get("alertname")), "action")
        return Policy(severity, policies.answer(config, finding, endpoint), _said(values, mapped))
    if endpoint is None or own is None:
        response = "none" if rule in policies.ONLY_ALERT else policies.ladder(config, rule).get(severity, "none")
        action = None if response == "none" else Action(response)
        return Policy(severity, action, _origin_of_ladder(config, finding, values))
    said = values.setting(own, [("endpoints", endpoint, "actions", rule), ("defaults", "actions", rule)])
    action = policies.respond(config, rule, severity, endpoint)
    from_which = "" if action is not None or own == "none" else ", at the severities at which the rule acts by itself"
    return Policy(severity, action, f"{said.key}: {own} ({said.origin}){from_which}")


def ruling(command: Command, ended: Command | None, policy: Policy | None, values: Values) -> Ruling:
    """What there is to say of a command; `ended` is the one that names it in `restores`."""
    return Ruling(
        id=command.id,
        action=command.action,
        endpoint=command.endpoint,
        sentence=what_was_done(command),
        issued_at=command.issued_at,
        mode=command.mode,
        mode_now=values.mode(command.endpoint),
        held=command.held,
        because=None if command.held is None else HELD_BECAUSE[command.held],
        decided_by=None if command.held is None else _decided_by(command.held, command.endpoint, values),
        cost=command.cost,
        expires_at=command.expires_at,
        expires_after=_safety("expires_after", values),
        restores=command.restores,
        ended=None if ended is None else Ending(ended.id, ended.action, ended.issued_at, ended.reason),
        policy=None if command.action is Action.RESTORE else policy,
    )


def _origin_of_ladder(config: Config, finding: Finding, values: Values) -> str:
    chosen = config.actions.get(finding.rule)
    path: KeyPath = ("actions", finding.rule)
    if isinstance(chosen, str):
        return _said(values, path)
    if chosen is not None and finding.severity in chosen:
        return _said(values, (*path, finding.severity.value))
    return SHIPPED


def _said(values: Values, path: KeyPath) -> str:
    said = values.setting(None, [path])
    return f"{said.key} ({said.origin})"


def _decided_by(held: Held, endpoint: str, values: Values) -> Setting | None:
    """What the configuration says that holds the command; None where it is its mode, or another command."""
    if held in _SAFETY:
        return _safety(_SAFETY[held], values)
    if held is Held.PROTECTED:
        return _protecting(endpoint, values)
    if held is Held.NO_PROVIDER:
        return values.setting(plain(values.config.overflow.providers), [("overflow", "providers")])
    return None


def _protecting(endpoint: str, values: Values) -> Setting:
    """The pattern that protects it; the whole list if it has changed since, and none does."""
    patterns = values.config.safety.protected
    for index, pattern in enumerate(patterns):
        if fnmatchcase(endpoint, pattern):
            return values.setting(pattern, [("safety", "protected", index)])
    return values.setting(patterns, [("safety", "protected")])


def _safety(name: str, values: Values) -> Setting:
    return values.setting(getattr(values.config.safety, name), [("safety", name)])
