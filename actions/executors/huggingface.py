"""Hugging Face Inference Endpoints: `throttle` caps `maxReplica`, `shutdown` pauses, both are taken back.

- A shutdown is a pause. Scaled to zero, the next request would wake the endpoint, and there is no way back from DELETE.
- There is no throttle of requests: a limit that names only these stops growth at the replicas that are ready.
- A write makes an endpoint `updating`; the next one waits until that is over: a `Failure` to try again in `poll_every`.
- Whatever is written is read first, so what was done before a crash or a lost answer is not done again.

What exactly is written, and what is put back, says `huggingface_scaling.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import httpx

from actions.executors.huggingface_scaling import FAILURES, MAX, MIN, Fields, Seen, State, cap, remember_cap
from actions.executors.interface import Plan, Reading, Saved
from actions.failure import Failure
from actions.http import NO_BODY, Body, Client, Site
from schemas.executors import HuggingFace
from schemas.outputs import Action, Command
from schemas.section import Secret
from schemas.unreadable import UNREADABLE

NAME: Final = "huggingface"
ALREADY_RUNNING: Final = "already running"  # of the 400 that answers a resume
NO_NAMES: Final = frozenset({"", ".", ".."})  # in a path they are another path, and another endpoint
FOUND: Final = "found"  # in `before`: the state in which the first shutdown of a chain has found the endpoint


class HuggingFaceExecutor:
    """One account. `floor`: no throttle caps an endpoint lower (`safety.min_replicas`)."""

    def __init__(self, settings: HuggingFace, floor: int = 1) -> None:
        self._settings, self._floor = settings, floor
        self._token = settings.token or Secret()
        self._client = Client(Site(NAME, settings.url, settings.timeout))

    async def plan(self, command: Command) -> Plan | Failure:
        seen = await self._read(command.endpoint)
        if isinstance(seen, Failure):
            return seen
        if (refused := _refused(command, seen)) is not None:
            return refused
        if command.action is Action.SHUTDOWN:
            found = {**seen.saved, FOUND: seen.state}
            return Plan(found, () if seen.state == State.PAUSED else (f"pause ({seen.ready} replicas ready)",))
        before = remember_cap(command, seen.saved, self._floor)
        changes = seen.lowering(cap(command, before, self._floor))
        return Plan(before, tuple(f"{name} {seen.scaling[name]} -> {new}" for name, new in changes.items()))

    async def apply(self, command: Command, before: Saved) -> Failure | None:
        seen = await self._read_at_rest(command.endpoint)
        if isinstance(seen, Failure):
            return seen
        if (refused := _refused(command, seen)) is not None:
            return refused
        if command.action is Action.THROTTLE:
            return await self._scale(command.endpoint, seen.lowering(cap(command, before, self._floor)))
        return None if seen.state == State.PAUSED else await self._write("POST", f"{_path(command.endpoint)}/pause")

    async def undo(self, command: Command, before: Saved) -> Failure | None:
        seen = await self._read_at_rest(command.endpoint)
        if not isinstance(seen, Failure) and _is_to_resume(command, before, seen):
            if (failure := await self._resume(command.endpoint)) is not None:
                return failure
            seen = await self._read_at_rest(command.endpoint)  # what did the resume do to the scaling?
        if isinstance(seen, Failure):
            return seen
        return await self._scale(command.endpoint, seen.raising(command, before, self._floor))

    async def read_back(self, command: Command, back_to: Saved | None = None) -> Reading | Failure:
        seen = await self._read(command.endpoint)
        if isinstance(seen, Failure):
            return seen
        if seen.state == State.UPDATING:
            return Reading(seen.saved, "still updating")
        if back_to is None:
            return Reading(seen.saved, self._not_braked(command, seen))
        kept = seen.kept(back_to)
        after = {**seen.saved, "kept": kept} if kept else seen.saved
        return Reading(after, self._not_undone(command, back_to, seen))

    async def close(self) -> None:
        await self._client.close()

    def _not_braked(self, command: Command, seen: Seen) -> str | None:
        if command.action is Action.SHUTDOWN:
            return None if seen.state == State.PAUSED else f"is {seen.state}, not paused"
        if seen.state in FAILURES:
            return f"is {seen.state}: {seen.message}"
        said = command.parameters.get("max_replicas")  # of a limit of requests, what was ready then is not known here
        limit = seen.most if said is None else max(1, self._floor, int(said))
        if seen.state != State.PAUSED and max(seen.most, seen.target) > limit:
            return f"{MAX} is {seen.most} and the target {seen.target}, not at most {limit}"
        return None

    def _not_undone(self, command: Command, before: Saved, seen: Seen) -> str | None:
        if _is_to_resume(command, before, seen):
            return "still paused"
        if seen.state in FAILURES and before["state"] not in FAILURES:
            return f"is {seen.state}: {seen.message}"
        left = seen.raising(command, before, self._floor)
        return ", ".join(f"{name} is still {seen.scaling[name]}" for name in left) or None

    async def _read_at_rest(self, endpoint: str) -> Seen | Failure:
        """The endpoint as it is when nothing that was written is still being carried out."""
        seen = await self._read(endpoint)
        if not isinstance(seen, Failure) and seen.state == State.UPDATING:
            return self._later(f"{NAME}: {endpoint} is updating")
        return seen

    async def _read(self, endpoint: str) -> Seen | Failure:
        if endpoint.count("/") != 1 or not NO_NAMES.isdisjoint(endpoint.split("/")):
            return Failure(f"{NAME}: expected namespace/name, got '{endpoint}'", retryable=False)
        answer = await self._send("GET", _path(endpoint))
        if isinstance(answer, Failure):
            return answer
        try:
            return Seen(answer.content)
        except UNREADABLE as error:
            return Failure(f"{NAME}: GET {_path(endpoint)}: the answer is not an endpoint: {error}", retryable=True)

    async def _scale(self, endpoint: str, changes: Fields) -> Failure | None:
        """A partial update: only these fields, and no request at all if there are none."""
        if not changes:
            return None
        ordered = {name: changes[name] for name in (MIN, MAX) if name in changes}
        return await self._write("PUT", _path(endpoint), {"compute": {"scaling": ordered}})

    async def _resume(self, endpoint: str) -> Failure | None:
        failure = await self._write("POST", f"{_path(endpoint)}/resume")
        runs = failure is not None and failure.status == HTTPStatus.BAD_REQUEST and ALREADY_RUNNING in failure.reason
        return None if runs else failure

    async def _write(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Failure | None:
        answer = await self._send(method, path, NO_BODY if body is None else Body(json=body))
        if not isinstance(answer, Failure):
            return None
        return self._later(answer.reason) if answer.status == HTTPStatus.CONFLICT else answer

    async def _send(self, method: str, path: str, body: Body = NO_BODY) -> httpx.Response | Failure:
        """Once more if the token was refused and its file has another one by now: they are rotated."""
        token = self._token
        answer = await self._client.send(method, path, self._authorized(body))
        if not isinstance(answer, Failure) or answer.status != HTTPStatus.UNAUTHORIZED:
            return answer
        if token == self._token and not self._has_new_token():  # else another request has found it meanwhile
            return answer
        return await self._client.send(method, path, self._authorized(body))

    def _authorized(self, body: Body) -> Body:
        if not (token := self._token.reveal()):
            return body
        return body._replace(headers={"Authorization": f"Bearer {token}"}, secrets=(token,))

    def _has_new_token(self) -> bool:
        if self._settings.token_file is None:
            return False
        try:
            found = Secret(Path(self._settings.token_file).read_text("utf-8").rstrip("\r\n"))
        except (OSError, ValueError):
            return False  # the 401 says enough
        if not found or found == self._token:
            return False
        self._token = found
        return True

    def _later(self, reason: str) -> Failure:
        return Failure(reason, retryable=True, retry_after_s=self._settings.poll_every)


def _path(endpoint: str) -> str:
    namespace, name = endpoint.split("/")
    return f"/endpoint/{quote(namespace, safe='')}/{quote(name, safe='')}"


def _refused(command: Command, seen: Seen) -> Failure | None:
    """What cannot be done here, whatever is tried."""
    if command.action not in {Action.THROTTLE, Action.SHUTDOWN}:
        return Failure(f"{NAME}: cannot {command.action.value}: only throttle and shutdown", retryable=False)
    if command.action is Action.THROTTLE and seen.state == State.FAILED:
        reason = "nothing runs that could be capped, and a new scaling would start it anew"
        return Failure(f"{NAME}: {command.endpoint} is failed: {reason}", retryable=False)
    return None


def _is_to_resume(command: Command, before: Saved, seen: Seen) -> bool:
    """Only what a shutdown paused: who was paused before stays so, and so does who was paused during a throttle.

    The chain may have begun with that throttle, so what `before` says of the state may be older than the pause.
    """
    by_us = command.action is Action.SHUTDOWN and before.get(FOUND, before["state"]) != State.PAUSED
    return by_us and seen.state == State.PAUSED
