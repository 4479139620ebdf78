"""What the sections `receivers`, `alerting.templates` and `external` must be, beyond the types of their values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from actions.receivers import templates
from schemas.config import Config
from schemas.receivers import Alertmanager, AnyReceiver, PagerDuty
from schemas.section import Secret
from streams.address import EXPECTED, is_address
from streams.typed_yaml import KeyPath, Report

KEY_LENGTH: Final = 32  # of PagerDuty's integration keys


def check_receivers(config: Config, report: Report) -> None:
    """Errors: what could never deliver."""
    for name, receiver in config.receivers.items():
        path = ("receivers", name)
        for key, message in _wrong(receiver, path, report):
            report.error((*path, key), message)
    for name, message in templates.wrong(config.alerting.templates):
        report.error(("alerting", "templates", name), message)


def check_external(config: Config, report: Report) -> None:
    """Warnings: what could never act."""
    external = config.external
    if external.alerts and external.token is None:
        report.warning(("external",), "without token or token_file no alerts are taken")
    for name, mapped in external.alerts.items():
        path = ("external", "alerts", name)
        if mapped.action == "throttle" and mapped.max_replicas is None and mapped.max_requests_per_second is None:
            report.warning(path, "says not how far to throttle (max_replicas, max_requests_per_second): it only alerts")
        if mapped.action == "overflow" and not config.overflow.providers:
            report.warning((*path, "action"), "there is nowhere to overflow to: overflow.providers is empty")


def _wrong(receiver: AnyReceiver, path: KeyPath, report: Report) -> Iterator[tuple[str, str]]:
    """Keys and what is wrong with them. No message quotes a secret."""
    name = "routing_key" if isinstance(receiver, PagerDuty) else "url"
    secret = receiver.routing_key if isinstance(receiver, PagerDuty) else receiver.url
    if secret is None:
        if not report.is_wrong((*path, f"{name}_file")):
            yield name, f"is required, or {name}_file"
    elif isinstance(receiver, PagerDuty) and (length := len(_text(secret))) != KEY_LENGTH:
        yield name, f"expected the {KEY_LENGTH} characters of an integration key (Events API v2), got {length}"
    address = receiver.url if isinstance(receiver, PagerDuty) else secret
    if address is not None and not is_address(_text(address)):
        got = f", got '{address}'" if isinstance(receiver, PagerDuty | Alertmanager) else ""
        yield "url", EXPECTED + got


def _text(value: Secret | str) -> str:
    return value.reveal() if isinstance(value, Secret) else value
