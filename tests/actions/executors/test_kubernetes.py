"""The Kubernetes executor against the double, with what that API, HPAs and KEDA are known to do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest

from actions.executors.interface import Saved
from actions.executors.kubernetes import KubernetesExecutor
from actions.overshoot import REQUESTS_OF
from schemas.executors import Kubernetes
from schemas.outputs import Action
from schemas.section import Seconds, Secret
from tests.actions.executors.carrying import applied, brake, planned, play, read, refused, settled
from tests.doubles.kubernetes import TOKEN, KubernetesDouble
from tests.doubles.server import Answer, Cut, Fault, Slow

Scenario = Callable[[KubernetesDouble, KubernetesExecutor], Awaitable[None]]

WORKLOADS: Final = {
    "acme/llama": "llm/deployment/llama",
    "acme/bert": "llm/statefulset/bert",
    "acme/keda": "llm/scaledobject/mixtral",
    "acme/gone": "llm/deployment/gone",
    "acme/hidden": "llm/deployment/mixtral",
}
SHUTDOWN, THROTTLE = brake(Action.SHUTDOWN), brake(Action.THROTTLE, max_replicas=4)
KEDA_SHUTDOWN = brake(Action.SHUTDOWN, "acme/keda")
KEDA_THROTTLE = brake(Action.THROTTLE, "acme/keda", max_replicas=4)
FAULTS: Final[dict[str, Fault]] = {
    "429": Answer(429, headers={"retry-after": "0"}),
    "500": Answer(500, {"kind": "Status", "message": "etcdserver: request timed out"}),
    "409": Answer(409, {"kind": "Status", "reason": "Conflict"}),
    "cut before": Cut(done=False),
    "cut after": Cut(done=True),
    "slow": Slow(),
}


def connected(double: KubernetesDouble, **settings: Any) -> KubernetesExecutor:
    chosen = {"token": Secret(TOKEN), "timeout": Seconds(5), "workloads": WORKLOADS, **settings}
    return KubernetesExecutor(Kubernetes(url=double.url, **chosen))


@asynccontextmanager
async def hurried(double: KubernetesDouble) -> AsyncIterator[KubernetesExecutor]:
    """One that soon loses its patience."""
    executor = connected(double, timeout=Seconds(0.2))
    yield executor
    await executor.close()


def in_a_cluster(scenario: Scenario, annotations: Mapping[str, str] | None = None, **settings: Any) -> None:
    """A Deployment and a StatefulSet of 10, and a ScaledObject over a Deployment of 8."""

    async def run() -> None:
        async with KubernetesDouble() as double:
            double.add("deployment", "llama", 10)
            double.add("statefulset", "bert", 10)
            double.add("deployment", "mixtral", 8)
            double.add_scaled_object("mixtral", "mixtral", 8, **(annotations or {}))
            executor = connected(double, **settings)
            await scenario(double, executor)
            await executor.close()

    play(run)


def replicas(double: KubernetesDouble, workload: str = "deployment/llama") -> int:
    return double.workloads[workload].replicas


@pytest.mark.parametrize("endpoint", ["acme/llama", "acme/bert"])
def test_a_throttle_scales_down_to_the_cap_and_is_verified_when_the_pods_are_gone(endpoint: str) -> None:
    """What is wanted is not what runs: the read-back waits for both. The undo brings back what was."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        kind, name = WORKLOADS[endpoint].split("/")[1:]
        throttle = brake(Action.THROTTLE, endpoint, max_replicas=4)
        assert (await planned(executor, throttle)).changes == (f"llm/{kind}/{name}: replicas 10 -> 4",)
        assert double.changes == []
        before = await applied(executor, throttle)
        assert (replicas(double, f"{kind}/{name}"), before["replicas"]) == (4, 10)
        assert "10 replicas still run" in ((await read(executor, throttle)).wrong or "")
        double.settle()
        assert (await read(executor, throttle)).wrong is None
        assert "still" in ((await read(executor, throttle, before)).wrong or "")
        for _ in range(2):
            assert await executor.undo(throttle, before) is None
        assert double.changes == [f"{name} 4", f"{name} 10"]
        assert (await read(executor, throttle, before)).wrong is None

    in_a_cluster(scenario)


def test_a_throttle_never_scales_up() -> None:
    """Of a workload below the cap nothing is asked, also if it came there between the plan and the apply."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = (await planned(executor, THROTTLE)).before
        double.workloads["deployment/llama"].replicas = 2
        assert (await planned(executor, THROTTLE)).changes == ()
        assert await executor.apply(THROTTLE, before) is None
        assert await executor.undo(THROTTLE, before) is None
        assert (replicas(double), double.changes) == (2, [])

    in_a_cluster(scenario)


def test_a_shutdown_is_zero_replicas_even_under_an_hpa() -> None:
    """An HPA lets a workload at 0 be, and takes over again once it is not."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        double.add_autoscaler("llama", "deployment/llama", wish=7)
        before = await applied(executor, SHUTDOWN)
        double.settle()
        assert (replicas(double), (await read(executor, SHUTDOWN)).wrong) == (0, None)
        assert await executor.undo(SHUTDOWN, before) is None
        double.settle()
        assert replicas(double) == 7

    in_a_cluster(scenario)


def test_a_cap_that_an_hpa_would_undo_is_refused() -> None:
    """It is said before anything is done; whoever may not list HPAs is believed that there are none."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        double.add_autoscaler("other", "statefulset/bert", wish=7)
        assert (await planned(executor, THROTTLE)).changes
        double.add_autoscaler("scales-llama", "deployment/llama", wish=7)
        failure = await refused(executor, THROTTLE)
        assert not failure.retryable
        assert "the HPA scales-llama would scale it up again" in failure.reason
        double.may_list_autoscalers = False
        assert (await planned(executor, THROTTLE)).changes

    in_a_cluster(scenario)


@pytest.mark.parametrize("action", [Action.THROTTLE, Action.SHUTDOWN])
def test_what_keda_scales_is_told_to_keda_or_not_at_all(action: Action) -> None:
    """It would undo a shutdown, too, as soon as there is something to do."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        failure = await refused(executor, brake(action, "acme/hidden", max_replicas=4))
        assert not failure.retryable
        assert "name the ScaledObject mixtral instead" in failure.reason
        assert double.changes == []

    in_a_cluster(scenario)


@pytest.mark.parametrize("theirs", [2, 6, 12])
def test_what_somebody_else_has_scaled_stays(theirs: int) -> None:
    """It is not as the brake has set it any more, and the read-back says so."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = await applied(executor, THROTTLE)
        double.workloads["deployment/llama"].replicas = theirs
        assert await executor.undo(THROTTLE, before) is None
        assert replicas(double) == theirs
        reading = await read(executor, THROTTLE, before)
        assert (reading.wrong, reading.after["kept"]) == (None, [f"replicas stays {theirs}, was 10"])

    in_a_cluster(scenario)


@pytest.mark.parametrize("is_applied", [True, False])
def test_a_chain_gives_back_what_its_first_brake_took(*, is_applied: bool) -> None:
    """Also if the shutdown that was to take the throttle's place failed: what is in force is the chain's."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = await applied(executor, THROTTLE)
        before = {**(await planned(executor, SHUTDOWN)).before, **before}
        if is_applied:
            assert await executor.apply(SHUTDOWN, before) is None
        assert replicas(double) == (0 if is_applied else 4)
        assert await executor.undo(SHUTDOWN, before) is None
        assert replicas(double) == 10

    in_a_cluster(scenario)


@pytest.mark.parametrize("stopped", ["deployment/llama", "scaledobject/mixtral"])
def test_who_was_stopped_between_a_throttle_and_a_shutdown_is_not_started_again(stopped: str) -> None:
    """The chain began with more, but the shutdown found nothing to do."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        is_keda = stopped.startswith("scaledobject")
        throttle, shutdown = (KEDA_THROTTLE, KEDA_SHUTDOWN) if is_keda else (THROTTLE, SHUTDOWN)
        first = await applied(executor, throttle)
        if is_keda:
            double.scalers["mixtral"].annotations["autoscaling.keda.sh/paused-replicas"] = "0"
        else:
            double.workloads[stopped].replicas = 0
        before = {**(await planned(executor, shutdown)).before, **first}  # as the desk of `tidegate execute` keeps it
        assert await executor.apply(shutdown, before) is None
        made = list(double.changes)
        assert await executor.undo(shutdown, before) is None
        assert (await read(executor, shutdown, before)).wrong is None
        assert double.changes == made

    in_a_cluster(scenario)


def test_what_a_command_has_set_comes_back_whoever_planned_it() -> None:
    """Only the first `before` of a chain is at hand: it is enough for the brake in force."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = await applied(executor, THROTTLE)
        assert await executor.apply(SHUTDOWN, before) is None
        assert await executor.undo(SHUTDOWN, before) is None
        assert replicas(double) == 10

    in_a_cluster(scenario)


def test_keda_is_held_at_zero_and_let_go() -> None:
    """The annotation comes and goes, and KEDA scales as it will; the read-back waits for what runs."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = await applied(executor, KEDA_SHUTDOWN)
        assert (before["replicas"], before["paused_replicas"]) == (8, None)
        assert "8 replicas still run" in ((await read(executor, KEDA_SHUTDOWN)).wrong or "")
        double.settle()
        assert (replicas(double, "deployment/mixtral"), (await read(executor, KEDA_SHUTDOWN)).wrong) == (0, None)
        assert "still 0" in ((await read(executor, KEDA_SHUTDOWN, before)).wrong or "")
        assert await executor.undo(KEDA_SHUTDOWN, before) is None
        assert double.scalers["mixtral"].annotations == {}
        double.settle()
        after = {"replicas": 8, "paused_replicas": None, "running": 8}
        assert await read(executor, KEDA_SHUTDOWN, before) == (after, None)

    in_a_cluster(scenario)


@pytest.mark.parametrize(("now", "held_at"), [(8, "4"), (3, "3"), (0, None)])
def test_a_throttle_holds_keda_at_the_cap_or_where_it_is(now: int, held_at: str | None) -> None:
    """Whichever is fewer, so that it cannot grow and is never scaled up; at 0 it would be a shutdown."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        workload = double.workloads["deployment/mixtral"]
        workload.replicas = workload.running = workload.wish = now
        await applied(executor, KEDA_THROTTLE)
        double.settle()
        assert double.scalers["mixtral"].annotations.get("autoscaling.keda.sh/paused-replicas") == held_at
        assert workload.replicas == min(now, 4)
        assert (await read(executor, KEDA_THROTTLE)).wrong is None

    in_a_cluster(scenario)


@pytest.mark.parametrize(
    ("annotations", "came_back"),
    [({"paused_replicas": "6"}, "6"), ({"paused": "true"}, "8"), ({"paused": "false"}, None)],
)
def test_keda_that_somebody_has_held_is_held_again(annotations: Mapping[str, str], came_back: str | None) -> None:
    """Where it was; `paused` without a number means where it stood, and is then said with one."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = await applied(executor, KEDA_SHUTDOWN)
        double.settle()
        assert replicas(double, "deployment/mixtral") == 0
        assert await executor.undo(KEDA_SHUTDOWN, before) is None
        assert double.scalers["mixtral"].annotations.get("autoscaling.keda.sh/paused-replicas") == came_back
        double.settle()
        assert replicas(double, "deployment/mixtral") == int(came_back or 8)

    in_a_cluster(scenario, annotations)


def test_keda_that_is_held_below_the_cap_is_left_alone() -> None:
    """It is throttled already, and not by us."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        double.settle()
        before = await applied(executor, KEDA_THROTTLE)
        assert await executor.undo(KEDA_THROTTLE, before) is None
        assert double.changes == []
        assert (await read(executor, KEDA_THROTTLE)).wrong is None

    in_a_cluster(scenario, {"paused_replicas": "2"})


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("command", [THROTTLE, KEDA_THROTTLE], ids=["deployment", "scaledobject"])
def test_a_change_is_made_once_each_way_whatever_goes_wrong(command: Any, fault: Fault) -> None:
    """A fault can be tried again, and what was done before the answer was lost is not done again."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = (await planned(executor, command)).before
        double.fail("PATCH", fault)
        async with hurried(double) as attempt:
            failure = await attempt.apply(command, before)
        assert failure is not None
        assert failure.retryable
        assert await settled(lambda: executor.apply(command, before)) is None
        assert len(double.changes) == 1
        double.fail("PATCH", fault)
        async with hurried(double) as attempt:
            assert await attempt.undo(command, before) is not None
        assert await settled(lambda: executor.undo(command, before)) is None
        assert len(double.changes) == 2
        double.settle()
        assert replicas(double) == 10
        assert replicas(double, "deployment/mixtral") == 8

    in_a_cluster(scenario)


@pytest.mark.parametrize("command", [THROTTLE, KEDA_THROTTLE], ids=["deployment", "scaledobject"])
def test_a_change_in_between_is_not_overwritten(command: Any) -> None:
    """Somebody writes between our read and our write: 409, and the next attempt reads what they wrote."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before = (await planned(executor, command)).before

        def meddle() -> None:
            double.workloads["deployment/llama"].replicas = 3
            double.workloads["deployment/llama"].version += 1
            double.scalers["mixtral"].annotations["autoscaling.keda.sh/paused-replicas"] = "3"
            double.scalers["mixtral"].version += 1

        double.before_next("PATCH", meddle)
        failure = await executor.apply(command, before)
        assert failure is not None
        assert (failure.status, failure.retryable) == (409, True)
        assert await executor.apply(command, before) is None
        assert double.changes == []

    in_a_cluster(scenario)


@pytest.mark.parametrize("command", [THROTTLE, KEDA_THROTTLE], ids=["deployment", "scaledobject"])
def test_it_takes_no_more_requests_than_the_worst_case_reckons_with(command: Any) -> None:
    """From the command to the cluster's yes."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        await applied(executor, command)
        assert len(double.changes) == 1
        assert len(double.asked) <= REQUESTS_OF[Kubernetes]

    in_a_cluster(scenario)


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (brake(Action.THROTTLE, max_requests_per_second=5.0), "without max_replicas"),
        (brake(Action.THROTTLE, "acme/other", max_replicas=5), "no workload is named for acme/other"),
        (brake(Action.SHUTDOWN, "acme/gone"), "404"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is(command: Any, why: str) -> None:
    """Trying again would not help."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        failure = await refused(executor, command)
        assert not failure.retryable
        assert why in failure.reason
        assert double.changes == []

    in_a_cluster(scenario)


@pytest.mark.parametrize("status", [401, 403, 422])
def test_what_the_cluster_refuses_is_final(status: int) -> None:
    """Only a person can change the rights or the limits of a cluster."""

    async def scenario(double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        before: Saved = (await planned(executor, SHUTDOWN)).before
        double.fail("PATCH", Answer(status, {"kind": "Status", "message": "no"}))
        failure = await executor.apply(SHUTDOWN, before)
        assert failure is not None
        assert (failure.status, failure.retryable) == (status, False)

    in_a_cluster(scenario)


def test_a_token_is_read_anew_for_each_request_and_is_in_no_reason(tmp_path: Path) -> None:
    """Projected tokens rotate; the API repeats one that it does not know."""
    file = tmp_path / "token"
    file.write_text("an-old-token\n")

    async def scenario(_double: KubernetesDouble, executor: KubernetesExecutor) -> None:
        failure = await refused(executor, SHUTDOWN)
        assert (failure.status, "an-old-token" in failure.reason, "<secret>" in failure.reason) == (401, False, True)
        file.write_text(f"{TOKEN}\n")
        assert (await planned(executor, SHUTDOWN)).changes
        file.unlink()
        assert "cannot read" in (await refused(executor, SHUTDOWN)).reason

    in_a_cluster(scenario, token=None, token_file=str(file))


def test_outside_of_a_cluster_the_files_of_a_pod_are_missed_and_not_stumbled_over() -> None:
    """It is a failure with the name of the file, not an exception."""

    async def scenario() -> None:
        executor = KubernetesExecutor(Kubernetes(workloads=WORKLOADS, token=Secret(TOKEN)))
        failure = await refused(executor, SHUTDOWN)
        assert "serviceaccount/ca.crt: No such file" in failure.reason
        await executor.close()

    play(scenario)


def test_it_takes_only_the_endpoints_that_it_has_a_workload_for() -> None:
    """So another executor may take the others."""
    settings = Kubernetes(workloads=WORKLOADS)
    assert settings.takes("acme/llama", Action.SHUTDOWN)
    assert not settings.takes("acme/other", Action.SHUTDOWN)
    assert not settings.takes("acme/llama", Action.OVERFLOW)
