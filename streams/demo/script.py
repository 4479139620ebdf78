"""What the demo plays: who is in the fleet, what goes wrong and when, and how tidegate is set up for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from schemas.units import US
from streams.simulator import Emitted, Fleet, Profile, draw_profiles

FLEET_SIZE: Final = 200
HISTORY_S: Final = 3600
PLAY_S: Final = 45.0

SURGING: Final = "shop/assistant-8b"
RUNAWAY: Final = "shop/search-rerank"
LAB: Final = ("lab/llama-405b", "lab/deepseek-v3", "lab/qwen-vl-72b")
BUDGET: Final = "lab"

SURGE: Final = 9.0
RUNAWAY_REPLICAS: Final = 40
LAB_REPLICAS: Final = 24
USED_SHARE: Final = 0.99  # of the hour's allowance, before anything goes wrong
DISCOUNT: Final = 0.35  # by how much the provider's bill is lower than replicas x price
BILLED_FROM_S: Final = 57 * 60  # the bill covers from so long ago ...
BILLED_TO_S: Final = 5 * 60  # ... until so long ago
RESOLVE_AFTER: Final = "5s"
LATENESS: Final = "3s"

ACTORS: Final = (
    Profile(SURGING, 12.0, 4, 4.5, expected_max=8, instance="aws-us-east-1-nvidia-h100-x1", swing=0.1),
    Profile(RUNAWAY, 6.0, 3, 2.5, expected_max=8, instance="aws-us-east-1-nvidia-a100-x1", swing=0.0),
    Profile(LAB[0], 2.0, 1, 40.0, 64, "aws-us-east-1-nvidia-h200-x8", critical=True, swing=0.0),
    Profile(LAB[1], 3.0, 2, 40.0, 64, "aws-us-east-1-nvidia-h200-x8", swing=0.0),
    Profile(LAB[2], 3.0, 2, 20.0, 64, "aws-us-east-1-nvidia-a100-x8", swing=0.0),
)


@dataclass(frozen=True, slots=True)
class Expectation:
    """An incident that must be caught, acted on and restored."""

    rule: str
    subject: str
    keys: tuple[str, ...]  # the endpoints whose events can breach it


EXPECTED: Final = (
    Expectation("request_surge", SURGING, (SURGING,)),
    Expectation("runaway_replicas", RUNAWAY, (RUNAWAY,)),
    Expectation("hourly_spend", BUDGET, LAB),
)


@dataclass(frozen=True, slots=True)
class Cue:
    """At `at_s` seconds into the play this happens to the fleet; `play` returns what to send besides."""

    at_s: float
    text: str
    play: Callable[[Fleet], list[Emitted]]


def cast(seed: int, size: int = FLEET_SIZE) -> tuple[Profile, ...]:
    """The five whom the script is about, and a crowd."""
    return ACTORS + draw_profiles(seed, size - len(ACTORS))


def cues() -> tuple[Cue, ...]:
    """The play, in order of time. Every cause ends by itself before tidegate takes its brake off again."""
    return (
        Cue(3.0, f"{SURGING}: {SURGE:.0f} x the usual requests for 9 s", lambda f: _load(f, SURGE)),
        Cue(6.0, f"{RUNAWAY}: the autoscaler runs away, 3 -> {RUNAWAY_REPLICAS} replicas", _run_away),
        Cue(9.0, f"{BUDGET}: an experiment scales out on the most expensive machines", _scale_out),
        Cue(12.0, f"{SURGING}: the surge is over", lambda f: _load(f, 1.0)),
        Cue(14.0, f"{RUNAWAY}: the autoscaler is repaired", lambda f: _want(f, None, RUNAWAY)),
        Cue(20.0, f"{BUDGET}: the experiment ends", lambda f: _want(f, None, *LAB)),
        Cue(22.0, f"{BUDGET}: the provider's bill arrives, {DISCOUNT:.0%} lower than the estimate", _bill),
    )


def allowance_usd() -> float:
    """What the lab may spend in an hour: a little more than its usual fleet costs."""
    usual = sum(actor.replicas * actor.price_usd_per_hour for actor in ACTORS if actor.name in LAB)
    return round(usual / USED_SHARE, 2)


def settings(profiles: tuple[Profile, ...], kafka: dict[str, Any], port: int) -> dict[str, Any]:
    """The configuration file of the demo's worker, as plain data."""
    return {
        "kafka": kafka,
        "http": {"port": port},
        "mode": "auto",
        "input": {"lateness": LATENESS},
        "endpoints": {profile.name: _endpoint(profile) for profile in profiles},
        "budgets": {BUDGET: {"daily_usd": round(24 * allowance_usd(), 2), "endpoints": [f"{BUDGET}/*"]}},
        "rules": {expected.rule: {"resolve_after": RESOLVE_AFTER} for expected in EXPECTED},
    }


def _endpoint(profile: Profile) -> dict[str, Any]:
    return {
        "expected_max": profile.expected_max,
        "price_usd_per_hour": profile.price_usd_per_hour,
        "region": profile.region,
        "critical": profile.critical,
    }


def _load(fleet: Fleet, factor: float) -> list[Emitted]:
    fleet.load(SURGING, factor)
    return []


def _want(fleet: Fleet, replicas: int | None, *endpoints: str) -> list[Emitted]:
    for endpoint in endpoints:
        fleet.want(endpoint, replicas)
    return []


def _run_away(fleet: Fleet) -> list[Emitted]:
    return _want(fleet, RUNAWAY_REPLICAS, RUNAWAY)


def _scale_out(fleet: Fleet) -> list[Emitted]:
    return _want(fleet, LAB_REPLICAS, *LAB[1:])


def _bill(fleet: Fleet) -> list[Emitted]:
    start_us, end_us = fleet.now_us - BILLED_FROM_S * US, fleet.now_us - BILLED_TO_S * US
    return [fleet.bill(endpoint, start_us, end_us, 1 - DISCOUNT) for endpoint in LAB]
