"""Every kind of receiver with its double, as the contract tests need them. A new kind is one more entry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from itertools import count
from typing import Any, Final, NamedTuple

from actions.receivers.alertmanager import Alertmanager
from actions.receivers.interface import Receiver
from actions.receivers.pagerduty import PagerDuty
from actions.receivers.slack import Slack
from actions.receivers.webhook import Webhook
from schemas import receivers
from schemas.section import Seconds, Secret
from streams.simulator import pagerduty as simulator
from streams.simulator.faulty_server import FaultyServer
from tests.actions.receivers.notifications import AT, ENDS_AT
from tests.doubles.alertmanager import AlertmanagerDouble
from tests.doubles.hooks import SLACK_PATH, HookDouble, SlackDouble

KEY: Final = "k3y" + "0" * 29
TOKEN: Final = "t0ken-of-the-receiver"  # noqa: S105 -- of nobody
HOOK_PATH: Final = "/h00k-secret/hook/"
TIMEOUT: Final = Seconds(0.4)
NOW_S: Final = datetime.fromisoformat(AT).timestamp() + 1


class Kind(NamedTuple):
    """`state` is what the double knows in the end, `statuses` what it knows each alert to be."""

    name: str
    double: Callable[[], FaultyServer]
    receiver: Callable[[str], Receiver]  # from the address of the double
    state: Callable[[Any], list[Any]]
    statuses: Callable[[Any], list[str]]
    secrets: tuple[str, ...]


def unhurried() -> Callable[[], float]:
    """A clock by which a minute passes between any two calls."""
    minutes = count(step=60)
    return lambda: float(next(minutes))


def pagerduty(url: str, clock: Callable[[], float] | None = None, **options: Any) -> PagerDuty:
    section = receivers.PagerDuty(url=url, routing_key=Secret(KEY), timeout=TIMEOUT, **options)
    return PagerDuty("pager", section, clock=clock or unhurried())


def alertmanager(url: str) -> Alertmanager:
    section = receivers.Alertmanager(url=url, token=Secret(TOKEN), timeout=TIMEOUT)
    return Alertmanager("pager", section, clock=lambda: NOW_S)


def slack(url: str, clock: Callable[[], float] | None = None) -> Slack:
    section = receivers.Slack(url=Secret(url + SLACK_PATH), timeout=TIMEOUT)
    return Slack("pager", section, clock=clock or unhurried())


def webhook(url: str) -> Webhook:
    section = receivers.WebhookReceiver(url=Secret(url + HOOK_PATH), token=Secret(TOKEN), timeout=TIMEOUT)
    return Webhook("pager", section)


def _unique(values: list[Any]) -> list[Any]:
    return [value for i, value in enumerate(values) if value not in values[:i]]


KINDS: Final = (
    Kind(
        "pagerduty", simulator.PagerDuty, pagerduty,
        lambda double: [(incident.dedup_key, incident.status) for incident in double.incidents],
        lambda double: ["resolved" if i.status == "resolved" else "firing" for i in double.incidents],
        (KEY,),
    ),
    Kind(
        "alertmanager", AlertmanagerDouble, alertmanager,
        lambda double: sorted(double.alerts),
        lambda double: ["resolved" if alert["endsAt"] == ENDS_AT else "firing" for alert in double.alerts.values()],
        (TOKEN,),
    ),
    Kind(
        "slack", SlackDouble, slack,
        lambda double: _unique(double.messages),
        lambda double: ["resolved" if "[RESOLVED]" in m["text"] else "firing" for m in double.messages],
        (SLACK_PATH, SLACK_PATH.rpartition("/")[2]),
    ),
    Kind(
        "webhook", HookDouble, webhook,
        lambda double: _unique(double.bodies),
        lambda double: [body["status"] for body in double.bodies],
        (HOOK_PATH, "h00k-secret", TOKEN),
    ),
)  # fmt: skip


@asynccontextmanager
async def standing(kind: Kind) -> AsyncIterator[tuple[Any, Receiver]]:
    """A double of the kind and a receiver that delivers to it."""
    async with AsyncExitStack() as stack:
        double = await stack.enter_async_context(kind.double())
        receiver = kind.receiver(double.url)
        stack.push_async_callback(receiver.close)
        yield double, receiver
