"""Each stage alone, and their order."""

from __future__ import annotations

import pytest
from msgspec import structs

from actions import commands, proposals, safety
from actions.brakes import Brake, Claim, join
from actions.capacity import Down
from actions.safety import Context
from schemas.config import Safety, Seconds
from schemas.outputs import Action, Cost, Held, Mode
from schemas.units import US
from tests.actions.findings import at, surge

FREE = Context(
    Safety(), Mode.AUTO, at(0), 0, (), None, 0, 0, Down(0.01, 0.01), paused=False, refused=False, blind=False
)


def claim(action: Action = Action.THROTTLE, limit: float = 10.0) -> Claim:
    parameters = {"max_requests_per_second": limit} if action is Action.THROTTLE else {}
    return proposals.claim(surge("acme/a", 0), "acme/a", (action, parameters), Cost())


def brake(wanted: Claim) -> Brake:
    command = commands.issue(wanted, join([wanted]), at(0), commands.Terms(900, None))
    return Brake(command, (wanted,), command.id)


def test_nothing_holds_a_free_claim() -> None:
    """In mode auto, with no limit reached."""
    assert safety.check(claim(), FREE) is None


@pytest.mark.parametrize(
    ("changes", "held"),
    [
        ({"safety": Safety(kill_switch=True)}, Held.KILL_SWITCH),
        ({"age_us": 121 * US}, Held.EVIDENCE_TOO_OLD),
        ({"safety": Safety(protected=("acme/*",))}, Held.PROTECTED),
        ({"commanded_us": at(-299)}, Held.COOLDOWN),
        ({"paused": True}, Held.KILL_SWITCH),
        ({"refused": True}, Held.REFUSED),
        ({"recent": 20}, Held.MAX_ACTIONS_PER_HOUR),
        ({"recent_here": 6}, Held.MAX_ACTIONS_PER_ENDPOINT),
        ({"mode": Mode.SHADOW}, Held.SHADOW),
        ({"mode": Mode.APPROVE}, Held.AWAITING_APPROVAL),
    ],
)
def test_each_limit_holds(changes: dict[str, object], held: Held) -> None:
    """One thing changed, one reason."""
    assert safety.check(claim(), FREE._replace(**changes)) is held  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "changes",
    [
        {"age_us": 120 * US},
        {"age_us": None},
        {"commanded_us": at(-300)},
        {"recent": 19},
        {"recent_here": 5},
        {"blind": True},
    ],
)
def test_a_limit_that_is_just_kept_lets_pass(changes: dict[str, object]) -> None:
    """At the limit is within it; an age that nobody knows is no reason."""
    assert safety.check(claim(), FREE._replace(**changes)) is None  # type: ignore[arg-type]


def test_overflow_without_a_provider_is_held() -> None:
    """Such a claim has no parameters."""
    assert safety.check(claim(Action.OVERFLOW), FREE) is Held.NO_PROVIDER


def test_what_is_in_force_or_stronger_is_not_sent_again() -> None:
    """A looser limit and a lower rung are covered; a tighter one is not."""
    assert safety.already_in_force(claim(limit=11), FREE._replace(brakes=(brake(claim()),)))
    assert safety.already_in_force(claim(), FREE._replace(brakes=(brake(claim(Action.SHUTDOWN)),)))
    assert safety.already_in_force(claim(limit=9), FREE._replace(brakes=(brake(claim()),))) is None


def test_in_the_dark_a_throttle_is_the_most() -> None:
    """While the source of an endpoint is silent, nobody knows what a shutdown would hit."""
    dark = FREE._replace(blind=True)
    assert safety.check(claim(Action.SHUTDOWN), dark) is Held.TELEMETRY_GAP
    assert safety.check(claim(), dark) is None


def test_an_escalation_does_not_wait() -> None:
    """From throttle to shutdown at once; to another throttle after the cooldown."""
    hot = FREE._replace(brakes=(brake(claim()),), commanded_us=at(-1))
    assert safety.check(claim(Action.SHUTDOWN), hot) is None
    assert safety.check(claim(limit=9), hot) is Held.COOLDOWN


@pytest.mark.parametrize(
    ("down", "held"),
    [
        (Down(29 / 100, 0.5), None),
        (Down(30 / 100, 0.5), Held.BLAST_RADIUS),
        (Down(29 / 100, 0.51), Held.BLAST_RADIUS),
    ],
)
def test_no_more_than_the_share_goes_down(down: Down, held: Held | None) -> None:
    """29 of 100 are exactly 0.29, whatever floats make of it; of the endpoints, and of the replicas."""
    context = FREE._replace(safety=Safety(max_share_down=0.29, max_capacity_down=0.5), down=down)
    assert safety.check(claim(Action.SHUTDOWN), context) is held
    assert safety.check(claim(), context) is None


def test_the_stages_stand_in_the_order_of_the_enum_that_names_them() -> None:
    """With every reason at once the first is given; take it away and the next one is."""
    everything = Context(
        Safety(kill_switch=True, protected=("*",), max_actions_per_hour=0, cooldown=Seconds(300)),
        Mode.SHADOW, at(0), 1000 * US, (brake(claim(Action.SHUTDOWN)),), at(-1), 0, 6, Down(1.0, 1.0),
        paused=True, refused=True, blind=True,
    )  # fmt: skip
    found = []
    for without in (
        {"safety": structs.replace(everything.safety, kill_switch=False), "paused": False},
        {"age_us": 0},
        {"safety": structs.replace(everything.safety, kill_switch=False, protected=())},
        {"refused": False},
        {"blind": False},
        {"brakes": ()},
        {"commanded_us": None},
        {"safety": Safety()},
        {"recent_here": 0},
        {"down": Down(0.0, 0.0)},
        {"mode": Mode.AUTO},
    ):
        found.append(safety.check(claim(Action.SHUTDOWN), everything))
        everything = everything._replace(**without)
    assert found == [held for held in Held if held is not Held.NO_PROVIDER and held is not Held.AWAITING_APPROVAL]
    assert safety.check(claim(Action.SHUTDOWN), everything) is None
