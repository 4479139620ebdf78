"""What every executor owes, over a real HTTP double of each: a new one joins with one entry in `RIGS`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Final, NamedTuple

import pytest

from actions.executors.interface import Executor, Plan, Reading
from actions.executors.registry import KINDS, executor_of
from actions.failure import Failure
from schemas import executors as sections
from schemas.outputs import Action, Command
from schemas.section import Seconds, Secret
from streams.simulator.hosting import Hosted
from streams.simulator.hugging_face import CUT_AFTER, refusal
from tests.actions.docket.commands import command
from tests.doubles import kubernetes as cluster
from tests.doubles import litellm as proxy
from tests.doubles.server import Answer, Cut, Double
from tests.doubles.webhook import SECRET, TOKEN, webhook_double
from tests.hosted import LLAMA, account, order
from tests.hosted import TOKEN as HF_TOKEN

PATIENCE_S: Final = 20.0
TIMEOUT: Final = Seconds(0.5)


class Rig(NamedTuple):
    """An executor, its double, and a command that it can carry out.

    `state` is all of the outside that the executor may change; `writes` counts what had an effect; `fail` makes the
    double answer the next requests in that way, each once: a status, or "cut" (done, and the connection is cut off).
    """

    executor: Executor
    command: Command
    state: Callable[[], Any]
    writes: Callable[[], int]
    fail: Callable[[int | str], None]
    secrets: tuple[str, ...] = ()
    tick: Callable[[], None] = lambda: None  # lets time pass where the double has a clock of its own


Made = Callable[[], AbstractAsyncContextManager[Rig]]


@asynccontextmanager
async def dry_run() -> AsyncIterator[Rig]:
    yield Rig(executor_of(sections.DryRun()), command(), lambda: None, lambda: 0, lambda _: None)


@asynccontextmanager
async def webhook() -> AsyncIterator[Rig]:
    async with webhook_double() as double:
        settings = sections.Webhook(url=Secret(double.url), secret=Secret(SECRET), timeout=TIMEOUT)
        executor = executor_of(settings)
        throttle = command(Action.THROTTLE, parameters={"max_requests_per_second": 5})
        state = lambda: {name: level for name, level in double.levels.items() if level is not None}  # noqa: E731
        yield Rig(
            executor, throttle, state, lambda: sum(double.done.values()), double.faults.append, (SECRET, TOKEN)
        )  # fmt: skip
        await executor.close()


@asynccontextmanager
async def hugging_face() -> AsyncIterator[Rig]:
    async with account(Hosted(LLAMA, 2.0, least=2, most=10, wanted=6)) as at:
        kept = lambda: (at.double[LLAMA].least, at.double[LLAMA].most)  # noqa: E731
        faults = {"cut": CUT_AFTER}
        yield Rig(
            at.executor, order(Action.THROTTLE, max_replicas=4), kept, lambda: sum(at.double.applied.values()),
            lambda fault: at.double.faults.append(faults.get(str(fault)) or refusal(int(fault))), (HF_TOKEN,),
            tick=lambda: setattr(at.clock, "now_s", at.clock.now_s + 5),
        )  # fmt: skip


@asynccontextmanager
async def litellm() -> AsyncIterator[Rig]:
    async with proxy.LiteLLMDouble() as double:
        throttle = command(Action.THROTTLE, parameters={"max_requests_per_second": 5})
        double.add("bert", "one", rpm=1000)
        settings = sections.LiteLLM(url=double.url, key=Secret(proxy.KEY), models={throttle.endpoint: "bert"})
        executor = executor_of(settings)
        fail = failing(double, proxy.KEY)
        yield Rig(executor, throttle, lambda: dict(double.rpm), lambda: len(double.changes), fail, (proxy.KEY,))
        await executor.close()


@asynccontextmanager
async def kubernetes() -> AsyncIterator[Rig]:
    async with cluster.KubernetesDouble(follows=True) as double:
        throttle = command(Action.THROTTLE, parameters={"max_replicas": 4})
        bert, workloads = double.add("deployment", "bert", 10), {throttle.endpoint: "llm/deployment/bert"}
        settings = sections.Kubernetes(url=double.url, token=Secret(cluster.TOKEN), workloads=workloads)
        executor = executor_of(settings)
        fail = failing(double, cluster.TOKEN)
        yield Rig(executor, throttle, lambda: bert.replicas, lambda: len(double.changes), fail, (cluster.TOKEN,))
        await executor.close()


def failing(double: Double, secret: str) -> Callable[[int | str], None]:
    """Makes the next write go wrong; an answer says the secret back."""
    return lambda fault: double.fail("PATCH", Answer(fault, secret) if isinstance(fault, int) else Cut(done=True))


RIGS: Final[Mapping[type[sections.Executor], Made]] = {
    sections.DryRun: dry_run,
    sections.HuggingFace: hugging_face,
    sections.Webhook: webhook,
    sections.LiteLLM: litellm,
    sections.Kubernetes: kubernetes,
}


@pytest.fixture(params=RIGS.values(), ids=[kind.__struct_config__.tag for kind in RIGS])
def rig(request: pytest.FixtureRequest) -> Made:
    made: Made = request.param
    return made


@pytest.fixture(
    params=[kind for kind in RIGS if kind is not sections.DryRun], ids=lambda kind: kind.__struct_config__.tag
)
def asking(request: pytest.FixtureRequest) -> Made:
    """Those that ask somebody."""
    return RIGS[request.param]


def play(rig: Made, scenario: Callable[[Rig], Awaitable[None]]) -> None:
    """Run a scenario against a rig, with a limit."""

    async def played() -> None:
        async with asyncio.timeout(PATIENCE_S), rig() as made:
            await scenario(made)

    asyncio.run(played())


async def planned(rig: Rig) -> Plan:
    plan = await rig.executor.plan(rig.command)
    assert isinstance(plan, Plan), plan
    return plan


async def applied(rig: Rig, plan: Plan) -> None:
    """Apply until it is taken, as the loop outside does."""
    await until(rig, lambda: rig.executor.apply(rig.command, plan.before))


async def until(rig: Rig, attempt: Callable[[], Awaitable[Failure | None]]) -> None:
    while (failure := await attempt()) is not None:
        assert failure.retryable, failure
        rig.tick()
        await asyncio.sleep(min(failure.retry_after_s or 0.01, 0.01))


async def verified(rig: Rig, plan: Plan | None = None) -> Reading:
    """Read back until it is so; with a plan, until that is undone."""
    while True:
        reading = await rig.executor.read_back(rig.command, None if plan is None else plan.before)
        if isinstance(reading, Reading) and reading.wrong is None:
            return reading
        assert isinstance(reading, Reading) or reading.retryable, reading
        rig.tick()
        await asyncio.sleep(0.01)


def test_every_registered_executor_is_tried() -> None:
    """Whoever adds a kind adds its rig."""
    assert set(RIGS) == set(KINDS)


def test_a_plan_changes_nothing(rig: Made) -> None:
    """It says what would change, and reads what to come back to."""

    async def scenario(rig: Rig) -> None:
        before = rig.state()
        plan = await planned(rig)
        assert plan.changes
        assert (rig.state(), rig.writes()) == (before, 0)

    play(rig, scenario)


def test_applying_twice_is_applying_once(rig: Made) -> None:
    """What was done, and not reported, is not done again."""

    async def scenario(rig: Rig) -> None:
        plan = await planned(rig)
        await applied(rig, plan)
        await verified(rig)
        once, state = rig.writes(), rig.state()
        await applied(rig, plan)
        assert (rig.writes(), rig.state()) == (once, state)

    play(rig, scenario)


def test_undo_comes_back_to_how_things_were(rig: Made) -> None:
    """And a second time changes nothing."""

    async def scenario(rig: Rig) -> None:
        before = rig.state()
        plan = await planned(rig)
        await applied(rig, plan)
        await verified(rig)
        await until(rig, lambda: rig.executor.undo(rig.command, plan.before))
        await verified(rig, plan)
        assert rig.state() == before
        writes = rig.writes()
        await until(rig, lambda: rig.executor.undo(rig.command, plan.before))
        assert (rig.state(), rig.writes()) == (before, writes)

    play(rig, scenario)


@pytest.mark.parametrize("fault", [500, 503, 429, "cut"])
def test_a_fault_that_passes_does_no_harm(asking: Made, fault: int | str) -> None:
    """It is retryable, and in the end all is applied, once."""

    async def scenario(rig: Rig) -> None:
        before = rig.state()
        plan = await planned(rig)
        rig.fail(fault)
        await applied(rig, plan)
        await verified(rig)
        assert rig.state() != before
        writes = rig.writes()
        await applied(rig, plan)
        assert rig.writes() == writes

    play(asking, scenario)


@pytest.mark.parametrize("fault", [400, 401, 403, 404, 429, 500, "cut"])
def test_no_failure_shows_a_secret(asking: Made, fault: int | str) -> None:
    """Not even where the other side says it back."""

    async def scenario(rig: Rig) -> None:
        plan = await planned(rig)
        rig.fail(fault)
        failure = await rig.executor.apply(rig.command, plan.before)
        shown = f"{failure} {rig.executor!r} {plan}"
        assert not [secret for secret in rig.secrets if secret in shown]

    play(asking, scenario)
