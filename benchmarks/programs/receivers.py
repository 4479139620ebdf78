"""Those who are told of alerts, in one process: each takes what it is sent at its own path, and counts it.

Run as `python -m benchmarks.programs.receivers [limited]`; says its address, and runs until it is killed. `limited`:
PagerDuty and Slack take no more than they do. `GET /seen` says of each receiver how many different alerts it was told
of, in how many requests, when the first and the last came (seconds since the epoch), and how many it refused. Below
`/silent` nothing is ever answered.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import uvloop
from aiohttp import web

from streams.simulator.pagerduty import CALLS, WINDOW_S

HOST: Final = "127.0.0.1"
MOST_BYTES: Final = 4 << 20
PAGER_LIMIT: Final = (CALLS, WINDOW_S)  # so many requests in so many seconds
CHAT_LIMIT: Final = (1, 1.0)
STATUS: Final = {"pager": 202, "manager": 200, "chat": 200, "hook": 200}
PATHS: Final = {"pager": "/v2/enqueue", "manager": "/api/v2/alerts", "chat": "/chat", "hook": "/hook"}
SILENT: Final = "/silent"
ENDPOINT: Final = re.compile(rb"bench/endpoint-\d+")  # each alert is of its own


@dataclass
class Door:
    """What came to one receiver. `limit`: so many requests in so many seconds; None, and it takes all."""

    limit: tuple[int, float] | None = None
    alerts: set[bytes] = field(default_factory=set)
    requests: int = 0
    refused: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    recent: deque[float] = field(default_factory=deque)

    def take(self, body: bytes, now_s: float) -> float | None:
        """Count a request and what it tells; the seconds after which to come again, if it is one too many."""
        if self.limit is not None and (wait_s := self._wait_s(now_s)) > 0:
            self.refused += 1
            return wait_s
        self.first_s = self.first_s or now_s
        self.alerts.update(ENDPOINT.findall(body))
        self.requests, self.last_s = self.requests + 1, now_s
        return None

    def seen(self) -> dict[str, float]:
        counts = {"alerts": len(self.alerts), "requests": self.requests, "refused": self.refused}
        return {**counts, "first_s": self.first_s, "last_s": self.last_s}

    def _wait_s(self, now_s: float) -> float:
        most, window_s = self.limit or (0, 0.0)
        while self.recent and self.recent[0] <= now_s - window_s:
            self.recent.popleft()
        if len(self.recent) >= most:
            return self.recent[0] + window_s - now_s
        self.recent.append(now_s)
        return 0.0


def app(doors: dict[str, Door]) -> web.Application:
    made = web.Application(client_max_size=MOST_BYTES)
    for name, path in PATHS.items():
        made.router.add_post(path, _taking(doors[name], STATUS[name]))
    made.router.add_post(SILENT + "{rest:.*}", _silent)
    made.router.add_get("/seen", _telling(doors))
    return made


def _taking(door: Door, status: int) -> Any:  # noqa: ANN401 -- aiohttp's word for a handler is long
    async def take(request: web.Request) -> web.Response:
        wait_s = door.take(await request.read(), time.time())
        if wait_s is not None:
            return web.Response(status=429, headers={"Retry-After": str(int(wait_s) + 1)})
        return web.Response(status=status)

    return take


async def _silent(request: web.Request) -> web.Response:
    await request.read()
    await asyncio.Event().wait()
    return web.Response()


def _telling(doors: dict[str, Door]) -> Any:  # noqa: ANN401
    async def tell(_: web.Request) -> web.Response:
        return web.json_response({name: door.seen() for name, door in doors.items()})

    return tell


async def serve(*, limited: bool) -> None:
    limits = {"pager": PAGER_LIMIT, "chat": CHAT_LIMIT} if limited else {}
    runner = web.AppRunner(app({name: Door(limits.get(name)) for name in PATHS}), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    print(f"http://{HOST}:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner_:
        runner_.run(serve(limited="limited" in sys.argv[1:]))
