from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from actions.alerting.silences import Silences
from schemas.config import Operator
from schemas.orders import Order, Verb, seal
from schemas.outputs import Refusal
from schemas.signatures import PrivateKey
from schemas.units import US, rfc3339
from tests.actions.alerting.alerts import START_US

LATENCY = {"rule": "latency", "team": "search"}
ANN = PrivateKey.generate()
OPERATORS = {"ann": Operator(public_key=str(ANN.public), approves=False)}


def order(verb: Verb = Verb.SILENCE, **own: Any) -> Order:
    fields: dict[str, Any] = {"who": "ann", "why": "deploying", "at": rfc3339(START_US)}
    if verb is Verb.SILENCE:
        fields |= {"matchers": ("rule=latency",), "until": rfc3339(START_US + 60 * US)}
    return seal(Order(id="0" * 32, verb=verb, **fields | own))


def heard(*orders: Order) -> Silences:
    silences = Silences({})
    assert [silences.hear(one, START_US) for one in orders] == [None] * len(orders)
    return silences


def test_what_matches_is_silenced_until_it_ends() -> None:
    """Not a moment longer, and nothing else."""
    silences = heard(order())
    assert silences.is_silenced(LATENCY, START_US + 60 * US - 1)
    assert not silences.is_silenced(LATENCY, START_US + 60 * US)
    assert not silences.is_silenced({"rule": "error_rate"}, START_US)


def test_all_matchers_must_match() -> None:
    """As in Alertmanager."""
    silences = heard(order(matchers=("rule=latency", "team!=search")))
    assert not silences.is_silenced(LATENCY, START_US)


def test_one_that_was_taken_back_stays_so_though_it_is_read_again() -> None:
    """Whoever copies the record into the log once more has silenced nothing."""
    silence = order(until=None)
    silences = heard(silence)
    assert silences.is_silenced(LATENCY, START_US)
    for one in (order(Verb.UNSILENCE, silence_id=silence.id), silence):
        assert silences.hear(one, START_US) is None
        assert not silences.is_silenced(LATENCY, START_US)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (order(), Refusal.UNSIGNED),
        (ANN.sign(order(who="bob")), Refusal.NOT_ALLOWED),
        (PrivateKey.generate().sign(order()), Refusal.UNKNOWN_KEY),
        (structs.replace(ANN.sign(order()), until=None), Refusal.UNREADABLE),
        (seal(structs.replace(ANN.sign(order()), until=None)), Refusal.UNSIGNED),
    ],
)
def test_where_operators_are_named_only_their_word_counts(wrong: Order, why: Refusal) -> None:
    """Signed by the one who is said to have said it, and as it was said."""
    silences = Silences(OPERATORS)
    refusal = silences.hear(wrong, START_US)
    assert refusal is why or (why is Refusal.UNSIGNED and refusal is Refusal.BAD_SIGNATURE)
    assert not silences.is_silenced(LATENCY, START_US)


def test_the_signed_word_of_an_operator_counts() -> None:
    """Also of one who may not approve commands."""
    silences = Silences(OPERATORS)
    assert silences.hear(ANN.sign(order()), START_US) is None
    assert silences.is_silenced(LATENCY, START_US)


def test_operators_whose_keys_cannot_be_read_do_not_open_the_door() -> None:
    """An unsigned order counts only where nobody is named."""
    silences = Silences({"ann": Operator(public_key="nonsense")})
    assert silences.hear(order(), START_US) is Refusal.NOT_ALLOWED


def test_a_silence_that_was_taken_back_stays_so_when_who_did_it_has_left() -> None:
    """The log is heard anew at each start, by the keys of that day: what was heard once stays heard."""
    bob = PrivateKey.generate()
    both = {**OPERATORS, "bob": Operator(public_key=str(bob.public))}
    silence = bob.sign(order(who="bob", until=None))
    taken_back = ANN.sign(order(Verb.UNSILENCE, silence_id=silence.id))
    before, after = Silences(both), Silences({"bob": both["bob"]})
    for each in (silence, taken_back):
        assert before.hear(each, START_US) is None
    for order_id, is_heard in before.changed():
        assert is_heard
        after.trust(order_id)
    for each in (silence, taken_back):
        assert after.hear(each, START_US) is None
    assert not after.is_silenced(LATENCY, START_US)


def test_a_silence_outlives_the_key_that_it_was_signed_with_and_is_forgotten_with_its_end() -> None:
    """A person's key that is replaced opens no flood of pages."""
    silence, end_us = ANN.sign(order()), START_US + 60 * US
    before = Silences(OPERATORS)
    before.hear(silence, START_US)
    (known,) = before.changed()
    assert known == (silence.id, True)
    after = Silences({"ann": Operator(public_key=str(PrivateKey.generate().public))})
    assert after.hear(silence, START_US) is Refusal.UNKNOWN_KEY
    after.trust(silence.id)
    assert after.hear(silence, START_US) is None
    assert after.is_silenced(LATENCY, end_us - 1)
    after.hear(order(Verb.PAUSE), end_us)
    assert list(after.changed()) == [(silence.id, False)]


@pytest.mark.parametrize("until", ["tomorrow", "2026-11-27T12:00:00", "2026-11-27T12:00:00+99:99"])
def test_a_silence_until_no_time_is_refused_and_ends_nothing(until: str) -> None:
    """It lies in a log that is read anew at each start: whoever stumbles over it does so each time."""
    assert Silences({}).hear(order(until=until), START_US) is Refusal.UNREADABLE


@pytest.mark.parametrize("expression", ["a{99999999999}", "(" * 5000 + ")" * 5000])
def test_an_expression_that_is_too_much_is_refused_and_ends_nothing(expression: str) -> None:
    """Python raises other errors at them than at what is merely wrong."""
    assert Silences({}).hear(order(matchers=(f"rule=~{expression}",)), START_US) is Refusal.UNREADABLE


@pytest.mark.parametrize("matchers", [(), ("nonsense",), ('rule=~"("',)])
def test_a_silence_of_everything_or_of_nothing_is_refused(matchers: tuple[str, ...]) -> None:
    """One without matchers would be the end of all alerts."""
    assert Silences({}).hear(order(matchers=matchers), START_US) is Refusal.UNREADABLE


def test_other_orders_silence_nothing() -> None:
    """They are the action stage's affair."""
    silences = heard(order(Verb.PAUSE))
    assert not silences.is_silenced(LATENCY, START_US)
