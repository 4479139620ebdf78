"""The API of Hugging Face Inference Endpoints, over HTTP, with nothing behind it but `hosting.py`; and with faults.

The routes are those of https://api.endpoints.huggingface.cloud/v2 that read, scale, pause and resume. There is no
DELETE. Every request takes the next of `faults`, if there is any left, so a test says what happens to which.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final, NamedTuple

from aiohttp import web

from streams.simulator.fleet import Fleet, Replicas
from streams.simulator.hosting import Hosted, HostingError

HOST: Final = "127.0.0.1"
SHUTDOWN_S: Final = 0.1
REGION: Final = "us-east-1"
Answer = Awaitable[web.StreamResponse]


class Fault(NamedTuple):
    """What becomes of a request: it is `handled` or not, and then answered with `status`, held for ever, or cut off."""

    handled: bool = False
    status: int | None = None
    retry_after_s: int | None = None
    held: bool = False


CUT: Final = Fault()
CUT_AFTER: Final = Fault(handled=True)
SLOW: Final = Fault(handled=True, held=True)


def refusal(status: int, retry_after_s: int | None = None) -> Fault:
    return Fault(status=status, retry_after_s=retry_after_s)


class HuggingFaceDouble:
    """An account. `clock` tells the seconds that its endpoints live in; `token`: None, and any will do.

    `asked` counts the requests, `applied` those that were carried out, per endpoint and verb. `arrives` is called
    with every request before anything else: to let time pass.
    """

    def __init__(self, endpoints: Iterable[Hosted], clock: Callable[[], float], token: str | None = None) -> None:
        self.endpoints = {endpoint.name: endpoint for endpoint in endpoints}
        self.token = token
        self.faults: deque[Fault | None] = deque()
        self.asked: Counter[tuple[str, str]] = Counter()
        self.applied: Counter[tuple[str, str]] = Counter()
        self.arrives: Callable[[], None] = _nothing
        self._clock = clock

    def __getitem__(self, endpoint: str) -> Hosted:
        """The endpoint as it is now."""
        found = self.endpoints[endpoint]
        found.advance(self._clock())
        return found

    def lead(self, fleet: Fleet) -> None:
        """From the next step on the fleet has the replicas that run here, and its load decides how many are wanted."""
        now_s = self._clock()
        for name, endpoint in self.endpoints.items():
            endpoint.want(fleet.wish(name), now_s)
            most = 0 if endpoint.rest == "paused" else endpoint.most
            fleet.follow(name, Replicas(endpoint.ready(now_s), endpoint.target, most))

    @asynccontextmanager
    async def serving(self, port: int = 0) -> AsyncIterator[str]:
        """Serve it; the address of the API, for `executors.<name>.url`. Port 0: a free one."""
        runner = web.AppRunner(self._app(), access_log=None, shutdown_timeout=SHUTDOWN_S, handler_cancellation=True)
        await runner.setup()
        try:
            await web.TCPSite(runner, HOST, port).start()
            yield f"http://{HOST}:{runner.addresses[0][1]}/v2"
        finally:
            await runner.cleanup()

    def _app(self) -> web.Application:
        app = web.Application(middlewares=[self._meddle])
        one = "/v2/endpoint/{namespace}/{name}"
        app.router.add_get("/v2/provider/{namespace}", self._prices)
        app.router.add_get("/v2/endpoint/{namespace}", self._list)
        app.router.add_get(one, self._get)
        app.router.add_get(f"{one}/replica", self._replicas)
        app.router.add_put(one, self._update)
        for verb, change in (("pause", Hosted.pause), ("resume", Hosted.resume), ("scale-to-zero", _to_zero)):
            app.router.add_post(f"{one}/{verb}", self._changing(verb, change))
        return app

    @web.middleware
    async def _meddle(self, request: web.Request, handler: Callable[[web.Request], Answer]) -> web.StreamResponse:
        self.arrives()
        self.asked[_name(request), _verb(request)] += 1
        fault = self.faults.popleft() if self.faults else None
        if fault is None:
            return await self._answer(request, handler)
        if fault.handled:
            await self._answer(request, handler)
        if fault.held:
            await asyncio.Event().wait()  # until the other side has had enough
        if fault.status is not None:
            headers = {} if fault.retry_after_s is None else {"Retry-After": str(fault.retry_after_s)}
            return _refuse(fault.status, "as the test wants it", headers)
        if request.transport is not None:
            request.transport.abort()
        return web.Response()

    async def _answer(self, request: web.Request, handler: Callable[[web.Request], Answer]) -> web.StreamResponse:
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _refuse(401, "Invalid credentials in Authorization header")
        try:
            return await handler(request)
        except HostingError as error:
            return _refuse(error.status, str(error))

    def _found(self, request: web.Request) -> Hosted:
        if _name(request) not in self.endpoints:
            raise HostingError(404, f"Not Found: {_name(request)}")
        return self[_name(request)]

    def _changing(self, verb: str, change: Callable[[Hosted, float], None]) -> Callable[[web.Request], Answer]:
        async def handle(request: web.Request) -> web.Response:
            endpoint = self._found(request)
            change(endpoint, self._clock())
            self.applied[endpoint.name, verb] += 1
            return web.json_response(self._object(endpoint))

        return handle

    async def _update(self, request: web.Request) -> web.Response:
        endpoint, sent = self._found(request), await request.json()
        endpoint.update(sent.get("compute", {}).get("scaling", {}), self._clock())
        self.applied[endpoint.name, "PUT"] += 1
        return web.json_response(self._object(endpoint))

    async def _get(self, request: web.Request) -> web.Response:
        return web.json_response(self._object(self._found(request)))

    async def _list(self, request: web.Request) -> web.Response:
        items = [self._object(self[name]) for name in self.endpoints if name.startswith(f"{_name(request)}/")]
        return web.json_response({"items": items})

    async def _replicas(self, request: web.Request) -> web.Response:
        now_s = self._clock()
        alive = [replica for replica in self._found(request).replicas if replica.end_s is None]
        items = [
            {"id": f"r{number}", "status": "ready" if replica.ready_s <= now_s else "initializing"}
            for number, replica in enumerate(alive)
        ]
        return web.json_response({"items": items})

    async def _prices(self, _: web.Request) -> web.Response:
        prices = sorted({endpoint.price_usd_per_hour for endpoint in self.endpoints.values()})
        computes = [
            {"id": _instance(price), "instanceType": _instance(price), "instanceSize": "x1", "accelerator": "gpu",
             "status": "available", "pricePerHour": price}
            for price in prices
        ]  # fmt: skip
        region = {"name": REGION, "status": "available", "computes": computes}
        return web.json_response({"vendors": [{"name": "aws", "status": "available", "regions": [region]}]})

    def _object(self, endpoint: Hosted) -> dict[str, Any]:
        now_s = self._clock()
        scaling = {"minReplica": endpoint.least, "maxReplica": endpoint.most, "measure": {"pendingRequests": 1.5},
                   "scaleToZeroTimeout": endpoint.scale_to_zero_timeout}  # fmt: skip
        state = endpoint.state(now_s)
        failure = {"errorMessage": endpoint.update_failed} if state == "updateFailed" else {}
        return {
            "name": endpoint.name.partition("/")[2],
            "type": "authenticated",
            "provider": {"vendor": "aws", "region": REGION},
            "compute": {"accelerator": "gpu", "instanceType": _instance(endpoint.price_usd_per_hour),
                        "instanceSize": "x1", "scaling": scaling},
            "status": {"state": state, "message": endpoint.message, "readyReplica": endpoint.ready(now_s),
                       "targetReplica": endpoint.target, **failure},
        }  # fmt: skip


def _name(request: web.Request) -> str:
    return "/".join(request.match_info[part] for part in ("namespace", "name") if part in request.match_info)


def _verb(request: web.Request) -> str:
    """`pause`, `resume` or `scale-to-zero`, else the method."""
    return request.path.rsplit("/", 1)[-1] if request.method == "POST" else request.method


def _refuse(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.json_response({"error": message}, status=status, headers=headers)


def _to_zero(endpoint: Hosted, now_s: float) -> None:
    endpoint.scale_to_zero(now_s)


def _instance(price_usd_per_hour: float) -> str:
    return f"gpu-at-{price_usd_per_hour:g}-usd"


def _nothing() -> None:
    """Time is not ours to move."""
