"""What several receivers say alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Self
from urllib.parse import urlsplit

from actions.receivers.interface import Fired
from actions.receivers.templates import Templates
from schemas.outputs import Result, State
from schemas.section import Secret

CHANGES: Final[Mapping[State, str]] = {
    State.VERIFIED: "carried out and verified",
    State.EXPIRED: "undone, since it expired",
    State.RESTORED: "undone",
}
SHORTEST: Final = 8  # characters of a part of an address that may be a secret by itself
PASSING: Final = frozenset({"action", "mode", "severity", "status"})  # labels that may change while an episode lasts


def required(receiver: str, key: str, secret: Secret | None) -> str:
    """A secret without which there is no receiver."""
    if secret is None:
        raise ValueError(f"receivers.{receiver}: {key} is required")
    return secret.reveal()


class Address(NamedTuple):
    """A URL that is a secret: where it leads, and what of it no message may hold."""

    site: str
    path: str
    secrets: tuple[str, ...]

    @classmethod
    def of(cls, url: str) -> Self:
        parts = urlsplit(url)
        site, path = f"{parts.scheme}://{parts.netloc}", url.partition("//")[2].removeprefix(parts.netloc)
        told = (url, path, parts.path, parts.query, parts.password or "", *path.split("/"))
        return cls(site, path, tuple(text for text in told if len(text) >= SHORTEST))


def bearer(token: Secret | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token.reveal()}"}


def revealed(*secrets: Secret | None) -> tuple[str, ...]:
    return tuple(secret.reveal() for secret in secrets if secret is not None)


def cut(text: str, longest: int) -> str:
    """At most so many characters.

    >>> cut("a long story", 8)
    'a lon...'
    """
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def annotated(fired: Fired, templates: Templates) -> dict[str, str]:
    """As Prometheus's rules have them: a short and a long one; and what passes, which must not be in the labels."""
    passing = {name: fired.labels[name] for name in ("action", "mode") if fired.labels.get(name)}
    words = {"summary": templates.title.render(fired), "description": templates.text.render(fired)}
    return {**words, "episode": fired.alert.dedup_key, **passing}


def lasting(labels: Mapping[str, str]) -> dict[str, str]:
    """The labels that an episode keeps from its beginning to its end."""
    return {name: value for name, value in labels.items() if name not in PASSING and value}


def common(labels: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all of these have alike."""
    first, *others = labels
    return {name: value for name, value in first.items() if value and all(o.get(name) == value for o in others)}


def change(result: Result) -> str | None:
    """`acme/bert: throttle carried out and verified by hf`; None: nothing outside is different now."""
    if result.state is None or result.state not in CHANGES or result.endpoint is None or result.action is None:
        return None
    by = "" if result.executor is None else f" by {result.executor}"
    return f"{result.endpoint}: {result.action.value} {CHANGES[result.state]}{by}"


def change_details(result: Result) -> dict[str, Any]:
    told = {"command_id": result.command_id, "reason": result.reason, "persons": list(result.by)}
    return {**told, "before": result.before, "after": result.after}
