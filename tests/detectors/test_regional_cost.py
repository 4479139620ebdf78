"""`regional_cost`: the dear region of a model, against the cheapest one where it may run."""

from __future__ import annotations

import pytest
from msgspec import structs

from detectors.rules.regional_cost import Settings
from schemas.config import Config, Endpoint
from schemas.outputs import Finding, Status
from schemas.topics import ROLLUPS
from tests.detectors.logs import Entry, findings, numbered, requests, rollup, settings, stage_of

REGIONS = {"acme/eu": "eu-west-1", "acme/us": "us-east-1", "acme/asia": "ap-south-1"}
HOURS = 3
Fleet = dict[str, tuple[int, int]]  # endpoint -> replicas, and requests in an hour


def log_of(fleet: Fleet, start: int = 0, end: int = HOURS, *, told: bool = True) -> list[Entry]:
    """What they report every ten minutes."""
    entries: list[Entry] = []
    for step in range(6 * start, 6 * end + 3):
        for place, (name, (replicas, _)) in enumerate(sorted(fleet.items())):
            entries.append(rollup(600 * step, 10 * step + place, replicas, name, REGIONS[name] if told else None))
        entries.append(requests(600 * step + 600, step, {name: count // 6 for name, (_, count) in fleet.items()}))
    return entries


def found(log: list[Entry], config: Config | None = None) -> list[Finding]:
    stage = stage_of(ROLLUPS, settings() if config is None else config)
    return [one for one in findings(stage, numbered(log)) if one.rule == "regional_cost"]


def opened(log: list[Entry], config: Config | None = None) -> list[Finding]:
    return [one for one in found(log, config) if one.status is Status.OPEN]


def pinned(**legal: tuple[str, ...]) -> Config:
    """Endpoints that may run in these regions only."""
    base = settings()
    named = {f"acme/{name}": structs.replace(base.defaults, legal=regions) for name, regions in legal.items()}
    return structs.replace(base, endpoints=named)


TWO: Fleet = {"acme/eu": (4, 6000), "acme/us": (2, 6000)}


def test_the_dear_region_is_told_with_the_cheaper_one_and_the_saving() -> None:
    """Four dollars for six thousand requests here, two there: two dollars an hour are 48 a day."""
    (first,) = opened(log_of(TWO))
    assert (first.subject, first.endpoint) == ("all/bert@eu-west-1", None)
    assert first.threshold == 30.0
    assert first.value == pytest.approx(100.0)
    assert first.evidence["cheaper_region"] == "us-east-1"
    assert first.evidence["per"] == "1000 requests"
    assert first.evidence["usd"] == pytest.approx(4 / 6)
    assert first.evidence["cheaper_usd"] == pytest.approx(2 / 6)
    assert first.evidence["saving_usd_per_day"] == pytest.approx(48.0)
    assert first.evidence["dear_endpoints"] == ["acme/eu"]


@pytest.mark.parametrize(("replicas", "count"), [(13, 1), (14, 0)])
def test_thirty_per_cent_are_the_limit(replicas: int, count: int) -> None:
    """Thirteen to ten is no more than that."""
    fleet = {"acme/eu": (replicas, 6000), "acme/us": (10, 6000)}
    assert len(opened(log_of(fleet))) == 1 - count


def test_with_few_requests_replicas_are_compared() -> None:
    """By what a replica costs an hour there; and the evidence says so."""
    prices = {"acme/eu": 2.0, "acme/us": 1.0}
    base = settings()
    named = {name: structs.replace(base.defaults, price_usd_per_hour=price) for name, price in prices.items()}
    config = structs.replace(base, endpoints=named)
    (first,) = opened(log_of({"acme/eu": (3, 60), "acme/us": (3, 6000)}), config)
    assert first.evidence["per"] == "replica-hour"
    assert (first.evidence["usd"], first.evidence["cheaper_usd"]) == (2.0, 1.0)
    assert first.evidence["saving_usd_per_day"] == pytest.approx(72.0)
    assert opened(log_of({"acme/eu": (3, 60), "acme/us": (3, 6000)})) == []


def test_a_region_where_it_may_not_run_is_never_advised() -> None:
    """Then the cheapest that is left, and silence if there is none."""
    fleet = {**TWO, "acme/asia": (1, 6000)}
    subjects = {one.subject: one.evidence["cheaper_region"] for one in opened(log_of(fleet))}
    assert subjects == {"all/bert@eu-west-1": "ap-south-1", "all/bert@us-east-1": "ap-south-1"}
    us_only = pinned(eu=("eu-west-1", "us-east-1"), us=("us-east-1",))
    subjects = {one.subject: one.evidence["cheaper_region"] for one in opened(log_of(fleet), us_only)}
    assert subjects == {"all/bert@eu-west-1": "us-east-1"}
    assert opened(log_of(fleet), pinned(eu=("eu-west-1",), us=("us-east-1",))) == []


def test_all_endpoints_of_a_region_must_be_allowed_elsewhere() -> None:
    """One that is pinned keeps the region from being advised: what would be moved is all of it."""
    fleet = {**TWO, "acme/asia": (4, 6000)}
    base = settings()
    config = structs.replace(
        base,
        endpoints={
            "acme/asia": structs.replace(base.defaults, region="eu-west-1", legal=("eu-west-1",)),
            "acme/eu": structs.replace(base.defaults, legal=("eu-west-1", "us-east-1")),
        },
    )
    assert opened(log_of(fleet), config) == []


def test_the_configuration_says_where_an_endpoint_is_before_its_events_do() -> None:
    """And without either it is left out."""
    base = settings()
    config = structs.replace(base, endpoints={"acme/eu": structs.replace(base.defaults, region="mars")})
    assert [one.subject for one in opened(log_of(TWO), config)] == ["all/bert@mars"]
    assert opened(log_of(TWO, told=False), config) == []


def test_only_endpoints_of_one_model_are_compared() -> None:
    """A larger model costs more everywhere."""
    base = settings()
    other = structs.replace(base.defaults, model="llama")
    assert opened(log_of(TWO), structs.replace(base, endpoints={"acme/eu": other})) == []
    assert opened(log_of(TWO), structs.replace(base, defaults=Endpoint(price_usd_per_hour=1.0))) == []


def test_what_has_no_price_is_not_cheap() -> None:
    """It would always be the cheapest."""
    base = settings()
    free = structs.replace(base.defaults, price_usd_per_hour=0.0)
    assert opened(log_of(TWO), structs.replace(base, endpoints={"acme/us": free})) == []


def test_a_small_saving_is_not_told() -> None:
    """48 dollars a day may be small."""
    assert opened(log_of(TWO), settings(regional_cost=Settings(min_usd_per_day=48.5))) == []
    assert len(opened(log_of(TWO), settings(regional_cost=Settings(min_usd_per_day=48.0)))) == 1


@pytest.mark.parametrize("after", [{"acme/eu": (2, 6000), "acme/us": (2, 6000)}, {"acme/us": (2, 6000)}, {}])
def test_it_ends_when_there_is_no_difference_or_nothing_to_compare(after: Fleet) -> None:
    """Scaled down, moved away, or silent altogether but for another model."""
    course = found([*log_of(TWO), *log_of({**dict.fromkeys(TWO, (0, 0)), **after}, HOURS + 1, 2 * HOURS)])
    assert [one.status for one in course if one.status is not Status.UPDATE] == [Status.OPEN, Status.RESOLVED]
