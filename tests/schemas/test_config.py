"""The configuration as a value: durations, secrets, and whose settings count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import schemas.config
from schemas.config import Budget, Config, Endpoint, Mode, RuleSettings, Safety, Seconds, Secret

DURATIONS = st.floats(min_value=0, max_value=1e10, allow_subnormal=False)


@given(DURATIONS)
def test_a_duration_survives_being_written(value: float) -> None:
    """What `text` writes, `parse` reads, to the last bit."""
    assert Seconds.parse(Seconds(value).text) == value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        ("2d", 172800),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1m500ms", 60.5),
    ],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Units go from days to milliseconds and may be combined."""
    assert Seconds.parse(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "m", "5 m", "-5m", "1m1h", "1h1h", "5min", "1e3s", "٣s", "5m "])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Signs, blanks, unknown units and units out of order are no durations."""
    with pytest.raises(ValueError, match="expected a duration"):
        Seconds.parse(text)


@pytest.mark.parametrize("way", ["{}", "{!r}", "{!s}", "{:>40}"])
def test_a_secret_does_not_show(way: str) -> None:
    """However it is formatted, a secret stays one."""
    assert "hunter2" not in way.format(Secret("hunter2"))
    assert "hunter2" not in "%s %r" % (Secret("hunter2"), [Secret("hunter2")])  # noqa: UP031


def test_a_secret_can_be_revealed() -> None:
    """Where it is handed over, the value itself is there."""
    assert Secret("hunter2").reveal() == "hunter2"


def test_an_unlisted_endpoint_has_the_defaults() -> None:
    """What nobody listed is as `defaults` say."""
    config = Config(defaults=Endpoint(critical=False, expected_max=7))
    assert config.endpoint("acme/new").expected_max == 7


def test_an_endpoint_is_filled_from_the_defaults() -> None:
    """What an endpoint leaves open comes from `defaults`, rule by rule."""
    mine, theirs = RuleSettings(resolve_below=0.5), RuleSettings(resolve_below=0.6)
    config = Config(
        endpoints={"a": Endpoint(expected_max=3, rules={"latency": mine}, actions={"latency": "none"})},
        defaults=Endpoint(critical=True, expected_max=7, rules={"latency": theirs, "surge": theirs}),
    )
    endpoint = config.endpoint("a")
    assert (endpoint.expected_max, endpoint.critical) == (3, True)
    assert endpoint.rules == {"latency": mine, "surge": theirs}
    assert endpoint.actions == {"latency": "none"}


def test_zero_is_a_value() -> None:
    """A price of nothing and `critical: false` are not left open."""
    config = Config(
        endpoints={"a": Endpoint(price_usd_per_hour=0.0, critical=False)},
        defaults=Endpoint(price_usd_per_hour=5.0, critical=True),
    )
    assert config.endpoint("a").price_usd_per_hour == 0
    assert config.endpoint("a").critical is False


def test_the_nearest_settings_count() -> None:
    """An endpoint's or a budget's own settings come before the global ones."""
    glob, own, budget = (RuleSettings(resolve_below=share) for share in (0.1, 0.2, 0.3))
    config = Config(
        rules={"latency": glob},
        endpoints={"a": Endpoint(rules={"latency": own})},
        budgets={"all": Budget(daily_usd=1, endpoints=("*",), rules={"latency": budget})},
    )
    assert config.rule("latency") is glob
    assert config.rule("latency", endpoint="b") is glob
    assert config.rule("latency", endpoint="a") is own
    assert config.rule("latency", budget="all") is budget


def test_an_endpoint_may_be_in_several_budgets() -> None:
    """Every budget with a pattern that matches covers the endpoint."""
    budgets = {
        name: Budget(daily_usd=1, endpoints=(pattern,))
        for name, pattern in zip("xyz", ("a/*", "b/*", "*/1"), strict=True)
    }
    assert Config(budgets=budgets).budgets_of("a/1") == ("x", "z")


def test_an_endpoint_has_the_global_mode_unless_it_has_its_own() -> None:
    """`mode` is looked up at the endpoint, at `defaults`, and then globally."""
    config = Config(mode=Mode.APPROVE, endpoints={"a": Endpoint(mode=Mode.AUTO)})
    assert (config.mode_of("a"), config.mode_of("b")) == (Mode.AUTO, Mode.APPROVE)


def test_patterns_protect() -> None:
    """An endpoint is protected if any pattern matches it."""
    safety = Safety(protected=("acme/*", "other/one"))
    assert [safety.protects(name) for name in ("acme/x", "other/one", "other/two")] == [True, True, False]


def test_every_public_name_exists() -> None:
    """`__all__` names what is there, once."""
    assert len(set(schemas.config.__all__)) == len(schemas.config.__all__)
    assert all(hasattr(schemas.config, name) for name in schemas.config.__all__)
