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
from itertools import chain, repeat
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


class Line(msgspec.Struct, frozen=True, gc=False):
    """A line of a file, in the shape of a record of a log."""

    offset: int
    timestamp: int
    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class Block(NamedTuple):
    """Some lines that follow one another, with their numbers."""

    numbers: Sequence[int]
    texts: list[bytes]


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


def read(file: IO[bytes], event: type[Event], now_ms: int, progress: Callable[[int], None]) -> Iterator[list[Line]]:
    """The events of a file without blank lines, a block at a time; `progress` is told how many bytes were read.

    A file is NDJSON if one of its first two lines begins with `{` (a log may have been cut in mid-line), else
    it is CSV with the fields' names in its first line.
    """
    blocks = _numbered(_split(file, progress))
    numbers, texts = _begin(blocks)
    if any(text.lstrip()[:1] == b"{" for text in texts[:2]):
        for at, some in chain([Block(numbers, texts)], blocks):
            yield list(map(Line, at, repeat(now_ms), some))
    elif texts:
        columns = _Columns(_row(texts[0]), event, _name(file))
        for at, some in chain([Block(numbers[1:], texts[1:])], blocks):
            yield [Line(number, now_ms, _to_json(columns, text)) for number, text in zip(at, some, strict=True)]


def unknown_fields(lines: Iterable[Line], event: type[Event]) -> list[str]:
    """The names in these events that no such event has, in the order in which they come. What is no event has none."""
    known, required = set(event.__struct_fields__), _required(event)
    found = dict[str, None]()
    for line in lines:
        try:
            fields = orjson.loads(line.value or b"")
        except orjson.JSONDecodeError:
            continue
        if isinstance(fields, dict) and fields.keys() >= required:
            found.update(dict.fromkeys(name for name in fields if name not in known))
    return list(found)


def _required(event: type[Event]) -> set[str]:
    return {field.name for field in msgspec.structs.fields(event) if field.required}


def _begin(blocks: Iterator[Block]) -> Block:
    """As many blocks in one as hold two lines."""
    numbers, texts = list[int](), list[bytes]()
    while len(texts) < 2 and (block := next(blocks, None)) is not None:  # noqa: PLR2004 -- see `read`
        numbers += block.numbers
        texts += block.texts
    return Block(numbers, texts)


def _numbered(blocks: Iterable[list[bytes]]) -> Iterator[Block]:
    """The lines that are not blank, with their numbers, without the byte order mark of spreadsheets."""
    first = 1
    for texts in blocks:
        if first == 1:
            texts[0] = texts[0].removeprefix(BYTE_ORDER_MARK)
        numbers = range(first, first + len(texts))
        first += len(texts)
        if all(texts) and not any(map(bytes.isspace, texts)):
            yield Block(numbers, texts)
        else:
            kept = [(number, text) for number, text in zip(numbers, texts, strict=True) if text and not text.isspace()]
            yield Block([number for number, _ in kept], [text for _, text in kept])


def _split(file: IO[bytes], progress: Callable[[int], None]) -> Iterator[list[bytes]]:
    """Lines without their ends, some at a time. Of one that is too long, as much is kept as shows that it is."""
    rest = b""
    while block := file.read(BLOCK):
        progress(len(block))
        *lines, tail = block.split(b"\n")
        if lines:
            lines[0] = _cut(rest + lines[0])
            yield lines
            rest = tail
        else:
            rest = _cut(rest + tail)
    if rest:
        yield [rest]


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


def _to_json(columns: _Columns, line: bytes) -> bytes:
    try:
        return columns.to_json(_row(line))
    except (csv.Error, orjson.JSONEncodeError):  # an endless cell, a bare CR, or bytes that are no UTF-8
        return line  # no JSON either: the decoder will say so


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
