"""Bytes that nobody can read are one record less, and end no process."""

from __future__ import annotations

import msgspec
import pytest

from schemas.alertmanager import read
from schemas.orders import Order
from schemas.outputs import Alert, Command, Result
from schemas.unreadable import UNREADABLE

DEEP = b"[" * 100_000 + b"]" * 100_000
BAD = (b"", b"{", b'{"id": 1}', b'{"why": "\xff"}', b'{"before": {"a": "\xff"}}', b'{"unknown": ' + DEEP + b"}")


@pytest.mark.parametrize("kind", [Alert, Command, Order, Result])
@pytest.mark.parametrize("value", BAD, ids=range(len(BAD)))
def test_whatever_a_decoder_raises_at_bytes_is_known(
    kind: type[Alert | Command | Order | Result], value: bytes
) -> None:
    """Who may write one topic must not be able to stop whoever reads it."""
    with pytest.raises(UNREADABLE):
        msgspec.json.decode(value, type=kind)


@pytest.mark.parametrize(
    "value", [b'{"version": "4", "alerts": ' + DEEP + b"}", b'[{"labels": {"alertname": "\xff"}}]']
)
def test_a_body_that_cannot_be_read_is_answered_and_raises_nothing_else(value: bytes) -> None:
    """It is 400, not 500."""
    with pytest.raises(ValueError, match=r"^expected an array"):
        read(value)
