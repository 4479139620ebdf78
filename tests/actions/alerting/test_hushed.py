"""What is silenced or inhibited is not told, and is told when that ends, if it still fires."""

from __future__ import annotations

from typing import Any

from schemas.config import Operator
from schemas.orders import Order, Verb, seal
from schemas.outputs import Severity
from schemas.signatures import PrivateKey
from schemas.units import US, rfc3339
from tests.actions.alerting.alerts import START_US, alert, command, config, over
from tests.actions.alerting.test_dispatch import HOUR_S, MINUTE_S, both, world
from tests.actions.alerting.world import Answer, World


def order(world: World, verb: Verb = Verb.SILENCE, **own: Any) -> Order:
    fields: dict[str, Any] = {"who": "ann", "why": "deploying", "at": rfc3339(world.now_us)}
    made = seal(Order(id="0" * 32, verb=verb, **fields, **own))
    assert world.dispatch.order(made, world.now_us) is None
    return made


def test_a_silenced_alert_is_told_when_the_silence_ends_if_it_still_fires() -> None:
    """And not at all, if it was over before."""
    told = world()
    order(told, matchers=("rule=latency",), until=rfc3339(START_US + HOUR_S * US))
    told.write(alert("lasts", "lasts"), alert("passes"), alert("loud", "loud", rule="error_rate"))
    told.run(MINUTE_S)
    told.write(over("passes"))
    told.run(58 * MINUTE_S)
    assert told.told("pager") == ["+loud"]
    told.run(2 * MINUTE_S)
    assert told.told("pager") == ["+loud", "+lasts"]


def test_what_operators_said_of_silences_is_kept_over_a_restart() -> None:
    """Also if the one who said it is no operator any more."""
    ann = PrivateKey.generate()
    told = World(config("pager", operators={"ann": Operator(public_key=str(ann.public))}))
    fields: dict[str, Any] = {"who": "ann", "why": "deploying", "at": rfc3339(START_US), "matchers": ("rule=latency",)}
    silence = ann.sign(seal(Order(id="0" * 32, verb=Verb.SILENCE, **fields)))
    assert told.dispatch.order(silence, told.now_us) is None
    told.checkpoint()
    told.config = config("pager", operators={"bob": Operator(public_key=str(PrivateKey.generate().public))})
    told.start()
    assert told.dispatch.order(silence, told.now_us) is None
    told.write(alert("e"))
    told.run(HOUR_S)
    assert told.told("pager") == []


def test_a_silence_that_is_taken_back_ends_at_once() -> None:
    """Nobody waits for the next look."""
    told = world()
    silence = order(told, matchers=("rule=latency",))
    told.write(alert("e"))
    told.run(MINUTE_S)
    order(told, Verb.UNSILENCE, silence_id=silence.id)
    told.run()
    assert told.told("pager") == ["+it burns"]


def test_the_end_of_what_was_told_is_told_in_a_silence_too() -> None:
    """A silence keeps people from being woken, not from going back to bed."""
    told = world()
    told.write(alert("e"))
    told.run()
    order(told, matchers=("rule=latency",))
    told.write(over("e"))
    told.run(5 * HOUR_S)
    assert told.told("pager") == ["+it burns", "-it is over"]


def test_a_shutdown_silences_the_latency_alert_of_its_endpoint_as_long_as_it_lasts() -> None:
    """Also when a later line of the same episode tells of something else."""
    told = world()
    told.write(command("budget", "shutdown", rule="daily_spend", subject="all"))
    told.write(alert("budget", "worse", rule="daily_spend", subject="all", severity=Severity.CRITICAL))
    told.write(alert("slow", "slow"))
    told.run(HOUR_S)
    assert told.told("pager") == ["+worse"]
    told.write(over("budget"))
    told.run(MINUTE_S)
    assert told.told("pager") == ["+worse", "-it is over", "+slow"]


def test_how_much_waits_and_how_long_leaves_out_what_is_silenced() -> None:
    """Nobody is to be alarmed about what somebody has silenced."""
    told = both()
    told.answers["pager"] = Answer.UNREACHED
    order(told, matchers=("rule=error_rate",))
    told.write(alert("quiet", rule="error_rate"))
    told.run(1)
    told.write(alert("e"))
    told.run(MINUTE_S)
    assert told.dispatch.backlogs["pager"].pending() == (1, START_US + US)
    assert told.dispatch.backlogs["slack"].pending() == (0, None)
