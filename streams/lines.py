"""Events from files: NDJSON or CSV, any size, as records that a stage reads. The offset is the line's number.

A line of CSV becomes the JSON object that the same event has on the wire. Memory is bounded by the longest
line that is accepted, not by the file.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import msgspec
import orjson

from schemas.decode import MAX_VALUE_BYTES
from schemas.events import Event
from streams.errors import UsageError

BLOCK: Final = 1 << 20
STDIN: Final = "-"
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
MOST_QUOTED: Final = 200  # characters of a first line that is no header
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
        file = Path(source).open("rb")  # noqa: SIM115 -- opening alone may fail in words of ours
    except OSError as e:
        msg = f"{source}: expected a file of events, got: {e.strerror}"
        raise UsageError(msg) from e
    with file:
        yield file


def read(file: IO[bytes], event: type[Event], now_ms: int, progress: Callable[[int], None]) -> Iterator[Line]:
    """The events of a file, line by line, without blank ones; `progress` is told how many bytes were read.

    A file is NDJSON if one of its first two lines begins with `{` (a log may have been cut in mid-line), else
    it is CSV with the fields' names in its first line.
    """
    numbered = _numbered(_split(file, progress))
    first = list(islice(numbered, 2))
    lines = chain(first, numbered)
    if any(text.lstrip()[:1] == b"{" for _, text in first):
        for number, text in lines:
            yield Line(number, now_ms, text)
    elif first:
        _, header = next(lines)
        yield from _csv(_Columns(_row(header), event, _name(file)), lines, now_ms)


def _numbered(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank, with their numbers, without the byte order mark of spreadsheets."""
    for number, line in enumerate(lines, start=1):
        text = line.removeprefix(BYTE_ORDER_MARK) if number == 1 else line
        if text and not text.isspace():
            yield number, text


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


class _Columns:
    """What the first line of a CSV file says of the others."""

    def __init__(self, names: Sequence[str], event: type[Event], source: str) -> None:
        fields = {field.name: field for field in msgspec.structs.fields(event)}
        missing = [name for name, field in fields.items() if field.required and name not in names]
        if missing:
            wanted, got = ", ".join(missing), ", ".join(names)[:MOST_QUOTED]
            raise UsageError(f"{source}: expected the columns {wanted} in the first line, or NDJSON; got: {got}")
        self._names = names
        self._texts = {name for name, field in fields.items() if _is_text(field.type)}

    def to_json(self, row: Sequence[str]) -> bytes:
        """The row as JSON without what is empty. What is no number stays text: the decoder will say so."""
        cells = {name: cell for name, cell in zip(self._names, row, strict=False) if cell}
        return orjson.dumps({n: cell if n in self._texts else _literal(cell) for n, cell in cells.items()})


def _csv(columns: _Columns, numbered: Iterable[tuple[int, bytes]], now_ms: int) -> Iterator[Line]:
    for number, text in numbered:
        try:
            value = columns.to_json(_row(text))
        except (csv.Error, orjson.JSONEncodeError):  # an endless cell, a bare CR, or bytes that are no UTF-8
            value = text  # no JSON either: the decoder will say so
        yield Line(number, now_ms, value)


def _row(line: bytes) -> list[str]:
    text = line.decode("utf-8", errors="surrogateescape").rstrip("\r")
    return [cell.strip() for cell in next(csv.reader(io.StringIO(text)), [])]


def _name(file: IO[bytes]) -> str:
    return str(getattr(file, "name", "CSV"))


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
