"""A signed POST to a gateway or a script. What a receiver must do, and how it checks: docs/executors.md.

One address takes all phases, each as `{"phase", "command", "before", "undone"}`. `plan` asks how things are, `apply`
and `undo` change them, `read_back` asks whether that is done. A receiver that answers 2xx and nothing else is enough:
then there is nothing to save, and what it accepted counts as done.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from actions.executors.dry_run import described
from actions.executors.interface import Plan, Reading, Saved
from actions.failure import Failure
from actions.http import Body, Client, Site
from schemas.executors import Webhook
from schemas.outputs import Command
from schemas.section import Secret
from schemas.unreadable import UNREADABLE

TIMESTAMP: Final = "Tidegate-Timestamp"
SIGNATURE: Final = "Tidegate-Signature"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"


class Reply(Struct, frozen=True):
    """What a receiver may answer; all of it may be left out."""

    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    changes: tuple[str, ...] = ()
    verified: bool = True
    reason: str = ""


class WebhookExecutor:
    """`now` is the clock that requests are stamped with."""

    def __init__(self, settings: Webhook, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        url = "" if settings.url is None else settings.url.reveal()
        self._secret, self._now = settings.secret, now
        secrets = tuple(each.reveal() for each in (settings.url, settings.secret) if each)
        self._client = Client(Site("webhook", url, settings.timeout, secrets=secrets))

    async def plan(self, command: Command) -> Plan | Failure:
        reply = await self._post(command, "plan")
        if isinstance(reply, Failure):
            return reply
        return Plan(reply.before, reply.changes or (f"the receiver is told: {described(command)}",))

    async def apply(self, command: Command, before: Saved) -> Failure | None:
        return _failure(await self._post(command, "apply", before))

    async def undo(self, command: Command, before: Saved) -> Failure | None:
        return _failure(await self._post(command, "undo", before))

    async def read_back(self, command: Command, back_to: Saved | None = None) -> Reading | Failure:
        reply = await self._post(command, "read_back", back_to)
        if isinstance(reply, Failure):
            return reply
        return Reading(reply.after, None if reply.verified else reply.reason or "the receiver says so")

    async def close(self) -> None:
        await self._client.close()

    async def _post(self, command: Command, phase: str, before: Saved | None = None) -> Reply | Failure:
        undone = phase == "undo" or (phase == "read_back" and before is not None)
        told = {"phase": phase, "command": command, "before": before, "undone": undone}
        content = msgspec.json.encode(told)
        headers = {"Content-Type": "application/json", **self._stamped(content)}
        if phase in ("apply", "undo"):  # the others change nothing, and are to be answered anew each time
            headers[IDEMPOTENCY_KEY] = f"{command.id}:{phase}"
        answer = await self._client.send("POST", body=Body(content=content, headers=headers), shown=phase)
        return answer if isinstance(answer, Failure) else _understood(phase, answer.content)

    def _stamped(self, content: bytes) -> Mapping[str, str]:
        timestamp = str(int(self._now().timestamp()))
        if self._secret is None:
            return {TIMESTAMP: timestamp}
        return {TIMESTAMP: timestamp, SIGNATURE: signature(self._secret, timestamp, content)}


def signature(secret: Secret, timestamp: str, content: bytes) -> str:
    """HMAC-SHA256 over timestamp, full stop and body, in hexadecimal, after the version of this scheme."""
    signed = timestamp.encode() + b"." + content
    return "v1=" + hmac.digest(secret.reveal().encode(), signed, "sha256").hex()


def _understood(phase: str, content: bytes) -> Reply | Failure:
    """An answer that is no JSON, `ok` for one, says nothing; JSON that is not as documented is a mistake."""
    try:
        answer = msgspec.json.decode(content)
    except UNREADABLE:
        return Reply()
    if not isinstance(answer, dict):
        return Reply()
    try:
        return msgspec.convert(answer, Reply)
    except msgspec.ValidationError as error:
        return Failure(f"webhook: POST {phase}: the answer was not understood: {error}", retryable=False)


def _failure(reply: Reply | Failure) -> Failure | None:
    return reply if isinstance(reply, Failure) else None
