"""Secrets that are easy to find again, one in every place of the configuration that takes one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from msgspec import Struct, inspect

from schemas.config import Config, Secret
from schemas.signatures import PrivateKey

MARK: Final = "planted-"  # how each begins; the signing key is told by its own bytes
KEY: Final = PrivateKey.generate()
KEY_TEXT: Final = KEY.pem().reveal().splitlines()[1]

SECTIONS: Final = """
signing: {key_file: signing.pem, trusted: ["PUBLIC"]}
external: {token: planted-external}
executors:
  a-rehearsal: {type: dry_run}
  hf: {type: huggingface, token: planted-hugging-face}
  gateway: {type: webhook, url: "http://127.0.0.1:1/planted-url", secret: planted-hmac}
  proxy: {type: litellm, url: "http://127.0.0.1:1", key: planted-litellm, models: {"acme/none": none}}
  cluster: {type: kubernetes, url: "http://127.0.0.1:1", token: planted-kubernetes,
            workloads: {"acme/none": "here/deployment/none"}}
receivers:
  pager: {type: pagerduty, url: "http://127.0.0.1:1", routing_key: planted-routing-key-of-32-letter}
  manager: {type: alertmanager, url: "http://127.0.0.1:1", token: planted-alertmanager}
  chat: {type: slack, url: "http://127.0.0.1:1/planted-slack"}
  hook: {type: webhook, url: "http://127.0.0.1:1/planted-hook", token: planted-hook}
alerting: {route: {receiver: pager}}
"""
KAFKA: Final = """
kafka: {security: {protocol: SASL_SSL, mechanism: PLAIN, username: worker, password: planted-kafka}}
"""


def write(folder: Path, text: str) -> Path:
    """The configuration with these sections, and the key beside it."""
    (folder / "signing.pem").write_text(KEY.pem().reveal())
    file = folder / "tidegate.yaml"
    file.write_text(text.replace("PUBLIC", str(KEY.public)))
    return file


def found(texts: Iterable[str]) -> list[str]:
    """Every text that tells a secret."""
    return [text for text in texts if MARK in text or KEY_TEXT in text]


def secrets(value: object) -> Iterator[Secret]:
    """Every secret that a part of the configuration holds."""
    match value:
        case Secret():
            yield value
        case Struct():
            for name in value.__struct_fields__:
                yield from secrets(getattr(value, name))
        case dict():
            for inner in value.values():
                yield from secrets(inner)
        case tuple():
            for inner in value:
                yield from secrets(inner)


def places(kind: inspect.Type, seen: set[type]) -> Iterator[str]:
    """Every place of the configuration's types that takes a secret."""
    match kind:
        case inspect.StructType() if kind.cls not in seen:
            seen.add(kind.cls)
            for field in kind.fields:
                if _is_secret(field.type):
                    yield f"{kind.cls.__name__}.{field.name}"
                yield from places(field.type, seen)
        case inspect.UnionType():
            for one in kind.types:
                yield from places(one, seen)
        case inspect.DictType():
            yield from places(kind.value_type, seen)
        case inspect.VarTupleType():
            yield from places(kind.item_type, seen)


def _is_secret(kind: inspect.Type) -> bool:
    if isinstance(kind, inspect.UnionType):
        return any(map(_is_secret, kind.types))
    return isinstance(kind, inspect.CustomType) and kind.cls is Secret


def every_place() -> list[str]:
    """The same, of all of it."""
    return list(places(inspect.type_info(Config), set()))
