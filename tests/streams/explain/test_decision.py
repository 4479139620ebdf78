"""What was decided, and the line of the configuration that decided it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest
from msgspec import structs

from actions import policy, safety
from actions.wording import HELD_BECAUSE
from detectors import SETTINGS
from schemas.outputs import Action, Command, Cost, Held, Mode, Severity, derive_id
from streams import configuration
from streams.explain.decision import Ruling, policy_of, ruling
from streams.explain.rulings import ruled
from streams.explain.settings import Values
from tests.actions.findings import runaway, spend, surge

FILE: Final = """\
mode: auto
endpoints:
  acme/bert: {actions: {hourly_spend: shutdown}}
  acme/shy: {mode: shadow}
defaults:
  actions: {runaway_replicas: none}
actions:
  request_surge: overflow
  hourly_spend:
    warning: throttle
overflow:
  providers: [{name: runpod, price_usd_per_hour: 0.4}]
safety:
  cooldown: 1m
  protected: ["other/*", "acme/b*"]
"""
Load = Callable[[str], Values]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str) -> Values:
        file = tmp_path / "tidegate.yaml"
        file.write_text(text)
        config, origins = configuration.load_traced(file, SETTINGS, {})
        return Values(config, origins)

    return loaded


def command(endpoint: str = "acme/bert", held: Held | None = None, action: Action = Action.THROTTLE) -> Command:
    mode = {None: Mode.AUTO, Held.AWAITING_APPROVAL: Mode.APPROVE}.get(held, Mode.SHADOW)
    return Command(
        id=derive_id("command", endpoint, str(held), action),
        action=action,
        endpoint=endpoint,
        parameters={"max_replicas": 2} if action is Action.THROTTLE else {},
        mode=mode,
        held=held,
        finding_id="f" * 32,
        episode="e" * 32,
        rule="runaway_replicas",
        issued_at="2026-11-23T09:00:00.000000Z",
        expires_at=None if action is Action.RESTORE else "2026-11-23T09:15:00.000000Z",
        reason="40 replicas",
        cost=Cost(saves_usd_per_hour=80.0),
        before={},
    )


@pytest.mark.parametrize(
    ("found", "endpoint", "action", "origin", "line"),
    [
        (surge("acme/a", 0), "acme/a", Action.OVERFLOW, "actions.request_surge", 8),
        (runaway("acme/a", 0), "acme/a", None, "defaults.actions.runaway_replicas: none", 6),
        (spend(0, [], severity=Severity.WARNING), None, Action.THROTTLE, "actions.hourly_spend.warning", 10),
        (spend(0, [], severity=Severity.CRITICAL), "acme/bert", Action.SHUTDOWN, "acme/bert.actions.hourly_spend", 3),
    ],
)
def test_a_response_has_its_line(  # noqa: PLR0913, PLR0917 -- columns of a table
    load: Load, found: object, endpoint: str | None, action: Action | None, origin: str, line: int
) -> None:
    """The endpoint's own, that of `defaults`, or the rule's, for the severity or for all."""
    told = policy_of(found, endpoint, load(FILE))  # type: ignore[arg-type]
    assert told.action == action
    assert origin in told.origin
    assert f"tidegate.yaml:{line})" in told.origin


def test_what_no_line_says_is_as_shipped(load: Load) -> None:
    """A severity that the mapping leaves out keeps the table's response; so does a rule that is not mentioned."""
    for found in (spend(0, [], severity=Severity.CRITICAL), spend(0, [], severity=Severity.INFO)):
        told = policy_of(found, None, load(FILE))
        assert told.origin == "as shipped (docs/actions.md)"
        assert told.action == policy.respond(load(FILE).config, found.rule, found.severity, "acme/a")


def test_an_endpoints_own_response_says_from_which_severity_on(load: Load) -> None:
    """At a warning the rule does not act by itself: the endpoint's word is not asked."""
    told = policy_of(spend(0, [], severity=Severity.WARNING), "acme/bert", load(FILE.replace("warning", "error")))
    assert told.action is None
    assert "at the severities at which the rule acts by itself" in told.origin


@pytest.mark.parametrize("rule", ["request_surge", "runaway_replicas", "hourly_spend", "sunspots"])
@pytest.mark.parametrize("severity", list(Severity))
@pytest.mark.parametrize("endpoint", ["acme/bert", "acme/a"])
def test_what_is_told_is_what_the_policy_answers(load: Load, rule: str, severity: Severity, endpoint: str) -> None:
    """There is one policy; this only says where it stands."""
    values = load(FILE)
    found = surge(endpoint, 0, severity=severity)
    told = policy_of(structs.replace(found, rule=rule), endpoint, values)
    assert told.action == policy.respond(values.config, rule, severity, endpoint)


@pytest.mark.parametrize(
    ("held", "endpoint", "expected"),
    [
        (Held.PROTECTED, "acme/bert", "safety.protected[1]: acme/b* ({file}:15)"),
        (Held.COOLDOWN, "acme/a", "safety.cooldown: 1m ({file}:14)"),
        (Held.NO_PROVIDER, "acme/a", "overflow.providers ({file}:12)"),
        (Held.KILL_SWITCH, "acme/a", "safety.kill_switch: False (default (docs/configuration.md))"),
        (Held.BLAST_RADIUS, "acme/a", "safety.max_share_down: 0.25 (default (docs/configuration.md))"),
        (Held.MAX_ACTIONS_PER_HOUR, "acme/a", "safety.max_actions_per_hour: 20 (default (docs/configuration.md))"),
        (Held.EVIDENCE_TOO_OLD, "acme/a", "safety.max_evidence_age: 2m (default (docs/configuration.md))"),
    ],
)
def test_what_holds_a_command_has_its_line(load: Load, held: Held, endpoint: str, expected: str) -> None:
    """In the words of the alert, with the setting that the stage asked."""
    values = load(FILE)
    told = ruled(ruling(command(endpoint, held), None, None, values))
    assert told["held"] == f"{HELD_BECAUSE[held]}: {expected.format(file=values.origins.file)}"
    assert told["ended"].startswith("it was never in force")
    assert "expires" not in told


@pytest.mark.parametrize("held", list(Held))
def test_every_reason_is_told(load: Load, held: Held) -> None:
    """A new one would stand there without words."""
    told = ruling(command(held=held), None, None, load(FILE))
    assert told.because
    assert told.held_by_safety == (held not in safety.IN_FORCE_ALL_THE_SAME)


def test_the_protected_are_shown_as_a_list_once_none_of_them_matches(load: Load) -> None:
    """The file has changed since."""
    told = ruled(ruling(command("lab/x", Held.PROTECTED), None, None, load(FILE)))
    assert "safety.protected (" in told["held"]


def test_the_mode_is_that_of_the_command_and_has_its_line(load: Load) -> None:
    """Where the configuration now says otherwise, both are told."""
    values = load(FILE)
    file = values.origins.file
    assert ruled(ruling(command(), None, None, values))["mode"] == f"mode: auto ({file}:1)"
    shy = ruling(command("acme/shy", Held.SHADOW), None, None, values)
    assert ruled(shy)["mode"] == f"endpoints.acme/shy.mode: shadow ({file}:4)"
    changed = ruling(command("acme/bert", Held.SHADOW), None, None, values)
    assert ruled(changed)["mode"] == f"shadow; the configuration now says mode: auto ({file}:1)"


def restored(held: Command) -> Command:
    return structs.replace(command(action=Action.RESTORE), restores=held.id, reason="resolved: 40 replicas")


def test_what_ended_a_command_is_told(load: Load) -> None:
    """And until then, what will."""
    values, first = load(FILE), command()
    last = restored(first)
    assert "the end of the episode restores it, or its expiry" in ruled(ruling(first, None, None, values))["ended"]
    assert ruled(ruling(first, last, None, values))["ended"] == (
        f"2026-11-23T09:00:00.000000Z, restored: command {last.id[:8]}, resolved: 40 replicas"
    )
    told: dict[str, str] = ruled(ruling(last, None, None, values))
    assert told["before"] == f"it takes off command {first.id[:8]}"
    assert "ended" not in told
    assert "expires" not in told


def test_an_action_that_is_not_the_policys_is_explained(load: Load) -> None:
    """What cannot be done is answered otherwise, and other episodes may ask for more."""
    values = load(FILE)
    policy = policy_of(spend(0, []), "acme/bert", values)
    assert policy.action is Action.SHUTDOWN
    throttle, shutdown = command(), command(action=Action.SHUTDOWN)
    assert ruled(ruling(throttle, None, policy, values), policy)["policy"].startswith(f"{policy}; it became throttle")
    assert "policy" not in ruled(ruling(shutdown, None, policy, values), policy)
    assert ruled(ruling(shutdown, None, policy, values))["policy"] == str(policy)


def test_money_and_expiry_are_told(load: Load) -> None:
    """Dollars as dollars, and the setting that the expiry comes from."""
    told: Ruling = ruling(command(), None, None, load(FILE))
    assert ruled(told)["money"] == "saves $80.00 per hour"
    expected = "2026-11-23T09:15:00.000000Z unless it is renewed, safety.expires_after: 15m"
    assert ruled(told)["expires"].startswith(expected)


@pytest.mark.parametrize(
    ("action", "how"),
    [
        (Action.RESTORE, "restored"),
        (Action.THROTTLE, "a throttle took its place"),
        (Action.OVERFLOW, "an overflow took its place"),
        (Action.SHUTDOWN, "a shutdown took its place"),
    ],
)
def test_what_ended_a_command_is_named(load: Load, action: Action, how: str) -> None:
    """With the id and the reason of the one that did."""
    later = command(action=action)
    told = ruled(ruling(command(), later, None, load(FILE)))["ended"]
    assert told == f"{later.issued_at}, {how}: command {later.id[:8]}, {later.reason}"
