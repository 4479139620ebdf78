from __future__ import annotations

import io
import logging
from collections.abc import Iterator
from concurrent.futures import Future

import msgspec
import pytest
import structlog

from schemas.config import Kafka, Secret, Security
from streams import logs
from streams.errors import TidegateError


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        """As a terminal says."""
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """What `configure` changes is the whole process's: put it back."""
    root, handlers, level = logging.root, logging.root.handlers[:], logging.root.level
    yield
    root.handlers[:], root.level = handlers, level
    for name in ("tidegate", *logs.LIBRARIES):
        logging.getLogger(name).setLevel(logging.NOTSET)
    structlog.reset_defaults()


def written(stream: io.StringIO) -> list[dict[str, str]]:
    return [msgspec.json.decode(line) for line in stream.getvalue().splitlines()]


def test_a_line_is_one_json_object_where_nobody_looks() -> None:
    """With its time, level, logger, event and values."""
    logs.configure(stream=(out := io.StringIO()))
    structlog.get_logger("tidegate.x").info("assigned", partitions=3)
    (line,) = written(out)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "assigned", "partitions": 3, "level": "info", "logger": "tidegate.x"}


def test_a_line_is_for_people_on_a_terminal() -> None:
    """Time, level and event come first."""
    logs.configure(stream=(out := Terminal()))
    structlog.get_logger("tidegate.x").info("assigned", partitions=3)
    assert out.getvalue().startswith("timestamp=")
    assert "level='info' event='assigned'" in out.getvalue()
    assert "partitions=3" in out.getvalue()


def test_libraries_speak_up_only_when_something_is_wrong() -> None:
    """What Faust and aiokafka tell of their doings is no news; what they warn of comes in the same form."""
    logs.configure(stream=(out := io.StringIO()))
    for name in (*logs.LIBRARIES, "another"):
        logging.getLogger(name).info("doing")
        logging.getLogger(name).warning("wrong %s", name)
    assert [line["event"] for line in written(out)] == [f"wrong {name}" for name in (*logs.LIBRARIES, "another")]


def test_the_level_is_that_of_tidegate_alone() -> None:
    """Quiet where it is asked to be."""
    logs.configure("ERROR", out := io.StringIO())
    structlog.get_logger("tidegate.x").warning("not heard")
    structlog.get_logger("tidegate.x").error("heard")
    assert [line["event"] for line in written(out)] == ["heard"]


@pytest.mark.parametrize(("error", "shown"), [(TidegateError("mend it"), False), (ValueError("a bug"), True)])
def test_a_traceback_is_shown_for_bugs_alone(error: Exception, shown: bool) -> None:  # noqa: FBT001
    """What a person can mend needs no traceback."""
    logs.configure(stream=(out := io.StringIO()))
    future: Future[None] = Future()
    future.set_exception(error)
    try:
        future.result()
    except (TidegateError, ValueError):
        logging.getLogger("mode").exception("crashed")
    assert ("Traceback" in out.getvalue()) is shown


def test_no_secret_is_logged() -> None:
    """Not as a value of its own, not inside another, not in a message."""
    logs.configure(stream=(out := io.StringIO()))
    kafka = Kafka(security=Security(password=Secret("hunter2")))
    structlog.get_logger("tidegate.x").error(f"bad {kafka}", kafka=kafka, all=[{"x": kafka.security.password}])
    structlog.get_logger("tidegate.x").error("bare", password=kafka.security.password)
    logging.getLogger("aiokafka").warning("%s %r", kafka, kafka.security.password)
    assert len(written(out)) == 3
    assert "hunter2" not in out.getvalue()
