"""The worker: one Faust app, a lane per stage, and how it starts and ends.

Exit codes: 0 after SIGTERM or SIGINT with everything saved, 1 after anything else.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from typing import Any, Final

import faust
import structlog
from aiokafka.errors import KafkaConnectionError
from faust.types.tuples import TP

from schemas.config import Config, Kafka
from streams.broker import credentials, servers
from streams.errors import TidegateError
from streams.lane import BatchSchema, LaneApp, lean_drain, stock_drain
from streams.loop import Loop
from streams.owner import Clock, PartitionOwner, Reload, StageFactory, wall_clock_us
from streams.topics import STAGES, verify

BUFFERED_CHUNKS: Final = 32  # of one topic, waiting for its agent
COMMIT_EVERY_S: Final = 1.0
GC_THRESHOLD: Final = 2_000_000  # events and states are no garbage, and walking them costs a tenth of the CPU
FETCH_BYTES: Final = 2 << 20  # of one partition at once: three chunks
REBALANCE_S: Final = 30.0
REQUEST_S: Final = 10.0

log = structlog.get_logger("tidegate.worker")


def build(
    config: Config, stages: StageFactory, clock: Clock = wall_clock_us, reload: Reload = lambda: None
) -> PartitionOwner:
    """Wire everything; nothing connects before its `app` starts."""
    owner = PartitionOwner(config, stages, clock, reload)
    drain = lean_drain if config.kafka.lean_fetch else stock_drain
    owner.app = LaneApp(config.kafka.group, owner, drain, **faust_settings(config.kafka))
    for topic in STAGES:
        add_agent(owner, config.kafka.topic_prefix + topic)
    return owner


def faust_settings(kafka: Kafka) -> dict[str, Any]:
    """Faust as a mover of bytes: no tables, no web server, no topics of its own."""
    session_s = float(kafka.session_timeout)
    return {
        "broker": [f"kafka://{server}" for server in servers(kafka)],
        "broker_credentials": credentials(kafka.security),
        "broker_session_timeout": session_s,
        "broker_heartbeat_interval": session_s / 5,
        "broker_request_timeout": max(session_s, REQUEST_S),
        "broker_rebalance_timeout": max(session_s, REBALANCE_S),
        "broker_commit_interval": COMMIT_EVERY_S,
        "agent_supervisor": "mode.CrashingSupervisor",
        "consumer_auto_offset_reset": "earliest",
        "consumer_max_fetch_size": FETCH_BYTES,
        "store": "memory://",
        "stream_buffer_maxsize": BUFFERED_CHUNKS,
        "stream_wait_empty": False,
        "table_standby_replicas": 0,
        "topic_allow_declare": False,
        "topic_disable_leader": True,
        "web_enabled": False,
    }


def add_agent(owner: PartitionOwner, topic: str) -> None:
    """An agent that hands each chunk of `topic` to the owner. An ack means nothing here: see `lane.py`."""

    async def carry(stream: Any) -> None:
        async for event in stream.noack().events():
            message = event.message
            event.ack()
            await owner.deliver(TP(message.topic, message.partition), message.generation_id, event.value)

    schema = BatchSchema(key_type=bytes, value_type=bytes)
    owner.app.agent(owner.app.topic(topic, schema=schema), name=f"carry-{topic}")(carry)


def run(config: Config, stages: StageFactory, clock: Clock = wall_clock_us, reload: Reload = lambda: None) -> int:
    """Run until a signal or a failure: the exit code. `reload` is asked on SIGHUP; None keeps the old one."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the owner listens to it, it must not kill
    try:
        asyncio.run(verify(config))
    except TidegateError as error:
        log.error(str(error))  # noqa: TRY400  (an operator's matter: no traceback)
        return 1
    owner = build(config, stages, clock, reload)
    gc.collect()
    gc.freeze()
    gc.set_threshold(GC_THRESHOLD)
    return execute(owner)


def execute(owner: PartitionOwner) -> int:
    """Drive the app under Faust's worker, which exits the process in its own words."""
    loop = Loop()
    asyncio.set_event_loop(loop)
    worker = faust.Worker(owner.app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True)
    worker.spinner = None
    unstarted: BaseException | None = None
    try:
        worker.execute_from_commandline()
    except SystemExit as ended:
        if ended.code == 0 and owner.failure is None:
            log.info("stopped")
            return 0
        unstarted = ended.__context__
    except asyncio.CancelledError:
        pass  # of the agents, cut off while a crash is dealt with: Faust takes it for one more, and for the last word
    log.error("stopped", reason=_why(owner.failure or worker.crash_reason or unstarted))
    return 1


def _why(error: BaseException | None) -> str:
    """In one line. A broker that went while Faust was connecting to it is one that does not answer."""
    if isinstance(error, KafkaConnectionError):
        return f"no Kafka broker answered: {error}"
    return str(error) or repr(error)
