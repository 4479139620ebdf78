"""Receivers of plain POSTs: Slack's incoming webhook, and whatever takes Alertmanager's webhook."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web

from streams.simulator.faulty_server import FaultyServer

SLACK_PATH: Final = "/services/T0AAAAAAA/B0BBBBBBB/abcdefghijklmnopqrstuvwx"
MOST_BLOCKS: Final = 50
LONGEST: Final = {"header": 150, "section": 3000}


class SlackDouble(FaultyServer):
    """One channel. It refuses what Slack refuses of blocks."""

    def __init__(self) -> None:
        super().__init__(web.post("/services/{team}/{app}/{secret}", self._post))
        self.messages: list[dict[str, Any]] = []

    async def _post(self, request: web.Request) -> web.Response:
        if request.path != SLACK_PATH:
            return web.Response(status=404, text=f"no_service at {request.path}")
        message = await request.json()
        if (
            not message.get("text")
            or not all(map(_is_block, message["blocks"]))
            or len(message["blocks"]) > MOST_BLOCKS
        ):
            return web.Response(status=400, text="invalid_blocks")
        self.messages.append(message)
        return web.Response(text="ok")


class HookDouble(FaultyServer):
    """Any webhook, at any path that ends with `/hook/`."""

    def __init__(self) -> None:
        super().__init__(web.post("/{secret}/hook/", self._post))
        self.bodies: list[dict[str, Any]] = []
        self.tokens: list[str | None] = []

    async def _post(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get("Authorization"))
        self.bodies.append(await request.json())
        return web.Response(status=204)


def _is_block(block: dict[str, Any]) -> bool:
    text = block.get("text", {}).get("text", "-")
    return bool(text) and len(text) <= LONGEST.get(block["type"], 3000)
