"""A real HTTP server on this machine that can be told to fail. Doubles of outside systems are made of it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, Self

from aiohttp import web
from aiohttp.typedefs import Handler


class Answer(NamedTuple):
    """A fault: this instead of doing what was asked."""

    status: int
    body: object = None
    headers: Mapping[str, str] = {}


class Cut(NamedTuple):
    """A fault: the connection is cut, before or after what was asked is done."""

    done: bool


class Slow(NamedTuple):
    """A fault: what was asked is done, and the answer comes too late for anybody."""

    seconds: float = 30.0


Fault = Answer | Cut | Slow


class Double:
    """An outside system. `faults` meet the next requests of a method, one each; `asked` is all that came."""

    def __init__(self) -> None:
        self.faults: dict[str, deque[Fault]] = {}
        self.asked: list[str] = []
        self.changes: list[str] = []  # what was really done, whether or not it could be answered
        self.url = ""
        self._acts: dict[str, Callable[[], None]] = {}
        self._app = web.Application(middlewares=[self._serve])
        self._runner = web.AppRunner(self._app, shutdown_timeout=0.1)

    def before_next(self, method: str, act: Callable[[], None]) -> None:
        """Do something just before the next request of this method is handled."""
        self._acts[method] = act

    def fail(self, method: str, *faults: Fault) -> None:
        self.faults.setdefault(method, deque()).extend(faults)

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._runner.cleanup()

    def refusal(self, request: web.Request) -> web.Response | None:
        """What this system says to who may not ask."""
        raise NotImplementedError

    @web.middleware
    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.rel_url.raw_path}")
        refused = self.refusal(request)
        if refused is not None:
            return refused
        queue = self.faults.get(request.method)
        fault = queue.popleft() if queue else None
        if isinstance(fault, Answer):
            return web.json_response(fault.body, status=fault.status, headers=dict(fault.headers))
        if isinstance(fault, Cut) and not fault.done:
            return self._cut(request)
        self._acts.pop(request.method, lambda: None)()
        answer = await handler(request)
        if isinstance(fault, Cut):
            return self._cut(request)
        if isinstance(fault, Slow):
            await asyncio.sleep(fault.seconds)
        return answer

    def _cut(self, request: web.Request) -> web.Response:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()
