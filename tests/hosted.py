"""An account at Hugging Face that is not there: the double, an executor that talks to it, and time that is ours."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from actions.executors.huggingface import HuggingFaceExecutor
from actions.failure import Failure
from schemas.executors import HuggingFace
from schemas.outputs import Action, Command, Cost, Mode
from schemas.section import Seconds, Secret
from streams.simulator.hosting import Hosted
from streams.simulator.hugging_face import HuggingFaceDouble

TOKEN: Final = "hf_anything-but-this"  # noqa: S105 -- invented
MOST_TRIES: Final = 60
LLAMA: Final = "acme/llama"


@dataclass
class Clock:
    """Seconds that pass when a test says so."""

    now_s: float = 0.0

    def __call__(self) -> float:
        return self.now_s


@dataclass
class Account:
    """What a test needs at hand."""

    clock: Clock
    double: HuggingFaceDouble
    executor: HuggingFaceExecutor
    url: str

    async def settle(self, attempt: Callable[[], Awaitable[Failure | None]]) -> list[Failure]:
        """Try until it is done, waiting as asked for; the failures on the way. A final one is the last, not retried."""
        failures: list[Failure] = []
        while (failure := await attempt()) is not None:
            failures.append(failure)
            assert len(failures) < MOST_TRIES, failures[-1]
            if not failure.retryable:
                break
            self.clock.now_s += 1.0 if failure.retry_after_s is None else failure.retry_after_s
        return failures


@asynccontextmanager
async def account(*endpoints: Hosted, floor: int = 1, **settings: Any) -> AsyncIterator[Account]:
    """The endpoints are warm, and the executor has the right token unless `settings` say otherwise."""
    clock = Clock()
    double = HuggingFaceDouble([endpoint.warm(clock()) for endpoint in endpoints], clock, TOKEN)
    async with double.serving() as url:
        chosen = {"token": Secret(TOKEN), "timeout": Seconds(5), "url": url, **settings}
        executor = HuggingFaceExecutor(HuggingFace(**chosen), floor)
        try:
            yield Account(clock, double, executor, url)
        finally:
            await executor.close()


def order(action: Action, endpoint: str = LLAMA, **parameters: float) -> Command:
    """A command as executors get it, but for what they do not look at."""
    return Command(
        id="0" * 32,
        action=action,
        endpoint=endpoint,
        parameters=parameters,
        mode=Mode.AUTO,
        held=None,
        finding_id="1" * 32,
        episode="2" * 32,
        rule="runaway_replicas",
        issued_at="2026-11-01T00:00:00.000000Z",
        expires_at=None,
        reason="",
        cost=Cost(),
        before={},
    )
