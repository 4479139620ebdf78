"""Who speaks: a name, and the key that proves it."""

from __future__ import annotations

import getpass
import stat
from pathlib import Path
from typing import Final, NamedTuple

from schemas.config import Config
from schemas.section import Secret
from schemas.signatures import BadKey, PrivateKey, PublicKey
from streams.errors import TidegateError, UsageError

OTHERS_MAY_READ: Final = stat.S_IRWXG | stat.S_IRWXO


class NotAnOperator(TidegateError):
    """The word of this person, or of whoever holds this key, does not count."""


class Speaker(NamedTuple):
    """A person. `warnings` are for them to read."""

    name: str
    key: PrivateKey | None
    warnings: tuple[str, ...] = ()


def identify(config: Config, name: str | None, key_file: Path | None) -> Speaker:
    """The person of that name or that key; the login's where neither is given. Raises NotAnOperator, UsageError."""
    key = None if key_file is None else read_key(key_file)
    warnings = tuple(_warnings(key_file))
    if not config.operators:
        told = "no operators are configured: whoever may write to the topic is believed, and nobody can approve"
        return Speaker(name or getpass.getuser(), key, (*warnings, told))
    chosen = name or (None if key is None else _owner(config, key)) or getpass.getuser()
    if chosen not in config.operators:
        raise NotAnOperator(f"{chosen} is not among the operators: {', '.join(sorted(config.operators))}; see --as")
    if key is None:
        raise NotAnOperator(f"an order of {chosen} needs their key: --key FILE, or TIDEGATE_OPERATOR_KEY")
    if PublicKey.parse(config.operators[chosen].public_key) != key.public:
        whose = _owner(config, key)
        of = "of nobody in the configuration" if whose is None else f"that of {whose}"
        raise NotAnOperator(f"{key_file} is not the key of {chosen}: it is {of}")
    return Speaker(chosen, key, warnings)


def read_key(file: Path) -> PrivateKey:
    """The private key in a PEM file."""
    try:
        return PrivateKey.parse(Secret(file.read_text(encoding="utf-8")))
    except (BadKey, UnicodeDecodeError) as error:
        told = error if isinstance(error, BadKey) else "expected a private key in PEM, got bytes"
        raise UsageError(f"{file}: {told}") from None
    except OSError as error:
        raise UsageError(f"{file}: cannot read the key: {error.strerror}") from None


def _owner(config: Config, key: PrivateKey) -> str | None:
    """Whose key it is."""
    keys = {name: PublicKey.parse(operator.public_key) for name, operator in config.operators.items()}
    return next((name for name, public in sorted(keys.items()) if public == key.public), None)


def _warnings(key_file: Path | None) -> list[str]:
    if key_file is None or not key_file.stat().st_mode & OTHERS_MAY_READ:
        return []
    return [f"{key_file} can be read by others: chmod 600 {key_file}"]
