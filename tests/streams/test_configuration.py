"""A configuration is loaded whole, or every problem in it is named with its place."""

from __future__ import annotations

import re
from contextlib import nullcontext
from datetime import date
from pathlib import Path
from typing import Annotated, Any, ClassVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta, Struct

import detectors
from schemas import config as schema
from schemas.config import Config, Lasting, Mode, RuleSettings, Seconds, Secret
from schemas.outputs import Severity
from schemas.receivers import PagerDuty
from streams.configuration import check, load, read
from streams.errors import ConfigError, Problem, TidegateError, UsageError

DOCS = Path(__file__).parents[2] / "docs"


class Surge(RuleSettings, frozen=True):
    """Settings like those of a rule over requests."""

    ratio: Annotated[float, Meta(gt=1)] = 5.0
    min_rate: Annotated[float, Meta(gt=0)] = 1.0
    window: Lasting = Seconds(10)


class Spend(RuleSettings, frozen=True):
    """Settings like those of a rule over a budget, with a key that is a word of Python and its own check."""

    for_: Lasting = msgspec.field(default=Seconds(60), name="for")
    steps: tuple[float, ...] = (1.2, 1.5, 2.0)

    def __post_init__(self) -> None:
        if list(self.steps) != sorted(self.steps):
            raise ValueError("expected steps that rise")


RULES: dict[str, type[RuleSettings]] = {
    "request_surge": Surge,
    "hourly_spend": Spend,
    "latency": RuleSettings,
    "regional_cost": RuleSettings,
    "telemetry_gap": RuleSettings,
}


class Shared(RuleSettings, frozen=True, rename={"for_": "for"}):
    """Settings of which one is for all endpoints alike."""

    SAME_EVERYWHERE: ClassVar = frozenset({"for_"})

    for_: Lasting = Seconds(30)


class File:
    """A configuration file to write and load."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "tidegate.yaml"

    def load(self, text: str, **environ: str) -> Config:
        self.path.write_text(text, encoding="utf-8")
        return load(self.path, RULES, environ)

    def check(self, text: str, **environ: str) -> list[Problem]:
        self.path.write_text(text, encoding="utf-8")
        return check(self.path, RULES, environ)

    def says(self, text: str, **environ: str) -> list[str]:
        """The problems without the file's name."""
        return [str(problem).removeprefix(f"{self.path}:") for problem in self.check(text, **environ)]


@pytest.fixture
def file(tmp_path: Path) -> File:
    return File(tmp_path)


TEN_MISTAKES = """\
kafka:
  sesion_timeout: 10s
  security: {protocol: SASL_SSL, password: "${KAFKA_PASSWORD}"}
mode: atuo
input:
  lateness: 90s
endpoints:
  acme/bert: {expected_max: many}
budgets:
  all: {daily_usd: -5, timezone: Europe/Berln, endpoints: ["acme/*"]}
rules:
  request_surge: {ration: 5}
  requets_surge: {}
safety:
  cooldown: 5 minutes
mode: auto
"""


def test_ten_mistakes_are_found_at_once(file: File) -> None:
    """Each of many mistakes is named with its line and column, and the nearest word that would do."""
    assert file.says(TEN_MISTAKES) == [
        "2:3: error: kafka.sesion_timeout: unknown key; did you mean 'session_timeout'?",
        "3:3: error: kafka.security.username: is required with protocol SASL_SSL",
        (
            "3:44: error: kafka.security.password: the environment variable KAFKA_PASSWORD is not set; "
            "set it, or write ${KAFKA_PASSWORD:-default}"
        ),
        "4:7: error: mode: expected one of shadow, approve, auto, got 'atuo'; did you mean 'auto'?",
        (
            "6:13: error: input.lateness: "
            "expected a duration (such as 30s or 1h30m) from 1s to 1m, in steps of 1s, got '90s'"
        ),
        "8:29: error: endpoints.acme/bert.expected_max: expected a whole number from 1 to 1000000, got 'many'",
        "10:20: error: budgets.all.daily_usd: expected a number above 0 and of at most 1000000000000, got -5",
        "10:34: error: budgets.all.timezone: unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
        "12:19: error: rules.request_surge.ration: unknown key; did you mean 'ratio'?",
        "13:3: error: rules.requets_surge: unknown key; did you mean 'request_surge'?",
        "15:13: error: safety.cooldown: expected a duration (such as 30s or 1h30m), got '5 minutes'",
        "16:1: error: mode: this key is in line 4 already",
    ]


# what is wrong, and a part of the message
MISTAKES = [
    ("- a\n- b", "expected a mapping, got a list"),
    ("a: [", "not YAML"),
    ("a: *nowhere", "not YAML"),
    ("mode: !secret x", "a tag has no meaning here"),
    ("version: 1", "version: unknown key"),
    ("kafka: localhost", "kafka: expected a mapping, got a single value"),
    ("kafka: {bootstrap_servers: localhost}", "expected host:port"),
    ("kafka: {bootstrap_servers: 'a:1,b'}", "expected host:port"),
    ("kafka: {group: 5}", "kafka.group: expected text that is not empty, got 5 (put it in quotes)"),
    ("kafka: {group: ''}", "expected text that is not empty"),
    ("executors: {k: {type: kubernetes, workloads: {a: b}}}", "expected text that matches ^[^/]+/(deployment|"),
    ("kafka: {checkpoint_every: 0}", "expected a duration (such as 30s or 1h30m) above 0s, got 0"),
    ("kafka: {security: {protocol: sasl_ssl}}", "did you mean 'SASL_SSL'?"),
    ("kafka: {security: {protocol: SASL_SSL, username: u}}", "kafka.security.password: is required"),
    ("kafka: {security: {protocol: SASL_SSL, password: p}}", "kafka.security.username: is required"),
    ("kafka: {security: {ca_file: /nowhere/ca.pem}}", "cannot read '/nowhere/ca.pem': No such file"),
    ("kafka: {security: {key_file: tidegate.yaml}}", "of no use without certificate_file"),
    ("http: {port: 65536}", "expected a whole number from 0 to 65535, got 65536"),
    ("http: {port: 80.0}", "expected a whole number"),
    ("http: {port: true}", "got true"),
    ("http: {port: }", "got nothing"),
    ("input: {lateness: 1.5s}", "input.lateness: expected a duration"),
    ("input: {max_future: -1}", "input.max_future: expected a duration"),
    ("input: {max_future: .nan}", "input.max_future: expected a duration"),
    ("input: {max_future: 200000d}", "input.max_future: expected a duration"),
    ("endpoints: {a: {critical: yes}}", "expected true or false, got 'yes'"),
    ("endpoints: {a: {price_usd_per_hour: .inf}}", "expected a number from 0 to 1000000, got inf"),
    ("endpoints: {a: {price_usd_per_hour: 1e308}}", "expected a number from 0 to 1000000, got 1e+308"),
    ("endpoints: {a: {expected_max: 100000000000000000000}}", "expected a whole number from 1 to 1000000, got 1000"),
    (
        "defaults: {price_as_of: 1.11.2026}",
        "defaults.price_as_of: expected a date (such as 2026-11-01), got '1.11.2026'",
    ),
    ("defaults: {price_as_of: 2026-02-30}", "expected a date (such as 2026-11-01), got '2026-02-30'"),
    ("defaults: {price_as_of: 2026}", "expected a date (such as 2026-11-01), got 2026"),
    ("budgets: {all: {daily_usd: 1e308, endpoints: [a]}}", "above 0 and of at most 1000000000000, got 1e+308"),
    ("endpoints: {a: {actions: {latenzy: none}}}", "endpoints.a.actions.latenzy: unknown rule"),
    ("endpoints: {a: {actions: {request_surge: trottle}}}", "did you mean 'throttle'?"),
    ("endpoints: {a: {rules: {request_surg: {}}}}", "did you mean 'request_surge'?"),
    ("endpoints: {a: {rules: {request_surge: {ratio: 1}}}}", "expected a number above 1, got 1"),
    ("defaults: {rules: {request_surge: {window: 0s}}}", "defaults.rules.request_surge.window: expected"),
    ("budgets: {all: {endpoints: [a]}}", "budgets.all.daily_usd: is required: a number above 0"),
    ("budgets: {acme/a: {daily_usd: 1, endpoints: [a]}}", "'acme/a' could be an endpoint"),
    ("endpoints: {a: {}}\nbudgets: {a: {daily_usd: 1, endpoints: [a]}}", "'a' could be an endpoint"),
    ("budgets: {all: {daily_usd: 1}}", "budgets.all.endpoints: is required: a list"),
    ("budgets: {all: {daily_usd: 1, endpoints: []}}", "expected a list of at least 1, got 0"),
    ("budgets: {all: {daily_usd: 1, endpoints: a}}", "expected a list, got a single value"),
    ("budgets: {all: {daily_usd: 1, endpoints: [a, 5]}}", "budgets.all.endpoints[1]: expected text"),
    (
        "budgets: {all: {daily_usd: 1, endpoints: [a], rules: {hourly_spent: {}}}}",
        "did you mean 'hourly_spend'?",
    ),
    ("budgets: {all: {daily_usd: 1, endpoints: [a], timezone: /etc}}", "unknown time zone '/etc'"),
    (
        "schedules: [{cron: '0 9 * * moon', for: 1h, expected_max: 9}]",
        "1:20: error: schedules[0].cron: expected minute",
    ),
    ("schedules: [{cron: '0 0 9 * * mon', for: 1h, expected_max: 9}]", "such as '0 9 * * mon', got '0 0 9 * * mon'"),
    ("schedules: [{cron: '0 0 30 2 *', for: 1h, expected_max: 9}]", "expected a day that there is, got '0 0 30 2 *'"),
    ("schedules: [{cron: 'R R * * *', for: 1h, expected_max: 9}]", "such as '0 9 * * mon', got 'R R * * *'"),
    ("schedules: [{cron: '0 9 L * *', for: 1h, expected_max: 9}]", "such as '0 9 * * mon', got '0 9 L * *'"),
    ("schedules: [{cron: '0 9 * * *', for: 1h}]", "schedules[0]: expects nothing: give expected_max, expected_ratio"),
    (
        "schedules: [{cron: '0 9 * * *', for: 1h, expected_max: 9, timezone: Europe/Berln}]",
        "schedules[0].timezone: unknown time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?",
    ),
    ("schedules: [{cron: '0 9 * * *', for: 1h, expected_ration: 9}]", "did you mean 'expected_ratio'?"),
    ("rules: {hourly_spend: {for: 5parsecs}}", "rules.hourly_spend.for: expected a duration"),
    ("rules: {hourly_spend: {steps: [2, 1]}}", "rules.hourly_spend: expected steps that rise"),
    ("rules: {hourly_spend: {for_: 5s}}", "unknown key; did you mean 'for'?"),
    ("actions: {hourly_spend: {critcal: none}}", "did you mean 'critical'?"),
    (
        "actions: {hourly_spend: [none]}",
        "expected one of none, overflow, shutdown, throttle or a mapping, got a list",
    ),
    ("overflow: {providers: [{name: x}]}", "overflow.providers[0].price_usd_per_hour: is required"),
    ("safety: {max_share_down: 0}", "expected a number above 0 and of at most 1, got 0"),
    ("safety: {kill_switch: 1}", "expected true or false, got 1"),
    ("safety: {cooldown: '${A'}", "expected ${NAME} or ${NAME:-default}"),
    ("safety: {cooldown: ${A}}", "put ${...} in quotes"),
    ("a: &a {b: *a}\n", "unknown key"),
    ("alerting: {route: &a {routes: [*a]}}\n", "nested too deeply"),
    ("[" * 5000, "nested too deeply"),
    ('mode: "\\UFFFFFFFF"', "not YAML|an escape"),
    ("a: 1\n---\nb: 2\n", "not YAML"),
]


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_a_mistake_is_named(file: File, text: str, message: str) -> None:
    """One mistake gives one error, which says what was expected."""
    errors = [str(problem) for problem in file.check(text) if problem.severity == "error"]
    assert len(errors) == 1
    assert any(part in errors[0] for part in message.split("|")), errors[0]


@pytest.mark.parametrize("text", [text for text, _ in MISTAKES])
def test_what_has_an_error_is_not_loaded(file: File, text: str) -> None:
    """`load` raises one error that holds all the problems."""
    with pytest.raises(ConfigError) as raised:
        file.load(text)
    assert list(raised.value.problems) == file.check(text)
    assert str(raised.value) == "\n".join(map(str, raised.value.problems))


# what works but was hardly meant, and a part of the warning
DOUBTS = [
    (
        "endpoints: {a: {region: x, legal: [y]}}",
        "endpoints.a.region: 'x' is not among the regions that are legal for it",
    ),
    ("alerting: {external_url: 'http://x'}", "alerting: there is nobody to tell"),
    (
        "endpoints: {a: {}}\nbudgets: {b: {daily_usd: 1, endpoints: [a]}}",
        "endpoints.a: has no price_usd_per_hour",
    ),
    ("budgets: {b: {daily_usd: 1, endpoints: [a]}}", "budgets.b.endpoints: matches no listed endpoint"),
    ("safety: {protected: [a]}", "safety.protected[0]: 'a' matches no listed endpoint"),
    ("safety: {expires_after: 2m}", "a command may end before an update"),
    ("mode: auto", "there is no `safety` section"),
    ("endpoints: {a: {mode: auto}}", "there is no `safety` section"),
    ("endpoints: {'acme/*': {}}", "endpoints are listed by name"),
    ("actions: {request_surge: overflow}", "overflow.providers is empty"),
    ("actions: {request_surge: {critical: overflow}}", "overflow.providers is empty"),
    (
        "endpoints: {a: {actions: {request_surge: overflow}}}",
        "endpoints.a.actions.request_surge: there is nowhere to overflow to",
    ),
    ("actions: {telemetry_gap: shutdown}", "actions.telemetry_gap: has no effect"),
    (
        "endpoints: {a: {rules: {hourly_spend: {for: 2m}}}}",
        (
            "endpoints.a.rules.hourly_spend: has no effect here: hourly_spend is about budgets; "
            "set it under budgets.<name>.rules or rules"
        ),
    ),
    ("defaults: {rules: {hourly_spend: {for: 2m}}}", "defaults.rules.hourly_spend: has no effect here"),
    (
        "defaults: {price_usd_per_hour: 1}\nbudgets: {b: {daily_usd: 1, endpoints: [a], rules: {latency: {}}}}",
        (
            "budgets.b.rules.latency: has no effect here: latency is about endpoints; "
            "set it under endpoints.<name>.rules, defaults.rules or rules"
        ),
    ),
    ("endpoints: {a: {actions: {telemetry_gap: throttle}}}", "endpoints.a.actions.telemetry_gap: has no effect"),
    ("actions: {regional_cost: shutdown}", "actions.regional_cost: has no effect: moving an endpoint is not"),
    ("actions: {regional_cost: {critical: shutdown}}", "actions.regional_cost: has no effect"),
    ("actions: {latency: throttle}", "latency does not know how far to throttle"),
    ("actions: {latency: {critical: throttle}}", "latency does not know how far to throttle"),
    (
        "endpoints: {a/b: {actions: {latency: throttle}}}",
        "endpoints.a/b.actions.latency: latency does not know how far to throttle",
    ),
    (
        "defaults: {actions: {latency: throttle}}\nendpoints: {a: {}, b: {}}",
        "defaults.actions.latency: latency does not know how far to throttle",
    ),
    ("kafka: {security: {username: u, password: p}}", "PLAINTEXT sends no username"),
    ("kafka: {security: {ca_file: tidegate.yaml}}", "PLAINTEXT is not encrypted"),
    ("executors: {hf: {type: huggingface}}", "executors.hf: has neither token nor token_file"),
    ("executors: {hf: {type: huggingface, token: t, actions: [shutdown, overflow]}}", "cannot overflow"),
]


@pytest.mark.parametrize(("text", "message"), DOUBTS)
def test_a_doubt_is_a_warning(file: File, text: str, message: str) -> None:
    """What works but was hardly meant is said, and loads all the same."""
    assert file.load(text)
    assert [problem.severity for problem in file.check(text)] == ["warning"]
    assert message in str(file.check(text)[0])


@pytest.mark.parametrize("rule", sorted(detectors.RULES))
def test_settings_are_warned_of_exactly_where_their_rule_does_not_look(tmp_path: Path, rule: str) -> None:
    """Of the rules as shipped: where there is no warning, somebody asks."""
    about = {"hourly_spend": "b", "daily_spend": "b", "regional_cost": "b"}
    about |= dict.fromkeys(("cost_spike", "cost_per_request", "telemetry_gap"), "ab")
    path = tmp_path / "tidegate.yaml"
    own = f"{{{rule}: {{resolve_below: 0.5}}}}"
    path.write_text(
        f"defaults: {{price_usd_per_hour: 1}}\nendpoints: {{a: {{rules: {own}}}}}\n"
        f"budgets: {{b: {{daily_usd: 1, endpoints: [a], rules: {own}}}}}\n"
    )
    warned = {str(problem).split(": ")[2] for problem in check(path, detectors.SETTINGS, {})}
    places = {"a": f"endpoints.a.rules.{rule}", "b": f"budgets.b.rules.{rule}"}
    assert warned == {path for name, path in places.items() if name not in about.get(rule, "a")}


@pytest.mark.parametrize("rule", ["latency", "regional_cost", "telemetry_gap"])
def test_to_ask_for_nothing_is_no_doubt(file: File, rule: str) -> None:
    """What only alerts may be told so, for each severity too."""
    assert file.check(f"actions: {{{rule}: {{critical: none}}}}\nendpoints: {{a: {{actions: {{{rule}: none}}}}}}") == []


def test_warnings_wait_for_the_errors(file: File) -> None:
    """A warning that an error may have caused is not given beside it."""
    text = "endpoints: {a: {price_usd_per_hour: x}}\nbudgets: {b: {daily_usd: 1, endpoints: [a]}}"
    assert [problem.severity for problem in file.check(text)] == ["error"]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n", "rules:\nendpoints:\n", "\ufeffmode: shadow\n"])
def test_an_empty_configuration_is_one(file: File, text: str) -> None:
    """Everything has a default, and every known rule its settings."""
    config = file.load(text)
    assert config.rules == {name: cls() for name, cls in RULES.items()}
    assert config.defaults == schema.DEFAULT_ENDPOINT
    assert config == file.load("")


def test_a_missing_file_says_how_to_name_one(tmp_path: Path) -> None:
    """The message names the path and both ways to give another."""
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: error: not found.*--config.*TIDEGATE_CONFIG"):
        load(tmp_path / "nowhere.yaml", RULES, {})


def test_what_is_no_text_file_is_an_error(tmp_path: Path) -> None:
    """A folder and bytes that are no UTF-8 are problems, not crashes."""
    assert "Is a directory" in str(check(tmp_path, RULES, {})[0])
    (tmp_path / "bytes").write_bytes(b"mode: \xff\n")
    assert "not UTF-8: byte 6 is 0xff" in str(check(tmp_path / "bytes", RULES, {})[0])


def test_the_example_loads_without_a_word() -> None:
    """The documented example has neither errors nor warnings, and means what it says."""
    path = DOCS / "tidegate.example.yaml"
    assert check(path, RULES, {}) == []
    config = load(path, RULES, {"KAFKA_SERVERS": "broker:9092"})
    assert config.kafka.bootstrap_servers == "broker:9092"
    assert config.mode_of("acme/bert") is Mode.AUTO
    assert config.actions["hourly_spend"] == {Severity.WARNING: "none", Severity.CRITICAL: "throttle"}
    assert config.safety.protects("acme/llama-70b")


def test_the_example_suits_the_real_rules() -> None:
    """The rules that the example names are registered, and its settings are theirs."""
    rules = detectors.SETTINGS
    assert check(DOCS / "tidegate.example.yaml", rules, {}) == []


def sections(struct: type[Struct]) -> set[type[Struct]]:
    """A section of the configuration and all those within it."""
    found = {struct}
    described = msgspec.inspect.multi_type_info([field.type for field in msgspec.structs.fields(struct)])
    pending = list(described)
    while pending:
        kind = pending.pop()
        if isinstance(kind, msgspec.inspect.StructType) and kind.cls not in found:
            found |= sections(kind.cls)
        pending += [getattr(kind, name) for name in ("value_type", "item_type", "type") if hasattr(kind, name)]
        pending += getattr(kind, "types", ())
    return found


@pytest.mark.parametrize("section", sorted(sections(Config), key=str))
def test_every_key_is_documented(section: type[Struct]) -> None:
    """The reference has a row for each key of each section."""
    rows = set(re.findall(r"^\| `(\w+)` \|", (DOCS / "configuration.md").read_text("utf-8"), re.MULTILINE))
    assert {field.encode_name for field in msgspec.structs.fields(section)} - {"version"} <= rows


LAYERS = """
rules: {request_surge: {ratio: 6, min_rate: 2}, hourly_spend: {for: 90}}
defaults: {rules: {request_surge: {min_rate: 3}}}
endpoints:
  a: {rules: {request_surge: {ratio: 8}}}
  b: {}
budgets:
  x: {daily_usd: 5, endpoints: [a], rules: {hourly_spend: {enabled: false}}}
"""


def test_settings_are_laid_over_each_other_field_by_field(file: File) -> None:
    """What a layer does not say comes from the one below, down to the rule's own defaults."""
    config = file.load(LAYERS)
    assert config.rule("request_surge") == Surge(ratio=6, min_rate=2)
    assert config.rule("request_surge", endpoint="b") == Surge(ratio=6, min_rate=3)
    assert config.rule("request_surge", endpoint="a") == Surge(ratio=8, min_rate=3)
    assert config.rule("hourly_spend", budget="x") == Spend(for_=Seconds(90), enabled=False)
    assert config.rule("latency", endpoint="a") == RuleSettings()


def test_defaults_are_laid_over_the_built_in_ones(file: File) -> None:
    """`defaults` replaces what it says and keeps the rest."""
    config = file.load("defaults: {critical: true}")
    assert (config.defaults.critical, config.defaults.expected_max) == (True, 10)


def test_durations_are_seconds(file: File) -> None:
    """Numbers and words are the same duration, of the one type."""
    config = file.load("safety: {cooldown: 1h30m, expires_after: 90, max_evidence_age: 500ms}")
    durations = [config.safety.cooldown, config.safety.expires_after, config.safety.max_evidence_age]
    assert durations == [Seconds(5400), Seconds(90), Seconds(0.5)]
    assert {type(duration) for duration in durations} == {Seconds}


def test_the_environment_gives_values(file: File) -> None:
    """Variables take the type that is wanted; defaults serve for what is unset or empty; `$$` is a dollar."""
    text = """
kafka: {bootstrap_servers: "${HOST}:${PORT}", group: "${NUMBER}", topic_prefix: "$$${HOST}$"}
http: {port: "${PORT}", host: "${EMPTY:-::1}"}
safety: {kill_switch: "${ON}", cooldown: "${UNSET:-2m}"}
"""
    config = file.load(text, HOST="broker", PORT="9999", NUMBER="5", ON="true", EMPTY="")
    assert config.kafka.bootstrap_servers == "broker:9999"
    assert (config.kafka.group, config.kafka.topic_prefix) == ("5", "$broker$")
    assert (config.http.port, config.http.host) == (9999, "::1")
    assert (config.safety.kill_switch, config.safety.cooldown) == (True, Seconds(120))


def test_the_environment_cannot_change_the_shape(file: File) -> None:
    """A variable is a value, whatever YAML it may contain."""
    config = file.load("kafka: {group: '${GROUP}'}", GROUP="a}\nmode: auto # ${HOME}")
    assert config.kafka.group == "a}\nmode: auto # ${HOME}"
    assert config.mode is Mode.SHADOW


def test_every_unset_variable_is_named_where_it_stands(file: File) -> None:
    """Two keys, two errors."""
    said = file.says("kafka: {group: '${ONE}', topic_prefix: '${TWO}'}")
    assert [re.findall("variable (ONE|TWO)", line) for line in said] == [["ONE"], ["TWO"]]


def test_a_password_comes_from_its_file(file: File, tmp_path: Path) -> None:
    """A relative path begins at the configuration's folder; the line end is no part of the password."""
    (tmp_path / "password").write_text("hunter2 \r\n", encoding="utf-8")
    config = file.load("kafka: {security: {protocol: SASL_SSL, username: u, password_file: password}}")
    assert config.kafka.security.password is not None
    assert config.kafka.security.password.reveal() == "hunter2 "
    assert config.kafka.security.password_file == str(tmp_path / "password")


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"\n", "is empty"), (b"\xff\xfe", "not a UTF-8 text file")],
    ids=["empty", "bytes"],
)
def test_a_password_file_must_hold_a_password(file: File, tmp_path: Path, content: bytes, message: str) -> None:
    """A file that holds no text is named."""
    (tmp_path / "password").write_bytes(content)
    said = file.says("kafka: {security: {protocol: SASL_SSL, username: u, password_file: password}}")
    assert len(said) == 1
    assert message in said[0]


def test_one_password_is_enough(file: File, tmp_path: Path) -> None:
    """`password` beside `password_file` is an error: nobody could say which counts."""
    (tmp_path / "password").write_text("x", encoding="utf-8")
    said = file.says("kafka: {security: {password: y, password_file: password}}")
    assert said == ["1:48: error: kafka.security.password_file: give either password or password_file, not both"]


PLANTED = "hunter2"
PLACES = [
    "kafka: {security: {password: hunter2}}",
    "kafka: {security: {pasword: hunter2}}",
    "kafka: {security: {password: *hunter2}}",
    "kafka: {security: {password: !hunter2 x}}",
    "kafka: {security: {password: [hunter2]}}",
    "kafka: {security: {password: {hunter2: x}}}",
    "kafka: {security: {password: 'hunter2}}",
    "kafka: {security: {password: hunter2, password: hunter2}}",
    "kafka: {security: {password: hunter2, password_file: nowhere}}",
    "kafka: {security: {protocol: SASL_SSL, password: '${PW}'}}",
    "kafka: {security: {password: '${UNSET}${PW}'}}",
    "kafka: {security: {password_file: secret}}",
    "mode: '${PW}'",
    "http: {port: '${PW:-hunter2}'}",
    "http: {port: '${UNSET:-hunter2}'}",
    "receivers: {pagerduty: {routing_key: '${PW}'}}",
]


@pytest.mark.parametrize("text", PLACES)
def test_a_secret_shows_nowhere(file: File, tmp_path: Path, text: str) -> None:
    """Wherever a password stands, no problem and no form of the configuration shows it."""
    (tmp_path / "secret").write_text(PLANTED, encoding="utf-8")
    file.path.write_text(text, encoding="utf-8")
    config, problems = read(file.path, RULES, {"PW": PLANTED})
    error = ConfigError(problems)
    shown = [str(config), repr(config), str(error), repr(error), *map(str, problems), *map(repr, problems)]
    assert not [line for line in shown if PLANTED in line]


def test_equal_meaning_is_an_equal_version(file: File) -> None:
    """Comments, order, spelling, and what no decision depends on do not change the version."""
    one = file.load("mode: auto\nendpoints:\n  b: {}\n  a: {expected_max: 3}\nsafety: {cooldown: 5m}\n")
    other = file.load(
        "# the same\nsafety: {cooldown: 300.0}\nendpoints: {a: {'expected_max': 3}, b: {}}\nmode: 'auto'\n"
        "kafka: {group: other}\nhttp: {port: 0}\nreceivers: {s: {type: slack, url: 'https://h/x'}}\n"
        "rules: {request_surge: {ratio: 5}}\n"
    )
    assert re.fullmatch("[0-9a-f]{12}", one.version)
    assert one.version == other.version
    assert list(one.endpoints) == list(other.endpoints) == ["a", "b"]


@pytest.mark.parametrize(
    "change",
    [
        "mode: approve",
        "endpoints: {a: {}}",
        "defaults: {expected_max: 11}",
        "input: {lateness: 11}",
        "defaults: {price_as_of: 2026-11-01}",
        "rules: {request_surge: {ratio: 5.1}}",
        "budgets: {b: {daily_usd: 1, endpoints: [a]}}",
        "actions: {request_surge: none}",
        "safety: {cooldown: 301}",
        "overflow: {providers: [{name: p, price_usd_per_hour: 1}]}",
    ],
)
def test_another_meaning_is_another_version(file: File, change: str) -> None:
    """Whatever decisions depend on changes the version."""
    assert file.load(change).version != file.load("").version


def test_a_date_is_that_day(file: File) -> None:
    """With quotes or without; an endpoint takes the one of `defaults` if it has none."""
    config = file.load('endpoints: {a: {price_as_of: "2026-11-02"}, b: {}}\ndefaults: {price_as_of: 2026-11-01}\n')
    assert [config.endpoint(name).price_as_of for name in "ab"] == [date(2026, 11, 2), date(2026, 11, 1)]


def test_merge_keys_and_anchors_work(file: File) -> None:
    """YAML's own way to say things once: what is written wins over what is merged in."""
    config = file.load("endpoints:\n  a: &a {expected_max: 3, region: x}\n  b: {<<: *a, region: y}\n  c: {<<: [*a]}\n")
    b, c = config.endpoints["b"], config.endpoints["c"]
    assert (b.expected_max, b.region, c.region) == (3, "y", "x")


def test_a_receivers_key_is_a_secret(file: File) -> None:
    """Whether it stands in the file or comes from the environment."""
    config = file.load("receivers: {x: {type: pagerduty, routing_key: '${PW}'}}", PW="p" * 32)
    receiver = config.receivers["x"]
    assert isinstance(receiver, PagerDuty)
    assert isinstance(receiver.routing_key, Secret)


def test_errors_know_their_exit_code() -> None:
    """A wrong command line ends with 2, any other mistake of a person with 1."""
    assert (TidegateError.exit_code, ConfigError.exit_code, UsageError.exit_code) == (1, 1, 2)


WORDS = st.sampled_from(
    [*sorted(Config.__struct_fields__), *RULES, "security", "a", "ratio", "daily_usd", "<<", "${A}"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)
TOKENS = [
    "a: ",
    "mode: ",
    "- ",
    "&x ",
    "*x",
    "<<: ",
    "!t ",
    "\n",
    "  ",
    "{",
    "}",
    "[",
    "]",
    "'",
    '"',
    "\\U",
    "? ",
    "|2",
]
TEXTS = (
    st.text()
    | st.lists(st.sampled_from([*TOKENS, "%YAML 1.1\n", "---\n", "FFFFFFFF", "${A}", "0x", "\x85"])).map("".join)
    | VALUES.map(lambda value: str(msgspec.json.encode(value), "utf-8"))
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEXTS)
def test_no_text_does_more_than_raise_its_problems(file: File, text: str) -> None:
    """Whatever the file holds, it is a configuration or a ConfigError with at least one problem."""
    file.path.write_bytes(text.encode("utf-8", "surrogatepass"))
    config, problems = read(file.path, RULES, {"A": "1"})
    assert (config is None) == any(problem.severity == "error" for problem in problems)
    with nullcontext() if config is not None else pytest.raises(ConfigError):
        load(file.path, RULES, {"A": "1"})


ORDERS: Any = st.permutations(LAYERS.strip().replace("\n  ", "\0  ").splitlines())


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ORDERS)
def test_the_order_of_sections_means_nothing(file: File, order: list[str]) -> None:
    """However the sections are ordered, the configuration is the same."""
    assert file.load("\n".join(order).replace("\0", "\n")) == file.load(LAYERS)


def test_what_is_the_same_everywhere_is_set_once(tmp_path: Path) -> None:
    """Under the name that it has in the file; saying the same again is no mistake."""
    path = tmp_path / "tidegate.yaml"
    path.write_text("endpoints: {a: {rules: {queue: {for: 10s}}}, b: {rules: {queue: {for: 30s}}}}\n")
    (problem,) = check(path, {"queue": Shared}, {})
    assert str(problem).endswith("endpoints.a.rules.queue.for: can only be set once, in rules.queue.for")
