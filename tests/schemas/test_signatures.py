"""A signature is good for exactly what was signed, by exactly who signed it, whatever way it has travelled."""

from __future__ import annotations

import json
from base64 import b64encode

import msgspec
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from schemas.orders import Order, Verb
from schemas.outputs import Command, Refusal
from schemas.section import Secret
from schemas.signatures import BadKey, PrivateKey, PublicKey, canonical, refused
from tests.actions.docket.commands import command
from tests.schemas.values import COMMANDS, ORDERS

EACH_FIELD = 15  # examples
KEY, OTHER = PrivateKey.generate(), PrivateKey.generate()
VALUES = COMMANDS | ORDERS
FIXED = PrivateKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
EXAMPLE = Order(id="0" * 32, verb=Verb.PAUSE, who="zoë", why="load test", at="2026-11-27T12:00:00.000000Z")


def written(value: object) -> str:
    """A value as JSON, by other means than the code's."""
    return json.dumps(msgspec.to_builtins(value), sort_keys=True)


@given(VALUES)
def test_what_was_signed_is_accepted_after_any_journey_as_json(value: Command | Order) -> None:
    """Decoding and encoding by another library, in another order of keys, changes nothing that is signed."""
    signed = KEY.sign(value)
    travelled = orjson.dumps(orjson.loads(msgspec.json.encode(signed)), option=orjson.OPT_SORT_KEYS)
    read = msgspec.json.decode(travelled, type=type(value))
    assert read == signed
    assert refused(read, [OTHER.public, KEY.public]) is None


@pytest.mark.parametrize("field", sorted(set(Command.__struct_fields__) - {"signature"}))
@settings(max_examples=EACH_FIELD)
@given(COMMANDS, COMMANDS)
def test_a_command_with_any_field_changed_is_refused(field: str, value: Command, other: Command) -> None:
    """There is no field that one may change without the key."""
    changed = structs.replace(KEY.sign(value), **{field: getattr(other, field)})
    expected = None if written(getattr(value, field)) == written(getattr(other, field)) else Refusal.BAD_SIGNATURE
    assert refused(changed, [KEY.public]) == expected


@pytest.mark.parametrize("field", sorted(set(Order.__struct_fields__) - {"signature"}))
@settings(max_examples=EACH_FIELD)
@given(ORDERS, ORDERS)
def test_an_order_with_any_field_changed_is_refused(field: str, value: Order, other: Order) -> None:
    """Neither who says it, nor what, why, when or how long."""
    changed = structs.replace(KEY.sign(value), **{field: getattr(other, field)})
    expected = None if written(getattr(value, field)) == written(getattr(other, field)) else Refusal.BAD_SIGNATURE
    assert refused(changed, [KEY.public]) == expected


@given(COMMANDS, COMMANDS)
def test_different_commands_have_different_bytes(one: Command, other: Command) -> None:
    """What is signed says all of it, and the difference between 1, 1.0 and true, too."""
    assert (canonical(one) == canonical(other)) == (written(one) == written(other))


@given(VALUES, st.integers(0), st.characters(codec="utf-8"))
def test_a_signature_with_any_character_changed_is_refused(value: Command | Order, at: int, character: str) -> None:
    """There is one way to write a signature."""
    signature = KEY.sign(value).signature or ""
    at %= len(signature)
    changed = signature[:at] + character + signature[at + 1 :]
    given_back = refused(structs.replace(value, signature=changed), [KEY.public])
    assert (given_back is None) == (changed == signature)


@given(VALUES, st.text() | st.binary().map(lambda raw: f"ed25519:{KEY.public.id}:{b64encode(raw).decode()}"))
def test_no_made_up_signature_is_accepted(value: Command | Order, signature: str) -> None:
    """Whatever is written there: a refusal, and no exception."""
    assert refused(structs.replace(value, signature=signature), [KEY.public]) is not None


def test_the_spare_bits_of_a_signature_mean_nothing() -> None:
    """Base64 has sixteen spellings of the last byte; one of them is taken."""
    signature = KEY.sign(EXAMPLE).signature or ""
    last = signature[-3]
    spellings = {chr(ord(last) + step) for step in (-1, 1) if (chr(ord(last) + step)).isalnum()}
    for spelling in spellings:
        changed = structs.replace(EXAMPLE, signature=f"{signature[:-3]}{spelling}==")
        assert refused(changed, [KEY.public]) is Refusal.BAD_SIGNATURE


@given(VALUES)
def test_only_trusted_keys_count(value: Command | Order) -> None:
    """One that is not trusted is unknown; one that claims another's id is found out."""
    signed = OTHER.sign(value)
    assert refused(signed, [KEY.public]) is Refusal.UNKNOWN_KEY
    assert refused(signed, []) is Refusal.UNKNOWN_KEY
    assert refused(signed, [PublicKey(OTHER.public.id, KEY.public.raw)]) is Refusal.BAD_SIGNATURE
    assert refused(value, [KEY.public]) is Refusal.UNSIGNED


@given(VALUES)
def test_during_a_rotation_both_keys_count(value: Command | Order) -> None:
    """What the old key has signed stays good while it is trusted, in whatever order the keys are named."""
    trusted = [KEY.public, OTHER.public]
    assert [refused(key.sign(value), keys) for key in (KEY, OTHER) for keys in (trusted, trusted[::-1])] == [None] * 4


@given(VALUES)
def test_signing_again_changes_nothing(value: Command | Order) -> None:
    """Ed25519 draws nothing: after a crash the same record is written, and an old signature is not signed along."""
    signed = KEY.sign(value)
    assert KEY.sign(signed) == signed


def test_the_canonical_bytes_are_these() -> None:
    """JSON with sorted keys, no spaces and UTF-8: other programs, and logs of years ago, depend on it."""
    expected = (
        '{"at":"2026-11-27T12:00:00.000000Z","id":"00000000000000000000000000000000",'
        '"verb":"pause","who":"zoë","why":"load test"}'
    )
    assert canonical(EXAMPLE).decode() == expected
    assert json.dumps(json.loads(expected), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == expected
    assert str(FIXED.public) == "ed25519:A6EHv/POEL4dcN0Y50vAmWfk1jCbpQ1fHdyGZBJVMbg="
    assert FIXED.sign(EXAMPLE).signature == (
        "ed25519:7751cda99a595122:"
        "cC4P+kUfcSYYzFOcniR0Lu5vk3/FlOAwQK9rdv3/BPDUH4lVQy2ZIIiHRZ+8TS8IwAfYO6u9NvcMXmCbq0QWAg=="
    )


@given(st.binary(min_size=32, max_size=32))
def test_keys_survive_being_written(seed: bytes) -> None:
    """What is written in PEM, or as `ed25519:BASE64`, is read as the same key."""
    key = PrivateKey(Ed25519PrivateKey.from_private_bytes(seed))
    assert PrivateKey.parse(key.pem()).public == key.public
    assert PublicKey.parse(str(key.public)) == key.public


@pytest.mark.parametrize("text", ["", "ed25519:", "ed25519:AAAA", "rsa:" + "A" * 43 + "=", "A" * 43 + "=", "ed25519:é"])
def test_what_is_no_public_key_is_refused(text: str) -> None:
    """The message says what would have been one."""
    with pytest.raises(BadKey, match="expected a public key"):
        PublicKey.parse(text)


@given(st.text())
def test_what_is_no_private_key_is_refused(text: str) -> None:
    """Whatever stands in the file."""
    with pytest.raises(BadKey, match="expected an Ed25519 private key"):
        PrivateKey.parse(Secret(text))


def test_what_is_nested_too_deep_to_be_written_is_not_signed() -> None:
    """It could just be read: a forged command must not end the process that checks it."""
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"deeper": deep}
    forged = structs.replace(KEY.sign(command()), before=deep)
    assert refused(forged, [KEY.public]) is Refusal.BAD_SIGNATURE
