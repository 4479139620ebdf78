"""From the bytes of a batch to typed events; what cannot be read becomes a `BadEvent`.

A batch without a fault is read in one sweep. At the first fault the records are read one by one, each bad one
with its reason, so that it costs only itself. A record is never joined with its neighbours: two records with
half an object each, and one with two objects, would add up to the right number of events.

CloudEvents 1.0 are accepted in binary mode (`ce_*` headers, the value is the event) and in structured mode
(content type `application/cloudevents+json`, the event is in `data`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Generic, NamedTuple, TypeVar

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.events import BadEvent, Billing, Event, Request, Scaling, Why
from schemas.topics import BILLING, REQUESTS, SCALING, Record
from schemas.units import US, to_us
from schemas.unreadable import UNREADABLE

E = TypeVar("E", Request, Scaling, Billing)
T = TypeVar("T")

EVENTS: Final[dict[str, type[Event]]] = {REQUESTS: Request, SCALING: Scaling, BILLING: Billing}
MAX_VALUE_BYTES: Final = 1_048_576  # Kafka's own default limit of a record
MAX_MESSAGE_CHARS: Final = 500  # a reason quotes what it found, and that may be long

STRUCTURED: Final = b"application/cloudevents"  # how the content type of every structured CloudEvent begins

_REQUIRED_ATTRIBUTES: Final = ("id", "source", "type")


class Decoded(NamedTuple, Generic[E]):
    """`events[i]` happened at `time_us[i]` and is record `place[i]` of the batch; `bad` is the rest."""

    events: list[E]
    time_us: NDArray[np.int64]
    place: NDArray[np.int64]
    bad: list[BadEvent]


class Unreadable(ValueError):
    """One record cannot be read: `why`, and a message that says which field and what was expected."""

    def __init__(self, why: Why, message: str) -> None:
        super().__init__(message)
        self.why = why


class _CloudEvent(Struct):
    """CloudEvents' JSON format, structured mode."""

    id: str
    source: str
    type: str
    specversion: str
    data: msgspec.Raw = msgspec.Raw()
    datacontenttype: str | None = None


_decode_cloudevent = msgspec.json.Decoder(_CloudEvent).decode


class Decoder(Generic[E]):
    """Reads the events of one input topic.

    `keyed`: whether records carry the endpoint as their key, as in Kafka; lines of a file do not.
    `max_future_us`: how far an event's time may lie ahead of the time at which the log took its record. The
    log's clock, not ours: so the same log always gives the same verdict.
    """

    def __init__(self, event: type[E], max_future_us: int, *, keyed: bool = True) -> None:
        self._one: Callable[[Any], E] = msgspec.json.Decoder(event).decode
        self._time_field = "period_start" if issubclass(event, Billing) else "time"
        self._max_future_us = max_future_us
        self._keyed = keyed

    def decode(self, records: Sequence[Record]) -> Decoded[E]:
        """Every record comes out once: as an event, or as a bad one."""
        events = self._at_once(records)
        if events is None:
            events, index, bad = self._one_by_one(records)
        else:
            index, bad = np.arange(len(records)), []
        return self._on_time(records, Decoded(events, _times_us(events), index, bad))

    def _at_once(self, records: Sequence[Record]) -> list[E] | None:
        """All events of a batch without a fault, else None."""
        if any([r.headers for r in records]) and any(map(_is_cloudevent, records)):  # noqa: C419 -- half the time
            return None
        values = [r.value for r in records]
        try:
            if _any_too_large(values):
                return None
            events = list(map(self._one, values))
        except (*UNREADABLE, TypeError):  # a value: None
            return None
        return None if self._keyed and not _keys_match(records, events) else events

    def _one_by_one(self, records: Sequence[Record]) -> tuple[list[E], NDArray[np.int64], list[BadEvent]]:
        events: list[E] = []
        index: list[int] = []
        bad: list[BadEvent] = []
        for i, record in enumerate(records):
            read = self._read(record)
            if isinstance(read, BadEvent):
                bad.append(read)
            else:
                events.append(read)
                index.append(i)
        return events, np.array(index, dtype=np.int64), bad

    def _read(self, record: Record) -> E | BadEvent:
        """One record. The first lines are for the many that are bad in a plain way: nothing is raised twice."""
        value = record.value
        if not value or record.headers or len(value) > MAX_VALUE_BYTES:
            return self._read_with_care(record)
        try:
            event = self._one(value)
        except UNREADABLE as e:
            return bad_event(record, _why(e), _shortened(e))
        return self._checked(record, event)

    def _read_with_care(self, record: Record) -> E | BadEvent:
        try:
            event: E = parse(self._one, unwrap(record, _sized(record.value)))
        except Unreadable as e:
            return bad_event(record, e.why, str(e))
        return self._checked(record, event)

    def _checked(self, record: Record, event: E) -> E | BadEvent:
        if not self._keyed or record.key == event.endpoint.encode():
            return event
        message = f"key: expected the endpoint {event.endpoint!r}, got {record.key!r}"
        return bad_event(record, Why.KEY, message)

    def _on_time(self, records: Sequence[Record], decoded: Decoded[E]) -> Decoded[E]:
        """Without the events whose time lies too far ahead: one bad clock must not drag everyone's."""
        logged_ms = [r.timestamp for r in records]
        if _within(decoded.time_us, 0, min(logged_ms, default=0) * 1000 + self._max_future_us):
            return decoded
        latest_us = np.array(logged_ms, dtype=np.int64)[decoded.place] * 1000 + self._max_future_us
        wrong = (decoded.time_us > latest_us) | (decoded.time_us < 0)
        for i in np.flatnonzero(wrong).tolist():
            decoded.bad.append(self._untimely(records[decoded.place[i]], int(decoded.time_us[i])))
        kept = np.flatnonzero(~wrong)
        events = [decoded.events[i] for i in kept.tolist()]
        return Decoded(events, decoded.time_us[kept], decoded.place[kept], decoded.bad)

    def _untimely(self, record: Record, time_us: int) -> BadEvent:
        field = self._time_field
        if time_us < 0:
            return bad_event(record, Why.INVALID, f"{field}: expected 1970 or later, got {time_us / US:g} s")
        ahead_s = time_us / US - record.timestamp / 1000
        allowed_s = self._max_future_us / US
        message = f"{field}: expected at most {allowed_s:g} s ahead of the log, got {ahead_s:.3f} s"
        return bad_event(record, Why.FUTURE, message)


def unwrap(record: Record, value: bytes) -> bytes | msgspec.Raw:
    """The event's own JSON: the value itself, or the `data` of a CloudEvent in structured mode."""
    headers = {name.lower(): content or b"" for name, content in record.headers or ()}
    content_type = headers.get("content-type", b"")
    if content_type.lower().startswith(STRUCTURED):
        return _structured(content_type, value)
    if "ce_specversion" in headers or "ce_id" in headers:
        _check_attributes({name[3:]: content for name, content in headers.items() if name.startswith("ce_")})
    return value


def _structured(content_type: bytes, value: bytes) -> msgspec.Raw:
    if content_type.split(b";")[0].strip().lower() != STRUCTURED + b"+json":
        message = f"content-type: expected application/cloudevents+json, got {content_type[:80]!r}"
        raise Unreadable(Why.CLOUDEVENT, message)
    try:
        event = _decode_cloudevent(value)
    except UNREADABLE as e:
        raise Unreadable(Why.CLOUDEVENT, f"CloudEvent: {_shortened(e)}") from None
    attributes = ("specversion", *_REQUIRED_ATTRIBUTES)
    _check_attributes({name: getattr(event, name).encode() for name in attributes})
    if not bytes(event.data):
        message = "data: expected the event as a JSON object, got nothing (data_base64 is not read)"
        raise Unreadable(Why.CLOUDEVENT, message)
    return event.data


def _check_attributes(attributes: dict[str, bytes]) -> None:
    if (version := attributes.get("specversion")) != b"1.0":
        raise Unreadable(Why.CLOUDEVENT, f"specversion: expected '1.0', got {version!r}")
    for name in _REQUIRED_ATTRIBUTES:
        if not attributes.get(name):
            raise Unreadable(Why.CLOUDEVENT, f"{name}: a CloudEvent needs one, got nothing")


def parse(decode: Callable[[Any], T], value: bytes | msgspec.Raw | None) -> T:
    """What a decoder makes of a value. Raises `Unreadable` with the reason."""
    if not value:
        raise Unreadable(Why.EMPTY, "value: expected a JSON object, got nothing")
    try:
        return decode(value)
    except UNREADABLE as e:
        raise Unreadable(_why(e), _shortened(e)) from None


def _why(error: Exception) -> Why:
    return Why.INVALID if isinstance(error, msgspec.ValidationError) else Why.MALFORMED


def _sized(value: bytes | None) -> bytes:
    """The value, if there is one that is not too large."""
    if value is None:
        raise Unreadable(Why.EMPTY, "value: expected a JSON object, got nothing")
    if len(value) > MAX_VALUE_BYTES:
        raise Unreadable(Why.TOO_LARGE, f"value: expected at most {MAX_VALUE_BYTES} bytes, got {len(value)}")
    return value


def _shortened(error: Exception) -> str:
    text = str(error)
    return text if len(text) <= MAX_MESSAGE_CHARS else text[: MAX_MESSAGE_CHARS - 1] + "…"


def bad_event(record: Record, why: Why, message: str) -> BadEvent:
    """The record as a bad event, as it came."""
    headers = tuple((name, content) for name, content in record.headers) if record.headers else ()
    return BadEvent(record.offset, record.key, record.value, headers, why, message)


def _any_too_large(values: Sequence[Any]) -> bool:
    """Whether any is; that all of them together are not costs a third to see."""
    return len(b"".join(values)) > MAX_VALUE_BYTES and max(map(len, values)) > MAX_VALUE_BYTES


def _is_cloudevent(record: Record) -> bool:
    """Whether `unwrap` would look closer."""
    headers = [(name.lower(), content or b"") for name, content in record.headers or ()]
    return any(
        name.startswith("ce_") or (name == "content-type" and content.lower().startswith(STRUCTURED))
        for name, content in headers
    )


def _keys_match(records: Sequence[Record], events: Sequence[Event]) -> bool:
    """Whether every key is its event's endpoint; two joins cost a tenth of comparing one by one."""
    try:
        keys = b"\0".join([r.key for r in records])  # type: ignore[misc]  # a key that is None is a mismatch
    except TypeError:
        return False
    endpoints = "\0".join([e.endpoint for e in events]).encode()
    return keys == endpoints and keys.count(b"\0") == len(records) - 1


def _within(time_us: NDArray[np.int64], low: int, high: int) -> bool:
    return not len(time_us) or (int(time_us.min()) >= low and int(time_us.max()) <= high)


def _times_us(events: Sequence[Event]) -> NDArray[np.int64]:
    times = [e.time for e in events]
    try:
        seconds = np.array(times, dtype=np.float64)
    except TypeError:  # at least one is a datetime
        return np.array([to_us(time) for time in times], dtype=np.int64)
    return np.rint(seconds * US).astype(np.int64)
