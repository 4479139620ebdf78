"""What the demo plays: who is in the fleet, what goes wrong and when, and how tidegate is set up for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from schemas.outputs import Action
from schemas.units import HOUR_US, US
from streams.simulator import Emitted, Fleet, Profile, draw_profiles

FLEET_SIZE: Final = 200
HISTORY_S: Final = 3600
PLAY_S: Final = 50.0

SURGING: Final = "shop/assistant-8b"
RUNAWAY: Final = "shop/search-rerank"
FAILING: Final = "shop/moderation"
SLOW: Final = "shop/translator"
NAPPING: Final = "night/report-writer"
LAB: Final = ("lab/llama-405b", "lab/deepseek-v3", "lab/qwen-vl-72b")
STUDIO: Final = ("studio/video-gen", "studio/voice", "studio/live-captions")
LAB_BUDGET: Final = "lab"
STUDIO_BUDGET: Final = "studio"

SURGE: Final = 9.0
SURGE_REPLICAS: Final = 8  # what the autoscaler makes of it: no more than anybody expects
APPROVERS: Final = 2  # of a brake on the surging endpoint
APPROVE_WITHIN: Final = "2m"
RUNAWAY_REPLICAS: Final = 40
QUOTA: Final = 64  # replicas that the provider lets an endpoint have
WARM_S: Final = 1.0  # from wanted to ready, where the machine was used a moment ago ...
LOADS_S: Final = {SURGING: 20.0}  # ... and where it was not
UPDATES_S: Final = 0.5  # how long the provider takes to carry out a change
FAILED_SHARE: Final = 0.8
SLOWNESS: Final = 10.0
QUEUE: Final = 40
MODEL_GB: Final = 26.0
NAP_EVERY_MIN: Final = 5  # in the history; it sleeps a minute of these ...
NAPS: Final = 10  # ... so often: one more is too many
LAB_REPLICAS: Final = 24
USED_SHARE: Final = 0.99  # of the hour's allowance, before anything goes wrong
DISCOUNT: Final = 0.35  # by how much the provider's bill is lower than replicas x price
BILLED_FROM_S: Final = 57 * 60  # the bill covers from so long ago ...
BILLED_TO_S: Final = 5 * 60  # ... until so long ago
STUDIO_DAILY_USD: Final = 2000.0
PROVIDER: Final = "cheaper-cloud"
STUDIO_LINES: Final = (1.3, 0.3, 0.5, -1.5)  # of the day's amount: up the ladder, and down
STUDIO_BILLED_FROM_S: Final = 6 * 3600
STUDIO_BILLED_TO_S: Final = 2 * 3600
NOON: Final = 12  # by the studio's clock the play is at about this hour, so that its bill is of the same day
RESOLVE_AFTER: Final = "5s"
QUEUE_FOR: Final = "5s"
LATENESS: Final = "3s"

ACTORS: Final = (
    Profile(SURGING, 12.0, 4, 4.5, expected_max=8, instance="aws-us-east-1-nvidia-h100-x1", swing=0.1),
    Profile(RUNAWAY, 6.0, 3, 2.5, expected_max=8, instance="aws-us-east-1-nvidia-a100-x1", swing=0.0),
    Profile(LAB[0], 2.0, 1, 40.0, 64, "aws-us-east-1-nvidia-h200-x8", critical=True, swing=0.0),
    Profile(LAB[1], 3.0, 2, 40.0, 64, "aws-us-east-1-nvidia-h200-x8", swing=0.0),
    Profile(LAB[2], 3.0, 2, 20.0, 64, "aws-us-east-1-nvidia-a100-x8", swing=0.0),
    Profile(STUDIO[0], 2.0, 3, 20.0, 8, "aws-us-east-1-nvidia-h200-x4", swing=0.0),
    Profile(STUDIO[1], 3.0, 2, 1.0, 8, swing=0.0),
    Profile(STUDIO[2], 3.0, 2, 5.0, 8, "aws-us-east-1-nvidia-h200-x1", critical=True, swing=0.0),
    Profile(FAILING, 20.0, 3, 1.8, swing=0.0),
    Profile(SLOW, 10.0, 2, 1.8, swing=0.0),
    Profile(NAPPING, 0.3, 1, 2.5, swing=0.0, min_replicas=0),
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """An incident that must be caught; unless its rule only advises (no `actions`), acted on and restored, too."""

    rule: str
    subject: str
    keys: tuple[str, ...]  # the endpoints whose events can breach it
    actions: tuple[Action, ...] = ()  # what must be done about it, in this order
    persons: int = 0  # so many must have approved it, and the pager must have been told once, and once of its end


EXPECTED: Final = (
    Expectation("request_surge", SURGING, (SURGING,), (Action.THROTTLE,), APPROVERS),
    Expectation("runaway_replicas", RUNAWAY, (RUNAWAY,), (Action.THROTTLE,)),
    Expectation("hourly_spend", LAB_BUDGET, LAB, (Action.THROTTLE,)),
    Expectation("daily_spend", STUDIO_BUDGET, STUDIO, (Action.THROTTLE, Action.OVERFLOW, Action.SHUTDOWN)),
    Expectation("error_rate", FAILING, (FAILING,)),
    Expectation("latency", SLOW, (SLOW,)),
    Expectation("queue_depth", SLOW, (SLOW,)),
    Expectation("cold_starts", NAPPING, (NAPPING,)),
    Expectation("scale_thrash", NAPPING, (NAPPING,)),
)


@dataclass(frozen=True, slots=True)
class Cue:
    """At `at_s` seconds into the play this happens to the fleet; `play` returns what to send besides."""

    at_s: float
    text: str
    play: Callable[[Fleet], list[Emitted]]


def cast(seed: int, size: int = FLEET_SIZE) -> tuple[Profile, ...]:
    """Those whom the script is about, and a crowd."""
    return ACTORS + draw_profiles(seed, size - len(ACTORS))


def cues() -> tuple[Cue, ...]:
    """The play, in order of time. Every cause ends by itself before tidegate takes its brake off again."""
    return (
        Cue(
            3.0,
            f"{SURGING}: {SURGE:.0f} x the usual requests for 9 s; it starts to grow, 4 -> {SURGE_REPLICAS}",
            _surge,
        ),
        Cue(4.0, f"{NAPPING}: nobody asks for a while; it scales to zero", _nap),
        Cue(5.0, f"{FAILING}: a bad release, {FAILED_SHARE:.0%} of its answers are errors", _break),
        Cue(6.0, f"{RUNAWAY}: the autoscaler runs away, 3 -> {RUNAWAY_REPLICAS} replicas", _run_away),
        Cue(8.0, f"{SLOW}: {SLOWNESS:.0f} x slower than usual, and {QUEUE} requests wait", _slow_down),
        Cue(9.0, f"{LAB_BUDGET}: an experiment scales out on the most expensive machines", _scale_out),
        Cue(11.0, f"{NAPPING}: the next request wakes it", _wake),
        Cue(12.0, f"{SURGING}: the surge is over", _calm),
        Cue(14.0, f"{RUNAWAY}: the autoscaler is repaired", lambda f: _want(f, None, RUNAWAY)),
        Cue(17.0, f"{FAILING}, {SLOW}: rolled back", _recover),
        Cue(20.0, f"{LAB_BUDGET}: the experiment ends", lambda f: _want(f, None, *LAB)),
        Cue(22.0, f"{LAB_BUDGET}: the provider's bill arrives, {DISCOUNT:.0%} lower than the estimate", _bill),
        Cue(25.0, f"{STUDIO_BUDGET}: the night's bill arrives, much higher than anybody thought", _studio_line(0)),
        Cue(30.0, f"{STUDIO_BUDGET}: a second page of it", _studio_line(1)),
        Cue(35.0, f"{STUDIO_BUDGET}: a third page of it", _studio_line(2)),
        Cue(41.0, f"{STUDIO_BUDGET}: the provider takes its mistake back, as a credit", _studio_line(3)),
    )


def in_history(fleet: Fleet, minute: int) -> None:
    """What happens at a full minute of the history: one endpoint sleeps and wakes all the time."""
    nap, into = divmod(minute, NAP_EVERY_MIN)
    if 1 <= nap <= NAPS and into in (0, 1):
        _wake(fleet) if into else _nap(fleet)


def allowance_usd() -> float:
    """What the lab may spend in an hour: a little more than its usual fleet costs."""
    usual = sum(actor.replicas * actor.price_usd_per_hour for actor in ACTORS if actor.name in LAB)
    return round(usual / USED_SHARE, 2)


def settings(profiles: tuple[Profile, ...], kafka: dict[str, Any], port: int, now_us: int) -> dict[str, Any]:
    """The configuration file of the demo's worker, as plain data."""
    rules: dict[str, dict[str, Any]] = {expected.rule: {"resolve_after": RESOLVE_AFTER} for expected in EXPECTED}
    rules["queue_depth"]["for"] = QUEUE_FOR
    approval = {"persons": APPROVERS, "within": APPROVE_WITHIN, "otherwise": "reject"}
    return {
        "kafka": kafka,
        "http": {"port": port},
        "mode": "auto",
        "input": {"lateness": LATENESS},
        "endpoints": {profile.name: _endpoint(profile) for profile in profiles},
        "budgets": {
            LAB_BUDGET: {"daily_usd": round(24 * allowance_usd(), 2), "endpoints": ["lab/*"]},
            STUDIO_BUDGET: {"daily_usd": STUDIO_DAILY_USD, "timezone": zone_at_noon(now_us), "endpoints": ["studio/*"]},
        },
        "overflow": {"providers": [{"name": PROVIDER, "price_usd_per_hour": 12.0, "endpoints": ["studio/*"]}]},
        "rules": rules,
        "approvals": [{"rules": ["request_surge"], "approve": approval}],
    }


def zone_at_noon(now_us: int) -> str:
    """A time zone whose clocks show about noon."""
    ahead = NOON - now_us // HOUR_US % 24
    return f"Etc/GMT{-ahead:+d}"  # POSIX counts westwards


def _endpoint(profile: Profile) -> dict[str, Any]:
    return {
        "expected_max": profile.expected_max,
        "price_usd_per_hour": profile.price_usd_per_hour,
        "region": profile.region,
        "critical": profile.critical,
        **({"model_gb": MODEL_GB} if profile.name == NAPPING else {}),
        # capped, freed, paused and resumed in twenty seconds, by tidegate: no autoscaler's doing
        **({"rules": {"scale_thrash": {"enabled": False}}} if profile.name == STUDIO[0] else {}),
    }


def _surge(fleet: Fleet) -> list[Emitted]:
    fleet.load(SURGING, SURGE)
    return _want(fleet, SURGE_REPLICAS, SURGING)


def _calm(fleet: Fleet) -> list[Emitted]:
    fleet.load(SURGING, 1.0)
    return _want(fleet, None, SURGING)


def _want(fleet: Fleet, replicas: int | None, *endpoints: str) -> list[Emitted]:
    for endpoint in endpoints:
        fleet.want(endpoint, replicas)
    return []


def _run_away(fleet: Fleet) -> list[Emitted]:
    return _want(fleet, RUNAWAY_REPLICAS, RUNAWAY)


def _scale_out(fleet: Fleet) -> list[Emitted]:
    return _want(fleet, LAB_REPLICAS, *LAB[1:])


def _nap(fleet: Fleet) -> list[Emitted]:
    fleet.load(NAPPING, 0.0)
    return _want(fleet, 0, NAPPING)


def _wake(fleet: Fleet) -> list[Emitted]:
    fleet.load(NAPPING, 1.0)
    return _want(fleet, None, NAPPING)


def _break(fleet: Fleet) -> list[Emitted]:
    fleet.fail(FAILING, FAILED_SHARE)
    return []


def _slow_down(fleet: Fleet) -> list[Emitted]:
    fleet.slow_down(SLOW, SLOWNESS, QUEUE)
    return []


def _recover(fleet: Fleet) -> list[Emitted]:
    fleet.fail(FAILING, 0.0)
    fleet.slow_down(SLOW, 1.0)
    return []


def _bill(fleet: Fleet) -> list[Emitted]:
    start_us, end_us = fleet.now_us - BILLED_FROM_S * US, fleet.now_us - BILLED_TO_S * US
    return [fleet.bill(endpoint, start_us, end_us, 1 - DISCOUNT) for endpoint in LAB]


def _studio_line(page: int) -> Callable[[Fleet], list[Emitted]]:
    """A line of the studio's bill, for some hours of this day that tidegate has not seen."""

    def play(fleet: Fleet) -> list[Emitted]:
        start_us, end_us = fleet.now_us - STUDIO_BILLED_FROM_S * US, fleet.now_us - STUDIO_BILLED_TO_S * US
        return [fleet.line(STUDIO[0], (start_us, end_us), STUDIO_LINES[page] * STUDIO_DAILY_USD, f"page {page}")]

    return play
