"""`tidegate execute`: from the configuration to a running executor."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Annotated

import structlog
import typer
from aiokafka.errors import KafkaError
from msgspec import structs

from actions.docket import Office
from detectors import SETTINGS
from schemas.config import Config
from schemas.signatures import BadKey, PublicKey
from streams import configuration, logs
from streams.errors import TidegateError, UsageError
from streams.loop import Loop
from streams.options import ConfigFile, config_path
from streams.values import nearest

log = structlog.get_logger("tidegate.execute")


def execute(
    executor: Annotated[str, typer.Option(metavar="NAME", help="Which of the configuration's executors.")],
    config: ConfigFile = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="Of the metrics, instead of http.port.")] = None,
    dry_run: Annotated[  # noqa: FBT002
        bool, typer.Option("--dry-run", help="Change nothing; results say what would be done.")
    ] = False,
) -> None:
    """Carries out commands: reads them, applies, reads back, undoes, and reports.

    Takes what is signed by a key of [bold]signing.trusted[/bold] and meant for this
    executor, and refuses the rest; each step is a record on control.results.v1. What it has
    applied it undoes by itself at its expiry, unless a renewal comes. Several
    processes of one executor share the work, by endpoint. Runs until SIGTERM or
    SIGINT, then ends what is under way within ten seconds and exits with 0; a new
    configuration needs a restart. Metrics and health are on
    [bold]http.host[/bold]:[bold]http.port[/bold]: /metrics, /-/healthy, /-/ready.
    """
    logs.configure()
    loaded = configuration.load(config_path(config), SETTINGS, os.environ)
    office = office_of(loaded, executor)
    settings = loaded if port is None else structs.replace(loaded, http=structs.replace(loaded.http, port=port))
    try:
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(_run(settings, office, rehearse=dry_run))
    except (TidegateError, KafkaError) as error:
        log.error("stopped", reason=str(error) or repr(error))  # noqa: TRY400 -- an operator's matter: no traceback
        sys.exit(1)
    log.info("stopped")


def office_of(config: Config, name: str) -> Office:
    """The executor of that name. Raises UsageError."""
    if name not in config.executors:
        known = ", ".join(sorted(config.executors)) or "none at all"
        raise UsageError(f"execute: no executor '{name}' among {known}{nearest(name, config.executors)}")
    if not config.signing.trusted:
        raise UsageError("execute: signing.trusted is empty, so every command would be refused")
    try:
        trusted = tuple(PublicKey.parse(key) for key in config.signing.trusted)
    except BadKey as error:
        raise UsageError(f"execute: signing.trusted: {error}") from error
    return Office(name, config.executors[name], frozenset(config.executors) - {name}, trusted)


async def _run(config: Config, office: Office, *, rehearse: bool) -> None:
    from actions.executors.registry import executor_of  # noqa: PLC0415 -- httpx and Kafka: other verbs need neither
    from streams.execute.process import Execution, listen_to_signals  # noqa: PLC0415
    from streams.execute.rehearsal import Rehearsal  # noqa: PLC0415
    from streams.http import HttpServer  # noqa: PLC0415

    executor = executor_of(office.settings, config.safety)
    execution = Execution(config, office, Rehearsal(executor) if rehearse else executor, rehearse=rehearse)
    listen_to_signals(execution, asyncio.get_running_loop())
    server = HttpServer(config.http, execution.metrics, execution.healthy, execution.ready)
    await server.start()
    try:
        await execution.run()
    finally:
        await server.stop()
