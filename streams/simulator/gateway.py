"""A gateway that sends requests elsewhere when a signed POST says so: the other side of the executor `webhook`.

It answers as docs/executors.md asks of a receiver: checks the signature, does a thing once however often it is told,
and says what it has done when it is read back.
"""

from __future__ import annotations

import hmac
import json
from collections import Counter
from typing import Any, Final

from aiohttp import web

from streams.simulator.faulty_server import FaultyServer

PATH: Final = "/commands"
SURPLUS: Final = "surplus_goes_to"
NOWHERE: Final = "nowhere"
CHANGES: Final = ("apply", "undo")


class Gateway(FaultyServer):
    """Its address is `url` + `PATH`. `overflows`: endpoint -> where to; `applied`: changes, per endpoint and phase."""

    def __init__(self, secret: str) -> None:
        super().__init__(web.post(PATH, self._take))
        self.overflows: dict[str, str] = {}
        self.applied: Counter[tuple[str, str]] = Counter()
        self._secret = secret.encode()
        self._done: set[str] = set()

    async def _take(self, request: web.Request) -> web.Response:
        body = await request.read()
        if not self._is_signed(request, body):
            return web.Response(status=401, text="bad signature")
        told = json.loads(body)
        endpoint, key = told["command"]["endpoint"], request.headers.get("Idempotency-Key", "")
        if told["phase"] in CHANGES and key not in self._done:
            self._done.add(key)
            self._change(endpoint, told)
        now = self.overflows.get(endpoint)
        is_so = now == _wanted(told, undone=told["undone"])
        state = {SURPLUS: now or NOWHERE}
        return web.json_response({"before": state, "after": state, "verified": is_so})

    def _change(self, endpoint: str, told: dict[str, Any]) -> None:
        self.applied[endpoint, told["phase"]] += 1
        wanted = _wanted(told, undone=told["phase"] == "undo")
        if wanted is None:
            self.overflows.pop(endpoint, None)
        else:
            self.overflows[endpoint] = wanted

    def _is_signed(self, request: web.Request, body: bytes) -> bool:
        signed = request.headers.get("Tidegate-Timestamp", "").encode() + b"." + body
        wanted = "v1=" + hmac.digest(self._secret, signed, "sha256").hex()
        return hmac.compare_digest(wanted, request.headers.get("Tidegate-Signature", ""))


def _wanted(told: dict[str, Any], *, undone: bool) -> str | None:
    """Where the endpoint's surplus is to go; None: nowhere."""
    before = told["before"] or {}
    wanted: str = before.get(SURPLUS, NOWHERE) if undone else told["command"]["parameters"]["provider"]
    return None if wanted == NOWHERE else wanted
