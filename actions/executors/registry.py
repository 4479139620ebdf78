"""From a section of the configuration to the executor that it describes: one line for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from actions.executors.dry_run import DryRunExecutor
from actions.executors.interface import Executor
from actions.executors.kubernetes import KubernetesExecutor
from actions.executors.litellm import LiteLLMExecutor
from actions.executors.webhook import WebhookExecutor
from schemas import executors as sections

KINDS: Final[Mapping[type[sections.Executor], Callable[[Any], Executor]]] = {
    sections.DryRun: lambda _: DryRunExecutor(),
    sections.Webhook: WebhookExecutor,
    sections.LiteLLM: LiteLLMExecutor,
    sections.Kubernetes: KubernetesExecutor,
}


def executor_of(settings: sections.Executor) -> Executor:
    """The executor, not connected yet. Must be called where a loop runs."""
    return KINDS[type(settings)](settings)
