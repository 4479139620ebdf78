"""Processes that are measured: programs that print their figures, and `tidegate run` watched from outside."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.error import URLError
from urllib.request import urlopen

import orjson
import psutil
from prometheus_client.parser import text_string_to_metric_families

from schemas.topics import REQUESTS

TIMEOUT_S: Final = 600.0
STOP_S: Final = 60.0
POLL_S: Final = 0.05
TIDEGATE: Final = (sys.executable, "-c", "from streams.cli import main; raise SystemExit(main())")

Figures = dict[str, float]


class BenchmarkFailed(Exception):
    """A program failed, or did not get there in time; the message ends with what it logged."""


def say(text: str) -> None:
    """Progress, for who waits."""
    print(text, file=sys.stderr, flush=True)


def figures(command: Sequence[str | Path]) -> Figures:
    """What a program prints on its last line: one JSON object."""
    try:
        done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise BenchmarkFailed(f"{command} did not end in {TIMEOUT_S:g} s") from error
    if done.returncode or not done.stdout.strip():
        raise BenchmarkFailed(f"{command} ended with {done.returncode}\n{done.stderr.decode()[-2000:]}")
    found: Figures = orjson.loads(done.stdout.splitlines()[-1])
    return found


def program(name: str, *arguments: object, python: str | Path = sys.executable) -> Figures:
    """The figures of a program of `benchmarks.programs`."""
    return figures([python, "-m", f"benchmarks.programs.{name}", *map(str, arguments)])


@contextmanager
def running(name: str, *arguments: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program of `benchmarks.programs` in the background, up to the end of the block."""
    command = [sys.executable, "-m", f"benchmarks.programs.{name}", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for_line(process: subprocess.Popen[bytes]) -> str:
    """Wait until a program in the background says that it is ready, or where it is."""
    line = b"" if process.stdout is None else process.stdout.readline()
    if not line:
        raise BenchmarkFailed(f"{process.args!r} ended before it was ready")
    return line.decode().strip()


def cpu_s(pid: int) -> float:
    """User and system time of a process so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _reached(reached: Callable[[], bool]) -> bool:
    """A worker that is too busy to answer is not there yet."""
    try:
        return reached()
    except TimeoutError:
        return False


class Worker:
    """`tidegate run`, or another `command` that takes a configuration; on one `core` only, if that is given.

    Its log is in a file beside the configuration.
    """

    def __init__(self, config: Path, core: int | None = None, command: Sequence[str] = (*TIDEGATE, "run")) -> None:
        self._config, self._core, self._command = config, core, command
        self._log = config.with_suffix(f".{time.monotonic_ns()}.log")
        self._metrics_url = ""

    def __enter__(self) -> Self:
        self.started_s = time.time()
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*self._command, "--config", self._config], stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        if self._core is not None:
            psutil.Process(self.process.pid).cpu_affinity([self._core])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait(STOP_S)

    def stop(self) -> None:
        """SIGTERM; returns once its last checkpoint is written."""
        self.process.terminate()
        if self.process.wait(STOP_S):
            raise BenchmarkFailed(f"the worker ended with {self.process.returncode}\n{self._tail()}")

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log with that event."""
        lines = [orjson.loads(line) for line in self._log.read_bytes().splitlines() if line[:1] == b"{"]
        return [line for line in lines if line["event"] == event]

    def assigned(self, times: int = 1) -> float:
        """When it got its partitions, that many times (seconds since the epoch); waits for it."""
        self.until(lambda: len(self.logged("assigned")) >= times)
        return datetime.fromisoformat(self.logged("assigned")[times - 1]["timestamp"]).timestamp()

    def until(self, reached: Callable[[], bool]) -> float:
        """Wait for it; when it was seen (seconds since the epoch)."""
        deadline = time.monotonic() + TIMEOUT_S
        while not _reached(reached):
            if self.process.poll() is not None:
                raise BenchmarkFailed(f"the worker ended with {self.process.returncode}\n{self._tail()}")
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"the worker did not get there in {TIMEOUT_S:g} s\n{self._tail()}")
            time.sleep(POLL_S)
        return time.time()

    def has_read(self, events: int) -> Callable[[], bool]:
        """Whether so many request events have been applied."""
        return lambda: self.total("tidegate_events_total", topic=REQUESTS) >= events

    def ready(self) -> bool:
        """Whether what it was assigned is restored."""
        try:
            with urlopen(self._url("/-/ready"), timeout=STOP_S):  # noqa: S310 -- our own http address
                return True
        except URLError:
            return False

    def total(self, sample: str, **labels: str) -> float:
        """The sum over all series of this name that have these labels."""
        with urlopen(self._url("/metrics"), timeout=STOP_S) as answer:  # noqa: S310 -- our own http address
            families = list(text_string_to_metric_families(answer.read().decode()))
        return sum(
            found.value
            for family in families
            for found in family.samples
            if found.name == sample and labels.items() <= found.labels.items()
        )

    @property
    def cpu_s(self) -> float:
        return cpu_s(self.process.pid)

    @property
    def rss_kib(self) -> float:
        return float(psutil.Process(self.process.pid).memory_info().rss) / 1024

    def _url(self, path: str) -> str:
        if not self._metrics_url:
            self.until(lambda: bool(self.logged("listening")))
            self._metrics_url = f"http://127.0.0.1:{self.logged('listening')[0]['port']}"
        return self._metrics_url + path

    def _tail(self) -> str:
        return self._log.read_text()[-2000:]
