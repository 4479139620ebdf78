"""Ed25519 signatures over canonical bytes: of commands, by the action stage, and of orders, by operators.

The canonical bytes of a value are its JSON without `signature`, keys sorted, no spaces, UTF-8: what another language
gets by decoding the record, dropping `signature` and encoding it again in that way. Ed25519 is deterministic, so the
same value signed twice is the same bytes.

A signature is written `ed25519:KEY_ID:BASE64`, a public key `ed25519:BASE64`, a private key as PKCS#8 in PEM, as
`openssl genpkey -algorithm ed25519` writes it. A key's id is derived from the public key.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable
from hashlib import blake2b
from typing import Final, NamedTuple, Self, TypeVar

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from msgspec import structs

from schemas.orders import Order
from schemas.outputs import Command, Refusal
from schemas.section import Secret

ALGORITHM: Final = "ed25519"
PUBLIC_BYTES: Final = 32

Signed = TypeVar("Signed", bound=Command | Order)


class BadKey(ValueError):
    """A text is no key. The message never quotes it."""


class PublicKey(NamedTuple):
    """What a signature is checked with."""

    id: str
    raw: bytes

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `ed25519:BASE64`. Raises BadKey."""
        algorithm, _, encoded = text.partition(":")
        raw = _decoded(encoded)
        if algorithm != ALGORITHM or len(raw) != PUBLIC_BYTES:
            raise BadKey("expected a public key, such as `tidegate keys create` prints: ed25519:BASE64")
        return cls(_id_of(raw), raw)

    def __str__(self) -> str:
        return f"{ALGORITHM}:{b64encode(self.raw).decode()}"


class PrivateKey:
    """What signs. Shows nothing of itself."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = PublicKey(_id_of(raw), raw)

    @classmethod
    def parse(cls, pem: Secret) -> Self:
        """Read a PEM file's text. Raises BadKey."""
        try:
            key = load_pem_private_key(pem.reveal().encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise BadKey("expected an Ed25519 private key without a password, in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKey("expected an Ed25519 private key, got one of another kind")
        return cls(key)

    @classmethod
    def generate(cls) -> Self:
        """A new one."""
        return cls(Ed25519PrivateKey.generate())

    def pem(self) -> Secret:
        """As `parse` reads it."""
        return Secret(self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())

    def sign(self, value: Signed) -> Signed:
        """The value with its signature."""
        signature = b64encode(self._key.sign(canonical(value))).decode()
        return structs.replace(value, signature=f"{ALGORITHM}:{self.public.id}:{signature}")


def canonical(value: Command | Order) -> bytes:
    """The bytes that are signed."""
    fields = msgspec.to_builtins(value)
    fields.pop("signature", None)
    return msgspec.json.encode(fields, order="sorted")


def refused(value: Command | Order, trusted: Iterable[PublicKey]) -> Refusal | None:
    """Why the signature is not good; None: one of the trusted keys has signed exactly this."""
    if value.signature is None:
        return Refusal.UNSIGNED
    algorithm, _, rest = value.signature.partition(":")
    key_id, _, encoded = rest.partition(":")
    if algorithm != ALGORITHM:
        return Refusal.BAD_SIGNATURE
    key = next((key for key in trusted if key.id == key_id), None)
    if key is None:
        return Refusal.UNKNOWN_KEY
    try:
        Ed25519PublicKey.from_public_bytes(key.raw).verify(_decoded(encoded), canonical(value))
    except (InvalidSignature, RecursionError):  # what was just not nested too deep to be read may be, to be written
        return Refusal.BAD_SIGNATURE
    return None


def _decoded(text: str) -> bytes:
    try:
        raw = b64decode(text, validate=True)
    except (Base64Error, ValueError):
        return b""
    return raw if b64encode(raw).decode() == text else b""  # the last digit has bits that mean nothing: one spelling


def _id_of(raw: bytes) -> str:
    return blake2b(raw, digest_size=8).hexdigest()
