"""No state changes its shape without `state_format` being raised: a fact of the older shape is refused, not misread.

Structs are written as arrays, which a reader with a field more or less takes without a word.
"""

from __future__ import annotations

from enum import Enum
from hashlib import blake2b
from itertools import chain
from typing import Any, Final

import msgspec
import pytest
from msgspec import inspect

from actions.memory import Fact as Remembered
from actions.memory import Line as EpisodeLine
from actions.memory import Place, Shared
from detectors import SETTINGS, history_rules, request_rules
from detectors.budgets import AccountState, BudgetState, RulesState
from detectors.flow import FlowState
from detectors.normal import NormalState
from detectors.quantiles import Cells as TailCells
from detectors.requests import EndpointState, RequestPosition
from detectors.rules import cost_per_request, cost_spike, regional_cost, telemetry_gap
from detectors.scaling import ScalingPosition, ScalingState
from detectors.steps import Cells
from detectors.watermark import Watermark
from schemas.config import Config
from schemas.topics import APPROVALS, BILLING, FINDINGS, REQUESTS, RESULTS, ROLLUPS, SCALING
from streams import configuration
from streams.stages import SEPARATOR, STAGES, build_stage
from tests.detectors.logs import ENDPOINT, numbered, requests, rollup, scaling, settings
from tests.streams.test_stages import Log, applied, config, log  # noqa: F401 -- two are fixtures

# what each stage writes: the position, the facts, and what is packed inside these
RULE_STATES: Final[dict[str, Any]] = {
    "request_surge": tuple[NormalState, int, float],
    "queue_depth": Cells,
    "latency": tuple[Cells, TailCells],
    "error_rate": Cells,
    "hourly_spend": int | None,
    "daily_spend": None,
    **{rule.rule: rule.Memory for rule in history_rules()},
}
# of a fleet rule: what belongs to the budget, and to one endpoint
FLEET_STATES: Final[dict[str, tuple[Any, Any]]] = {
    "cost_per_request": (cost_per_request.State, cost_per_request.Kept),
    "cost_spike": (cost_spike.State, cost_spike.Series),
    "regional_cost": (regional_cost.State, regional_cost.Kept),
    "telemetry_gap": (telemetry_gap.State, FlowState),
}
STATES: Final[dict[str, tuple[Any, ...]]] = {
    REQUESTS: (RequestPosition, EndpointState, *(RULE_STATES[rule.rule] for rule in request_rules())),
    SCALING: (ScalingPosition, ScalingState, *(rule.Memory for rule in history_rules())),
    BILLING: (Watermark,),
    ROLLUPS: (
        dict[str, BudgetState],
        AccountState,
        RulesState,
        RULE_STATES["hourly_spend"],
        RULE_STATES["daily_spend"],
        *chain(*FLEET_STATES.values()),
    ),
    FINDINGS: (Shared, Remembered, EpisodeLine, Place),
    APPROVALS: (type(None),),
    RESULTS: (type(None),),
}

# When this test fails: raise `state_format` of the stage in streams/stages.py, put the new pair here, and say in
# CHANGELOG.md that the stage starts anew. A state whose shape stays while its meaning changes needs the same.
KNOWN: Final = {
    REQUESTS: (3, "75e2028729e0"),
    SCALING: (3, "51fb33e837ff"),
    BILLING: (1, "6781d02d4d68"),
    ROLLUPS: (3, "f035ab11bc06"),
    FINDINGS: (3, "799d976ca597"),
    APPROVALS: (1, "8770fc855c47"),
    RESULTS: (1, "8770fc855c47"),
}


def shape(kind: inspect.Type, seen: tuple[type, ...] = ()) -> Any:
    """Everything that decides how bytes are read: types, and the names and order of fields."""
    described: Any = type(kind).__name__
    match kind:
        case inspect.StructType(cls=cls) if cls in seen:
            described = cls.__name__
        case inspect.StructType(cls=cls, fields=fields, array_like=array_like):
            inner = [(f.encode_name, shape(f.type, (*seen, cls)), f.required) for f in fields]
            described = [cls.__name__, array_like, inner]
        case inspect.EnumType(cls=cls):
            described = [str(member.value) for member in cls if isinstance(member, Enum)]
        case inspect.Metadata(type=inner_type):
            described = shape(inner_type, seen)
        case inspect.UnionType(types=types):
            described = ["union", *sorted((shape(one, seen) for one in types), key=str)]
        case inspect.TupleType(item_types=types):
            described = ["tuple", *(shape(one, seen) for one in types)]
        case inspect.VarTupleType(item_type=item) | inspect.ListType(item_type=item):
            described = ["list", shape(item, seen)]
        case inspect.DictType(key_type=key, value_type=value):
            described = ["dict", shape(key, seen), shape(value, seen)]
    return described


def fingerprint(topic: str) -> str:
    shapes = [shape(inspect.type_info(kind)) for kind in STATES[topic]]
    return blake2b(msgspec.json.encode(shapes), digest_size=6).hexdigest()


@pytest.mark.parametrize("topic", STAGES)
def test_a_new_shape_of_a_state_has_a_new_format(topic: str) -> None:
    """See above for what to do."""
    stage = build_stage(topic, 0, configuration.defaults(SETTINGS))
    assert (stage.state_format, fingerprint(topic)) == KNOWN[topic]


def test_a_field_more_or_of_another_type_or_in_another_place_is_another_shape() -> None:
    """What the test above would not see it could not report."""
    fields: list[list[tuple[str, Any]]] = [
        [("a", int), ("b", str)], [("b", str), ("a", int)], [("a", int), ("b", bytes)], [("a", int)],
        [("a", int), ("b", str), ("c", int)], [("a", int), ("c", str)], [("a", int), ("b", list[str])],
        [("a", int), ("b", list[int])], [("a", int), ("b", str | None)], [("a", int), ("b", tuple[str, int])],
    ]  # fmt: skip
    kinds = [msgspec.defstruct("S", each, array_like=True) for each in fields]
    shapes = [str(shape(inspect.type_info(kind))) for kind in kinds]
    assert len(set(shapes)) == len(shapes)


def test_what_rules_keep_of_requests_is_of_the_shape_that_is_known_here(config: Config, log: Log) -> None:  # noqa: F811
    """It is packed inside the states of endpoints, where no type tells of it."""
    stage = build_stage(REQUESTS, 0, config)
    applied(stage, log[REQUESTS])
    endpoints = [msgspec.msgpack.decode(fact.state or b"", type=EndpointState) for fact in stage.changed()]
    packed = [(RULE_STATES[rule], state) for one in endpoints for rule, state in one.rules.items()]
    assert_known(packed, STATES[REQUESTS][2:])


def test_what_rules_keep_of_replicas_is_of_the_shape_that_is_known_here() -> None:
    """It is packed inside the states of endpoints, where no type tells of it."""
    stage = build_stage(SCALING, 0, settings())
    reports = [scaling(s, s // 60 % 2, s // 60 % 2, utilization=0.5, state="running") for s in range(0, 600, 15)]
    stage.apply(numbered(reports))
    endpoints = [msgspec.msgpack.decode(fact.state or b"", type=ScalingState) for fact in stage.changed()]
    packed = [(RULE_STATES[rule], state) for one in endpoints for rule, state in one.rules.items()]
    assert_known(packed, STATES[SCALING][2:])


def test_what_rules_keep_of_budgets_is_of_the_shape_that_is_known_here() -> None:
    """It is packed inside the states of budgets and of their endpoints."""
    stage = build_stage(ROLLUPS, 0, settings())
    hours = [
        entry
        for s in range(0, 3 * 3600, 600)
        for entry in (rollup(s, s, 2, region="here"), requests(s + 300, s, {ENDPOINT: 500}))
    ]
    stage.apply(numbered(hours))
    budgets = msgspec.msgpack.decode(stage.position(), type=dict[str, BudgetState]).values()
    facts = [fact for fact in stage.changed() if fact.subject.startswith(SEPARATOR.encode())]
    kept = [msgspec.msgpack.decode(fact.state or b"", type=RulesState).kept for fact in facts]
    packed = [
        *((RULE_STATES[rule], state) for one in budgets for rule, state in one.rules.items()),
        *((FLEET_STATES[rule][0], state) for one in budgets for rule, state in one.kept.rules.items()),
        *((FLEET_STATES[rule][1], state) for one in kept for rule, state in one.rules.items()),
    ]
    assert_known(packed, STATES[ROLLUPS][3:])


def assert_known(packed: list[tuple[Any, msgspec.Raw]], kinds: tuple[Any, ...]) -> None:
    """Every state is read and written as its type, and the log made every rule keep something."""
    assert {kind for kind, _ in packed} == set(kinds)
    for kind, state in packed:
        assert msgspec.msgpack.encode(msgspec.msgpack.decode(state, type=kind)) == bytes(state)
