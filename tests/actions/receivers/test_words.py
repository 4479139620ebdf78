"""What Alertmanager, Slack and webhooks are told, word by word."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from actions.failure import Failure
from actions.receivers.registry import build
from schemas import receivers
from schemas.alertmanager import WebhookBody, fingerprint
from schemas.outputs import Severity
from schemas.section import Secret
from tests.actions.receivers.kinds import KINDS, TOKEN, Kind, slack, standing
from tests.actions.receivers.notifications import ENDS_AT, STARTS_AT, fired, notification
from tests.actions.receivers.test_limiter import Clock
from tests.doubles.alertmanager import AlertmanagerDouble
from tests.doubles.hooks import HookDouble, SlackDouble

BY_NAME = {kind.name: kind for kind in KINDS}


def told(kind: Kind, *notifications: Any) -> Any:
    """The double after these."""

    async def scenario() -> Any:
        async with standing(kind) as (double, receiver):
            for each in notifications:
                assert await receiver.notify(each) is None
            return double

    return asyncio.run(scenario())


def test_alertmanager_is_told_as_prometheus_would() -> None:
    """Who fires ends by itself after four intervals; labels are those that last, the rest is in the annotations."""
    double: AlertmanagerDouble = told(BY_NAME["alertmanager"], notification(fired(labels={"action": "throttle"})))
    ((labels, alert),) = double.alerts.items()
    assert dict(labels) == {
        "alertname": "request_surge", "rule": "request_surge", "severity": "critical", "subject": "acme/bert",
        "endpoint": "acme/bert", "namespace": "acme", "team": "search",
    }  # fmt: skip
    assert (alert["startsAt"], alert["endsAt"]) == (STARTS_AT, "2026-11-27T10:05:01.000000Z")
    assert alert["annotations"]["summary"] == "critical: request_surge on acme/bert"
    assert alert["annotations"]["description"] == fired().alert.summary
    assert alert["annotations"]["action"] == "throttle"
    assert alert["generatorURL"] == "https://tidegate.example/d/1"
    assert double.tokens == [f"Bearer {TOKEN}"]


def test_in_alertmanager_a_command_makes_no_other_alert() -> None:
    """The same labels before and after, and when it is over."""
    steps = [fired(), fired(labels={"action": "shutdown", "mode": "auto"}), fired(ends_at=ENDS_AT)]
    double: AlertmanagerDouble = told(BY_NAME["alertmanager"], *map(notification, steps))
    ((_, alert),) = double.alerts.items()
    assert alert["endsAt"] == ENDS_AT


def test_alertmanager_is_told_of_what_begins_by_a_clock_that_is_ahead() -> None:
    """It refuses a whole post for one alert that ends before it begins."""
    ahead = fired()._replace(starts_at="2026-11-27T11:00:00.000000Z")
    double: AlertmanagerDouble = told(BY_NAME["alertmanager"], notification(ahead, fired("latency")))
    assert len(double.alerts) == 2


def test_a_webhook_has_alertmanager_s_body() -> None:
    """Key by key; the time that Go writes for none is the end of what fires."""
    both = notification(fired(), fired("latency", ends_at=ENDS_AT))
    double: HookDouble = told(BY_NAME["webhook"], both)
    (body,) = double.bodies
    assert list(body) == [
        "version", "groupKey", "truncatedAlerts", "status", "receiver", "groupLabels", "commonLabels",
        "commonAnnotations", "externalURL", "alerts",
    ]  # fmt: skip
    assert (body["status"], body["receiver"], body["truncatedAlerts"]) == ("firing", "pager", 0)
    assert body["groupLabels"] == both.group_labels
    assert {"team": "search", "severity": "critical"}.items() <= body["commonLabels"].items()
    assert "alertname" not in body["commonLabels"]
    assert [alert["endsAt"] for alert in body["alerts"]] == ["0001-01-01T00:00:00Z", ENDS_AT]
    assert double.tokens == [f"Bearer {TOKEN}"]
    assert len(msgspec.convert(body, WebhookBody).alerts) == 2  # what tidegate itself takes


def test_a_fingerprint_lasts_as_long_as_the_episode() -> None:
    """Whatever its severity, and whatever is done about it."""
    steps = [
        fired(severity=Severity.WARNING),
        fired(labels={"action": "throttle", "mode": "auto"}),
        fired(ends_at=ENDS_AT),
    ]
    double: HookDouble = told(BY_NAME["webhook"], *map(notification, steps), notification(fired("latency")))
    prints = [body["alerts"][0]["fingerprint"] for body in double.bodies]
    assert len(set(prints[:3])) == 1
    assert prints[3] != prints[0]


def test_a_fingerprint_is_the_one_that_prometheus_makes() -> None:
    """Of the labels of its own test of that."""
    assert int(fingerprint({"name": "garland, briggs", "fear": "love is not enough"}), 16) == 5799056148416392346


def test_slack_shows_one_alert_by_its_words_and_several_by_their_number() -> None:
    """What a person typed is no markup of ours, and beyond twenty they are counted."""
    many = [fired(endpoint=f"acme/{n}", ends_at=ENDS_AT if n % 2 else None) for n in range(25)]
    double: SlackDouble = told(BY_NAME["slack"], notification(fired(summary="<!channel> & co")), notification(*many))
    one, several = double.messages
    assert one["text"] == "[FIRING] critical: request_surge on acme/bert"
    assert one["blocks"][1]["text"]["text"] == "&lt;!channel&gt; &amp; co"
    assert "endpoint=acme/bert" in one["blocks"][-1]["elements"][0]["text"]
    assert several["text"].startswith("[FIRING: 13, RESOLVED: 12] episode=")
    assert several["blocks"][21]["text"]["text"] == "... and 5 more"


def test_slack_takes_one_message_a_second() -> None:
    """The next one is put off, by as much as there is to wait."""

    async def scenario() -> tuple[Failure | None, ...]:
        clock = Clock()
        async with SlackDouble() as double:
            receiver = slack(double.url, clock)
            first = await receiver.notify(notification(fired()))
            clock.now_s = 0.25
            second = await receiver.notify(notification(fired()))
            clock.now_s = 1.1
            third = await receiver.notify(notification(fired()))
            await receiver.close()
            return first, second, third

    first, second, third = asyncio.run(scenario())
    assert first is None
    assert isinstance(second, Failure)
    assert (second.reason, second.retryable, second.nothing_done) == ("pager: one message a second", True, True)
    assert second.retry_after_s == pytest.approx(0.85)
    assert third is None


@pytest.mark.parametrize(
    "section",
    [
        receivers.PagerDuty(routing_key=Secret("k" * 32)),
        receivers.Alertmanager(url="http://localhost:9093"),
        receivers.Slack(url=Secret("https://hooks.slack.com/services/x")),
        receivers.WebhookReceiver(url=Secret("https://example.com/hook")),
    ],
    ids=lambda section: type(section).__name__,
)
def test_every_section_has_its_receiver(section: receivers.AnyReceiver) -> None:
    """Of the same name, or nearly; it connects to nothing yet."""
    receiver = build("pager", section)
    assert type(receiver).__name__ in type(section).__name__
    asyncio.run(receiver.close())


def test_without_its_secret_there_is_no_receiver() -> None:
    """The key is named."""
    with pytest.raises(ValueError, match=r"receivers\.pager: routing_key is required"):
        build("pager", receivers.PagerDuty())
