"""The worker as a process of its own: started, watched through its own metrics, stopped in every case."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from schemas.topics import INPUTS
from streams.errors import TidegateError

STOP_TIMEOUT_S: Final = 20.0  # it drains and writes its checkpoints
SCRAPE_TIMEOUT_S: Final = 5.0
LOG_LINES: Final = 20
# the program `tidegate`, wherever it is installed
RUN_CLI: Final = "from streams.cli import main; raise SystemExit(main())"


class WorkerDied(TidegateError):
    """The worker ended on its own."""


class Worker:
    """`tidegate run` on a configuration file; its log goes to a file beside it."""

    def __init__(self, config: Path, port: int) -> None:
        self._config = config
        self._metrics = f"http://127.0.0.1:{port}/metrics"
        self._log = config.with_name("worker.log")
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = self._start(log)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT_S)
        finally:  # also when a second Ctrl-C cuts the wait short
            self._process.kill()
            self._process.wait()

    def check(self) -> None:
        """Raise what its log says, if it is no longer there."""
        status = None if self._process is None else self._process.poll()
        if status is not None:
            raise WorkerDied(f"the worker stopped with status {status}; the end of its log:\n{self.log_tail()}")

    def log_tail(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        return "\n".join(f"  {line}" for line in lines) or "  (nothing)"

    def events_read(self) -> int:
        """How many input events it has read so far; 0 while it does not answer."""
        try:
            with urlopen(self._metrics, timeout=SCRAPE_TIMEOUT_S) as answer:  # noqa: S310 (our own http address)
                return events_read(answer.read().decode())
        except (URLError, TimeoutError, ConnectionError):
            return 0

    def _start(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", RUN_CLI, "run", "--config", str(self._config)]
        # in a session of its own, so that Ctrl-C reaches the demo alone, which then stops it in good order
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._config.parent,
            env={**os.environ, "NO_COLOR": "1"}, start_new_session=True,
        )  # fmt: skip


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
