"""How `tidegate alert` starts and ends. Exit codes: 0 after SIGTERM or SIGINT with everything saved, else 1.

A reload ends the present session, what is under way in it too, and begins another: one way to begin is enough.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import structlog
from aiokafka.errors import KafkaError
from msgspec import structs

from schemas.config import Config
from streams.acl import Process
from streams.alert.lease import Lease
from streams.alert.metrics import AlertMetrics
from streams.alert.session import Build, Session, Shared
from streams.concurrent import first
from streams.errors import TidegateError
from streams.http import HttpServer
from streams.outbox import SendFailed, new_producer
from streams.topics import verify

NEED_RESTART: Final = ("kafka", "http")  # sections of the configuration
STALLED_S: Final = 15.0  # without a beat for that long the loop is not healthy
STOP_S: Final = 20.0  # of the 30 s that most give a process to stop

Reload = Callable[[], Config | None]

log = structlog.get_logger("tidegate.alert")


class NothingToTell(TidegateError):
    """Nobody is to hear of anything."""


class NotStopped(TidegateError):
    """What was under way did not end in time."""


def steady_clock() -> Callable[[], int]:
    """The wall clock as it was at the start, in microseconds, and from then on one that nobody sets back or forth."""
    ahead_us = time.time_ns() // 1000 - time.monotonic_ns() // 1000
    return lambda: time.monotonic_ns() // 1000 + ahead_us


class AlertProcess:
    """Waits for the lease, and delivers while it is held. `build` makes receivers, by a configuration."""

    def __init__(self, config: Config, build: Callable[[Config], Build], reload: Reload) -> None:
        self._config, self._build, self._reload = config, build, reload
        self._metrics, self._stopping = AlertMetrics(), asyncio.Event()
        self._session: Session | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._lease = Lease(config.kafka, self._let_go)
        self._http = HttpServer(config.http, self._metrics, self._why_unhealthy, self._why_not_ready)

    async def run(self) -> None:
        """Until a signal. Raises what went wrong."""
        if not self._config.receivers:
            raise NothingToTell("there is nobody to tell: the configuration names no receivers")
        await verify(self._config, Process.ALERT)
        async with AsyncExitStack() as stack:
            producer = new_producer(self._config.kafka)
            stack.push_async_callback(producer.stop)
            try:
                await producer.start()
            except KafkaError as error:
                raise SendFailed(f"could not connect to write: {type(error).__name__} {error}") from error
            stack.push_async_callback(self._http.stop)
            await self._http.start()
            stack.push_async_callback(self._lease.stop)
            await self._lease.start()
            self._listen()
            await first(self._lease.keep(), self._sessions(producer))

    async def _sessions(self, producer: Any) -> None:  # noqa: ANN401 -- aiokafka is annotated in part only
        shared = Shared(producer, self._lease, self._metrics, steady_clock())
        while not self._stopping.is_set():
            await first(self._lease.held.wait(), self._stopping.wait())
            if self._lease.held.is_set() and not self._stopping.is_set():
                build = self._build(self._config)
                receivers = {name: build(name, section) for name, section in self._config.receivers.items()}
                self._session = Session(self._config, receivers, shared)
                self._idle.clear()
                await first(self._session.run(), self._lease.lost.wait())
                self._session = None
                self._idle.set()

    def _listen(self) -> None:
        """To signals. A second one to stop is as good as the first."""
        loop, main = asyncio.get_running_loop(), asyncio.current_task()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, main)
        loop.add_signal_handler(signal.SIGHUP, self._take_new)

    def _stop(self, main: asyncio.Task[Any] | None) -> None:
        if main is not None and not self._stopping.is_set():
            self._stopping.set()
            asyncio.get_running_loop().call_later(STOP_S, main.cancel)
        self._end_session()

    def _take_new(self) -> None:
        """Take a new configuration where there is one; where to connect and listen needs a restart."""
        config = self._reload()
        if config is not None and not config.receivers:
            log.error("configuration kept: the new one names no receivers")
            config = None
        self._metrics.reloads.labels("kept" if config is None else "taken").inc()
        if config is None:
            return
        kept = {section: getattr(self._config, section) for section in NEED_RESTART}
        for section in NEED_RESTART:
            if getattr(config, section) != kept[section]:
                log.warning("a change needs a restart", section=section)
        self._config = structs.replace(config, **kept)
        log.info("configuration taken", version=config.version)
        self._end_session()

    async def _let_go(self) -> None:
        """Returns when the present session has ended, with all of it saved."""
        self._end_session()
        await self._idle.wait()

    def _end_session(self) -> None:
        if self._session is not None:
            self._session.stop()

    def _why_unhealthy(self) -> str | None:
        idle_s = self._lease.idle_s
        return f"no beat for {idle_s:.0f} s" if idle_s > STALLED_S else None

    def _why_not_ready(self) -> str | None:
        """None also while another process delivers, and this one stands by."""
        if self._lease.held.is_set() and (self._session is None or not self._session.ready):
            return "reading what there is to tell"
        return None


def run(config: Config, build: Callable[[Config], Build], reload: Reload = lambda: None) -> int:
    """Run until a signal or a failure: the exit code. `reload` is asked on SIGHUP; None keeps the old one."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until somebody listens to it, it must not kill
    try:
        asyncio.run(_until_stopped(config, build, reload))
    except (TidegateError, KafkaError) as error:
        log.error("stopped", reason=str(error) or type(error).__name__)  # noqa: TRY400  (an operator's matter)
        return 1
    log.info("stopped")
    return 0


async def _until_stopped(config: Config, build: Callable[[Config], Build], reload: Reload) -> None:
    try:
        await AlertProcess(config, build, reload).run()
    except asyncio.CancelledError:
        message = f"what was under way did not end in {STOP_S:g} s; what was sent meanwhile may be sent again"
        raise NotStopped(message) from None
