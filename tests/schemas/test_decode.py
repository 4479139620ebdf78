"""From bytes to events: what is wrong with a record is said, and costs nobody else."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.decode import MAX_MESSAGE_CHARS, MAX_VALUE_BYTES, Decoded, Decoder
from schemas.events import BadEvent, Billing, Request, Scaling, Why
from schemas.topics import Record
from schemas.units import LATEST_S, US, rfc3339

NOW_S: Final = 1_795_341_911.25
NOW_MS: Final = 1_795_341_911_250
MAX_FUTURE_US: Final = 300 * US
KEY: Final = b"acme/bert"
CLOUDEVENTS: Final = b"application/cloudevents+json"
BINARY: Final = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/gw"), ("ce_type", b"request"))


class Entry(NamedTuple):
    """A record of a log."""

    value: bytes | None
    key: bytes | None = KEY
    headers: tuple[tuple[str, bytes | None], ...] = ()
    offset: int = 7
    timestamp: int = NOW_MS


def request(**fields: Any) -> bytes:
    """A request as JSON; a field that is Ellipsis is left out."""
    whole = {"endpoint": "acme/bert", "time": NOW_S} | fields
    return orjson.dumps({name: value for name, value in whole.items() if value is not ...})


def raw(fields: bytes) -> bytes:
    """A request with more fields, as they are written."""
    return request()[:-1] + b"," + fields + b"}"


def billing(**fields: Any) -> bytes:
    return request(**{"time": ..., "period_start": NOW_S - 3600, "period_end": NOW_S, "cost_usd": 1.5} | fields)


def structured(**attributes: Any) -> bytes:
    """A CloudEvent in structured mode."""
    whole: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/gw", "type": "request"}
    whole |= {"data": orjson.Fragment(request())} | attributes
    return orjson.dumps({name: value for name, value in whole.items() if value is not ...})


def decode(*records: Record) -> Decoded[Request]:
    return Decoder(Request, MAX_FUTURE_US).decode(records)


def refused(record: Record, kind: type[Any] = Request) -> BadEvent:
    """The one bad event that comes of a record."""
    events, time_us, place, bad = Decoder(kind, MAX_FUTURE_US).decode([record])
    assert (events, time_us.tolist(), place.tolist()) == ([], [], [])
    (only,) = bad
    return only


WRONG: Final[list[tuple[bytes | None, Why, tuple[str, ...]]]] = [
    (None, Why.EMPTY, ("value", "expected a JSON object")),
    (b"", Why.EMPTY, ("value", "expected a JSON object")),
    (b" ", Why.MALFORMED, ("truncated",)),
    (b"{", Why.MALFORMED, ("truncated",)),
    (request()[:-1], Why.MALFORMED, ("truncated",)),
    (b"\xff\xfe\x00", Why.MALFORMED, ("byte 0",)),
    (b"\xef\xbb\xbf" + request(), Why.MALFORMED, ("byte 0",)),
    (b"null", Why.INVALID, ("`object`", "`null`")),
    (b"[]", Why.INVALID, ("`object`", "`array`")),
    (b"[" + request() + b"]", Why.INVALID, ("`object`", "`array`")),
    (b'"text"', Why.INVALID, ("`object`", "`str`")),
    (request() + request(), Why.MALFORMED, ("trailing characters",)),
    (request() + b"," + request(), Why.MALFORMED, ("trailing characters",)),
    (request(endpoint=...), Why.INVALID, ("missing required field `endpoint`",)),
    (request(time=...), Why.INVALID, ("missing required field `time`",)),
    (request(endpoint=5), Why.INVALID, ("$.endpoint", "Expected `str`")),
    (request(endpoint=""), Why.INVALID, ("$.endpoint", "length >= 1")),
    (request(endpoint="x" * 256), Why.INVALID, ("$.endpoint", "length <= 255")),
    (request(region="x" * 256), Why.INVALID, ("$.region", "length <= 255")),
    (request(endpoint=None), Why.INVALID, ("$.endpoint", "`null`")),
    (request(time=None), Why.INVALID, ("$.time", "`null`")),
    (request(time=True), Why.INVALID, ("$.time", "`bool`")),
    (request(time="yesterday"), Why.INVALID, ("$.time", "RFC3339")),
    (request(time="1795341911.25"), Why.INVALID, ("$.time", "RFC3339")),
    (request(time="2026-11-22T10:00:00"), Why.INVALID, ("$.time", "timezone")),
    (request(time=-5), Why.INVALID, ("$.time", ">= 0")),
    (request(time="1969-12-31T23:59:59.5Z"), Why.INVALID, ("time:", "1970 or later", "-0.5 s")),
    (request(time="0001-01-01T00:00:00+23:59"), Why.INVALID, ("time:", "1970 or later")),
    (request(time=LATEST_S + 1), Why.INVALID, ("$.time", f"<= {LATEST_S}")),
    (raw(b'"time":1e999'), Why.INVALID, ("$.time", "out of range")),
    (raw(b'"time":NaN'), Why.MALFORMED, ("invalid character",)),
    (raw(b'"time":Infinity'), Why.MALFORMED, ("invalid character",)),
    (raw(b'"duration_s":-Infinity'), Why.MALFORMED, ("invalid",)),
    (raw(b'"duration_s":1e999'), Why.INVALID, ("$.duration_s", "out of range")),
    (raw(b'"count":' + b"9" * 40), Why.INVALID, ("$.count", "<= 1000000000")),
    (raw(b'"count":1' + b"0" * 6000), Why.INVALID, ("$.count", "out of range")),
    (request(count=-1), Why.INVALID, ("$.count", ">= 0")),
    (request(count=1.5), Why.INVALID, ("$.count", "`int`", "`float`")),
    (request(count="3"), Why.INVALID, ("$.count", "`int`", "`str`")),
    (request(count=True), Why.INVALID, ("$.count", "`int`", "`bool`")),
    (request(count=None), Why.INVALID, ("$.count", "`null`")),
    (request(status=99), Why.INVALID, ("$.status", ">= 100")),
    (request(status=600), Why.INVALID, ("$.status", "<= 599")),
    (request(duration_s=-0.1), Why.INVALID, ("$.duration_s", ">= 0")),
    (request(region=5), Why.INVALID, ("$.region", "`str | null`")),
    (request(input_tokens=-1), Why.INVALID, ("$.input_tokens", ">= 0")),
    (raw(b'"region":"\xff"'), Why.MALFORMED, ("utf-8",)),
    (raw(b'"region":"a\nb"'), Why.MALFORMED, ("invalid character",)),
    (raw(b'"more":' + b"[" * 5000 + b"]" * 5000), Why.MALFORMED, ("recursion",)),
    (raw(b'"more":' + b'{"a":' * 5000), Why.MALFORMED, ("recursion",)),
    (raw(b'"more":"' + b"x" * MAX_VALUE_BYTES + b'"'), Why.TOO_LARGE, ("value", str(MAX_VALUE_BYTES))),
]


@pytest.mark.parametrize(("value", "why", "words"), WRONG)
def test_a_bad_value_is_refused_with_its_reason(value: bytes | None, why: Why, words: tuple[str, ...]) -> None:
    """The reason names the field and what was expected of it, in few words."""
    bad = refused(Entry(value))
    assert bad.why == why
    assert all(word in bad.message for word in words), bad.message
    assert len(bad.message) <= MAX_MESSAGE_CHARS


@pytest.mark.parametrize("value", [value for value, _, _ in WRONG])
def test_a_bad_value_between_good_ones_costs_only_itself(value: bytes | None) -> None:
    """What is read beside it comes out whole and in order."""
    records = [Entry(request(count=n), offset=n) for n in range(3)]
    records.insert(1, Entry(value, offset=9))
    events, _, place, bad = decode(*records)
    assert [event.count for event in events] == [0, 1, 2]
    assert place.tolist() == [0, 2, 3]
    assert [(one.offset, one.value) for one in bad] == [(9, value)]


@pytest.mark.parametrize("key", [None, b"", b"acme/llama", b"acme/bert\0", b"\xff"])
def test_the_key_must_be_the_endpoint(key: bytes | None) -> None:
    """Another key would put an endpoint's events into two partitions."""
    bad = refused(Entry(request(), key))
    assert bad.why is Why.KEY
    assert "'acme/bert'" in bad.message
    assert repr(key) in bad.message


def test_keys_that_only_join_to_the_same_text_do_not_match() -> None:
    """A NUL in a key must not shift the keys of its neighbours."""
    records = [Entry(request(endpoint="a\0b"), b"a"), Entry(request(endpoint="c"), b"b\0c")]
    assert [bad.why for bad in decode(*records).bad] == [Why.KEY, Why.KEY]


def test_a_line_of_a_file_has_no_key() -> None:
    """Without keys nothing is compared."""
    assert len(Decoder(Request, MAX_FUTURE_US, keyed=False).decode([Entry(request(), None)]).events) == 1


def test_a_value_of_exactly_the_limit_is_read() -> None:
    """The limit itself is allowed."""
    filling = MAX_VALUE_BYTES - len(raw(b'"more":""'))
    assert len(decode(Entry(raw(b'"more":"' + b"x" * filling + b'"'))).events) == 1


def test_halves_of_an_object_are_not_put_together() -> None:
    """Two halves and a record with two objects are three bad records, not three events."""
    halves = [raw(b'"more":[{}')[:-1], b'{}],"count":3}']
    records = [Entry(value) for value in (*halves, request() + b"," + request())]
    decoded = decode(*records)
    assert decoded.events == []
    assert [bad.value for bad in decoded.bad] == [record.value for record in records]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"period_end": NOW_S - 3601}, ("period_end", "at or after `period_start`")),
        ({"period_start": ...}, ("missing required field `period_start`",)),
        ({"cost_usd": ...}, ("missing required field `cost_usd`",)),
        ({"cost_usd": "1.5"}, ("$.cost_usd", "`float`")),
        ({"cost_usd": 2e12}, ("$.cost_usd", "<= 1")),
        ({"period_end": NOW_S + 31 * 86_400}, ("period_end", "at most 31 days after `period_start`", "split")),
        ({"period_start": "1969-12-31T00:00:00Z", "period_end": 0}, ("period_start:", "1970 or later")),
        ({"estimated": "yes"}, ("$.estimated", "`bool`")),
        ({"line_id": "x" * 513}, ("$.line_id", "length <= 512")),
        ({"provider": "x" * 256}, ("$.provider", "length <= 255")),
    ],
)
def test_a_bad_line_of_a_bill_is_refused(fields: dict[str, Any], words: tuple[str, ...]) -> None:
    """A period that ends before it begins, or lies before 1970, has no meaning; of a long one too much is kept."""
    bad = refused(Entry(billing(**fields)), Billing)
    assert bad.why is Why.INVALID
    assert all(word in bad.message for word in words), bad.message


def test_a_credit_and_a_period_without_length_are_allowed() -> None:
    """Only a billing event may have a negative amount."""
    value = billing(cost_usd=-3.25, period_start=NOW_S)
    (event,) = Decoder(Billing, MAX_FUTURE_US).decode([Entry(value)]).events
    assert event.cost_usd == -3.25


def test_a_bill_that_ends_in_the_future_is_allowed() -> None:
    """A line about the running day reaches past now; it is its start that must have been."""
    value = billing(period_end=NOW_S + 86_400)
    assert len(Decoder(Billing, MAX_FUTURE_US).decode([Entry(value)]).events) == 1


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"region": "x" * 256}, ("$.region", "length <= 255")),
        ({"instance": "x" * 256}, ("$.instance", "length <= 255")),
        ({"ready_replicas": -1}, ("$.ready_replicas", ">= 0")),
        ({"target_replicas": 1.5}, ("$.target_replicas", "`int`")),
        ({"ready_replicas": ...}, ("missing required field `ready_replicas`",)),
        ({"state": "sleeping"}, ("$.state", "sleeping")),
        ({"ready_replicas": 1_000_001}, ("$.ready_replicas", "<= 1000000")),
    ],
)
def test_a_bad_scaling_event_is_refused(fields: dict[str, Any], words: tuple[str, ...]) -> None:
    """Replicas are whole numbers from 0 on, states are Hugging Face's words."""
    value = request(**{"ready_replicas": 1, "target_replicas": 1} | fields)
    bad = refused(Entry(value), Scaling)
    assert bad.why is Why.INVALID
    assert all(word in bad.message for word in words), bad.message


def test_time_may_lie_ahead_of_the_log_by_the_limit_and_no_more() -> None:
    """The log's own clock decides, whatever the clock of this machine says."""
    assert len(decode(Entry(request(time=NOW_S + 300))).events) == 1
    bad = refused(Entry(request(time=NOW_S + 300.001)))
    assert bad.why is Why.FUTURE
    assert bad.message == "time: expected at most 300 s ahead of the log, got 300.001 s"


def test_an_event_from_the_future_leaves_the_others_alone() -> None:
    """It alone is taken out, between those before and after it."""
    records = [Entry(request(time=NOW_S + ahead), offset=ahead) for ahead in (0, 9000, 1)]
    events, time_us, place, bad = decode(*records)
    assert [event.time for event in events] == [NOW_S, NOW_S + 1]
    assert time_us.tolist() == [NOW_MS * 1000, NOW_MS * 1000 + US]
    assert place.tolist() == [0, 2]
    assert [(one.offset, one.why) for one in bad] == [(9000, Why.FUTURE)]


def test_a_bad_event_keeps_the_record_as_it_came() -> None:
    """Its bytes, key, headers and offset go to the dead letters unchanged."""
    entry = Entry(b"\xff", b"\xfe", (("trace", None), ("trace", b"\xfd")), 12)
    bad = refused(entry)
    assert (bad.value, bad.key, bad.headers, bad.offset) == (entry.value, entry.key, entry.headers, 12)


def test_a_long_reason_is_cut() -> None:
    """A reason that quotes what it found stays short."""
    bad = refused(Entry(request(endpoint="x", ready_replicas=1, target_replicas=1, state="y" * 9000)), Scaling)
    assert len(bad.message) <= MAX_MESSAGE_CHARS
    assert bad.message.endswith("…")


GOOD_CLOUDEVENTS: Final = [
    Entry(request(), headers=BINARY),
    Entry(request(), headers=(*BINARY, ("content-type", b"application/json"))),
    Entry(request(), headers=tuple((name.upper(), content) for name, content in BINARY)),
    Entry(structured(), headers=(("content-type", CLOUDEVENTS),)),
    Entry(structured(), headers=(("Content-Type", CLOUDEVENTS.upper()),)),
    Entry(structured(), headers=(("content-type", CLOUDEVENTS + b"; charset=UTF-8"),)),
    Entry(structured(datacontenttype="application/json", more=1), headers=(("content-type", CLOUDEVENTS),)),
    Entry(request(), headers=(("content-type", b"application/json"), ("trace", None))),
    Entry(request(), headers=(("content-type", None),)),
]


@pytest.mark.parametrize("record", GOOD_CLOUDEVENTS)
def test_cloudevents_are_read_in_both_modes(record: Record) -> None:
    """With the attributes in headers, or around the event in the value; letter case does not matter."""
    events, time_us, _, bad = decode(record)
    assert bad == []
    assert [event.endpoint for event in events] == ["acme/bert"]
    assert time_us.tolist() == [NOW_MS * 1000]


BAD_CLOUDEVENTS: Final = [
    (Entry(request(), headers=BINARY[1:]), "specversion"),
    (Entry(request(), headers=(("ce_specversion", b"0.3"), *BINARY[1:])), "specversion"),
    (Entry(request(), headers=BINARY[:1] + BINARY[2:]), "id:"),
    (Entry(request(), headers=(*BINARY[:3], ("ce_type", None))), "type:"),
    (Entry(structured(specversion="0.3"), headers=(("content-type", CLOUDEVENTS),)), "specversion"),
    (Entry(structured(source=...), headers=(("content-type", CLOUDEVENTS),)), "`source`"),
    (Entry(structured(source=""), headers=(("content-type", CLOUDEVENTS),)), "source:"),
    (Entry(structured(id=5), headers=(("content-type", CLOUDEVENTS),)), "$.id"),
    (Entry(structured(data=...), headers=(("content-type", CLOUDEVENTS),)), "data:"),
    (
        Entry(structured(data=..., data_base64="e30="), headers=(("content-type", CLOUDEVENTS),)),
        "data_base64",
    ),
    (Entry(b"{", headers=(("content-type", CLOUDEVENTS),)), "truncated"),
    (Entry(structured(), headers=(("content-type", b"application/cloudevents+avro"),)), "cloudevents+avro"),
    (Entry(structured(), headers=(("content-type", b"application/cloudevents+jsonx"),)), "cloudevents+jsonx"),
    (Entry(b"[]", headers=(("content-type", b"application/cloudevents-batch+json"),)), "cloudevents-batch"),
]


@pytest.mark.parametrize(("record", "word"), BAD_CLOUDEVENTS)
def test_a_bad_cloudevent_is_refused(record: Record, word: str) -> None:
    """The reason names the attribute that is missing or wrong."""
    bad = refused(record)
    assert bad.why is Why.CLOUDEVENT
    assert word in bad.message


def test_what_is_wrong_inside_a_cloudevent_is_said_of_the_event() -> None:
    """The event in `data` is judged like any other."""
    wrong = structured(data=orjson.Fragment(request(count=-1)))
    bad = refused(Entry(wrong, headers=(("content-type", CLOUDEVENTS),)))
    assert (bad.why, "$.count" in bad.message) == (Why.INVALID, True)
    nothing = structured(data=None)
    assert refused(Entry(nothing, headers=(("content-type", CLOUDEVENTS),))).why is Why.INVALID


RECORDS: Final = st.one_of(
    st.integers(0, 99).map(lambda count: Entry(request(count=count))),
    st.floats(NOW_S - 1000, NOW_S + 1000).map(lambda time: Entry(request(time=time))),
    st.integers(0, 10**9).map(lambda ago: Entry(request(time=rfc3339((NOW_MS - ago) * 1000)))),
    st.sampled_from([Entry(value) for value, why, _ in WRONG if why is not Why.TOO_LARGE]),
    st.sampled_from([*GOOD_CLOUDEVENTS, *(record for record, _ in BAD_CLOUDEVENTS)]),
    st.binary(max_size=30).map(Entry),
    st.sampled_from([raw(b'"more":[{}')[:-1], b'{}],"count":3}', request() + b"," + request()]).map(Entry),
    st.just(Entry(request(), b"other")),
    st.just(Entry(raw(b'"more":"' + b"x" * MAX_VALUE_BYTES + b'"'))),
)


@given(st.lists(RECORDS, max_size=12))
def test_a_batch_is_the_sum_of_its_records(drawn: list[Entry]) -> None:
    """However records are cut into batches, each has the same fate, and the good ones keep their order."""
    records = [record._replace(offset=place) for place, record in enumerate(drawn)]
    whole = decode(*records)
    alone = [decode(record) for record in records]
    assert whole.events == [event for one in alone for event in one.events]
    assert whole.time_us.tolist() == [time for one in alone for time in one.time_us.tolist()]
    assert whole.place.tolist() == [place for place, one in enumerate(alone) if one.events]
    assert sorted(whole.bad, key=lambda bad: bad.offset) == [bad for one in alone for bad in one.bad]


@given(st.lists(st.tuples(st.integers(0, NOW_MS * 1000), st.booleans()), min_size=1, max_size=9))
def test_a_moment_is_the_same_in_both_ways_of_writing_it(moments: list[tuple[int, bool]]) -> None:
    """RFC 3339 and seconds, alone or mixed in a batch, give the same microseconds."""
    written = [rfc3339(time_us) if as_text else time_us / US for time_us, as_text in moments]
    decoded = decode(*[Entry(request(time=time)) for time in written])
    assert decoded.time_us.tolist() == [time_us for time_us, _ in moments]
    assert decoded.time_us.dtype == np.int64


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T10:05:11.25Z", "2026-11-22T15:35:11.250000+05:30", "2026-11-22t10:05:11.249999999z"],
)
def test_any_rfc_3339_text_is_read(text: str) -> None:
    """Offsets, small letters and nanoseconds are all in use."""
    assert decode(Entry(request(time=text))).time_us.tolist() == [NOW_MS * 1000]


def test_an_empty_batch_is_empty() -> None:
    """Nothing in, nothing out."""
    events, time_us, place, bad = decode()
    assert (events, time_us.tolist(), place.tolist(), bad) == ([], [], [], [])
