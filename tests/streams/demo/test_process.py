"""tidegate's programs as processes of the demo."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from streams.demo.process import Crew, Process, ProcessDied, events_read, free_port


def test_the_worker_counts_only_input_events() -> None:
    """Roll-ups and findings are tidegate's own; what went wrong with an event does not matter."""
    scraped = (
        "# TYPE tidegate_events counter\n"
        'tidegate_events_total{outcome="accepted",topic="inference.requests.v1"} 5.0\n'
        'tidegate_events_total{outcome="late",topic="demo.inference.requests.v1"} 2.0\n'
        'tidegate_events_total{outcome="accepted",topic="tidegate.rollups.v1"} 100.0\n'
    )
    assert events_read(scraped) == 7


def test_a_process_that_dies_is_noticed_with_the_end_of_its_log(tmp_path: Path) -> None:
    """The demo says which one it was and what it said last, instead of waiting for it."""

    async def scenario() -> None:
        async with Crew() as crew:
            crew.start([Process(tmp_path / "no-such-file.yaml", free_port(), "run")])
            await crew.until_ready(60)

    with pytest.raises(ProcessDied, match=r"tidegate run stopped with status 1(.|\n)*no-such-file"):
        asyncio.run(scenario())
