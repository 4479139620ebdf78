"""The demo from start to end. In every case its processes are stopped and its folders removed."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from aiokafka.errors import KafkaError
from ruamel.yaml import YAML

from schemas.config import Config, Kafka
from schemas.signatures import PrivateKey
from schemas.units import US
from streams import logs
from streams.broker import BrokerUnreachable, connect
from streams.demo import messages, script
from streams.demo.incidents import Incidents, exit_code
from streams.demo.kafka_io import PARTITIONS, TIMEOUT_S, Listener, Publisher, arrivals, remove_topics
from streams.demo.messages import Backfill, Summary
from streams.demo.outside import GATEWAY, HUB, Outside, write_secret
from streams.demo.people import People
from streams.demo.process import Crew, Process, Worker, free_port
from streams.demo.stage_hand import StageHand, Tools, clock_us
from streams.demo.view import Output, View, choose_view
from streams.errors import TidegateError
from streams.local_kafka import LocalKafka
from streams.simulator import BACKFILL, Fleet
from streams.topics import declare

REACH_TIMEOUT_S: Final = 10.0
READ_TIMEOUT_S: Final = 240.0  # a busy machine with one slow core
START_TIMEOUT_S: Final = 60.0
GRACE_S: Final = 40.0  # how long the play waits for a brake that is not yet released, and for the pager to hear of it
CHUNK_S: Final = 60  # of history, made and sent at once: the minutes of `script.in_history`
SCRAPE_EVERY_S: Final = 0.5
INTERRUPTED: Final = 130


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """`kafka`: HOST:PORT of a broker to use, None to start one. `seconds`: how long the play lasts."""

    kafka: str | None = None
    output: Output = "table"
    seed: int = 1
    seconds: float = script.PLAY_S


class DemoError(TidegateError):
    """The demo cannot go on."""


def run_demo(options: DemoOptions) -> int:
    """Play the demo on stdout; the exit code is 0 if all incidents were caught, acted on and restored."""
    logs.configure("ERROR")
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # its retries are no news; what fails is raised
    view = choose_view(options.output, sys.stdout)
    try:
        with _terminable():
            return _run(options, view)
    except KeyboardInterrupt:
        view.close()
        sys.stderr.write("interrupted; everything was stopped\n")
        return INTERRUPTED
    except (TidegateError, KafkaError, TimeoutError) as error:
        view.close()
        sys.stderr.write(f"tidegate demo: {_reason(error)}\n")
        return 1
    finally:
        view.close()


def _reason(error: Exception) -> str:
    return str(error) or f"{type(error).__name__}: Kafka did not answer in time"


def _run(options: DemoOptions, view: View) -> int:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="tidegate-demo-")))
        address = options.kafka
        if address is None:
            view.progress("starting Kafka")
            address = stack.enter_context(LocalKafka(notify=view.progress)).address
        return asyncio.run(Demo(options, view, folder).on(address))


async def _reach(kafka: Kafka) -> None:
    try:
        admin = await connect(kafka, REACH_TIMEOUT_S)
    except BrokerUnreachable as error:
        raise DemoError(f"no Kafka broker answered at {kafka.bootstrap_servers}") from error
    await admin.close()


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the demo as Ctrl-C does. Only the main thread may say so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Demo:
    """One run on one broker. Who signed, who was asked, and what the outside was told can be seen afterwards."""

    def __init__(self, options: DemoOptions, view: View, folder: Path) -> None:
        self._options = options
        self._view = view
        self._folder = folder
        self._config = folder / "tidegate.yaml"
        self._profiles = script.cast(options.seed)
        self._incidents = Incidents(script.EXPECTED)
        self.people = People()
        self.signer = PrivateKey.generate()
        self.outside = Outside(folder)

    async def on(self, address: str) -> int:
        """Play it on this broker; one that is not ours is left as it was."""
        run = "" if self._options.kafka is None else f"tidegate-demo-{uuid.uuid4().hex[:8]}"
        kafka = Kafka(bootstrap_servers=address, group=run or "tidegate-demo", topic_prefix=f"{run}." if run else "")
        await _reach(kafka)
        async with AsyncExitStack() as stack:
            if run:
                stack.push_async_callback(remove_topics, kafka)
            return await self.play(kafka)

    async def play(self, kafka: Kafka) -> int:
        """Declare the topics and play; the exit code."""
        self._view.say(messages.started(kafka.bootstrap_servers, len(self._profiles)))
        await asyncio.wait_for(declare(Config(kafka=kafka), PARTITIONS), TIMEOUT_S)
        async with AsyncExitStack() as stack:
            publisher = await stack.enter_async_context(Publisher(kafka))
            listener = await stack.enter_async_context(Listener(kafka))
            await stack.enter_async_context(self.outside)
            crew = await stack.enter_async_context(Crew())
            return await self._play(kafka, Tools(publisher, listener, crew, self.outside))

    async def _play(self, kafka: Kafka, tools: Tools) -> int:
        fleet = Fleet(self._profiles, self._options.seed, clock_us() - script.HISTORY_S * US)
        hand = StageHand(fleet, self._view, self._incidents, self.people)
        port = free_port()
        self._write_config(kafka, port)
        tools.crew.start(self._others())
        hand.sent = await self._write_history(fleet, tools.publisher)
        self.outside.host(fleet)
        await tools.crew.until_ready(START_TIMEOUT_S)  # before the worker, so that its figures are its own
        worker = Worker(self._config, port)
        tools.crew.start([worker])
        backfill = await self._until_read(hand, tools, worker)
        began_ms = clock_us() // 1000
        hand.begin(script.cues())
        await hand.go_on(tools, self._over(hand), self._options.seconds + GRACE_S)
        return await self._sum_up(kafka, backfill, began_ms)

    def _others(self) -> list[Process]:
        """Those who carry out, and who tell."""
        wanted = (("execute", "--executor", HUB), ("execute", "--executor", GATEWAY), ("alert",))
        ports = [free_port() for _ in wanted]
        return [
            Process(self._config, port, *arguments, "--port", str(port))
            for port, arguments in zip(ports, wanted, strict=True)
        ]

    def _write_config(self, kafka: Kafka, port: int) -> None:
        section = {
            "bootstrap_servers": kafka.bootstrap_servers,
            "group": kafka.group,
            "topic_prefix": kafka.topic_prefix,
        }
        key_file = write_secret(self._folder / "tidegate.key", self.signer.pem().reveal())
        settings = {
            **script.settings(self._profiles, section, port, clock_us()),
            **self.outside.settings(),
            "operators": self.people.operators(),
            "signing": {"key_file": str(key_file), "trusted": [str(self.signer.public)]},
        }
        with self._config.open("w") as file:
            YAML().dump(settings, file)

    async def _write_history(self, fleet: Fleet, publisher: Publisher) -> int:
        began, written = time.monotonic(), 0
        start_us, end_us = fleet.now_us, fleet.now_us + script.HISTORY_S * US
        for minute, until_us in enumerate(range(start_us, end_us, CHUNK_S * US)):
            script.in_history(fleet, minute)
            written += await publisher.send(fleet.advance(until_us + CHUNK_S * US, BACKFILL))
            self._view.progress("writing an hour of history", (fleet.now_us - start_us) / (end_us - start_us))
        await publisher.flushed()
        self._view.say(messages.written(written, round(time.monotonic() - began, 3)))
        return written

    async def _until_read(self, hand: StageHand, tools: Tools, worker: Worker) -> Backfill:
        reading = _Reading(hand, worker, self._view)
        if not await hand.go_on(tools, reading.done, READ_TIMEOUT_S):
            message = f"the worker had read {reading.events:,} of {hand.sent:,} events after {READ_TIMEOUT_S:.0f} s"
            raise DemoError(f"{message}; the end of its log:\n{worker.log_tail()}")
        self._view.say(messages.read(reading.backfill))
        return reading.backfill

    def _over(self, hand: StageHand) -> Callable[[], Awaitable[bool]]:
        async def over() -> bool:
            at_s = hand.at_s or 0.0
            return at_s >= self._options.seconds and self._incidents.complete

        return over

    async def _sum_up(self, kafka: Kafka, backfill: Backfill, began_ms: int) -> int:
        concerned = frozenset(key for expected in script.EXPECTED for key in expected.keys)
        seen = await arrivals(kafka, began_ms, concerned)
        outcomes = self._incidents.outcomes(seen, self.outside.bill_usd)
        self._view.sum_up(Summary(tuple(outcomes), backfill, self._incidents.others))
        return exit_code(outcomes)


class _Reading:
    """Watches the worker read the history, through its own metrics."""

    def __init__(self, hand: StageHand, worker: Worker, view: View) -> None:
        self._hand = hand
        self._worker = worker
        self._view = view
        self._next_s = self._idle_s = time.monotonic()  # when to ask next; when nothing had been read
        self._sent_before = hand.sent
        self.events = 0
        self._last_s = self._idle_s

    @property
    def backfill(self) -> Backfill:
        return Backfill(self.events, round(self._last_s - self._idle_s, 3))

    async def done(self) -> bool:
        """Whether all that had been sent when it was asked before is read by now."""
        now_s = time.monotonic()
        if now_s < self._next_s:
            return False
        sent_before, self._sent_before = self._sent_before, self._hand.sent
        self.events = await asyncio.to_thread(self._worker.events_read)
        self._next_s = now_s + SCRAPE_EVERY_S
        self._last_s = time.monotonic()
        if self.events == 0:
            self._idle_s = self._last_s
            self._view.progress("starting the worker")
            return False
        self._view.progress("the worker reads the history", self.events / self._hand.sent)
        return self.events >= sent_before


__all__ = ["Demo", "DemoOptions", "run_demo"]
