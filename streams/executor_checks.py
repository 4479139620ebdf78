"""What the section `executors` must be, beyond the types of its values, and whether what is decided reaches anybody."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.config import Config, Mode
from schemas.executors import HuggingFace, Kubernetes, LiteLLM, Webhook
from schemas.outputs import Action
from streams.address import EXPECTED, is_address
from streams.typed_yaml import Report


def check_executors(config: Config, report: Report) -> None:
    """Errors: what could never carry out anything. No message quotes an address: it may hold a token."""
    for name, executor in config.executors.items():
        path = ("executors", name)
        if isinstance(executor, HuggingFace | LiteLLM | Kubernetes) and not is_address(executor.url):
            report.error((*path, "url"), EXPECTED)
        if not isinstance(executor, Webhook):
            continue
        if executor.url is None:
            if not report.is_wrong((*path, "url_file")):
                report.error((*path, "url"), "is required, or url_file")
        elif not is_address(executor.url.reveal()):
            report.error((*path, "url"), EXPECTED)


def check_reach(config: Config, report: Report) -> None:
    """Warnings: what is sent unsigned, refused by everybody, or carried out by nobody."""
    for name, executor in config.executors.items():
        if isinstance(executor, Webhook) and executor.secret is None:
            message = "has neither secret nor secret_file: its receiver cannot tell tidegate's requests from others'"
            report.warning(("executors", name), message)
    if not config.executors:
        return
    if _acts(config) and not config.signing.trusted:
        report.warning(("signing", "trusted"), "is empty: executors will refuse every command")
    for endpoint, actions in _unreached(config):
        message = f"no executor takes {' or '.join(actions)} of it: such a command is carried out by nobody"
        report.warning(("endpoints", endpoint), message)


def _acts(config: Config) -> bool:
    return any(mode is not Mode.SHADOW for mode in (config.mode, *map(config.mode_of, config.endpoints)))


def _unreached(config: Config) -> Iterator[tuple[str, list[str]]]:
    asked = [Action.THROTTLE, Action.SHUTDOWN, *([Action.OVERFLOW] if config.overflow.providers else [])]
    for endpoint in config.endpoints:
        missing = [action.value for action in asked if config.executor_for(endpoint, action) is None]
        if missing and config.mode_of(endpoint) is not Mode.SHADOW:
            yield endpoint, missing
