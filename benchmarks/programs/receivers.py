"""Those who are told of alerts, in one process: each takes what it is sent at its own path, and counts it.

Run as `python -m benchmarks.programs.receivers [limited]`; says its address, and runs until it is killed. `limited`:
PagerDuty and Slack take no more than they do. `GET /seen` says of each receiver how many requests it took, when the
first and the last came (seconds since the epoch), and how many it refused. `silent` takes requests and never answers.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections import deque
from typing import Any, Final

import uvloop
from aiohttp import web
from msgspec import Struct, field, to_builtins

HOST: Final = "127.0.0.1"
MOST_BYTES: Final = 4 << 20
PAGER_LIMIT: Final = (120, 60.0)  # so many requests in so many seconds
CHAT_LIMIT: Final = (1, 1.0)
STATUS: Final = {"pager": 202, "manager": 200, "chat": 200, "hook": 200}
PATHS: Final = {"pager": "/v2/enqueue", "manager": "/api/v2/alerts", "chat": "/chat", "hook": "/hook"}
SILENT: Final = "/silent"


class Seen(Struct):
    """What came to one receiver. `limit`: None, and it takes all."""

    limit: tuple[int, float] | None = None
    taken: int = 0
    refused: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    recent: deque[float] = field(default_factory=deque)

    def take(self, now_s: float) -> float | None:
        """Count a request; the seconds after which to come again, if it is one too many."""
        if self.limit is not None and (wait_s := self._wait_s(now_s)) > 0:
            self.refused += 1
            return wait_s
        self.first_s = self.first_s or now_s
        self.taken, self.last_s = self.taken + 1, now_s
        return None

    def _wait_s(self, now_s: float) -> float:
        most, window_s = self.limit or (0, 0.0)
        while self.recent and self.recent[0] <= now_s - window_s:
            self.recent.popleft()
        if len(self.recent) >= most:
            return self.recent[0] + window_s - now_s
        self.recent.append(now_s)
        return 0.0


def app(seen: dict[str, Seen]) -> web.Application:
    made = web.Application(client_max_size=MOST_BYTES)
    for name, path in PATHS.items():
        made.router.add_post(path, _taking(seen[name], STATUS[name]))
    made.router.add_post(SILENT, _silent)
    made.router.add_get("/seen", _telling(seen))
    return made


def _taking(seen: Seen, status: int) -> Any:  # noqa: ANN401 -- aiohttp's word for a handler is long
    async def take(request: web.Request) -> web.Response:
        await request.read()
        wait_s = seen.take(time.time())
        if wait_s is not None:
            return web.Response(status=429, headers={"Retry-After": str(int(wait_s) + 1)})
        return web.Response(status=status)

    return take


async def _silent(request: web.Request) -> web.Response:
    await request.read()
    await asyncio.Event().wait()
    return web.Response()


def _telling(seen: dict[str, Seen]) -> Any:  # noqa: ANN401
    async def tell(_: web.Request) -> web.Response:
        found = {name: to_builtins(each) for name, each in seen.items()}
        return web.json_response({name: {**each, "recent": None} for name, each in found.items()})

    return tell


async def serve(*, limited: bool) -> None:
    limits = {"pager": PAGER_LIMIT, "chat": CHAT_LIMIT} if limited else {}
    runner = web.AppRunner(app({name: Seen(limits.get(name)) for name in PATHS}), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    print(f"http://{HOST}:{runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner_:
        runner_.run(serve(limited="limited" in sys.argv[1:]))
