"""A receiver of executor webhooks: one level for each endpoint, and all that can go wrong on the way."""

from __future__ import annotations

import asyncio
import hmac
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

SECRET: Final = "s3cr3t-of-the-webhook"  # noqa: S105 -- of the double
TOKEN: Final = "t0ken-in-the-address"  # noqa: S105


class WebhookDouble:
    """Answers each request by the next of `faults`, if there is one: a status, `cut` (done, and cut off), `hang`."""

    def __init__(self) -> None:
        self.url = ""
        self.levels: dict[str, Any] = {}
        self.requests: list[tuple[str, dict[str, Any]]] = []  # phase, headers
        self.done: dict[str, int] = {}  # idempotency key -> how often it had an effect
        self.asked: dict[str, int] = {}  # idempotency key -> how often it came
        self.faults: deque[int | str] = deque()
        self.fault_phases = frozenset({"apply", "undo"})
        self.is_mute = False  # 204 to everything
        self.hung = asyncio.Event()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if not _is_signed(request, body):
            return web.Response(status=401, text=f"bad signature, {SECRET}, {request.url}")
        told = json.loads(body)
        phase = told["phase"]
        self.requests.append((phase, dict(request.headers)))
        fault = self.faults.popleft() if self.faults and phase in self.fault_phases else None
        if isinstance(fault, int):
            return web.Response(status=fault, headers={"Retry-After": "0"}, text=f"no: {request.url}")
        answer = self._do(told, request.headers.get("Idempotency-Key"))
        if fault is not None:
            await self._misbehave(fault, request)
        return web.Response(status=204) if self.is_mute else web.json_response(answer)

    def level(self, endpoint: str) -> Any:
        return self.levels.get(endpoint)

    def _do(self, told: dict[str, Any], key: str | None) -> dict[str, Any]:
        endpoint, before = told["command"]["endpoint"], told["before"]
        wanted = told["command"]["parameters"].get("max_requests_per_second")
        if told["phase"] in ("apply", "undo") and key is not None:
            self.asked[key] = self.asked.get(key, 0) + 1
            if self.asked[key] == 1:
                self.levels[endpoint] = wanted if told["phase"] == "apply" else (before or {}).get("limit")
                self.done[key] = self.done.get(key, 0) + 1
        should = (before or {}).get("limit") if told["undone"] else wanted
        limit = self.levels.get(endpoint)
        return {"before": {"limit": limit}, "after": {"limit": limit}, "verified": limit == should}

    async def _misbehave(self, fault: int | str, request: web.Request) -> None:
        if fault == "hang":
            self.hung.set()
            await asyncio.sleep(3600)
        if request.transport is not None:
            request.transport.abort()


def _is_signed(request: web.Request, body: bytes) -> bool:
    timestamp, signature = request.headers["Tidegate-Timestamp"], request.headers.get("Tidegate-Signature", "")
    wanted = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, "sha256").hexdigest()
    return hmac.compare_digest(f"v1={wanted}", signature)


@asynccontextmanager
async def webhook_double() -> AsyncIterator[WebhookDouble]:
    """Listens on a free port for as long as it is needed."""
    double, app = WebhookDouble(), web.Application()
    app.router.add_post("/{token}", double.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        double.url = f"http://127.0.0.1:{runner.addresses[0][1]}/{TOKEN}"
        yield double
    finally:
        await runner.cleanup()
