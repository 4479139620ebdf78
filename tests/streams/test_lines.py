"""Events from files: whatever a file looks like, a line costs itself and nothing else."""

from __future__ import annotations

import io
import sys
from itertools import chain
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decode import MAX_VALUE_BYTES, Decoder
from schemas.events import BadEvent, Billing, Event, Request, Scaling
from streams import lines
from streams.errors import UsageError
from streams.lines import Line, opened, read

NOW_MS = 1_800_000_000_000
GOOD = b'{"endpoint":"acme/bert","time":1.5}'
HEADER = b"endpoint,time,count,region\n"


def read_all(content: bytes, event: type[Event] = Request) -> list[Line]:
    return list(chain.from_iterable(read(io.BytesIO(content), event, NOW_MS, lambda _: None)))


def decoded(content: bytes) -> tuple[list[Request], list[BadEvent]]:
    """The requests in a file, and what could not be read."""
    found = Decoder(Request, 0, keyed=False).decode(read_all(content))
    return found.events, found.bad


def test_ndjson_is_handed_on_as_it_stands() -> None:
    """Bytes, line numbers and the time at which they were read."""
    assert read_all(GOOD + b"\n" + GOOD + b"\n") == [Line(1, NOW_MS, GOOD), Line(2, NOW_MS, GOOD)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n \n\t\n", b"\xef\xbb\xbf"])
def test_a_file_without_a_line_has_no_events(content: bytes) -> None:
    """Neither an error nor an event."""
    assert read_all(content) == []


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n", b"\n\n\n"])
def test_the_last_line_may_end_as_it_likes(end: bytes) -> None:
    """With a newline, Windows' two, several or none."""
    events, bad = decoded(GOOD + b"\n" + GOOD + end)
    assert (len(events), bad) == (2, [])


def test_blank_lines_are_passed_over_and_still_counted() -> None:
    """A line's number is the one that an editor shows."""
    found = read_all(b"\n\r\n" + GOOD + b"\n  \n" + GOOD)
    assert [line.offset for line in found] == [3, 5]


@pytest.mark.parametrize("content", [GOOD + b"\r\n", HEADER.replace(b"\n", b"\r\n") + b"acme/bert,1.5,,\r\n"])
def test_a_byte_order_mark_and_windows_line_ends_are_no_part_of_the_events(content: bytes) -> None:
    """Spreadsheets write both."""
    events, bad = decoded(b"\xef\xbb\xbf" + content)
    assert events == [Request("acme/bert", 1.5)]
    assert bad == []


@pytest.mark.parametrize("first", [b'e":"acme/bert","time":1}', b"null", b"[1]", b"\xff\xfe"])
def test_a_log_that_begins_in_mid_line_is_still_ndjson(first: bytes) -> None:
    """A broken first line costs itself: what follows tells what the file is."""
    events, bad = decoded(first + b"\n" + GOOD)
    assert events == [Request("acme/bert", 1.5)]
    assert [line.offset for line in bad] == [1]


def test_csv_has_the_names_of_the_fields_in_its_first_line() -> None:
    """In any order; unknown columns are ignored, empty cells are not there."""
    events, bad = decoded(b"\nnote,time,endpoint,status,region\nx,1.5,acme/bert,503,\n,2,acme/bert,,us-east-1\n")
    assert events == [
        Request("acme/bert", 1.5, status=503),
        Request("acme/bert", 2, region="us-east-1"),
    ]
    assert bad == []


def test_quoted_cells_may_hold_commas_and_quotes() -> None:
    """As RFC 4180 has them."""
    events, _ = decoded(HEADER + b'"acme/a,b",1,2,"the ""east"""\n')
    assert events == [Request("acme/a,b", 1, count=2, region='the "east"')]


@pytest.mark.parametrize("name", ["123", "1.50", "true", "null", "1e5", "[1]"])
def test_in_a_column_of_text_everything_is_text(name: str) -> None:
    """An endpoint may be called `123`, a region `null`."""
    events, bad = decoded(HEADER + f"{name},1,1,{name}\n".encode())
    assert bad == []
    assert (events[0].endpoint, events[0].region) == (name, name)


def test_times_numbers_and_truth_values_are_read_from_cells() -> None:
    """RFC 3339 or seconds; `TRUE` as spreadsheets write it."""
    header = b"endpoint,period_start,period_end,cost_usd,estimated,line_id\n"
    (line,) = read_all(header + b"acme/bert,2026-01-01T00:00:00Z,1800000000,-1.25e-3,TRUE,007\n", Billing)
    assert msgspec.json.decode(line.value or b"") == {
        "endpoint": "acme/bert", "period_start": "2026-01-01T00:00:00Z", "period_end": 1_800_000_000,
        "cost_usd": -0.00125, "estimated": True, "line_id": "007",
    }  # fmt: skip


@pytest.mark.parametrize(
    "row",
    [
        b"acme/bert,soon,1,",
        b"acme/bert,NaN,1,",
        b"acme/bert,1,many,",
        b"acme/bert,1,-1,",
        b"acme/bert",
        b"acme/\xff,1,1,",
        b"acme/bert,1,1,a\rb",
        b'acme/bert,1,1,"' + b"x" * 200_000 + b'"',
        b'"acme/bert,1,1,',
    ],
)
def test_a_bad_row_costs_only_itself(row: bytes) -> None:
    """It is reported under its number, and the rows around it are read."""
    events, bad = decoded(HEADER + b"acme/bert,1,1,\n" + row + b"\nacme/bert,2,1,\n")
    assert [event.time for event in events] == [1, 2]
    assert [line.offset for line in bad] == [3]


@pytest.mark.parametrize(("event", "missing"), [(Request, "time"), (Scaling, "time, ready_replicas, target_replicas")])
def test_missing_columns_are_named(event: type[Event], missing: str) -> None:
    """With what was found instead: the usual cause is another tool's header."""
    with pytest.raises(UsageError, match=f"columns {missing} in the first line.*got: endpoint, TIMESTAMP"):
        read_all(b"endpoint,TIMESTAMP\nacme/bert,1\n", event)


def test_the_file_with_missing_columns_is_named(tmp_path: Path) -> None:
    """Of three inputs, which one."""
    file = tmp_path / "azure.csv"
    file.write_bytes(b"TIMESTAMP,ContextTokens\n1,2\n")
    with opened(str(file)) as source, pytest.raises(UsageError, match=r"azure\.csv: expected"):
        list(read(source, Request, NOW_MS, lambda _: None))


@pytest.mark.parametrize("name", ["nowhere.ndjson", ""])
def test_a_file_that_cannot_be_opened_is_a_mistake_of_usage(tmp_path: Path, name: str) -> None:
    """Missing, or a folder: the message names it and says why."""
    path = str(tmp_path / name)
    with pytest.raises(UsageError, match=f"{path}: expected a file"), opened(path):
        pass


def test_a_dash_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    """And it is not closed afterwards."""
    stdin = io.TextIOWrapper(io.BytesIO(GOOD))
    monkeypatch.setattr(sys, "stdin", stdin)
    with opened("-") as source:
        assert [line.value for line in chain.from_iterable(read(source, Request, NOW_MS, lambda _: None))] == [GOOD]
    assert not stdin.closed


def test_a_line_of_five_megabytes_costs_only_itself() -> None:
    """No more of it is kept than shows that it is too long."""
    long = b'{"endpoint":"' + b"x" * 5_000_000 + b'"}'
    content = GOOD + b"\n" + long + b"\n" + GOOD
    assert [len(line.value or b"") for line in read_all(content)] == [
        len(GOOD),
        MAX_VALUE_BYTES + 1,
        len(GOOD),
    ]
    events, (bad,) = decoded(content)
    assert (len(events), bad.offset, bad.why) == (2, 2, "too_large")


def test_what_is_held_at_once_is_bounded_in_bytes() -> None:
    """Lines as long as may be are not held by the thousand."""
    content = (b"x" * (1 << 20) + b"\n") * 10
    blocks = list(read(io.BytesIO(b"{}\n{}\n" + content), Request, NOW_MS, lambda _: None))
    assert max(map(len, blocks)) <= 3
    assert sum(map(len, blocks)) == 12


def test_progress_is_told_every_byte() -> None:
    """Their sum is the file's size."""
    content, told = (GOOD + b"\n") * 100_000, list[int]()
    assert sum(map(len, read(io.BytesIO(content), Request, NOW_MS, told.append))) == 100_000
    assert len(told) > 1
    assert sum(told) == len(content)


LINES = st.lists(
    st.one_of(
        st.just(GOOD),
        st.just(b""),
        st.just(b" \r"),
        st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")),
    )
)


@given(texts=LINES, block=st.integers(1, 100), is_csv=st.booleans())
def test_the_size_of_a_block_changes_nothing(texts: list[bytes], block: int, is_csv: bool) -> None:  # noqa: FBT001
    """Line numbers and values are those of the whole file read at once, whatever a line holds."""
    content = (HEADER + b"acme/bert,1,1,\n" if is_csv else GOOD + b"\n") + b"\n".join(texts)
    whole = read_all(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lines, "BLOCK", block)
        assert read_all(content) == whole
    numbers = [number for number, text in enumerate(content.split(b"\n"), start=1) if text.strip(b" \r\t\v\f")]
    assert [line.offset for line in whole] == numbers[1 if is_csv else 0 :]
