"""A real HTTP server on a free port of this machine, whose next requests can be made to go wrong."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final, NamedTuple, Self

from aiohttp import web
from aiohttp.typedefs import Handler

HOST: Final = "127.0.0.1"
STOP_S: Final = 1.0
MOST_BYTES: Final = 4 << 20  # of a request that a server even looks at


class Fault(NamedTuple):
    """What comes of a request: this answer, after a while; None: its connection is cut. `is_done`: it is done first."""

    status: int | None = None
    headers: Mapping[str, str] = {}
    is_done: bool = False
    delay_s: float = 0.0
    text: str = ""


class FaultyServer:
    """Serves some routes while it is entered. Each of the `faults` is for one request, in their order."""

    def __init__(self, *routes: web.RouteDef) -> None:
        app = web.Application(middlewares=[self._fail], client_max_size=MOST_BYTES)
        app.add_routes(routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=STOP_S)
        self.faults: deque[Fault] = deque()
        self.url = ""

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, 0).start()
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @web.middleware
    async def _fail(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if not self.faults:
            return await handler(request)
        fault = self.faults.popleft()
        await asyncio.sleep(fault.delay_s)
        if fault.is_done:
            await handler(request)
        if fault.status is None and request.transport is not None:
            request.transport.abort()
        return web.Response(status=fault.status or web.HTTPOk.status_code, headers=fault.headers, text=fault.text)
