"""What can be known of compose/ without a container engine: its files agree with each other and the code."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from prometheus_client import ProcessCollector
from prometheus_client.metrics import MetricWrapperBase
from ruamel.yaml import YAML

from detectors import SETTINGS
from schemas.outputs import Held, Mode
from streams import configuration
from streams.metrics import Metrics

ROOT: Final = Path(__file__).parent.parent
COMPOSE: Final = ROOT / "compose"
SCRAPED: Final = {"instance", "job"}  # labels that Prometheus adds to whatever it scrapes
PINNED: Final = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*")
OUTCOMES: Final = "accepted|late|repeated"  # what becomes of an event that could be read

WORDS: Final = {"and", "or", "unless", "bool"}
STRING: Final = re.compile(r'"[^"]*"')
GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)")
SELECTOR: Final = re.compile(r"\{([^}]*)\}")
RANGE: Final = re.compile(r"\[[^\]]*\]")
NAME: Final = re.compile(r"\b[a-zA-Z_]\w*\b(?!\s*\()")
MATCHER: Final = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
SHOWN: Final = re.compile(r"\$labels\.(\w+)|\{\{\s*(\w+)\s*\}\}")


class Query(NamedTuple):
    """A PromQL expression, where it stands, and the text that shows its labels."""

    place: str
    expression: str
    text: str

    def metrics(self) -> set[str]:
        """The names of the series that it reads."""
        bare = self.expression
        for part in (STRING, GROUPING, SELECTOR, RANGE):
            bare = part.sub(" ", bare)
        return set(NAME.findall(bare)) - WORDS

    def labels(self) -> set[str]:
        """The labels that it selects or groups by, and those that its text shows."""
        bare = STRING.sub("", self.expression)
        grouped = {label.strip() for labels in GROUPING.findall(bare) for label in labels.split(",")}
        matched = {label for selector in SELECTOR.findall(bare) for label in MATCHER.findall(selector)}
        shown = {first or second for first, second in SHOWN.findall(self.text)}
        return grouped | matched | shown


def _yaml(path: str) -> Any:
    return YAML(typ="safe").load((COMPOSE / path).read_text())


def _dashboard() -> Any:
    return json.loads((COMPOSE / "grafana/dashboards/tidegate.json").read_text())


def _services() -> dict[str, Any]:
    services: dict[str, Any] = _yaml("compose.yaml")["services"]
    return services


def _alerts() -> list[Query]:
    rules = [rule for group in _yaml("prometheus/rules.yaml")["groups"] for rule in group["rules"]]
    return [Query(rule["alert"], rule["expr"], rule["annotations"]["summary"]) for rule in rules]


def _panels() -> list[Query]:
    return [
        Query(panel["title"], target["expr"], target["legendFormat"])
        for panel in _dashboard()["panels"]
        for target in panel.get("targets", ())
    ]


def _series() -> dict[str, set[str]]:
    """Every series that a worker exposes, with its labels; `up` is Prometheus's own."""
    known = {"up": SCRAPED, "process_start_time_seconds": SCRAPED}  # the client library's own is on Linux alone
    for collector, names in Metrics().registry._collector_to_names.items():
        if isinstance(collector, ProcessCollector):
            continue
        assert isinstance(collector, MetricWrapperBase)
        for name in names:
            own = {"le"} if name.endswith("_bucket") else set()
            known[name] = own | set(collector._labelnames) | SCRAPED
    return known


def _dockerfile() -> list[tuple[str, str]]:
    text = (COMPOSE / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in lines)]


@pytest.mark.parametrize("query", _alerts() + _panels(), ids=lambda query: query.place)
def test_queries_read_series_and_labels_that_exist(query: Query) -> None:
    """A renamed metric or label must not leave a panel empty or an alert silent."""
    known = _series()
    assert query.metrics()
    assert query.metrics() <= known.keys()
    assert query.labels() <= set.union(*(known[name] for name in query.metrics()))


def test_the_reader_of_queries_is_not_blind() -> None:
    """It sees names beside functions, groupings, selectors, ranges and strings, and every label."""
    query = Query("here", 'sum by (a, b) (rate(one{c="x",d!~"y z"}[5m])) > 2 and two', "{{ e }} {{ $labels.f }}")
    assert query.metrics() == {"one", "two"}
    assert query.labels() == {"a", "b", "c", "d", "e", "f"}


def test_every_series_is_on_the_dashboard() -> None:
    """What is worth counting is worth showing; what every process has is there for who looks for it."""
    shown = set.union(*(query.metrics() for query in _panels()))
    families = {metric.name for metric in Metrics().registry.collect() if metric.name.startswith("tidegate_")}
    assert {name for name in families if not any(series.startswith(name) for series in shown)} == set()


def test_the_dashboard_uses_the_datasource_that_is_provisioned() -> None:
    """Every reference to a datasource, in panels, targets and variables, is to the one there is."""
    provisioned = {source["uid"] for source in _yaml("grafana/provisioning/datasources/prometheus.yaml")["datasources"]}
    assert {found["uid"] for found in _datasources(_dashboard())} == provisioned


def _datasources(value: Any) -> Iterator[dict[str, str]]:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(value, dict) and "datasource" in value:
        yield value["datasource"]
    for child in children:
        yield from _datasources(child)


def test_the_dashboards_variables_and_panels_fit() -> None:
    """Panels have ids of their own, do not overlap, and use only variables that are declared."""
    board = _dashboard()
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    cells = [cell for panel in board["panels"] for cell in _cells(panel["gridPos"])]
    assert len(cells) == len(set(cells))
    used = {name for query in _panels() for name in re.findall(r"\$(\w+)", query.expression)}
    declared = {variable["name"] for variable in board["templating"]["list"]}
    assert used - {"__rate_interval", "__range"} == declared


def _cells(place: dict[str, int]) -> Iterator[tuple[int, int]]:
    for x in range(place["x"], place["x"] + place["w"]):
        for y in range(place["y"], place["y"] + place["h"]):
            yield x, y


def test_the_dashboard_is_where_grafana_looks() -> None:
    """The provider's path, the mount and the home page name one folder."""
    (provider,) = _yaml("grafana/provisioning/dashboards/tidegate.yaml")["providers"]
    grafana, folder = _services()["grafana"], provider["options"]["path"]
    assert f"./grafana/dashboards:{folder}:ro" in grafana["volumes"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(folder)
    assert (COMPOSE / "grafana/dashboards" / home.name).is_file()


def test_alerts_speak_of_words_that_the_code_uses() -> None:
    """The reasons and outcomes that rules leave out are the code's, and every alert has its severity."""
    expressions = {query.place: query.expression for query in _alerts()}
    assert f'held!="{Held.SHADOW}"' in expressions["TidegateHoldsCommands"]
    assert f'outcome!~"{OUTCOMES}"' in expressions["TidegateDeadLetters"]
    rules = [rule for group in _yaml("prometheus/rules.yaml")["groups"] for rule in group["rules"]]
    assert {rule["labels"]["severity"] for rule in rules} <= {"warning", "critical"}


def test_the_configuration_is_valid_and_fits_the_services() -> None:
    """It loads without a warning, acts on nothing, and names the addresses that the other files use."""
    assert configuration.check(COMPOSE / "tidegate.yaml", SETTINGS, {}) == []
    config = configuration.load(COMPOSE / "tidegate.yaml", SETTINGS, {})
    assert config.mode is Mode.SHADOW
    listeners = _services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INTERNAL://{config.kafka.bootstrap_servers}," in listeners
    (job,) = _yaml("prometheus/prometheus.yaml")["scrape_configs"]
    assert job["static_configs"] == [{"targets": [f"tidegate:{config.http.port}"]}]
    assert f":{config.http.port}/-/healthy" in (COMPOSE / "Dockerfile").read_text()


@pytest.mark.parametrize("name", _services())
def test_services_are_pinned_bounded_and_unprivileged(name: str) -> None:
    """Images have versions; processor, memory and rights are limited; a failure restarts."""
    service = _services()[name]
    assert PINNED.fullmatch(service["image"])
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] in {"unless-stopped", "on-failure:5"}
    assert not {"privileged", "network_mode", "pid", "cap_add", "devices"} & service.keys()


@pytest.mark.parametrize("name", _services())
def test_ports_are_published_on_the_loopback_address_only(name: str) -> None:
    """Nothing here asks for a password, so nobody outside may reach it."""
    assert all(port.startswith("127.0.0.1:") for port in _services()[name].get("ports", ()))


@pytest.mark.parametrize("name", _services())
def test_mounts_and_dependencies_exist(name: str) -> None:
    """Files are mounted read-only from here, data lives in declared volumes, and conditions can come true."""
    services, service = _services(), _services()[name]
    for mount in service.get("volumes", ()):
        source, _, target = mount.partition(":")
        if source.startswith("."):
            assert (COMPOSE / source).exists()
            assert target.endswith(":ro")
        else:
            assert source in _yaml("compose.yaml")["volumes"]
    for other, wanted in service.get("depends_on", {}).items():
        healthy = wanted["condition"] == "service_healthy"
        assert "healthcheck" in services[other] if healthy else services[other]["restart"].startswith("on-failure")


def test_topics_are_declared_before_the_worker_starts() -> None:
    """Kafka does not create topics by itself, so the worker waits for who does."""
    services = _services()
    assert services["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert services["topics"]["command"] == ["topics", "create"]
    assert services["tidegate"]["depends_on"]["topics"] == {"condition": "service_completed_successfully"}
    assert services["tidegate"]["image"] == services["topics"]["image"]


def test_the_image_has_the_version_of_the_package() -> None:
    """A release changes both."""
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert _services()["tidegate"]["image"] == f"tidegate:{version[1]}"


def test_the_image_is_pinned_and_small_in_rights() -> None:
    """Both stages start from the same exact version; what runs is nobody, and pip is gone."""
    lines = _dockerfile()
    bases = {rest.split()[0] for word, rest in lines if word == "FROM"}
    assert len(bases) == 1
    assert all(PINNED.fullmatch(base) for base in bases)
    words = [word for word, _ in lines]
    final = dict(lines[len(words) - 1 - words[::-1].index("FROM") :])
    assert final["USER"] == "10001:10001"
    assert "pip uninstall" in final["RUN"]
    assert "/-/healthy" in final["HEALTHCHECK"]
    assert json.loads(final["ENTRYPOINT"]) == ["tidegate"]


def test_the_image_can_be_built_from_what_is_sent() -> None:
    """Every path that is copied exists and is let through by .dockerignore; all packages are among them."""
    copied = [source for word, rest in _dockerfile() if word == "COPY" for source in _sources(rest)]
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert set(copied) == let_through
    assert all((ROOT / source).exists() for source in copied)
    assert {"streams", "detectors", "actions", "schemas"} <= let_through


def _sources(arguments: str) -> list[str]:
    words = shlex.split(arguments)
    return [] if words[0].startswith("--from") else words[:-1]


def test_compose_itself_accepts_the_file() -> None:
    """Where the client is there, it is asked; it needs no engine for that."""
    docker = shutil.which("docker")
    if docker is None or _status(docker, "compose", "version") != 0:
        pytest.skip("no docker compose here")
    assert _status(docker, "compose", "--file", str(COMPOSE / "compose.yaml"), "config", "--quiet") == 0


def test_prometheus_itself_accepts_its_files() -> None:
    """Where promtool is there, it is asked."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool here")
    assert _status(promtool, "check", "config", str(COMPOSE / "prometheus/prometheus.yaml")) == 0


def _status(*command: str) -> int:
    return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode
