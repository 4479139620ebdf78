"""What a configuration must be as a whole, beyond the types of its values.

An error is what could not work; a warning is what works, but hardly as it was meant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import available_timezones

from croniter import CroniterBadDateError, croniter
from msgspec import structs

from actions.policy import ONLY_ALERT
from actions.proposals import UNLIMITED
from detectors import RULES
from schemas.config import Config, Mode, Schedule, Security
from schemas.executors import HuggingFace
from schemas.topics import STAGES, Place
from streams.alerting_checks import check_alerting, warn_of_alerting
from streams.authority_checks import check_approvals, check_keys
from streams.executor_checks import check_executors, check_reach
from streams.receiver_checks import check_external, check_receivers
from streams.typed_yaml import KeyPath, Report
from streams.values import nearest

_SERVERS: Final = re.compile(r"\s*[^\s,:/]+:\d{1,5}\s*|\s*\[[0-9a-fA-F:.]+\]:\d{1,5}\s*")
CRON_FIELDS: Final = 5
CRON_WORDS: Final = frozenset(
    "jan feb mar apr may jun jul aug sep oct nov dec sun mon tue wed thu fri sat".split()  # noqa: SIM905
)
RENEWABLE_S: Final = 150.0  # half of a lifetime must hold a minute, and some delay
_PLACES: Final = {"endpoints": "endpoints.<name>.rules, defaults.rules", "budgets": "budgets.<name>.rules"}
_WILDCARDS: Final = re.compile(r"[*?\[]")


def check_meaning(config: Config, report: Report) -> None:
    """Report what is wrong with the whole; warnings only where there is no error left to cause them."""
    _servers(config, report)
    _security(config.kafka.security, report)
    _skip(config.input.skip, report)
    _schedules(config.schedules, report)
    check_keys(config, report)
    check_receivers(config, report)
    check_alerting(config, report)
    check_executors(config, report)
    if report.has_error():
        return
    _same_everywhere(config, report)
    _unused_security(config.kafka.security, report)
    _misplaced(config, report)
    _names(config, report)
    _regions(config, report)
    _budgets(config, report)
    _safety(config, report)
    _overflow(config, report)
    _only_alerts(config, report)
    _throttles(config, report)
    check_approvals(config, report)
    _hugging_face(config, report)
    check_reach(config, report)
    check_external(config, report)
    warn_of_alerting(config, report)


def _servers(config: Config, report: Report) -> None:
    servers = config.kafka.bootstrap_servers
    wrong = [server for server in servers.split(",") if not _SERVERS.fullmatch(server)]
    if wrong:
        report.error(("kafka", "bootstrap_servers"), f"expected host:port, several with commas, got {wrong[0]!r}")


def _security(security: Security, report: Report) -> None:
    path = ("kafka", "security")
    sasl = f"is required with protocol {security.protocol}" if security.protocol.startswith("SASL") else None
    if sasl and not security.username:
        report.error((*path, "username"), sasl)
    if sasl and not security.password and not report.is_wrong((*path, "password_file")):
        report.error((*path, "password"), f"{sasl}, or password_file")
    if security.key_file and not security.certificate_file and not report.is_wrong((*path, "certificate_file")):
        report.error((*path, "key_file"), "is of no use without certificate_file")


def _skip(skip: tuple[str, ...], report: Report) -> None:
    for index, text in enumerate(skip):
        path = ("input", "skip", index)
        try:
            place = Place.parse(text)
        except ValueError as error:
            report.error(path, str(error))
            continue
        if place.topic not in STAGES:
            message = f"no stage reads the topic '{place.topic}' (without prefix){nearest(place.topic, STAGES)}"
            report.error(path, message)


def _schedules(schedules: tuple[Schedule, ...], report: Report) -> None:
    known, had_error = available_timezones(), report.has_error()  # one may be of a key that was to be given
    for index, schedule in enumerate(schedules):
        path = ("schedules", index)
        if wrong := _wrong_cron(schedule.cron):
            report.error((*path, "cron"), f"{wrong}, got {schedule.cron!r}")
        if schedule.timezone not in known:
            report.error((*path, "timezone"), unknown_timezone(schedule.timezone))
        if schedule.expected_max is None and schedule.expected_ratio is None and not had_error:
            report.error(path, "expects nothing: give expected_max, expected_ratio or both")


def _wrong_cron(cron: str) -> str | None:
    """What is wrong with it. croniter knows more than crontab(5) has: seconds, years, and `R`, which is random."""
    words = {word.lower() for word in re.findall("[A-Za-z]+", cron)}
    is_plain = re.fullmatch(r"[0-9A-Za-z*,/\s-]+", cron) is not None and words <= CRON_WORDS
    if len(cron.split()) != CRON_FIELDS or not is_plain or not croniter.is_valid(cron):
        return "expected minute, hour, day of the month, month and day of the week, such as '0 9 * * mon'"
    try:
        croniter(cron, datetime(2024, 1, 1)).get_next(datetime)  # noqa: DTZ001 -- a wall clock, of whatever zone
    except CroniterBadDateError:
        return "expected a day that there is"
    return None


def unknown_timezone(name: str) -> str:
    """What is wrong with the name of a time zone."""
    return f"unknown time zone '{name}'{nearest(name, available_timezones())}"


def _same_everywhere(config: Config, report: Report) -> None:
    own = [(("endpoints", name), endpoint.rules) for name, endpoint in config.endpoints.items()]
    own += [(("budgets", name), budget.rules) for name, budget in config.budgets.items()]
    for path, rules in [*own, (("defaults",), config.defaults.rules)]:
        for rule, settings in rules.items():
            for field in structs.fields(settings):
                is_shared, name = field.name in settings.SAME_EVERYWHERE, field.encode_name
                if is_shared and getattr(settings, field.name) != getattr(config.rules[rule], field.name):
                    report.error((*path, "rules", rule, name), f"can only be set once, in rules.{rule}.{name}")


def _misplaced(config: Config, report: Report) -> None:
    """A rule over budgets asks no endpoint for its settings, and one over endpoints no budget."""
    own = [(("endpoints", name), "endpoints", endpoint.rules) for name, endpoint in config.endpoints.items()]
    own += [(("budgets", name), "budgets", budget.rules) for name, budget in config.budgets.items()]
    for path, section, rules in [*own, (("defaults",), "endpoints", config.defaults.rules)]:
        for rule in sorted(rules):
            wanted, at = _set_in(rule), (*path, "rules", rule)
            if section not in wanted and report.was_given(at):
                where = " or ".join(_PLACES[place] for place in wanted)
                message = f"has no effect here: {rule} is about {' and '.join(wanted)}; set it under {where} or rules"
                report.warning(at, message)


def _set_in(rule: str) -> Collection[str]:
    """Of a rule that is not known here, both: nothing is said of it."""
    return RULES[rule].set_in if rule in RULES else tuple(_PLACES)


def _unused_security(security: Security, report: Report) -> None:
    path = ("kafka", "security")
    if not security.protocol.startswith("SASL") and (security.username or security.password):
        report.warning((*path, "protocol"), f"{security.protocol} sends no username and no password")
    if not security.protocol.endswith("SSL") and (security.ca_file or security.certificate_file):
        report.warning((*path, "protocol"), f"{security.protocol} is not encrypted and uses no certificates")


def _names(config: Config, report: Report) -> None:
    for name in config.endpoints:
        if _WILDCARDS.search(name):
            message = "endpoints are listed by name, one by one; for all others there is `defaults`"
            report.warning(("endpoints", name), message)


def _regions(config: Config, report: Report) -> None:
    for name, endpoint in config.endpoints.items():
        if endpoint.legal and endpoint.region and endpoint.region not in endpoint.legal:
            path = ("endpoints", name, "region")
            report.warning(path, f"'{endpoint.region}' is not among the regions that are legal for it")


def _budgets(config: Config, report: Report) -> None:
    prices = {name: config.endpoint(name).price_usd_per_hour for name in config.endpoints}
    for name, budget in config.budgets.items():
        if "/" in name or name in config.endpoints:
            message = f"'{name}' could be an endpoint, and findings of both would have one id: name it without '/'"
            report.error(("budgets", name), message)
        covered = [endpoint for endpoint in prices if budget.covers(endpoint)]
        for endpoint in [endpoint for endpoint in covered if prices[endpoint] is None]:
            message = f"has no price_usd_per_hour: budget '{name}' sees its cost in bills only"
            report.warning(("endpoints", endpoint), message)
        if not covered and config.defaults.price_usd_per_hour is None:
            message = "matches no listed endpoint, and defaults have no price_usd_per_hour: only bills count"
            report.warning(("budgets", name, "endpoints"), message)


def _safety(config: Config, report: Report) -> None:
    for index, pattern in enumerate(config.safety.protected):
        if not any(fnmatchcase(name, pattern) for name in config.endpoints):
            report.warning(("safety", "protected", index), f"'{pattern}' matches no listed endpoint")
    if config.safety.expires_after < RENEWABLE_S:
        message = f"below {RENEWABLE_S:g} s a command may end before an update of its episode, once a minute, renews it"
        report.warning(("safety", "expires_after"), message)
    acts = config.mode is Mode.AUTO or any(config.endpoint(name).mode is Mode.AUTO for name in config.endpoints)
    if acts and not report.was_given(("safety",)):
        message = "commands are carried out (mode auto) within the default limits: there is no `safety` section"
        report.warning(("mode",), message)


def _overflow(config: Config, report: Report) -> None:
    if config.overflow.providers:
        return
    for path, _, responses in _responses(config, report):
        if "overflow" in responses:
            report.warning(path, "there is nowhere to overflow to: overflow.providers is empty")


def _only_alerts(config: Config, report: Report) -> None:
    """Nobody is to believe that such a rule would be answered."""
    for path, rule, responses in _responses(config, report):
        if rule in ONLY_ALERT and responses - {"none"}:
            report.warning(path, f"has no effect: {ONLY_ALERT[rule]}, so this rule only alerts")


def _throttles(config: Config, report: Report) -> None:
    for path, rule, responses in _responses(config, report):
        if rule in UNLIMITED and "throttle" in responses:
            report.warning(path, f"{rule} does not know how far to throttle: it will only alert")


def _hugging_face(config: Config, report: Report) -> None:
    """A worker needs no token, so that one is missing is no error."""
    for name, executor in config.executors.items():
        if isinstance(executor, HuggingFace):
            path = ("executors", name)
            if not executor.token:
                report.warning(path, "has neither token nor token_file: every request will be refused")
            if "overflow" in executor.actions:
                report.warning((*path, "actions"), "Hugging Face cannot overflow: such a command will fail")


def _responses(config: Config, report: Report) -> Iterator[tuple[KeyPath, str, set[str]]]:
    """Where the file says what is done about a rule's findings: the key, the rule and the responses there."""
    sections = [((), config.actions), (("defaults",), config.defaults.actions)]
    sections += [(("endpoints", name), known.actions) for name, known in config.endpoints.items()]
    for path, actions in sections:
        for rule, response in actions.items():
            at = (*path, "actions", rule)
            if report.was_given(at):  # an endpoint has those of `defaults`, too
                yield at, rule, {response} if isinstance(response, str) else set(response.values())
