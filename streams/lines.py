"""Events from files: NDJSON or CSV, any size, as records that a stage reads. The offset is the line's number.

A line of CSV becomes the JSON object that the same event has on the wire. Memory is bounded by the longest line that
is accepted, not by the file.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec
import orjson

from schemas.decode import MAX_VALUE_BYTES
from schemas.events import Event
from streams.errors import UsageError

BLOCK: Final = 1 << 20
STDIN: Final = "-"
TRUTHS: Final = {"true": True, "false": False}


class Line(NamedTuple):
    """A line of a file, in the shape of a record of a log."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()


@contextmanager
def opened(source: str) -> Iterator[IO[bytes]]:
    """The file, or standard input for `-`."""
    if source == STDIN:
        yield sys.stdin.buffer
        return
    try:
        file = Path(source).open("rb")
    except OSError as e:
        msg = f"{source}: expected a file of events, got: {e.strerror}"
        raise UsageError(msg) from e
    with file:
        yield file


def read(
    file: IO[bytes], event: type[Event], now_ms: int, progress: Callable[[int], None]
) -> Iterator[Line]:
    """The events of a file, line by line; `progress` is told how many bytes were read. Blank lines are passed over.

    A file whose first character is `{` is NDJSON, any other is CSV with the fields' names in its first line.
    """
    lines = _split(file, progress)
    first = next(lines, None)
    if first is None:
        return
    numbered = enumerate(_chain(first, lines), start=1)
    if first.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b""):
        for number, text in numbered:
            if text.strip():
                yield Line(number, now_ms, text)
    else:
        yield from _csv(numbered, event, now_ms)


def _chain(first: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield first.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that spreadsheets write
    yield from rest


def _split(file: IO[bytes], progress: Callable[[int], None]) -> Iterator[bytes]:
    """Lines without their ends. Of one that is too long, as much is kept as shows that it is."""
    rest = b""
    while block := file.read(BLOCK):
        progress(len(block))
        *lines, tail = block.split(b"\n")
        if lines:
            yield _cut(rest + lines[0])
            yield from lines[1:]
            rest = tail
        else:
            rest = _cut(rest + tail)
    if rest:
        yield rest


def _cut(line: bytes) -> bytes:
    return line[: MAX_VALUE_BYTES + 1]


def _csv(numbered: Iterator[tuple[int, bytes]], event: type[Event], now_ms: int) -> Iterator[Line]:
    _, header = next(numbered)
    names = _row(header)
    fields = {field.name: field for field in msgspec.structs.fields(event)}
    missing = [name for name, field in fields.items() if field.required and name not in names]
    if missing:
        msg = f"CSV: expected the columns {', '.join(missing)} in the first line, got {', '.join(names)}"
        raise UsageError(msg)
    texts = {name for name, field in fields.items() if _is_text(field.type)}
    for number, text in numbered:
        if text.strip():
            yield Line(number, now_ms, _to_json(names, _row(text), texts))


def _row(line: bytes) -> list[str]:
    text = line.decode("utf-8", errors="surrogateescape").rstrip("\r")
    return next(csv.reader(io.StringIO(text)), [])


def _to_json(names: Sequence[str], row: Sequence[str], texts: set[str]) -> bytes:
    """The row as JSON. What is empty is left out; what is no number stays text, and the decoder will say so."""
    cells = {name: cell.strip() for name, cell in zip(names, row, strict=False)}
    try:
        return orjson.dumps({n: cell if n in texts else _literal(cell) for n, cell in cells.items() if cell})
    except orjson.JSONEncodeError:  # bytes that are no UTF-8
        return "".join(row).encode("utf-8", errors="surrogateescape")


def _literal(cell: str) -> Any:  # noqa: ANN401 -- a number, a truth value or the text
    if cell.lower() in TRUTHS:
        return TRUTHS[cell.lower()]
    try:
        return orjson.loads(cell)
    except orjson.JSONDecodeError:
        return cell


def _is_text(kind: Any) -> bool:  # noqa: ANN401 -- an annotation
    """Whether a field takes text and nothing else, so that `123` in its column is a name and no number."""
    info = msgspec.inspect.type_info(kind)
    options = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    text = (msgspec.inspect.StrType, msgspec.inspect.LiteralType, msgspec.inspect.NoneType)
    return all(isinstance(option, text) for option in options)
