"""Laws of the rules over a budget's endpoints: they are functions of the roll-ups' own log, and of nothing else."""

from __future__ import annotations

from typing import Final, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from schemas.config import Config, Input, Seconds
from schemas.outputs import Bill, Finding, Rollup
from schemas.topics import BILLING, REQUESTS, ROLLUPS, SCALING
from schemas.units import NANO, US
from streams.stages import build_stage
from tests.detectors.logs import START_S, Cut, Entry, findings, numbered, ran, stage_of, told
from tests.detectors.logs import settings as configuration

ENDPOINTS: Final = ("acme/a", "acme/b", "acme/c")
REGIONS: Final = ("here", "there", None)
STEP_S: Final = 1200
WARM_STEPS: Final = 75 * 3  # of a third of an hour: the slowest of the rules knows enough by then
Levels = tuple[int, int, int]


class Phase(NamedTuple):
    """Some steps in which each endpoint has so many replicas (-1: it says nothing) and requests, after a gap."""

    gap: int
    steps: int
    replicas: Levels
    requests: Levels
    bill_usd: int  # one of the first endpoint, over the hour before; 0: none
    lag: int  # by so many steps the second partition of the requests is read late


USUAL: Final = Phase(0, WARM_STEPS, (2, 2, 1), (900, 900, 400), 0, 0)
PHASES: Final = st.lists(
    st.builds(
        Phase,
        st.sampled_from([0, 0, 1, 2, 7, 30]),
        st.integers(1, 30),
        st.tuples(*[st.sampled_from([-1, 0, 1, 2, 2, 9, 30])] * 3),
        st.tuples(*[st.sampled_from([0, 50, 900, 900, 9000])] * 3),
        st.sampled_from([0, 0, 5, -5]),
        st.sampled_from([0, 0, 4]),
    ),
    max_size=4,
)
LIMITS: Final = st.builds(
    Input,
    forget_after=st.sampled_from([Seconds(7200), Input().forget_after]),
    max_endpoints=st.sampled_from([1, 2, Input().max_endpoints]),
)


class Writer:
    """Writes roll-ups as their partitions do, each with its own sequence."""

    def __init__(self) -> None:
        self.log: list[tuple[int, Entry]] = []
        self._seq: dict[tuple[str, int], int] = {}

    def write(self, step: int, source: str, partition: int, minute: int = 0, **fields: object) -> None:
        seq = self._seq[source, partition] = self._seq.get((source, partition), -1) + 1
        time_us = (START_S + step * STEP_S + 60 * minute) * US
        rollup = structs.replace(Rollup("all", source, partition, seq, time_us), **fields)
        self.log.append((len(self.log), told(rollup)))

    def step(self, step: int, phase: Phase, late: int) -> None:
        for place, name in enumerate(ENDPOINTS):
            replicas = phase.replicas[place]
            if replicas >= 0:
                self.write(step, SCALING, 0, endpoint=name, replicas=replicas, region=REGIONS[place])
        self.requests(step, 0, {name: phase.requests[place] for place, name in enumerate(ENDPOINTS[:2])})
        self.requests(late, 1, {ENDPOINTS[2]: phase.requests[2]})

    def requests(self, step: int, partition: int, counts: dict[str, int]) -> None:
        several = {name: (count, 0) for name, count in counts.items() if count}
        if several:
            self.write(step, REQUESTS, partition, requests=several)

    def bill(self, step: int, usd: int) -> None:
        start_us = (START_S + (step - 3) * STEP_S) * US
        line = Bill(start_us, start_us + 3 * STEP_S * US, usd * NANO, estimated=False, line_id=f"{step}")
        self.write(step, BILLING, 0, endpoint=ENDPOINTS[0], bill=line)


def log_of(phases: list[Phase]) -> list[Entry]:
    writer, step, late = Writer(), 0, 0
    for phase in [USUAL, *phases]:
        step += phase.gap
        if phase.bill_usd:
            writer.bill(step, phase.bill_usd)
        for _ in range(phase.steps):
            late = max(late, step - phase.lag)
            writer.step(step, phase, late)
            step += 1
    return numbered([entry for _, entry in writer.log])


def limited(limits: Input) -> Config:
    return structs.replace(configuration(), input=limits)


def test_these_logs_make_every_one_of_the_rules_speak() -> None:
    """Else the law below would say little."""
    dear = Phase(0, 30, (30, 2, 1), (900, 900, 400), 0, 0)
    told_of: list[Finding] = findings(stage_of(ROLLUPS, configuration()), log_of([dear]))
    assert {"cost_spike", "cost_per_request", "regional_cost"} <= {one.rule for one in told_of}


@settings(max_examples=12)
@given(PHASES, LIMITS, st.data())
def test_budgets_say_the_same_however_their_log_is_cut(phases: list[Phase], limits: Input, data: st.DataObject) -> None:
    """Batches, restarts, batches that come twice, endpoints that are forgotten: the same bytes, and the same state."""
    config, log = limited(limits), log_of(phases)
    cuts = st.lists(st.builds(Cut, st.integers(0, len(log)), st.booleans(), st.booleans()), max_size=12)
    whole, pieces = ran(ROLLUPS, config, log, []), ran(ROLLUPS, config, log, data.draw(cuts))
    assert pieces.out == whole.out
    assert pieces.stage.position() == whole.stage.position()
    whole.restart()
    pieces.restart()
    assert whole.stage.position() == pieces.stage.position()
    assert {**pieces.facts, **whole.facts} == pieces.facts


@settings(max_examples=6)
@given(PHASES)
def test_where_the_endpoints_of_a_budget_stand_in_the_state_does_not_matter(phases: list[Phase]) -> None:
    """Facts come back in any order, and the numbers of their series with them."""
    log = log_of(phases)
    half = len(log) - len(log) // 10
    stage = build_stage(ROLLUPS, 0, configuration())
    stage.apply(log[:half])
    position, facts = stage.position(), [fact for fact in stage.changed() if fact.state is not None]
    outputs = []
    for order in (facts, facts[::-1]):
        again = stage_of(ROLLUPS, configuration())
        again.restore(position, order)
        outputs.append(again.apply(log[half:]).outgoing)
    assert outputs[0] == outputs[1]


def by_the_hour(hour: int) -> int:
    """Up until noon and down again, so that no hour is like the next."""
    return 1 + min(hour % 24, 24 - hour % 24)


def test_what_is_normal_is_the_same_for_one_that_begins_within_the_hour() -> None:
    """Normals change from minute to minute; a limit must not tell when it was first looked up."""
    writer, days = Writer(), 3 * 24 * 3600 // STEP_S
    for step in range(days):
        writer.write(step, SCALING, 0, endpoint=ENDPOINTS[0], replicas=by_the_hour(step * STEP_S // 3600))
    warm = len(writer.log)
    for minute in range(240):
        replicas = by_the_hour(minute // 60) * (4 if minute >= 150 else 1)
        writer.write(days, SCALING, 0, minute, endpoint=ENDPOINTS[0], replicas=replicas)
    log = numbered([entry for _, entry in writer.log])
    whole = ran(ROLLUPS, configuration(), log, [])
    pieces = ran(ROLLUPS, configuration(), log, [Cut(end, restart=True) for end in range(warm, len(log), 7)])
    assert {one.rule for one in findings(stage_of(ROLLUPS, configuration()), log)} >= {"cost_spike"}
    assert pieces.out == whole.out
