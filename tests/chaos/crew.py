"""The workers as processes, and who keeps them running: as systemd would, but it asks why each one ended."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

import msgspec

TIDEGATE: Final = (sys.executable, "-c", "from streams.cli import main; main()")
RESTART_S: Final = 0.5  # after an end, as systemd's RestartSec
POLL_S: Final = 0.05
STOP_S: Final = 40.0
LOOK_S: Final = 0.002

# A broker that is away, or refuses to write, stops a worker loudly (docs/guarantees.md); nothing else may.
DOCUMENTED: Final = re.compile(
    r"could not (?:write to|read) \S+|could not connect to write|no Kafka broker answered|no checkpoint in"
    r"|partitions and (?:must have|its source has more)"
)


class Worker:
    """`tidegate run` in a process of its own, with its log in a file. `told` is why it may end, if it may."""

    def __init__(self, config: Path, folder: Path, number: int) -> None:
        self.number = number
        self.log = folder / f"worker-{number:03}.log"
        self.told: str | None = None
        self.frozen = False
        with self.log.open("wb") as log:
            command = [*TIDEGATE, "run", "--config", str(config)]
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if there is still somebody to hear it."""
        if self.alive:
            os.kill(self.process.pid, number)

    def freeze(self) -> None:
        self.frozen = True
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.frozen = False
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """`kill -9`; it may be frozen."""
        self.told = "killed"
        self.signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.told = self.told or "terminated"
        self.signal(signal.SIGTERM)

    def events(self, name: str) -> list[dict[str, object]]:
        """The lines of its log that report this event."""
        marker = f'"event": "{name}"'.encode()
        lines = (line for line in self.log.read_bytes().splitlines() if marker in line)
        return [msgspec.json.decode(line) for line in lines if line.endswith(b"}")]

    def is_stuck(self) -> bool:
        """Whether it has said that it crashed, and nothing more since."""
        silent_s = time.time() - self.log.stat().st_mtime
        return silent_s > STOP_S and b"Crashed reason=" in self.log.read_bytes()

    def why(self) -> str:
        """The reason that it gave for its end."""
        own = [line for line in self.log.read_text(errors="replace").splitlines() if '"tidegate.' in line]
        errors = [line for line in own if '"level": "error"' in line]
        return errors[-1] if errors else "(its log holds no error of its own)"


class Crew:
    """So many workers at any time, but for the moments in which one starts."""

    def __init__(self, config: Path, folder: Path, size: int) -> None:
        self.size = size
        self.started: list[Worker] = []
        self.restarts: Counter[str] = Counter()  # of workers that ended by themselves, by documented reason
        self.failures: list[str] = []
        self.resting = False  # nobody is started
        self._config, self._folder = config, folder
        self._seen_ended: set[int] = set()

    @property
    def alive(self) -> list[Worker]:
        return [worker for worker in self.started if worker.alive]

    @property
    def awake(self) -> list[Worker]:
        return [worker for worker in self.alive if not worker.frozen]

    def start(self) -> Worker:
        self.started.append(Worker(self._config, self._folder, len(self.started) + 1))
        return self.started[-1]

    async def supervise(self) -> None:
        """Start who is missing, until cancelled."""
        while True:
            self.examine()
            if not self.resting:
                for _ in range(self.size - len(self.alive)):
                    await asyncio.sleep(RESTART_S)
                    self.start()
            await asyncio.sleep(POLL_S)

    def examine(self) -> None:
        """Ask who has ended meanwhile for the reason."""
        for worker in self.started:
            if not worker.alive and worker.number not in self._seen_ended:
                self._seen_ended.add(worker.number)
                self._judge(worker, worker.process.returncode)
            elif worker.alive and not worker.frozen and worker.told is None and worker.is_stuck():
                self.failures.append(f"worker {worker.number} crashed and does not end: {worker.why()}")
                worker.kill()

    def _judge(self, worker: Worker, code: int) -> None:
        if code == -signal.SIGKILL and worker.told == "killed":
            return
        if worker.told == "terminated" and (code == 0 or (code == -signal.SIGTERM and not worker.events("listening"))):
            return  # a process that has not got to its own handler yet ends in the system's way
        why = worker.why()
        if code == 1 and (found := DOCUMENTED.search(why)):
            self.restarts[found.group()] += 1
            return
        self.failures.append(f"worker {worker.number} ended with {code} ({worker.told or 'untold'}): {why}")

    async def stop(self, patience_s: float = STOP_S) -> None:
        """SIGTERM for all; return when they are gone."""
        self.resting = True
        for worker in self.alive:
            worker.thaw()
            worker.terminate()
        deadline = time.monotonic() + patience_s
        while self.alive and time.monotonic() < deadline:  # noqa: ASYNC110  (in other processes)
            await asyncio.sleep(POLL_S)
        for worker in self.alive:
            self.failures.append(f"worker {worker.number} did not stop in {patience_s:g} s")
            worker.kill()
            worker.process.wait()
        self.examine()

    def close(self) -> None:
        """Leave nothing running."""
        for worker in self.alive:
            worker.kill()
            worker.process.wait()
