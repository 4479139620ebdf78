"""The double of Hugging Face: endpoints live, cost and answer as the documented ones do, and a fleet follows them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from schemas.units import US
from streams.simulator import LIVE, Fleet, Profile
from streams.simulator.hosting import Conditions, Hosted, HostingError
from streams.simulator.hugging_face import HuggingFaceDouble
from tests.hosted import Clock

NAME = "acme/llama"
START_S = 1_800_000_000


def hosted(wanted: int = 2, **conditions: float) -> Hosted:
    """Cheap to reckon with: a replica costs a dollar a minute."""
    return Hosted(NAME, 60.0, least=1, most=8, wanted=wanted, conditions=Conditions(**conditions))  # type: ignore[arg-type]


def ask(double: HuggingFaceDouble, scenario: Callable[[httpx.AsyncClient], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(30), double.serving() as url, httpx.AsyncClient(base_url=url) as client:
            await scenario(client)

    asyncio.run(run())


def test_replicas_initialize_before_they_run() -> None:
    """The state says so, and the target is there at once."""
    llama = hosted()
    assert (llama.state(0), llama.ready(0), llama.target) == ("initializing", 0, 2)
    assert (llama.state(60), llama.ready(60)) == ("running", 2)


def test_the_autoscaler_stays_within_the_scaling() -> None:
    """However much is wanted, and however little."""
    llama = hosted().warm(0)
    llama.want(50, 1)
    assert llama.target == 8
    llama.want(0, 2)
    assert llama.target == 1


def test_every_started_minute_is_billed_from_the_first_second_of_initializing() -> None:
    """Two replicas for 61 seconds are two minutes each; one more that never got ready costs one."""
    llama = hosted().warm(0)
    llama.want(3, 30)
    llama.want(2, 50)
    assert llama.bill_usd(61) == 2 * 2 + 1
    assert llama.bill_usd(61, started_from_s=30) == 1


def test_what_rests_costs_nothing() -> None:
    """Neither paused nor scaled to zero nor failed."""
    for rest in (Hosted.pause, Hosted.scale_to_zero, lambda llama, now_s: llama.fail("", now_s)):
        llama = hosted().warm(0)
        rest(llama, 60)
        assert (llama.bill_usd(3600), llama.target, llama.ready(3600)) == (2, 0, 0)


def test_an_update_takes_its_time_and_nothing_else_is_taken_meanwhile() -> None:
    """The target is the new one at once, the replicas go when it is over."""
    llama = hosted(wanted=6, update_s=20).warm(0)
    llama.update({"maxReplica": 3}, 10)
    assert (llama.state(29), llama.target, llama.ready(29)) == ("updating", 3, 6)
    with pytest.raises(HostingError, match="updating"):
        llama.pause(29)
    assert (llama.state(30), llama.ready(30)) == ("running", 3)
    assert llama.bill_usd(90) == 3 * 2 + 3 * 1  # the three that went at 30 s cost their first minute


@pytest.mark.parametrize(("forgets", "expected"), [(True, (1, 1)), (False, (1, 8))])
def test_a_pause_and_a_resume_may_forget_the_scaling(expected: tuple[int, int], *, forgets: bool) -> None:
    """The documented quirk, which can be switched off."""
    llama = hosted(forgets_scaling=forgets).warm(0)
    llama.pause(10)
    llama.resume(20)
    assert (llama.least, llama.most) == expected


def test_a_request_wakes_who_sleeps_and_nobody_who_is_paused() -> None:
    """This is why a shutdown is a pause."""
    llama = hosted().warm(0)
    llama.scale_to_zero(10)
    llama.request(20)
    assert llama.state(20) == "initializing"
    llama.pause(30)
    llama.request(40)
    assert llama.state(40) == "paused"


def test_the_routes_answer_as_documented() -> None:
    """List, one, its replicas, prices; a partial update; and what is refused."""
    double = HuggingFaceDouble([hosted().warm(0)], Clock())
    one = f"/endpoint/{NAME}"

    async def scenario(client: httpx.AsyncClient) -> None:
        found = (await client.get(one)).json()
        assert (await client.get("/endpoint/acme")).json() == {"items": [found]}
        assert found["status"] == {"state": "running", "message": "", "readyReplica": 2, "targetReplica": 2}
        assert (await client.get(f"{one}/replica")).json()["items"][1] == {"id": "r1", "status": "ready"}
        [vendor] = (await client.get("/provider/acme")).json()["vendors"]
        assert vendor["regions"][0]["computes"][0]["pricePerHour"] == 60.0
        again = await client.post(f"{one}/resume")
        assert (again.status_code, "already running" in again.text) == (400, True)
        wrong = await client.put(one, json={"compute": {"scaling": {"maxReplica": 0}}})
        updated = (await client.put(one, json={"compute": {"scaling": {"maxReplica": 4}}})).json()
        busy = await client.post(f"{one}/pause")
        assert (wrong.status_code, busy.status_code) == (400, 409)
        assert updated["compute"]["scaling"] | {"minReplica": 1, "maxReplica": 4} == updated["compute"]["scaling"]
        assert ((await client.get("/endpoint/acme/who")).status_code, (await client.delete(one)).status_code) == (
            404,
            405,
        )
        assert double.applied == {(NAME, "PUT"): 1}

    ask(double, scenario)


def test_a_wrong_token_is_refused() -> None:
    """With the words of the real one, and nothing is done."""
    double = HuggingFaceDouble([hosted()], Clock(), token="right")  # noqa: S106 -- invented

    async def scenario(client: httpx.AsyncClient) -> None:
        assert (await client.post(f"/endpoint/{NAME}/pause")).status_code == 401
        assert not double.applied

    ask(double, scenario)


def test_a_fleet_has_the_replicas_that_the_double_runs() -> None:
    """It wants by its load, has what runs, and its events tell states and costs of a cap, a pause and a resume."""
    clock = Clock(START_S)
    profile = Profile(NAME, normal_rps=5.0, replicas=3, price_usd_per_hour=60.0, swing=0.0)
    fleet = Fleet([profile], 1, START_S * US)
    llama = hosted(wanted=3, start_s=5, update_s=2).warm(clock())
    double = HuggingFaceDouble([llama], clock)

    def after(seconds: int) -> tuple[int, int, float, bool]:
        for _ in range(seconds):
            clock.now_s += 1
            double.lead(fleet)
            list(fleet.advance(round(clock.now_s * US), LIVE))
        now = fleet.reading(NAME)
        return now.ready, now.target, now.usd_per_hour, now.capped

    assert after(2) == (3, 3, 180.0, False)
    fleet.want(NAME, 8)
    assert after(3) == (3, 8, 180.0, False)
    assert after(6) == (8, 8, 480.0, False)
    llama.update({"maxReplica": 4}, clock())
    assert after(3) == (4, 4, 240.0, True)
    llama.pause(clock())
    assert after(1)[:2] == (0, 0)
    llama.resume(clock())
    assert after(7)[:2] == (1, 1)
