"""`tidegate alert`: its options, and the receivers that there are."""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import Annotated

import typer
from msgspec import structs

from detectors import SETTINGS
from schemas.config import Config
from streams import configuration, logs
from streams.options import ConfigFile, config_path, reloaded

Port = Annotated[
    int | None,
    typer.Option(min=0, max=65535, help="For metrics and health, instead of http.port; 0 takes a free one."),
]


def alert(config: ConfigFile = None, port: Port = None) -> None:
    """Delivers alerts: reads them from Kafka, and tells the receivers of the configuration.

    Routes, groups, inhibits and silences as Alertmanager does. Each receiver has a
    task of its own, so one that is down holds up nobody else. Of several processes
    one delivers, and the others stand by. Runs until SIGTERM or SIGINT, then ends
    what is under way and exits with 0. SIGHUP reads the configuration again, and
    keeps the old one if the new one is bad; kafka and http need a restart.
    """
    from actions.receivers import registry, templates  # noqa: PLC0415 -- httpx: a moment to import
    from streams.alert.process import run  # noqa: PLC0415
    from streams.alert.session import Build  # noqa: PLC0415

    def build(wanted: Config) -> Build:
        return partial(registry.build, templates=templates.parse(wanted.alerting.templates))

    logs.configure()
    path = config_path(config)
    loaded = _with_port(configuration.load(path, SETTINGS, os.environ), port)
    sys.exit(run(loaded, build, reload=lambda: reloaded(path)))


def _with_port(config: Config, port: int | None) -> Config:
    return config if port is None else structs.replace(config, http=structs.replace(config.http, port=port))
