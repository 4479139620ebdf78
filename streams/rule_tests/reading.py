"""From a file to its configuration and tests; what is wrong is named with its line, all of it in one pass."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

from msgspec import inspect, structs
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from detectors import SETTINGS
from schemas.config import Config
from streams import configuration
from streams.errors import Problem
from streams.rule_tests.format import RuleTest, RuleTests
from streams.typed_yaml import KeyPath, Reader, Report
from streams.yaml_lines import place

EMPTY: Final = "is empty; expected tests: a list with the name, the events and the findings of each"


class Suite(NamedTuple):
    """What a file holds, or what is wrong with it. `lines`: where each test begins."""

    name: str
    config: Config
    tests: tuple[RuleTest, ...]
    lines: tuple[int, ...]
    problems: tuple[Problem, ...] = ()


def read(name: str, environ: Mapping[str, str]) -> Suite:
    """The file; without tests if there are problems."""
    report = Report(name)
    root = configuration.document(Path(name), report, "not found")
    if root is None and not report.has_error():
        report.error((), EMPTY)
    if root is None or report.has_error():
        return _bad(name, report.problems)
    return _Builder(name, Reader(report, environ, Path(name).parent)).file(root)


class _Builder:
    """Reads the configuration, wherever it is, and then the tests."""

    def __init__(self, name: str, reader: Reader) -> None:
        self._name, self._reader = name, reader
        self._config: Config | None = configuration.defaults(SETTINGS)
        self._elsewhere: list[Problem] = []  # in a file that `config` names

    def file(self, root: Node) -> Suite:
        report, kind = self._reader.report, cast("inspect.StructType", inspect.type_info(RuleTests))
        config = inspect.Field(name="config", encode_name="config", type=inspect.AnyType(), required=False)
        kind = structs.replace(kind, fields=(config, *kind.fields))
        read = self._reader.fields(root, kind, (), {"config": self._read_config})
        if report.has_error() or self._config is None:
            return _bad(self._name, [*report.problems, *self._elsewhere])
        return Suite(self._name, self._config, read["tests"], tuple(_lines(root)))

    def _read_config(self, node: Node, path: KeyPath) -> Any:  # noqa: ANN401 -- kept apart, not returned
        if isinstance(node, MappingNode):
            self._config = configuration.build(node, self._reader, SETTINGS)
            return None
        if not isinstance(node, ScalarNode) or not node.value:
            self._reader.report.error(path, "expected the configuration's keys, or the name of its file")
            return None
        file = self._reader.folder / str(node.value)
        if not file.is_file():
            self._reader.report.error(path, f"expected the name of a file, relative to this one, got '{node.value}'")
            return None
        self._config, problems = configuration.read(file, SETTINGS, self._reader.environ)
        self._elsewhere = [] if self._config else list(problems)
        return None


def _bad(name: str, problems: list[Problem]) -> Suite:
    errors = tuple(problem for problem in problems if problem.severity == "error")
    return Suite(name, configuration.defaults(SETTINGS), (), (), errors)


def _lines(root: Node) -> list[int]:
    """Where each test begins."""
    tests = next(value for key, value in cast("MappingNode", root).value if key.value == "tests")
    return [place(item).line for item in cast("SequenceNode", tests).value]
