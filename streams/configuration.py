"""From the file to the one frozen value: read, filled from the defaults, checked, named by its meaning.

Settings are laid over each other field by field, and are complete once loaded: a rule's own defaults, then
`rules`, then `defaults.rules` and an endpoint's, or a budget's. The order of keys means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, cast
from zoneinfo import available_timezones

import msgspec
from msgspec import inspect, structs
from ruamel.yaml.nodes import Node

from schemas.config import DEFAULT_ENDPOINT, Budget, Config, Endpoint, RuleSettings
from schemas.topics import EXTERNAL
from streams.configuration_checks import check_meaning, unknown_timezone
from streams.errors import ConfigError, Problem
from streams.origins import Origins
from streams.typed_yaml import INVALID, Handler, KeyPath, Reader, Report
from streams.values import nearest
from streams.yaml_lines import YamlError, compose

Rules = Mapping[str, type[RuleSettings]]
Layers = Mapping[str, RuleSettings]

# where to connect, listen and notify, and whose word counts: no finding depends on it
_NOT_DECISIVE: Final = (
    "kafka", "http", "operators", "signing", "executors", "receivers", "alerting", "external", "version"
)  # fmt: skip


def load(path: str | Path, rules: Rules, environ: Mapping[str, str]) -> Config:
    """The configuration in the file. Raises ConfigError with every problem in it."""
    return load_traced(path, rules, environ)[0]


def load_traced(path: str | Path, rules: Rules, environ: Mapping[str, str]) -> tuple[Config, Origins]:
    """The same, and where in the file each value of it stands."""
    config, report = _read(path, rules, environ)
    if config is None:
        raise ConfigError(report.problems)
    return config, Origins(str(path), report.given)


def check(path: str | Path, rules: Rules, environ: Mapping[str, str]) -> list[Problem]:
    """Every problem of the file, by line; warnings about its meaning once there are no errors."""
    return read(path, rules, environ)[1]


def read(path: str | Path, rules: Rules, environ: Mapping[str, str]) -> tuple[Config | None, list[Problem]]:
    """The configuration, None if there are errors; and every problem, warnings too."""
    config, report = _read(path, rules, environ)
    return config, report.problems


def _read(path: str | Path, rules: Rules, environ: Mapping[str, str]) -> tuple[Config | None, Report]:
    file = Path(path)
    report = Report(str(path))
    root = document(file, report, "not found; name the file with --config FILE or in TIDEGATE_CONFIG")
    if report.has_error():
        return None, report
    return build(root, Reader(report, environ, file.parent), rules), report


def build(root: Node | None, reader: Reader, rules: Rules) -> Config | None:
    """The configuration in a mapping, None if there are errors; `reader.report` has every problem."""
    report = reader.report
    try:
        config = _Builder(reader, rules).config(root)
    except RecursionError:  # an alias that contains itself
        report.error((), "nested too deeply")
        return None
    check_meaning(config, report)
    return None if report.has_error() else config


def defaults(rules: Rules) -> Config:
    """The configuration that no file changes."""
    config = Config(rules={name: cls() for name, cls in rules.items()})
    return structs.replace(config, version=version_of(config))


def version_of(config: Config) -> str:
    """12 hexadecimal digits that depend on the part of the configuration that decisions depend on, alone."""
    decisive = {field: getattr(config, field) for field in config.__struct_fields__ if field not in _NOT_DECISIVE}
    # Seconds are the only type that msgspec does not know
    return sha256(msgspec.json.encode(_plain(decisive))).hexdigest()[:12]


def _plain(value: Any) -> Any:
    return msgspec.to_builtins(value, enc_hook=float, order="sorted")


def _untouched(node: Node, _: KeyPath) -> Node:
    return node


def document(file: Path, report: Report, missing: str) -> Node | None:
    """The root of a file's YAML; `missing` is what to say if there is no such file."""
    try:
        return compose(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        report.error((), missing)
    except OSError as error:
        report.error((), f"cannot be read: {error.strerror}")
    except UnicodeDecodeError as error:
        report.error((), f"not UTF-8: byte {error.start} is {error.object[error.start]:#04x}")
    except YamlError as error:
        report.seen((), error.place)
        report.error((), str(error))
    return None


class _Builder:
    """Reads the sections in the order in which they are laid over each other."""

    def __init__(self, reader: Reader, rules: Rules) -> None:
        self._reader = reader
        self._report = reader.report
        self._rules = rules

    def config(self, root: Node | None) -> Config:
        kind = _describe(Config)
        kind = structs.replace(kind, fields=tuple(field for field in kind.fields if field.name != "version"))
        later: dict[str, Handler] = dict.fromkeys(("rules", "defaults", "endpoints", "budgets"), _untouched)
        later["actions"] = lambda node, at: self._actions(node, at, kind)
        given = self._reader.fields(root, kind, (), later)
        below = {name: cls() for name, cls in self._rules.items()}
        given["rules"] = settings = self._settings(given.get("rules"), ("rules",), below)
        given["defaults"] = defaults = self._defaults(given.get("defaults"), settings)
        layers = {**settings, **defaults.rules}
        given["endpoints"] = self._named(Endpoint, given.get("endpoints"), layers)
        given["budgets"] = self._named(Budget, given.get("budgets"), settings)
        config = Config(**given)
        return structs.replace(config, version=version_of(config))

    def _defaults(self, node: Node | None, settings: Layers) -> Endpoint:
        given = self._fields(Endpoint, node, ("defaults",), settings)
        return structs.replace(DEFAULT_ENDPOINT, **given)

    def _named(self, cls: type[Endpoint | Budget], node: Node | None, layers: Layers) -> dict[str, Any]:
        """A section whose keys are names: endpoints, budgets."""
        section = "endpoints" if cls is Endpoint else "budgets"
        found = {}
        for name, value in sorted(self._reader.keys(node, (section,)).items()):
            path = (section, name)
            built = self._reader.struct(cls, self._fields(cls, value, path, layers), path)
            if built is not INVALID:
                found[name] = built
        return found

    def _fields(self, cls: type[Endpoint | Budget], node: Node | None, path: KeyPath, layers: Layers) -> dict[str, Any]:
        kind = _describe(cls)
        own = {
            "rules": lambda value, at: self._settings(value, at, layers, only_given=True),
            "actions": lambda value, at: self._actions(value, at, kind),
            "timezone": self._timezone,
        }
        return self._reader.fields(node, kind, path, own)

    def _timezone(self, node: Node, path: KeyPath) -> Any:
        name = self._reader.read(node, inspect.StrType(), path)
        if name is INVALID or name in available_timezones():
            return name
        self._report.error(path, unknown_timezone(name))
        return INVALID

    def _settings(
        self, node: Node | None, path: KeyPath, layers: Layers, *, only_given: bool = False
    ) -> dict[str, RuleSettings]:
        """The rules' settings, each laid over its layer below."""
        given = self._reader.keys(node, path, self._rules)
        names = given if only_given else layers
        return {name: self._setting(given.get(name), (*path, name), layers[name]) for name in sorted(names)}

    def _setting(self, node: Node | None, path: KeyPath, below: RuleSettings) -> RuleSettings:
        given = self._reader.fields(node, _describe(type(below)), path)
        try:
            return structs.replace(below, **given)
        except ValueError as error:  # the settings' own check of their fields together
            self._report.error(path, str(error))
            return below

    def _actions(self, node: Node, path: KeyPath, kind: inspect.StructType) -> dict[str, Any]:
        """What to do about a rule: its names are checked here, as the schema cannot know them."""
        wanted = next(field.type for field in kind.fields if field.name == "actions")
        found = cast("dict[str, Any]", self._reader.read(node, wanted, path))
        known = {*self._rules, EXTERNAL}
        for name in found.keys() - known:
            self._report.error((*path, name), f"unknown rule{nearest(name, known)}")
        return found


def _describe(cls: type[msgspec.Struct]) -> inspect.StructType:
    return cast("inspect.StructType", inspect.type_info(cls))


__all__ = ["Rules", "build", "check", "defaults", "document", "load", "load_traced", "read", "version_of"]
