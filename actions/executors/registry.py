"""From a section of the configuration to the executor that it describes: one line for each kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from actions.executors.dry_run import DryRunExecutor
from actions.executors.huggingface import HuggingFaceExecutor
from actions.executors.interface import Executor
from actions.executors.kubernetes import KubernetesExecutor
from actions.executors.litellm import LiteLLMExecutor
from actions.executors.webhook import WebhookExecutor
from schemas import executors as sections
from schemas.config import Safety

DEFAULT_SAFETY: Final = Safety()

KINDS: Final[Mapping[type[sections.Executor], Callable[[Any, Safety], Executor]]] = {
    sections.DryRun: lambda _, __: DryRunExecutor(),
    sections.HuggingFace: lambda settings, safety: HuggingFaceExecutor(settings, safety.min_replicas),
    sections.Webhook: lambda settings, _: WebhookExecutor(settings),
    sections.LiteLLM: lambda settings, _: LiteLLMExecutor(settings),
    sections.Kubernetes: lambda settings, _: KubernetesExecutor(settings),
}


def executor_of(settings: sections.Executor, safety: Safety = DEFAULT_SAFETY) -> Executor:
    """The executor, not connected yet. Must be called where a loop runs."""
    return KINDS[type(settings)](settings, safety)
