from __future__ import annotations

from actions.alerting.inhibition import Inhibitor
from schemas.receivers import SHUT_DOWN, Inhibition

SHUT = {"rule": "daily_spend", "action": "shutdown", "endpoint": "acme/bert"}
SLOW = {"rule": "latency", "endpoint": "acme/bert"}


def test_a_shutdown_silences_the_latency_alert_of_its_endpoint() -> None:
    """Of others it does not, nor what is no consequence of it."""
    inhibitor = Inhibitor([SHUT_DOWN])
    inhibitor.fires("budget", "acme/bert", SHUT)
    assert inhibitor.is_inhibited("slow", SLOW)
    assert not inhibitor.is_inhibited("slow", {**SLOW, "endpoint": "acme/llama"})
    assert not inhibitor.is_inhibited("surge", {**SLOW, "rule": "request_surge"})


def test_an_episode_that_shut_down_two_endpoints_silences_both() -> None:
    """And neither once it is over."""
    inhibitor = Inhibitor([SHUT_DOWN])
    inhibitor.fires("budget", "acme/bert", SHUT)
    inhibitor.fires("budget", "acme/llama", {**SHUT, "endpoint": "acme/llama"})
    other = {**SLOW, "endpoint": "acme/llama"}
    assert inhibitor.is_inhibited("slow", SLOW)
    assert inhibitor.is_inhibited("slow", other)
    inhibitor.is_over("budget", ["acme/bert", "acme/llama"])
    assert not inhibitor.is_inhibited("slow", SLOW)
    assert not inhibitor.is_inhibited("slow", other)


def test_a_weaker_brake_ends_the_inhibition() -> None:
    """What is throttled can be slow of its own."""
    inhibitor = Inhibitor([SHUT_DOWN])
    inhibitor.fires("budget", "acme/bert", SHUT)
    inhibitor.fires("budget", "acme/bert", {**SHUT, "action": "throttle"})
    assert not inhibitor.is_inhibited("slow", SLOW)


def test_two_sources_lift_when_the_last_is_over() -> None:
    """Each counts by itself."""
    inhibitor = Inhibitor([SHUT_DOWN])
    inhibitor.fires("one", "acme/bert", SHUT)
    inhibitor.fires("two", "acme/bert", SHUT)
    inhibitor.is_over("one", ["acme/bert"])
    assert inhibitor.is_inhibited("slow", SLOW)


def test_nothing_inhibits_itself_or_its_like() -> None:
    """Else two that match both sides would silence each other, and nobody would hear of either."""
    inhibitor = Inhibitor([Inhibition(source=("severity=~.+",), target=("severity=~.+",))])
    for episode in ("one", "two"):
        inhibitor.fires(episode, "", {"severity": "critical"})
        assert not inhibitor.is_inhibited(episode, {"severity": "critical"})


def test_an_episode_does_not_inhibit_itself_by_its_own_shutdown() -> None:
    """Latency that led to a shutdown is still told of."""
    inhibitor = Inhibitor([SHUT_DOWN])
    inhibitor.fires("slow", "acme/bert", {**SLOW, "action": "shutdown"})
    assert not inhibitor.is_inhibited("slow", SLOW)
