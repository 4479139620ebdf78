"""tidegate's own programs as processes: started, watched, stopped together in every case."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Self
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from schemas.topics import INPUTS
from streams.errors import TidegateError

STOP_TIMEOUT_S: Final = 20.0  # a worker drains and writes its checkpoints
LOOK_S: Final = 0.05
SCRAPE_TIMEOUT_S: Final = 5.0
LOG_LINES: Final = 20
# the program `tidegate`, wherever it is installed
RUN_CLI: Final = "from streams.cli import main; raise SystemExit(main())"


class ProcessDied(TidegateError):
    """A process ended on its own."""


class Process:
    """`tidegate` with these arguments on a configuration file; its log goes to a file beside it.

    `port` is where it serves its health, by its configuration or its arguments.
    """

    def __init__(self, config: Path, port: int, *arguments: str) -> None:
        self.name = " ".join(("tidegate", *arguments))
        self._arguments = (*arguments, "--config", str(config))
        self._folder = config.parent
        self._http = f"http://127.0.0.1:{port}"
        self._log = config.with_name(f"{'-'.join(arguments)}.log")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("wb") as log:
            # in a session of its own, so that Ctrl-C reaches the demo alone, which then stops it in good order
            self._process = subprocess.Popen(
                [sys.executable, "-c", RUN_CLI, *self._arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self._folder, env={**os.environ, "NO_COLOR": "1"}, start_new_session=True,
            )  # fmt: skip

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def terminate(self) -> None:
        if self._process is not None:
            self._process.terminate()

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise what its log says, if it is no longer there."""
        status = None if self._process is None else self._process.poll()
        if status is not None:
            raise ProcessDied(f"{self.name} stopped with status {status}; the end of its log:\n{self.log_tail()}")

    def log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"

    def is_ready(self) -> bool:
        """Whether it says that it does its work."""
        return self._asked("/-/ready") is not None

    def _asked(self, path: str) -> str | None:
        """What it answers; None: nothing, or that it cannot."""
        try:
            with urlopen(self._http + path, timeout=SCRAPE_TIMEOUT_S) as answer:  # noqa: S310 (our own http address)
                text: str = answer.read().decode()
                return text
        except (URLError, TimeoutError, ConnectionError):
            return None


class Worker(Process):
    """`tidegate run`."""

    def __init__(self, config: Path, port: int) -> None:
        super().__init__(config, port, "run")

    def events_read(self) -> int:
        """How many input events it has read so far; 0 while it does not answer."""
        return events_read(self._asked("/metrics") or "")


class Crew:
    """Processes that are watched together, and stopped together when it is left: first asked to, then made to."""

    def __init__(self) -> None:
        self._processes: list[Process] = []

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for process in self._processes:
            process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while any(process.is_running for process in self._processes):  # noqa: ASYNC110  (the system does not say)
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            return
        finally:  # also when a second Ctrl-C cuts the wait short
            for process in self._processes:
                process.kill()

    def start(self, processes: Sequence[Process]) -> None:
        for process in processes:
            self._processes.append(process)
            process.start()

    def check(self) -> None:
        """Raise ProcessDied for the first that is no longer there."""
        for process in self._processes:
            process.check()

    async def until_ready(self, timeout_s: float) -> None:
        """Returns when each says that it is. Raises ProcessDied, and TimeoutError."""
        async with asyncio.timeout(timeout_s):
            waiting = list(self._processes)
            while waiting:
                self.check()
                ready = await asyncio.gather(*(asyncio.to_thread(process.is_ready) for process in waiting))
                waiting = [process for process, is_ready in zip(waiting, ready, strict=True) if not is_ready]
                await asyncio.sleep(LOOK_S)


def events_read(metrics: str) -> int:
    """The input events in what Prometheus would scrape, whatever became of them."""
    return sum(
        int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "tidegate_events_total" and sample.labels.get("topic", "").endswith(INPUTS)
    )


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port
