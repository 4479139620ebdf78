"""`/metrics`, `/-/healthy` and `/-/ready`, over HTTP, by Prometheus's own conventions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from schemas.config import Http
from streams.errors import TidegateError

SHUTDOWN_S: Final = 1.0
MOST_BYTES: Final = 1024 * 1024  # of what is posted

log = structlog.get_logger("tidegate.http")


class PortTaken(TidegateError):
    """The address to listen on cannot be had."""


Check = Callable[[], str | None]  # why not, or None if all is well


class Exposition(Protocol):
    """The series of a process."""

    def render(self) -> bytes:
        """The text that Prometheus scrapes."""


class HttpServer:
    """Serves one process. `healthy` and `ready` say why not."""

    def __init__(self, settings: Http, metrics: Exposition, healthy: Check, ready: Check) -> None:
        self._settings = settings
        self._metrics = metrics
        self._app = app = web.Application(client_max_size=MOST_BYTES)
        app.router.add_get("/metrics", self._scrape)
        app.router.add_get("/-/healthy", _answer("healthy", healthy))
        app.router.add_get("/-/ready", _answer("ready", ready))
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN_S)

    def add_post(self, path: str, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> None:
        """Also take what is posted there; to be called before it starts."""
        self._app.router.add_post(path, handler)

    async def start(self) -> int:
        """Listen; the port, which is a free one if the settings say 0."""
        host, port = self._settings.host, self._settings.port
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port).start()
        except OSError as error:
            where = "http.host, http.port; of `execute` and `alert` also --port"
            raise PortTaken(f"cannot listen on {host}:{port} ({where}): {error.strerror}") from error
        taken: int = self._runner.addresses[0][1]
        log.info("listening", host=host, port=taken)
        return taken

    async def stop(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()

    async def _scrape(self, _: web.Request) -> web.Response:
        body = self._metrics.render()
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _answer(name: str, check: Check) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        why_not = check()
        if why_not is None:
            return web.Response(text=f"{name}\n")
        return web.Response(status=503, text=f"not {name}: {why_not}\n")

    return handler
