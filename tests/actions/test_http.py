"""What comes back from outside is a value, however odd: an answer never ends the process that asked."""

from __future__ import annotations

import asyncio
import contextlib

import httpx
import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from actions import http
from actions.failure import Failure
from actions.http import MOST_RETRY_AFTER_S, Client, Site, retry_after_s
from streams.simulator.faulty_server import Fault, FaultyServer

HUGE = "9" * 30


@given(st.text() | st.from_regex(r"Mon, \d{1,30} Jan \d{1,30} \d{1,30}:00:00 [+-]\d{1,30}"))
@example("²")  # a digit, and no number
@example(f"Mon, 01 Jan {HUGE} 00:00:00 GMT")
@example(f"Mon, 01 Jan 2026 00:00:00 +{HUGE}")
def test_whatever_retry_after_says_it_is_a_pause_or_nothing(told: str) -> None:
    """One header of one receiver would stop the pages of all."""
    pause_s = retry_after_s({"retry-after": told})
    assert pause_s is None or 0 <= pause_s <= MOST_RETRY_AFTER_S


@pytest.mark.parametrize("charset", ["hex", "undefined", "idna", "utf-16", "no-such-thing"])
def test_an_answer_in_whatever_charset_is_a_failure_and_no_crash(charset: str) -> None:
    """Python knows codecs that are none of text, and some that refuse to replace what they do not know."""

    async def scenario() -> None:
        async with FaultyServer() as server:
            server.faults.append(Fault(500, {"Content-Type": f"text/plain; charset={charset}"}))
            client = Client(Site("page", server.url, 5.0))
            answer = await client.send("POST", "/")
            await client.close()
            assert isinstance(answer, Failure)
            assert (answer.status, answer.retryable) == (500, True)

    asyncio.run(scenario())


@pytest.mark.parametrize("status", [200, 500])
def test_an_answer_that_never_ends_is_cut(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    """A receiver must not fill the memory of the process that pages everybody."""
    monkeypatch.setattr(http, "MOST_BYTES", 100_000)

    async def endless(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(status=status)
        await answer.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await answer.write(b"x" * 50_000)
        return answer

    async def scenario() -> None:
        async with FaultyServer(web.post("/", endless)) as server:
            client = Client(Site("page", server.url, 20.0))
            answer = await client.send("POST", "/")
            await client.close()
            if status == web.HTTPOk.status_code:
                assert isinstance(answer, httpx.Response)
                assert len(answer.content) == 100_000
            else:
                assert isinstance(answer, Failure)
                assert answer.status == status

    asyncio.run(scenario())
