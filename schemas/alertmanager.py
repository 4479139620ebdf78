"""Alerts as Prometheus and Alertmanager write them: API v2 (`POST /api/v2/alerts`) and the webhook's version 4.

Both are told apart by their first character: an array, or an object.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta, Struct, field

from schemas.unreadable import UNREADABLE

ALERTS_PATH: Final = "/api/v2/alerts"
EXPECTED: Final = "an array of alerts (Alertmanager's API v2), or a webhook's body (version 4)"
MOST_BYTES: Final = 64 * 1024  # of one alert: what is made of it, names repeated, must fit into a megabyte
NEVER: Final = "0001-01-01T00:00:00Z"  # how Go writes a time that was not set: the end of what still fires

_FNV_OFFSET: Final = 0xCBF29CE484222325
_FNV_PRIME: Final = 0x100000001B3
_SEPARATOR: Final = 0xFF  # no byte of UTF-8

Labels = Mapping[str, str]
Label = Annotated[str, Meta(min_length=1)]
Time = Annotated[datetime, Meta(tz=True)]


class PostedAlert(Struct, frozen=True, rename="camel"):
    """An alert as it is posted. An end that is missing, or before the year 2, is not known."""

    labels: dict[Label, str]
    annotations: dict[Label, str] = {}
    starts_at: Time | None = None
    ends_at: Time | None = None
    generator_url: str = field(default="", name="generatorURL")


class WebhookAlert(PostedAlert, frozen=True, kw_only=True, rename="camel"):
    """An alert of a webhook's body: it says by itself whether it fires."""

    status: Literal["firing", "resolved"]


class WebhookBody(Struct, frozen=True, rename="camel"):
    """What is read of a webhook's body."""

    version: Literal["4"]
    alerts: list[WebhookAlert]


def read(body: bytes) -> list[PostedAlert] | WebhookBody:
    """What was posted. Raises ValueError, with what was expected."""
    kind: type[list[PostedAlert] | WebhookBody] = WebhookBody if body.lstrip()[:1] == b"{" else list[PostedAlert]
    try:
        posted = msgspec.json.decode(body, type=kind)
    except UNREADABLE as error:
        raise ValueError(f"expected {EXPECTED}: {error}") from error
    for alert in posted if isinstance(posted, list) else posted.alerts:
        if not alert.labels.get("alertname"):
            raise ValueError(f"expected a label `alertname` in each alert, got the labels {', '.join(alert.labels)}")
        if len(msgspec.json.encode(alert)) > MOST_BYTES:
            raise ValueError(f"expected alerts of at most {MOST_BYTES} bytes each")
    return posted


def fingerprint(labels: Labels) -> str:
    """A hash of the labels, the same that Prometheus makes (64 bits of FNV-1a, in hexadecimal).

    >>> fingerprint({"alertname": "HighLatency"})
    '73dbeed5635ea4e4'
    """
    hashed = _FNV_OFFSET
    for name, value in sorted(labels.items()):
        for text in (name, value):
            for byte in (*text.encode(), _SEPARATOR):
                hashed = ((hashed ^ byte) * _FNV_PRIME) & 0xFFFFFFFFFFFFFFFF
    return f"{hashed:016x}"
