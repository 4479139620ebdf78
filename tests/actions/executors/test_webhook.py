"""The webhook: what is sent, and what any receiver may answer."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from http.server import HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from aiohttp import web

from actions.executors.interface import Plan, Reading
from actions.executors.webhook import WebhookExecutor, signature
from actions.failure import Failure
from schemas.executors import Webhook
from schemas.section import Seconds, Secret
from tests.actions.docket.commands import command
from tests.doubles.webhook import SECRET, WebhookDouble, webhook_double

Scenario = Callable[[WebhookDouble, WebhookExecutor], Awaitable[None]]
GIVEN = command(parameters={"max_requests_per_second": 5})


def play(scenario: Scenario, timeout_s: float = 5.0) -> None:
    async def played() -> None:
        async with asyncio.timeout(20), webhook_double() as double:
            settings = Webhook(url=Secret(double.url), secret=Secret(SECRET), timeout=Seconds(timeout_s))
            executor = WebhookExecutor(settings)
            try:
                await scenario(double, executor)
            finally:
                await executor.close()

    asyncio.run(played())


def test_the_signature_is_what_the_documentation_says() -> None:
    """HMAC-SHA256 of `timestamp.body`: a fixed example that other languages can be held to."""
    made = signature(Secret("key"), "1800000000", b'{"phase":"plan"}')
    assert made == "v1=1f4d4c78dc501e18174feeed22d902d6da37974f68e7b27f6592880fbfded606"


def test_a_receiver_that_answers_204_to_everything_is_enough() -> None:
    """There is nothing to save, and what it accepted counts as done."""

    async def scenario(double: WebhookDouble, executor: WebhookExecutor) -> None:
        double.is_mute = True
        plan = await executor.plan(GIVEN)
        assert plan == Plan({}, ("the receiver is told: throttle of acme/bert (max_requests_per_second: 5)",))
        assert await executor.apply(GIVEN, {}) is None
        assert await executor.read_back(GIVEN) == Reading({}, None)

    play(scenario)


def test_each_change_has_a_key_and_each_question_has_none() -> None:
    """A receiver that remembers answers by key must not answer `read_back` from its memory."""

    async def scenario(double: WebhookDouble, executor: WebhookExecutor) -> None:
        await executor.plan(GIVEN)
        await executor.apply(GIVEN, {})
        await executor.read_back(GIVEN)
        await executor.undo(GIVEN, {})
        keys = [(phase, headers.get("Idempotency-Key")) for phase, headers in double.requests]
        assert keys == [
            ("plan", None), ("apply", f"{GIVEN.id}:apply"), ("read_back", None), ("undo", f"{GIVEN.id}:undo")
        ]  # fmt: skip

    play(scenario)


def test_a_receiver_may_say_that_it_is_not_so_yet() -> None:
    """Then the command is not verified."""

    async def scenario(double: WebhookDouble, executor: WebhookExecutor) -> None:
        double.levels[GIVEN.endpoint] = 7
        reading = await executor.read_back(GIVEN)
        assert reading == Reading({"limit": 7}, "the receiver says so")

    play(scenario)


def test_one_that_does_not_answer_in_time_is_asked_again() -> None:
    """A slow receiver is a retryable failure."""

    async def scenario(double: WebhookDouble, executor: WebhookExecutor) -> None:
        double.faults.append("hang")
        assert await executor.apply(GIVEN, {}) == Failure("webhook: POST apply: no answer in time", retryable=True)

    play(scenario, timeout_s=0.2)


@pytest.mark.parametrize(
    ("answer", "is_understood"),
    [("ok", True), ("[1]", True), ("{}", True), ('{"new": 1}', True), ('{"verified": "maybe"}', False)],
)
def test_an_answer_may_say_nothing_but_nothing_wrong(answer: str, is_understood: bool) -> None:  # noqa: FBT001
    """Text is no mistake; a documented field of a wrong type is, and asking again will not mend it."""

    async def scenario() -> None:
        async def handle(_: web.Request) -> web.Response:
            return web.Response(text=answer)

        app = web.Application()
        app.router.add_post("/", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        executor = WebhookExecutor(Webhook(url=Secret(f"http://127.0.0.1:{runner.addresses[0][1]}/")))
        try:
            plan = await executor.plan(GIVEN)
        finally:
            await executor.close()
            await runner.cleanup()
        assert isinstance(plan, Plan) is is_understood
        assert is_understood or not (isinstance(plan, Failure) and plan.retryable)

    asyncio.run(scenario())


def test_requests_are_stamped_with_the_time() -> None:
    """A receiver can refuse what is old, and the body has all that the signature covers."""

    async def scenario() -> None:
        seen: list[tuple[str, bytes]] = []

        async def handle(request: web.Request) -> web.Response:
            seen.append((request.headers["Tidegate-Timestamp"], await request.read()))
            return web.Response(status=204)

        app = web.Application()
        app.router.add_post("/", handle)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        settings = Webhook(url=Secret(f"http://127.0.0.1:{runner.addresses[0][1]}/"))
        executor = WebhookExecutor(settings, lambda: datetime(2027, 1, 15, 8, tzinfo=UTC))
        try:
            await executor.undo(GIVEN, {"limit": 9})
        finally:
            await executor.close()
            await runner.cleanup()
        timestamp, body = seen[0]
        told = json.loads(body)
        assert timestamp == "1800000000"
        assert (told["phase"], told["undone"], told["before"]) == ("undo", True, {"limit": 9})
        assert told["command"]["parameters"] == {"max_requests_per_second": 5}

    asyncio.run(scenario())


def test_the_documented_receiver_works() -> None:
    """The script in docs/executors.md applies, reads back and undoes, and refuses what it cannot check."""
    page = (Path(__file__).parents[3] / "docs" / "executors.md").read_text("utf-8")
    script = page.partition("```python\n")[2].partition("```")[0]
    made: dict[str, Any] = {}
    exec(compile(script, "docs/executors.md", "exec"), made)  # noqa: S102 -- our own page

    quiet = type("Quiet", (made["Receiver"],), {"log_message": lambda *_: None})

    async def scenario(url: str) -> None:
        executor = WebhookExecutor(Webhook(url=Secret(url), secret=Secret("the secret")))
        forger = WebhookExecutor(Webhook(url=Secret(url), secret=Secret("another")))
        try:
            assert isinstance(await forger.plan(GIVEN), Failure)
            plan = await executor.plan(GIVEN)
            assert isinstance(plan, Plan)
            assert await executor.apply(GIVEN, plan.before) is None
            assert await executor.read_back(GIVEN) == Reading({"limit": 5}, None)
            assert await executor.undo(GIVEN, plan.before) is None
            assert await executor.read_back(GIVEN, plan.before) == Reading({"limit": None}, None)
        finally:
            await executor.close()
            await forger.close()

    with HTTPServer(("127.0.0.1", 0), quiet) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            asyncio.run(scenario(f"http://127.0.0.1:{server.server_address[1]}/"))
        finally:
            server.shutdown()
            thread.join()
