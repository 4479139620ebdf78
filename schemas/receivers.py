"""Who hears of alerts, and how: the sections `receivers` and `alerting`. The words are Alertmanager's."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import field

from schemas.section import Lasting, Pattern, Seconds, Secret, Section


class Receiver(Section, frozen=True, tag_field="type"):
    """What all kinds have. `timeout` is of one HTTP request."""

    timeout: Lasting = Seconds(10)
    send_resolved: bool = True


class PagerDuty(Receiver, frozen=True, tag="pagerduty"):
    """PagerDuty Events API v2. Each episode is one incident; each executed command a change event.

    With `acknowledge`, an incident is acknowledged once a brake is on: nobody else is called, also if it gets worse.
    """

    routing_key: Secret | None = None
    routing_key_file: str | None = None
    url: Pattern = "https://events.pagerduty.com"
    change_events: bool = True
    acknowledge: bool = False


class Alertmanager(Receiver, frozen=True, kw_only=True, tag="alertmanager"):
    """Alertmanager API v2; alerts are sent again while they fire."""

    url: Pattern
    resend_every: Lasting = Seconds(60)
    token: Secret | None = None
    token_file: str | None = None


class Slack(Receiver, frozen=True, tag="slack"):
    """A Slack incoming webhook, whose address is a secret."""

    url: Secret | None = None
    url_file: str | None = None


class WebhookReceiver(Receiver, frozen=True, tag="webhook"):
    """What Alertmanager's webhook receiver sends (version 4)."""

    url: Secret | None = None
    url_file: str | None = None
    token: Secret | None = None
    token_file: str | None = None


AnyReceiver = PagerDuty | Alertmanager | Slack | WebhookReceiver


class Route(Section, frozen=True, rename={"continue_": "continue"}):
    """Which alerts go where. What is None comes from the route above."""

    receiver: Pattern | None = None
    matchers: tuple[Pattern, ...] = ()
    group_by: tuple[Pattern, ...] | None = None  # labels; `episode`, the default, is a group for each episode
    group_wait: Seconds | None = None
    group_interval: Seconds | None = None
    repeat_interval: Lasting | None = None
    continue_: bool = False
    routes: tuple[Route, ...] = ()


class Inhibition(Section, frozen=True):
    """While an alert that matches `source` fires, those that match `target`, alike in these labels, are not sent."""

    source: tuple[Pattern, ...]
    target: tuple[Pattern, ...]
    equal: tuple[Pattern, ...] = ()


SHUT_DOWN = Inhibition(
    source=('action="shutdown"',),
    target=('rule=~"latency|error_rate|queue_depth|low_utilization|telemetry_gap"',),
    equal=("endpoint",),
)


class Alerting(Section, frozen=True):
    """How alerts are routed, grouped, silenced and worded."""

    route: Route = Route()
    inhibit: tuple[Inhibition, ...] = (SHUT_DOWN,)
    templates: Mapping[str, str] = field(default_factory=dict)
    external_url: str | None = None  # of a dashboard, linked in every notification
