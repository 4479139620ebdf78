"""The LiteLLM executor against the double, with what that API is known to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import pytest

from actions.executors.litellm import LiteLLMExecutor
from actions.executors.litellm_api import NO_LIMIT_RPM
from actions.overshoot import REQUESTS_OF
from schemas.executors import LiteLLM
from schemas.outputs import Action
from schemas.section import Seconds, Secret
from tests.actions.executors.carrying import applied, brake, planned, play, read, refused, settled
from tests.doubles.litellm import KEY, LiteLLMDouble
from tests.doubles.server import Answer, Cut, Fault, Slow

Scenario = Callable[[LiteLLMDouble, LiteLLMExecutor], Awaitable[None]]

THROTTLE: Final = brake(Action.THROTTLE, max_requests_per_second=10.0)
TIGHTER: Final = brake(Action.THROTTLE, max_requests_per_second=5.0)
OVERFLOW: Final = brake(Action.OVERFLOW, provider="runpod", price_usd_per_hour=0.4)
BOTH: Final = brake(Action.OVERFLOW, provider="runpod", price_usd_per_hour=0.4, max_requests_per_second=10.0)
FAULTS: Final[dict[str, Fault]] = {
    "429": Answer(429, headers={"retry-after": "0"}),
    "500": Answer(500, "Internal Server Error"),
    "cut before": Cut(done=False),
    "cut after": Cut(done=True),
    "slow": Slow(),
}


def at_a_proxy(scenario: Scenario, **settings: Any) -> None:
    """One model `llama` of two deployments, one limited; and three that it may fall back to."""

    async def run() -> None:
        async with LiteLLMDouble() as double:
            double.add("llama", "one")
            double.add("llama", "two", rpm=100)
            for name in ("runpod", "small", "other"):
                double.add(name, name)
            chosen = {"key": Secret(KEY), "models": {"acme/llama": "llama"}, "timeout": Seconds(5), **settings}
            executor = LiteLLMExecutor(LiteLLM(url=double.url, **chosen))
            await scenario(double, executor)
            await executor.close()

    play(run)


@asynccontextmanager
async def hurried(double: LiteLLMDouble) -> AsyncIterator[LiteLLMExecutor]:
    """One that soon loses its patience."""
    settings = LiteLLM(url=double.url, key=Secret(KEY), models={"acme/llama": "llama"}, timeout=Seconds(0.2))
    executor = LiteLLMExecutor(settings)
    yield executor
    await executor.close()


def limits(double: LiteLLMDouble) -> tuple[int | None, int | None]:
    return double.rpm["one"], double.rpm["two"]


def test_a_throttle_is_shared_among_the_deployments_of_a_model_and_raises_no_limit() -> None:
    """10 requests a second are 300 a minute for each of two; the one that was at 100 stays there."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        assert (await planned(executor, THROTTLE)).changes == ("rpm of llama (one): None -> 300",)
        assert double.changes == []
        await applied(executor, THROTTLE)
        assert (limits(double), double.rpm["small"]) == ((300, 100), None)
        assert (await read(executor, THROTTLE)).wrong is None
        assert (await planned(executor, THROTTLE)).changes == ()

    at_a_proxy(scenario)


def test_no_limit_comes_back_as_one_that_counts_as_none() -> None:
    """The proxy hears no null: what it then has is read as no limit, and a second undo finds nothing to do."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        before = await applied(executor, TIGHTER)
        assert "still" in ((await read(executor, TIGHTER, before)).wrong or "")
        for _ in range(2):
            assert await executor.undo(TIGHTER, before) is None
        assert limits(double) == (NO_LIMIT_RPM, 100)
        reading = await read(executor, TIGHTER, before)
        assert (reading.wrong, reading.after["rpm"]) == (None, before["rpm"])
        assert len(double.changes) == 2

    at_a_proxy(scenario)


def test_a_limit_that_was_so_already_is_not_undone() -> None:
    """Nothing was set, so there is nothing to put back, nor to wait for."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.add("llama", "one", rpm=300)
        before = await applied(executor, THROTTLE)
        assert await executor.undo(THROTTLE, before) is None
        assert (await read(executor, THROTTLE, before)).wrong is None
        assert double.changes == []

    at_a_proxy(scenario)


def test_less_than_one_request_a_minute_is_one() -> None:
    """Nothing is throttled to zero: that would be a shutdown."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        crawl = brake(Action.THROTTLE, max_requests_per_second=0.001)
        await applied(executor, crawl)
        assert limits(double) == (1, 1)
        assert (await read(executor, crawl)).wrong is None

    at_a_proxy(scenario)


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_chain_gives_back_what_was_before_its_first_brake(*, is_applied: bool) -> None:
    """Also if the tighter throttle failed: what is in force is the chain's."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        before = await applied(executor, THROTTLE)
        before = {**(await planned(executor, TIGHTER)).before, **before}
        if is_applied:
            assert await executor.apply(TIGHTER, before) is None
        assert limits(double) == (150 if is_applied else 300, 100)
        assert await executor.undo(TIGHTER, before) is None
        assert limits(double) == (NO_LIMIT_RPM, 100)

    at_a_proxy(scenario)


@pytest.mark.parametrize(("ours", "theirs"), [("one", 20), ("one", 90), ("two", 500)])
def test_a_limit_that_somebody_else_has_set_stays(ours: str, theirs: int) -> None:
    """It is not as the brake has set it any more, and the read-back says so."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        before = await applied(executor, brake(Action.THROTTLE, max_requests_per_second=1.0))
        double.deployments[ours]["litellm_params"]["rpm"] = theirs
        undone = brake(Action.THROTTLE, max_requests_per_second=1.0)
        assert await executor.undo(undone, before) is None
        assert double.rpm[ours] == theirs
        reading = await read(executor, undone, before)
        assert (reading.wrong, len(reading.after["kept"])) == (None, 1)
        assert f"'{ours}': {theirs}" in reading.after["kept"][0]

    at_a_proxy(scenario)


@pytest.mark.parametrize("was", [[], ["small"], ["small", "runpod"]])
def test_an_overflow_puts_the_provider_first_and_takes_it_out_again(was: list[str]) -> None:
    """What was there stays behind it, and comes back as it was: no fallbacks at all, too."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.fallbacks = {"llama": list(was)} if was else {}
        before = await applied(executor, OVERFLOW)
        assert double.fallbacks["llama"] == ["runpod", *[name for name in was if name != "runpod"]]
        assert (await read(executor, OVERFLOW)).wrong is None
        assert (await planned(executor, OVERFLOW)).changes == ()
        assert await executor.undo(OVERFLOW, before) is None
        assert double.fallbacks.get("llama", []) == was
        assert (await read(executor, OVERFLOW, before)).after == before

    at_a_proxy(scenario)


def test_the_fallbacks_of_every_model_are_kept_and_do_not_become_its_own() -> None:
    """A model that has only those of `*` is told them; after the undo it has again none of its own."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.fallbacks = {"*": ["small"]}
        before = await applied(executor, OVERFLOW)
        assert double.fallbacks["llama"] == ["runpod", "small"]
        assert await executor.undo(OVERFLOW, before) is None
        assert double.fallbacks == {"*": ["small"]}

    at_a_proxy(scenario)


def test_other_fallbacks_that_somebody_has_changed_stay_changed() -> None:
    """Only the provider is taken out."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.fallbacks = {"llama": ["small"]}
        before = await applied(executor, OVERFLOW)
        double.fallbacks["llama"] = ["runpod", "other"]
        assert await executor.undo(OVERFLOW, before) is None
        assert double.fallbacks["llama"] == ["other"]
        assert (await read(executor, OVERFLOW, before)).after["kept"] == ["fallbacks stays ['other'], was ['small']"]

    at_a_proxy(scenario)


def test_an_overflow_that_was_so_already_is_not_undone() -> None:
    """The provider was first before us: nothing of it is ours."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.fallbacks = {"llama": ["runpod"]}
        before = await applied(executor, OVERFLOW)
        assert await executor.undo(OVERFLOW, before) is None
        assert (double.fallbacks, double.changes) == ({"llama": ["runpod"]}, [])

    at_a_proxy(scenario)


def test_requests_have_where_to_go_before_they_are_limited() -> None:
    """An overflow with a limit sets the fallbacks first, and takes them away last; a provider has a name of its own."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        before = await applied(executor, BOTH)
        assert await executor.undo(BOTH, before) is None
        assert double.changes == [
            "llama falls back to ['other']",
            "one {'rpm': 300}",
            f"one {{'rpm': {NO_LIMIT_RPM}}}",
            "llama has no fallbacks",
        ]

    at_a_proxy(scenario, providers={"runpod": "other"})


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", ["GET", "PATCH", "POST"])
def test_each_change_is_made_once_whatever_goes_wrong(method: str, fault: Fault) -> None:
    """A fault can be tried again, and what was done before the answer was lost is not done again."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        before = (await planned(executor, BOTH)).before
        double.fail(method, fault)
        async with hurried(double) as attempt:
            failure = await attempt.apply(BOTH, before)
        assert failure is not None
        assert failure.retryable
        assert await settled(lambda: executor.apply(BOTH, before)) is None
        assert double.changes == ["llama falls back to ['runpod']", "one {'rpm': 300}"]
        assert (await read(executor, BOTH)).wrong is None

    at_a_proxy(scenario)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_an_undo_is_made_once_whatever_goes_wrong(method: str, fault: Fault) -> None:
    """The same on the way back."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        before = await applied(executor, BOTH)
        double.fail(method, fault)
        async with hurried(double) as attempt:
            assert await attempt.undo(BOTH, before) is not None
        assert await settled(lambda: executor.undo(BOTH, before)) is None
        assert (limits(double), double.fallbacks) == ((NO_LIMIT_RPM, 100), {})
        assert len(double.changes) == 4

    at_a_proxy(scenario)


def test_it_takes_no_more_requests_than_the_worst_case_reckons_with() -> None:
    """From the command to the proxy's yes, of a model with one deployment and fallbacks."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.fallbacks = {"small": ["other"], "*": ["runpod"]}
        await applied(executor, brake(Action.THROTTLE, "small", max_requests_per_second=1.0))
        assert double.changes == ["small {'rpm': 60}"]
        assert len(double.asked) <= REQUESTS_OF[LiteLLM]

    at_a_proxy(scenario)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (brake(Action.THROTTLE, max_replicas=3), "['max_replicas'] cannot be done by a proxy"),
        (brake(Action.SHUTDOWN), "cannot be done by a proxy"),
        (brake(Action.THROTTLE, "acme/unknown", max_requests_per_second=1.0), "no model acme/unknown"),
        (brake(Action.THROTTLE, "fixed", max_requests_per_second=1.0), "in the proxy's own file"),
        (brake(Action.OVERFLOW, "acme/slash", provider="runpod"), "map it with `models`"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(command: Any, why: str) -> None:
    """Trying again would not help."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.add("fixed", "fixed", in_database=False)
        double.add("acme/slash", "slash")
        failure = await refused(executor, command)
        assert not failure.retryable
        assert why in failure.reason
        assert double.changes == []

    at_a_proxy(scenario)


def test_a_throttle_needs_no_routes_of_fallbacks() -> None:
    """A model whose name has a slash, or an old proxy: it can be limited all the same."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.add("acme/slash", "slash")
        throttle = brake(Action.THROTTLE, "acme/slash", max_requests_per_second=1.0)
        before = await applied(executor, throttle)
        assert (double.rpm["slash"], before["fallbacks"]) == (60, None)
        assert await executor.undo(throttle, before) is None
        assert (await read(executor, throttle, before)).wrong is None

    at_a_proxy(scenario)


@pytest.mark.parametrize("rpm", [None, 201])
def test_a_deployment_that_came_later_is_told_in_the_read_back(rpm: int | None) -> None:
    """Without a limit, or with one that is too much in all, the model is not limited as a whole."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        await applied(executor, THROTTLE)
        double.add("llama", "three", rpm)
        assert (await read(executor, THROTTLE)).wrong == f"llama: rpm is [300, 100, {rpm}], not 600 in all"
        double.add("llama", "three", 200)
        assert (await read(executor, THROTTLE)).wrong is None

    at_a_proxy(scenario)


def test_a_proxy_that_stores_no_models_refuses_for_good() -> None:
    """The proxy's own words are the reason."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        plan = await planned(executor, THROTTLE)
        double.stores_models = False
        failure = await settled(lambda: executor.apply(THROTTLE, plan.before))
        assert failure is not None
        assert "only supported for DB-stored models" in failure.reason

    at_a_proxy(scenario)


def test_a_wrong_key_is_in_no_reason() -> None:
    """Though the proxy repeats it."""

    async def scenario(_double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        failure = await refused(executor, THROTTLE)
        assert (failure.retryable, failure.status) == (False, 401)
        assert "<secret>" in failure.reason
        assert "sk-of-nobody" not in failure.reason

    at_a_proxy(scenario, key=Secret("sk-of-nobody"))


def test_a_page_of_some_gateway_is_no_answer_of_the_proxy() -> None:
    """It is a failure with a reason, not an exception."""

    async def scenario(double: LiteLLMDouble, executor: LiteLLMExecutor) -> None:
        double.fail("GET", Answer(200, "<html>sign in</html>"))
        failure = await refused(executor, THROTTLE)
        assert failure.retryable
        assert "not the answer that was expected" in failure.reason

    at_a_proxy(scenario)


def test_a_proxy_that_is_not_there_can_be_tried_again() -> None:
    """A refused connection is a failure, not an exception."""

    async def scenario() -> None:
        executor = LiteLLMExecutor(LiteLLM(url="http://127.0.0.1:9", key=Secret(KEY)))
        assert (await refused(executor, THROTTLE)).retryable
        await executor.close()
        await asyncio.sleep(0)

    play(scenario)
