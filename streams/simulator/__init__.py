"""A fleet of inference endpoints that is not there: seeded, in event time, without a clock or a socket.

The same profiles, seed and orders give the same events, whoever asks and whenever: `tidegate demo`, the tests
and the benchmarks all take their logs from here.
"""

from streams.simulator.fleet import BACKFILL, LIVE, Cadence, Emitted, Fleet, Reading, Replicas, simulate
from streams.simulator.profiles import Profile, draw_profiles

__all__ = [
    "BACKFILL",
    "LIVE",
    "Cadence",
    "Emitted",
    "Fleet",
    "Profile",
    "Reading",
    "Replicas",
    "draw_profiles",
    "simulate",
]
