"""Whose word counts, as the configuration has it: keys that are keys, and approvals that somebody can give."""

from __future__ import annotations

from typing import Final

from schemas.config import ApprovalRule, Config, Mode, Policy
from schemas.outputs import Action
from schemas.section import matches
from schemas.signatures import BadKey, PrivateKey, PublicKey
from streams.typed_yaml import KeyPath, Report

BRAKES: Final = tuple(action for action in Action if action is not Action.RESTORE)


def check_keys(config: Config, report: Report) -> None:
    """Errors: what is no key, and one key under two names, which would make two persons of one."""
    names: dict[PublicKey, str] = {}
    for name, operator in config.operators.items():
        path = ("operators", name, "public_key")
        key = _public(operator.public_key, path, report)
        if key is None:
            continue
        if key in names:
            report.error(path, f"is the key of {names[key]}, too: two persons are two keys")
        names.setdefault(key, name)
    for index, text in enumerate(config.signing.trusted):
        _public(text, ("signing", "trusted", index), report)
    _signing_key(config, report)


def check_approvals(config: Config, report: Report) -> None:
    """Errors where nobody, or too few, could ever approve; warnings where that is all the same."""
    approvers = sum(operator.approves for operator in config.operators.values())
    for index, rule in enumerate(config.approvals):
        path = ("approvals", index)
        _patterns(rule, path, report)
        if (persons := _persons(rule)) and config.operators and persons > approvers:
            at = (*path, "approve", "persons") if isinstance(rule.approve, Policy) else (*path, "approve")
            report.error(at, f"needs {persons} persons, and of the operators {approvers} may approve")
    if config.operators and not approvers and (place := _mode_approve(config)) is not None:
        report.error(place, "approve: none of the operators may approve")
    if not config.operators and (place := _asking(config)) is not None:
        report.warning(place, "nobody can approve: there are no `operators`; what is asked for ends as its `otherwise`")


def _signing_key(config: Config, report: Report) -> None:
    if config.signing.key is None:
        return
    path = ("signing", "key") if report.was_given(("signing", "key")) else ("signing", "key_file")
    try:
        own = PrivateKey.parse(config.signing.key).public
    except BadKey as error:
        report.error(path, str(error))
        return
    if str(own) not in config.signing.trusted:
        report.warning(path, f'its public key is not in signing.trusted: executors will refuse it; add "{own}"')


def _public(text: str, path: KeyPath, report: Report) -> PublicKey | None:
    try:
        return PublicKey.parse(text)
    except BadKey as error:
        report.error(path, str(error))
        return None


def _persons(rule: ApprovalRule) -> int:
    if isinstance(rule.approve, Policy):
        return rule.approve.persons
    return 1 if rule.approve == Mode.APPROVE.value else 0


def _patterns(rule: ApprovalRule, path: KeyPath, report: Report) -> None:
    for index, pattern in enumerate(rule.actions):
        if not any(matches(brake, (pattern,)) for brake in BRAKES):
            message = f"'{pattern}' matches no action: {', '.join(BRAKES)}; a restore never waits"
            report.warning((*path, "actions", index), message)


def _mode_approve(config: Config) -> KeyPath | None:
    """Where the file says so first."""
    if config.mode is Mode.APPROVE:
        return ("mode",)
    own = (name for name, endpoint in config.endpoints.items() if endpoint.mode is Mode.APPROVE)
    return next((("endpoints", name, "mode") for name in own), None)


def _asking(config: Config) -> KeyPath | None:
    """Where the file says that something waits for persons, if anything is ever asked for at all."""
    own = (("approvals", index) for index, rule in enumerate(config.approvals) if _persons(rule))
    return _mode_approve(config) or next(own, None)
