"""The Hugging Face executor against the double, through every fault and trap that is known of that API."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from actions.executors.huggingface import HuggingFaceExecutor
from actions.executors.interface import Plan, Reading
from actions.failure import Failure
from schemas.executors import HuggingFace
from schemas.outputs import Action, Command
from schemas.section import Seconds, Secret
from streams.simulator.hosting import USUAL, Hosted
from streams.simulator.hugging_face import CUT, CUT_AFTER, SLOW, Fault, refusal
from tests.hosted import LLAMA, TOKEN, Account, account, order

REMEMBERS = USUAL._replace(forgets_scaling=False)
SHUTDOWN, THROTTLE = order(Action.SHUTDOWN), order(Action.THROTTLE, max_replicas=4)
Scenario = Callable[[Account], Awaitable[None]]


def llama(**fields: Any) -> Hosted:
    """Six replicas, of two to ten."""
    return Hosted(**{"name": LLAMA, "price_usd_per_hour": 2.0, "least": 2, "most": 10, "wanted": 6, **fields})


def play(scenario: Scenario, endpoint: Hosted | None = None, **settings: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), account(endpoint or llama(), **settings) as found:
            await scenario(found)

    asyncio.run(run())


async def planned(at: Account, command: Command) -> Plan:
    """The plan, however short a test's time-outs are for a machine that is busy."""
    plan = await at.executor.plan(command)
    while isinstance(plan, Failure) and plan.retryable:
        plan = await at.executor.plan(command)
    assert isinstance(plan, Plan), plan
    return plan


async def applied(at: Account, command: Command) -> dict[str, Any]:
    """Carry it out for good; `before`, as it comes back from the log."""
    before: dict[str, Any] = json.loads(json.dumps((await planned(at, command)).before))
    await at.settle(lambda: at.executor.apply(command, before))
    at.clock.now_s += at.double[command.endpoint].conditions.update_s
    return before


async def reading(at: Account, command: Command, back_to: dict[str, Any] | None = None) -> Reading:
    found = await at.executor.read_back(command, back_to)
    assert isinstance(found, Reading), found
    return found


def scaling(at: Account) -> tuple[int, int]:
    return at.double[LLAMA].least, at.double[LLAMA].most


def test_a_throttle_caps_the_replicas_and_is_taken_back() -> None:
    """A plan says so, the apply does so, a read-back sees so, and the undo leaves nothing of it."""

    async def scenario(at: Account) -> None:
        assert (await planned(at, THROTTLE)).changes == ("maxReplica 10 -> 4",)
        before = await applied(at, THROTTLE)
        assert (scaling(at), at.double[LLAMA].target) == ((2, 4), 4)
        assert (await reading(at, THROTTLE)).wrong is None
        await at.settle(lambda: at.executor.undo(THROTTLE, before))
        assert scaling(at) == (2, 10)
        assert (await reading(at, THROTTLE, before)).wrong == "still updating"
        at.clock.now_s += 20
        assert (await reading(at, THROTTLE, before)).wrong is None

    play(scenario)


def test_a_cap_below_the_minimum_lowers_both_and_both_come_back() -> None:
    """`minReplica` never exceeds `maxReplica`, which the API would refuse."""

    async def scenario(at: Account) -> None:
        command = order(Action.THROTTLE, max_replicas=1)
        before = await applied(at, command)
        assert scaling(at) == (1, 1)
        await at.settle(lambda: at.executor.undo(command, before))
        assert scaling(at) == (2, 10)

    play(scenario)


def test_a_limit_of_requests_stops_growth_at_what_is_ready() -> None:
    """There is no throttle of requests at Hugging Face."""

    async def scenario(at: Account) -> None:
        command = order(Action.THROTTLE, max_requests_per_second=50.0)
        before = await applied(at, command)
        assert scaling(at) == (2, 6)
        assert (await reading(at, command)).wrong is None
        await at.settle(lambda: at.executor.undo(command, before))
        assert scaling(at) == (2, 10)

    play(scenario)


@pytest.mark.parametrize(("limit", "expected"), [(1, 3), (30, 10)])
def test_a_throttle_respects_the_floor_and_never_raises(limit: int, expected: int) -> None:
    """`safety.min_replicas` is the least that a throttle leaves; a limit above the maximum changes nothing."""

    async def scenario(at: Account) -> None:
        await applied(at, order(Action.THROTTLE, max_replicas=limit))
        assert scaling(at)[1] == expected

    play(scenario, floor=3)


@pytest.mark.parametrize("conditions", [USUAL, REMEMBERS])
def test_a_shutdown_pauses_and_its_undo_puts_the_scaling_back(conditions: Any) -> None:
    """Whether or not the pause and the resume forgot it; and it never scales to zero, nor deletes."""

    async def scenario(at: Account) -> None:
        before = await applied(at, SHUTDOWN)
        assert at.double[LLAMA].state(at.clock()) == "paused"
        assert (await reading(at, SHUTDOWN)).wrong is None
        assert (await reading(at, SHUTDOWN, before)).wrong == "still paused"
        await at.settle(lambda: at.executor.undo(SHUTDOWN, before))
        at.clock.now_s += 20
        assert scaling(at) == (2, 10)
        assert (await reading(at, SHUTDOWN, before)).wrong is None
        assert {verb for _, verb in at.double.applied} <= {"PUT", "pause", "resume"}

    play(scenario, llama(conditions=conditions))


def test_a_shutdown_in_the_place_of_a_throttle_comes_back_to_what_was_before_both() -> None:
    """The executor's `before` is that of the first brake, and its cap goes with the last one."""

    async def scenario(at: Account) -> None:
        before = await applied(at, THROTTLE)
        await at.settle(lambda: at.executor.apply(SHUTDOWN, before))
        await at.settle(lambda: at.executor.undo(SHUTDOWN, before))
        assert scaling(at) == (2, 10)

    play(scenario, llama(conditions=REMEMBERS))


def test_a_shutdown_in_the_place_of_a_throttle_wakes_nobody_whom_a_person_paused_in_between() -> None:
    """How things were before the chain is not how the shutdown found them: it paused nobody."""

    async def scenario(at: Account) -> None:
        first = await applied(at, THROTTLE)
        at.double[LLAMA].pause(at.clock())
        plan = await planned(at, SHUTDOWN)
        before = {**plan.before, **first}  # as the desk of `tidegate execute` keeps it
        await at.settle(lambda: at.executor.apply(SHUTDOWN, before))
        renewal = structs.replace(SHUTDOWN, id="9" * 32)
        await at.settle(lambda: at.executor.undo(renewal, before))
        assert (await reading(at, renewal, before)).wrong is None
        assert at.double[LLAMA].state(at.clock()) == "paused"
        assert at.double.applied == {(LLAMA, "PUT"): 1}

    play(scenario, llama(conditions=REMEMBERS))


def test_it_waits_while_an_endpoint_is_updating() -> None:
    """Every writing call says when to come back, and nothing is sent before that."""

    async def scenario(at: Account) -> None:
        before = dict((await planned(at, THROTTLE)).before)
        at.double[LLAMA].update({"maxReplica": 9}, at.clock())
        failures = [await at.executor.apply(command, before) for command in (THROTTLE, SHUTDOWN)]
        failures.append(await at.executor.undo(THROTTLE, before))
        assert {(f.retryable, f.retry_after_s) for f in failures if f is not None} == {(True, 5.0)}
        assert {verb for _, verb in at.double.asked} == {"GET"}
        assert len(await at.settle(lambda: at.executor.apply(THROTTLE, before))) == 4  # 20 s, asked every 5
        assert scaling(at) == (2, 4)

    play(scenario)


def test_a_conflict_is_tried_again() -> None:
    """An update that began between the read and the write is nobody's fault."""

    async def scenario(at: Account) -> None:
        before = dict((await planned(at, THROTTLE)).before)
        at.double.faults += [None, refusal(409)]
        failure, *rest = await at.settle(lambda: at.executor.apply(THROTTLE, before))
        assert (failure.status, failure.retry_after_s, rest) == (None, 5.0, [])
        assert at.double.applied == {(LLAMA, "PUT"): 1}

    play(scenario)


@pytest.mark.parametrize(
    ("fault", "retryable", "retry_after_s"),
    [
        (refusal(401), False, None),
        (refusal(403), False, None),
        (refusal(404), False, None),
        (refusal(429, 17), True, 17.0),
        (refusal(500), True, None),
        (refusal(503, 3), True, 3.0),
        (CUT, True, None),
        (SLOW, True, None),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_failure_says_whether_to_try_again(
    fault: Fault, place: int, *, retryable: bool, retry_after_s: float | None
) -> None:
    """Of the read as of the write, and it names no token."""

    async def scenario(at: Account) -> None:
        before = dict((await planned(at, SHUTDOWN)).before)
        at.double.faults += [None] * place + [fault]
        failure = await at.executor.apply(SHUTDOWN, before)
        assert failure is not None
        assert (failure.retryable, failure.retry_after_s) == (retryable, retry_after_s)
        assert TOKEN not in failure.reason

    play(scenario, timeout=Seconds(0.3))


@pytest.mark.parametrize("fault", [CUT_AFTER, SLOW, refusal(500), refusal(429, 1)])
@pytest.mark.parametrize("command", [THROTTLE, SHUTDOWN])
def test_a_lost_answer_does_nothing_twice(fault: Fault, command: Command) -> None:
    """Whichever request it befalls, all that is written is written once, there and back."""

    async def scenario(at: Account, place: int) -> None:
        before = dict((await planned(at, command)).before)
        at.double.faults += [None] * place + [fault]
        await at.settle(lambda: at.executor.apply(command, before))
        at.double.faults.clear()
        at.double.faults += [None] * place + [fault]
        await at.settle(lambda: at.executor.undo(command, before))
        assert scaling(at) == (2, 10)
        once = {"PUT": 2} if command is THROTTLE else {"pause": 1, "resume": 1, "PUT": 1}
        assert at.double.applied == {(LLAMA, verb): times for verb, times in once.items()}

    for place in range(4):
        play(lambda at, place=place: scenario(at, place), timeout=Seconds(0.2))  # type: ignore[misc]


def test_a_refused_connection_is_tried_again() -> None:
    """Nobody listens: the address is no part of a secret, but a token is in no reason."""

    async def scenario() -> Failure | Plan:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{free.getsockname()[1]}/v2"
        executor = HuggingFaceExecutor(HuggingFace(url=url, token=Secret(TOKEN)))
        try:
            return await executor.plan(THROTTLE)
        finally:
            await executor.close()

    failure = asyncio.run(scenario())
    assert isinstance(failure, Failure)
    assert (failure.retryable, TOKEN in failure.reason) == (True, False)


def test_what_runs_already_is_resumed() -> None:
    """A 400 that says so is what was asked for; a person was faster."""

    async def scenario(at: Account) -> None:
        before = await applied(at, SHUTDOWN)

        def resume_meanwhile() -> None:
            if at.double.asked[LLAMA, "GET"] == 3 and at.double[LLAMA].rest == "paused":  # it has just been read so
                at.double[LLAMA].resume(at.clock())

        at.double.arrives = resume_meanwhile
        assert await at.executor.undo(SHUTDOWN, before) is None
        assert (at.double.asked[LLAMA, "resume"], at.double.applied[LLAMA, "resume"]) == (1, 0)
        assert scaling(at) == (2, 10)

    play(scenario)


def test_a_resume_that_is_refused_for_another_reason_is_a_failure() -> None:
    """Of all that a 400 may mean, one thing is as good as a yes."""

    async def scenario(at: Account) -> None:
        before = await applied(at, SHUTDOWN)
        at.double.faults += [None, refusal(400)]
        failure = await at.executor.undo(SHUTDOWN, before)
        assert failure is not None
        assert (failure.retryable, failure.status) == (False, 400)

    play(scenario)


def test_who_was_paused_by_hand_stays_paused() -> None:
    """The shutdown has nothing to do, and its undo wakes nobody."""

    async def scenario(at: Account) -> None:
        at.double[LLAMA].pause(at.clock())
        assert (await planned(at, SHUTDOWN)).changes == ()
        before = await applied(at, SHUTDOWN)
        await at.settle(lambda: at.executor.undo(SHUTDOWN, before))
        assert (await reading(at, SHUTDOWN, before)).wrong is None
        assert not at.double.applied

    play(scenario)


def test_a_throttle_leaves_alone_who_was_paused_before_it() -> None:
    """Nothing runs there, and a PUT might start it."""

    async def scenario(at: Account) -> None:
        at.double[LLAMA].pause(at.clock())
        await applied(at, THROTTLE)
        assert not at.double.applied
        assert (await reading(at, THROTTLE)).wrong is None

    play(scenario, llama(conditions=REMEMBERS))


def test_a_throttle_leaves_alone_who_is_paused_while_it_holds() -> None:
    """Its undo wakes nobody, and says what stays as the throttle left it."""

    async def scenario(at: Account) -> None:
        before = await applied(at, THROTTLE)
        at.double[LLAMA].pause(at.clock())
        assert (await reading(at, THROTTLE)).wrong is None
        for _ in range(2):
            await at.settle(lambda: at.executor.undo(THROTTLE, before))
            await at.settle(lambda: at.executor.apply(THROTTLE, before))
        assert at.double.applied == {(LLAMA, "PUT"): 1}
        found = await reading(at, THROTTLE, before)
        assert (found.wrong, found.after["kept"]) == (None, ["maxReplica stays 4, was 10"])

    play(scenario, llama(conditions=REMEMBERS))


def test_what_a_person_lowered_further_is_left() -> None:
    """One replica is what a resume may leave, but nothing was resumed."""

    async def scenario(at: Account) -> None:
        before = await applied(at, THROTTLE)
        at.double[LLAMA].update({"minReplica": 1, "maxReplica": 1}, at.clock())
        await at.settle(lambda: at.executor.undo(THROTTLE, before))
        assert scaling(at) == (1, 1)

    play(scenario)


def test_what_a_person_set_meanwhile_is_left_and_told() -> None:
    """Only the field that still has our value goes back."""

    async def scenario(at: Account) -> None:
        command = order(Action.THROTTLE, max_replicas=1)
        before = await applied(at, command)
        at.double[LLAMA].update({"maxReplica": 7}, at.clock())
        await at.settle(lambda: at.executor.undo(command, before))
        assert scaling(at) == (2, 7)
        at.clock.now_s += 20
        found = await reading(at, command, before)
        assert (found.wrong, found.after["kept"]) == (None, ["maxReplica stays 7, was 10"])

    play(scenario)


def test_a_minimum_that_comes_back_stays_below_a_maximum_that_a_person_set() -> None:
    """Three of at most two would be refused for ever."""

    async def scenario(at: Account) -> None:
        command = order(Action.THROTTLE, max_replicas=1)
        before = await applied(at, command)
        at.double[LLAMA].update({"maxReplica": 2}, at.clock())
        assert [f.retryable for f in await at.settle(lambda: at.executor.undo(command, before))] == [True] * 4
        assert scaling(at) == (2, 2)

    play(scenario, llama(least=3))


@pytest.mark.parametrize("most", [5, 12])
def test_a_shutdown_does_not_touch_what_a_person_set_meanwhile(most: int) -> None:
    """Neither what they raised nor what they lowered: it is no value of ours, of a pause or of a resume."""

    async def scenario(at: Account) -> None:
        before = await applied(at, SHUTDOWN)
        at.double[LLAMA].update({"maxReplica": most}, at.clock())
        await at.settle(lambda: at.executor.undo(SHUTDOWN, before))
        assert scaling(at) == (2, most)

    play(scenario, llama(conditions=REMEMBERS))


def test_a_chain_of_brakes_comes_back_to_what_was_before_the_first() -> None:
    """Wherever it broke off: a later brake that never was applied leaves the cap of the one before it."""

    async def scenario(at: Account, *, is_tightened: bool) -> None:
        before = await applied(at, THROTTLE)
        tighter = structs.replace(order(Action.THROTTLE, max_replicas=3), id="9" * 32)
        before = {**(await planned(at, tighter)).before, **before}  # as the desk of `tidegate execute` keeps it
        if is_tightened:
            await at.settle(lambda: at.executor.apply(tighter, before))
            assert scaling(at) == (2, 3)
        await at.settle(lambda: at.executor.undo(tighter, before))
        assert scaling(at) == (2, 10)

    for is_tightened in (False, True):
        play(lambda at, so=is_tightened: scenario(at, is_tightened=so))  # type: ignore[misc]


def test_a_renewed_limit_of_requests_takes_back_what_the_first_one_set() -> None:
    """A renewal is another command, of which no plan was made; how many are ready now is no matter."""

    async def scenario(at: Account) -> None:
        first = order(Action.THROTTLE, max_requests_per_second=50.0)
        before = await applied(at, first)
        renewal = structs.replace(first, id="9" * 32)
        await at.settle(lambda: at.executor.undo(renewal, {**before, "ready_replicas": 5}))
        assert scaling(at) == (2, 10)

    play(scenario)


def test_a_new_token_is_read_from_its_file_once_the_old_one_is_refused(tmp_path: Path) -> None:
    """Rotation needs no restart. The file's old content is not tried again, and neither is in a reason."""
    file = tmp_path / "token"
    file.write_text("hf_the-old-one\n")

    async def scenario(at: Account) -> None:
        failure = await at.executor.plan(THROTTLE)
        assert isinstance(failure, Failure)
        assert (failure.retryable, at.double.asked[LLAMA, "GET"]) == (False, 1)
        file.write_text(f"{TOKEN}\n")
        plans = await asyncio.gather(*(at.executor.plan(THROTTLE) for _ in range(3)))
        assert [type(plan) for plan in plans] == [Plan] * 3

    play(scenario, token=Secret("hf_the-old-one"), token_file=str(file))


def test_a_shutdown_of_who_sleeps_pauses_it() -> None:
    """Scaled to zero, the next request wakes it: that is no stop."""

    async def scenario(at: Account) -> None:
        at.double[LLAMA].scale_to_zero(at.clock())
        before = await applied(at, SHUTDOWN)
        at.double[LLAMA].request(at.clock())
        assert (before["state"], at.double[LLAMA].state(at.clock())) == ("scaledToZero", "paused")

    play(scenario)


def test_a_failed_endpoint_can_be_shut_down_but_not_throttled() -> None:
    """A new scaling would start it anew."""

    async def scenario(at: Account) -> None:
        at.double[LLAMA].fail("out of memory", at.clock())
        failure = await at.executor.plan(THROTTLE)
        assert isinstance(failure, Failure)
        assert (failure.retryable, "failed" in failure.reason) == (False, True)
        await applied(at, SHUTDOWN)
        assert at.double[LLAMA].rest == "paused"

    play(scenario)


def test_an_update_that_failed_is_told_in_the_providers_words() -> None:
    """The cap was accepted, and did not come about."""

    async def scenario(at: Account) -> None:
        await applied(at, THROTTLE)
        at.double[LLAMA].advance(at.clock())
        at.double[LLAMA].update_failed = "no capacity"
        assert (await reading(at, THROTTLE)).wrong == "is updateFailed: no capacity"

    play(scenario)


@pytest.mark.parametrize("endpoint", ["no-namespace", "../llama", "./llama", "acme/..", "acme/", "/llama"])
def test_what_is_no_name_of_an_endpoint_is_asked_of_nobody(endpoint: str) -> None:
    """Dots in a path are resolved before it is sent: it would be another route, of another namespace."""

    async def scenario(at: Account) -> None:
        failure = await at.executor.plan(order(Action.SHUTDOWN, endpoint=endpoint))
        assert isinstance(failure, Failure)
        assert (failure.retryable, at.double.asked) == (False, {})

    play(scenario)


@pytest.mark.parametrize("command", [order(Action.OVERFLOW), order(Action.SHUTDOWN, endpoint="no-namespace")])
def test_what_cannot_be_done_is_not_tried_again(command: Command) -> None:
    """An overflow is for a gateway, and an endpoint is `namespace/name`."""

    async def scenario(at: Account) -> None:
        at.double.endpoints[command.endpoint] = at.double[LLAMA]
        failures = await at.executor.plan(command), await at.executor.apply(command, {})
        assert [isinstance(f, Failure) and f.retryable for f in failures] == [False, False]

    play(scenario)


def test_an_answer_that_is_no_endpoint_is_tried_again() -> None:
    """A proxy in between may say 200 to anything."""

    async def scenario(at: Account) -> None:
        at.double.faults.append(Fault(status=200))
        failure = await at.executor.plan(THROTTLE)
        assert isinstance(failure, Failure)
        assert (failure.retryable, "is not an endpoint" in failure.reason) == (True, True)

    play(scenario)
