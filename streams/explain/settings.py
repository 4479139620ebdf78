"""Every setting that applied to a finding's subject, with its value and where it came from."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import orjson
from msgspec import Struct, structs

from detectors import RULES
from detectors.plans import Plans
from detectors.rule import FleetRule, Rule
from schemas.config import Budget, Config, Endpoint, RuleSettings, Schedule, Seconds
from schemas.outputs import Finding
from schemas.units import US, from_rfc3339
from streams.origins import Origins
from streams.typed_yaml import KeyPath, dotted

RULE_PAGE: Final = "docs/rules/{}.md"
CONFIGURATION_PAGE: Final = "docs/configuration.md"
_NOT_FACTS: Final = frozenset({"rules", "actions"})  # said elsewhere: they are layers, not values


class Setting(Struct, frozen=True):
    """A key with its value, and where that stands: `tidegate.yaml:12`, or `default (docs/...)`."""

    key: str
    value: Any
    origin: str
    given: bool  # by the file

    @property
    def name(self) -> str:
        return self.key.rpartition(".")[2]


class Subject(NamedTuple):
    """What a finding is about, as the configuration knows it, and when (seconds since the epoch)."""

    rule: str
    endpoint: str | None = None
    budget: str | None = None
    at_s: float = 0.0


class Values:
    """Answers where the values of a configuration come from."""

    def __init__(self, config: Config, origins: Origins) -> None:
        self.config, self.origins = config, origins

    def setting(self, value: Any, layers: Sequence[KeyPath], page: str = CONFIGURATION_PAGE) -> Setting:  # noqa: ANN401 -- of any type
        """A value, given by the first of the layers that the file has; the last one is the default's name."""
        origin = self.origins.first(layers)
        if origin is None:
            return Setting(dotted(layers[-1]), plain(value), f"default ({page})", given=False)
        return Setting(dotted(origin.path), plain(value), str(origin), given=True)

    def of_rule(self, subject: Subject) -> list[Setting]:
        """The rule's settings, as `Config.rule` lays them over each other; none for a rule that is not known."""
        if subject.rule not in self.config.rules:
            return []
        settings = self.config.rule(subject.rule, subject.endpoint, subject.budget)
        page = RULE_PAGE.format(subject.rule)
        return [
            self.setting(value, [(*layer, subject.rule, name) for layer in self._layers(subject)], page)
            for name, value in _fields(settings)
        ]

    def of_subject(self, subject: Subject) -> list[Setting]:
        """What was planned for the endpoint at that moment, and what is known of it and of the budget."""
        found: list[Setting] = []
        if subject.endpoint is not None:
            found += self._planned(subject.endpoint, subject.at_s)
            known = self.config.endpoint(subject.endpoint)
            owners: list[KeyPath] = [("endpoints", subject.endpoint), ("defaults",)]
            found += [self.setting(value, [(*owner, name) for owner in owners]) for name, value in _facts(known)]
        if subject.budget is not None:
            budget = self.config.budgets[subject.budget]
            found += [self.setting(value, [("budgets", subject.budget, name)]) for name, value in _facts(budget)]
        return found

    def mode(self, endpoint: str) -> Setting:
        """What may be done to the endpoint."""
        layers: list[KeyPath] = [("endpoints", endpoint, "mode"), ("defaults", "mode"), ("mode",)]
        return self.setting(self.config.mode_of(endpoint), layers)

    def _planned(self, endpoint: str, at_s: float) -> Iterator[Setting]:
        """Of the schedules that held."""
        for index, schedule in enumerate(self.config.schedules):
            if schedule.covers(endpoint) and Plans([schedule]).any_holds(at_s):
                for name, value in _facts(schedule):
                    yield self.setting(value, [("schedules", index, name)])

    def _layers(self, subject: Subject) -> list[KeyPath]:
        """Where a rule's settings may stand, what counts most first."""
        own: list[KeyPath] = [] if subject.budget is None else [("budgets", subject.budget, "rules")]
        if subject.endpoint is not None and subject.rule in self.config.endpoint(subject.endpoint).rules:
            own = [("endpoints", subject.endpoint, "rules"), ("defaults", "rules")]
        return [*own, ("rules",)]


def subject_of(finding: Finding, config: Config) -> Subject:
    """A budget that has left the configuration is none."""
    return Subject(finding.rule, finding.endpoint, _budget_of(finding, config), from_rfc3339(finding.at) / US)


def _budget_of(finding: Finding, config: Config) -> str | None:
    """The subject itself, or whose endpoint, model or region (`BUDGET/...`) it is."""
    if finding.endpoint is None:
        named = [name for name in config.budgets if f"{finding.subject}/".startswith(f"{name}/")]
        return max(named, key=len, default=None)
    if not issubclass(RULES.get(finding.rule, Rule), FleetRule):
        return None
    return next(iter(config.budgets_of(finding.endpoint)), None)  # the first one owns it


def plain(value: Any) -> Any:  # noqa: ANN401 -- in and out, of any type
    """As JSON holds it; a duration as it is written."""
    return orjson.loads(msgspec.json.encode(value, enc_hook=_written))


def _written(value: object) -> str:
    return value.text if isinstance(value, Seconds) else str(value)


def _fields(settings: RuleSettings) -> Iterable[tuple[str, Any]]:
    for field in structs.fields(settings):
        yield field.encode_name, getattr(settings, field.name)


def _facts(known: Endpoint | Budget | Schedule) -> Iterable[tuple[str, Any]]:
    for field in structs.fields(known):
        value = getattr(known, field.name)
        if field.name not in _NOT_FACTS and field.name != "mode" and value is not None:
            yield field.encode_name, value
