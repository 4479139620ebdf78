"""From a section of the configuration to a receiver: the one place that knows all kinds."""

from __future__ import annotations

from actions.receivers.alertmanager import Alertmanager
from actions.receivers.interface import Receiver
from actions.receivers.pagerduty import PagerDuty
from actions.receivers.slack import Slack
from actions.receivers.templates import DEFAULT, Templates
from actions.receivers.webhook import Webhook
from schemas import receivers


def build(name: str, section: receivers.AnyReceiver, templates: Templates = DEFAULT) -> Receiver:
    """The receiver of that name; `templates.parse(config.alerting.templates)` has the words. Connects to nothing yet.

    Raises ValueError where a secret is missing, of which `tidegate check` would have told.
    """
    match section:
        case receivers.PagerDuty():
            return PagerDuty(name, section, templates)
        case receivers.Alertmanager():
            return Alertmanager(name, section, templates)
        case receivers.Slack():
            return Slack(name, section, templates)
        case receivers.WebhookReceiver():
            return Webhook(name, section, templates)
