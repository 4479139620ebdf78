"""Logs: structlog on stderr, key=value on a terminal and one JSON object a line elsewhere.

Libraries speak from WARNING up, through the same format. A `TidegateError` is shown as its message: its
traceback would only tell where the shell found out. What no renderer knows is shown as its `str`; that of a
`schemas.section.Secret` is `<secret>`.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, Final, TextIO

import structlog

from streams.errors import TidegateError

LIBRARIES: Final = ("faust", "mode", "aiokafka", "aiohttp", "asyncio", "httpx", "httpcore")


def configure(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send every log line of this process to `stream` (stderr). Call once, before anything else logs."""
    out = sys.stderr if stream is None else stream
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(_formatter(out, shared))
    handler.addFilter(without_own_traceback)
    logging.root.handlers[:] = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("tidegate").setLevel(level)
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)


def without_own_traceback(record: logging.LogRecord) -> bool:
    """Take the traceback off a record about a `TidegateError`."""
    if record.exc_info and isinstance(record.exc_info[1], TidegateError):
        record.exc_info = None
    return True


def _formatter(out: TextIO, shared: list[Any]) -> logging.Formatter:
    renderer: Any
    if out.isatty():
        renderer = structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"])
    else:
        renderer = structlog.processors.JSONRenderer(default=str)
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            renderer,
        ],
    )
