"""What the code makes of the documents: JSON Schemas, an AsyncAPI 3 document of every public topic, a table of rights.

`python -m streams.documents` writes them into `docs/`; a test fails when they are stale.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from ruamel.yaml import YAML

from schemas import topics
from schemas.config import Config
from schemas.events import Billing, Request, Scaling, Why
from schemas.orders import Order
from schemas.outputs import Alert, Command, Finding, Result, Rollup
from streams import acl
from streams.document_examples import DEAD_LETTER, INPUTS, OUTPUTS
from streams.topics import STAGES, needed

API_VERSION: Final = "1.0.0"  # of what is on the topics `*.v1`, not of the program
FOLDER: Final = Path(__file__).parents[1] / "docs"

_STRUCTS: Final = (Request, Scaling, Billing, Finding, Command, Result, Order, Alert, Rollup)
_RIGHTS_BEGIN: Final = "<!-- rights: made from the code by `python -m streams.documents` -->"
_RIGHTS_END: Final = "<!-- end of rights -->"
_BINDING: Final = "0.5.0"  # of AsyncAPI's Kafka bindings

_DESCRIPTION: Final = (
    "The Kafka topics of tidegate. Unknown fields are to be ignored. Outputs may be written again after a "
    "crash, with the same `id`: drop an id that has been seen. CloudEvents 1.0 are accepted on every input "
    "topic, in binary mode (`ce_*` headers) and in structured mode (`application/cloudevents+json`)."
)

Document = dict[str, Any]


class Channel(NamedTuple):
    """A topic, what its messages are, and what tidegate does with it."""

    topic: str
    payload: type[msgspec.Struct]
    key: str
    actions: tuple[str, ...]
    summary: str


_ENDPOINT_KEY: Final = "the endpoint's id, `namespace/name`"
_BUDGET_KEY: Final = "the name of the budget"
_EITHER_KEY: Final = "the endpoint's id; the budget's name where the subject is a budget"
_ENDPOINT_OR_OURS: Final = "the endpoint's id; `tidegate` where it is about none"

CHANNELS: Final = (
    Channel(topics.REQUESTS, Request, _ENDPOINT_KEY, ("receive",), "Requests, from gateways and collectors."),
    Channel(topics.SCALING, Scaling, _ENDPOINT_KEY, ("receive",), "Replicas, from collectors."),
    Channel(topics.BILLING, Billing, _ENDPOINT_KEY, ("receive",), "Cost lines, from collectors and bills."),
    Channel(topics.FINDINGS, Finding, _EITHER_KEY, ("send", "receive"), "What the detectors say."),
    Channel(topics.COMMANDS, Command, _ENDPOINT_KEY, ("send",), "Instructions to executors, in all modes."),
    Channel(topics.RESULTS, Result, _ENDPOINT_OR_OURS, ("send", "receive"), "What became of commands."),
    Channel(topics.APPROVALS, Order, _ENDPOINT_OR_OURS, ("receive",), "What operators say."),
    Channel(topics.ALERTS, Alert, _EITHER_KEY, ("send",), "Alerts to deliver to people."),
    Channel(topics.ROLLUPS, Rollup, _BUDGET_KEY, ("send", "receive"), "For tidegate itself."),
)


def render() -> dict[str, str]:
    """Every document: its path below `docs/`, and its text."""
    schemas = {f"schemas/{name.lower()}.json": _json(schema) for name, schema in json_schemas().items()}
    return {"asyncapi.yaml": _yaml(asyncapi()), "security.md": _security(), **schemas}


def _security() -> str:
    """The page as it is, with the table of rights as the code has it."""
    page = (FOLDER / "security.md").read_text("utf-8")
    head, begin, rest = page.partition(_RIGHTS_BEGIN)
    _, end, tail = rest.partition(_RIGHTS_END)
    return f"{head}{begin}\n\n{acl.page()}\n{end}{tail}"


def write(folder: Path) -> list[Path]:
    """Write the documents below the folder, and say which."""
    written = []
    for name, text in render().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def json_schemas() -> dict[str, Document]:
    """A JSON Schema (2020-12) for each struct that travels, complete in itself."""
    return {struct.__name__: _json_schema(struct) for struct in _STRUCTS}


def _json_schema(struct: type[msgspec.Struct]) -> Document:
    _, found = msgspec.json.schema_components([struct], ref_template="#/$defs/{name}")
    components = {name: _tidy(schema) for name, schema in found.items()}
    own = components.pop(struct.__name__)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:tidegate:{struct.__name__.lower()}:v1",
    }
    return {**head, **own, **({"$defs": components} if components else {})}


def asyncapi() -> Document:
    """The AsyncAPI 3 document."""
    return {
        "asyncapi": "3.0.0",
        "info": _info(),
        "defaultContentType": "application/json",
        "servers": _servers(),
        "channels": {**_channels(), **_dead_letter_channels()},
        "operations": dict(_operations()),
        "components": {"messages": _messages(), "schemas": _component_schemas()},
    }


def _info() -> Document:
    return {
        "title": "tidegate",
        "version": API_VERSION,
        "description": _DESCRIPTION,
        "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
    }


def _servers() -> Document:
    bootstrap = {"default": Config().kafka.bootstrap_servers, "description": "`kafka.bootstrap_servers`"}
    common = {"host": "{bootstrap_servers}", "variables": {"bootstrap_servers": bootstrap}}
    return {
        "plain": {**common, "protocol": "kafka", "description": "Without encryption."},
        "secure": {**common, "protocol": "kafka-secure", "description": "TLS, with or without SASL."},
    }


def _channels() -> Document:
    return {
        _channel_id(channel.topic): {
            "address": channel.topic,
            "summary": channel.summary,
            "messages": {_message_id(channel): {"$ref": f"#/components/messages/{_message_id(channel)}"}},
            "bindings": _binding_of_topic(channel.topic),
        }
        for channel in CHANNELS
    }


def _dead_letter_channels() -> Document:
    return {
        _channel_id(topic + topics.DEAD_LETTERS): {
            "address": topic + topics.DEAD_LETTERS,
            "summary": f"What could not be read from {topic}.",
            "messages": {"deadLetter": {"$ref": "#/components/messages/deadLetter"}},
            "bindings": _binding_of_topic(topic + topics.DEAD_LETTERS),
        }
        for topic in STAGES
    }


def _binding_of_topic(name: str) -> Document:
    """As `tidegate topics create` declares it."""
    topic = next(topic for topic in needed(Config()) if topic.name == name)
    numbers = {key: int(value) if value.isdigit() else value for key, value in topic.settings.items()}
    known = {key: value for key, value in numbers.items() if key in ("cleanup.policy", "max.message.bytes")}
    policy = {"cleanup.policy": [known.pop("cleanup.policy", "delete")]}
    kafka = {"topic": name, "partitions": topic.partitions, "topicConfiguration": {**policy, **known}}
    return {"kafka": {**kafka, "bindingVersion": _BINDING}}


def _operations() -> Iterator[tuple[str, Document]]:
    for channel in CHANNELS:
        for action in channel.actions:
            yield _operation(action, channel.topic, channel.summary)
    for topic in STAGES:
        yield _operation("send", topic + topics.DEAD_LETTERS, f"What could not be read from {topic}.")


def _operation(action: str, topic: str, summary: str) -> tuple[str, Document]:
    channel = _channel_id(topic)
    operation: Document = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}
    if action == "receive":
        group = {"type": "string", "default": Config().kafka.group, "description": "`kafka.group`"}
        operation["bindings"] = {"kafka": {"groupId": group, "bindingVersion": _BINDING}}
    return f"{action}{channel[0].upper()}{channel[1:]}", operation


def _messages() -> Document:
    examples = {**{_payload_of(topic): example for topic, example in INPUTS.items()}, **OUTPUTS}
    messages = {_message_id(channel): _message(channel, examples) for channel in CHANNELS}
    return {**messages, "deadLetter": _dead_letter()}


def _message(channel: Channel, examples: Mapping[str, Document]) -> Document:
    name = channel.payload.__name__
    return {
        "name": name,
        "title": name,
        "summary": cleandoc(channel.payload.__doc__ or "").partition("\n")[0],
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{name}"},
        "bindings": _key_binding({"type": "string", "minLength": 1, "description": channel.key}),
        "examples": [{"name": name.lower(), "payload": examples[name]}],
    }


def _dead_letter() -> Document:
    return {
        "name": "DeadLetter",
        "title": "Dead letter",
        "summary": "The bytes and the key of an event that could not be read, as they came, and the reason.",
        "contentType": "application/octet-stream",
        "headers": _dead_letter_headers(),
        "payload": {"description": "The original value: any bytes, or none."},
        "bindings": _key_binding({"description": "The original key: any bytes, or none."}),
        "examples": [{"name": "missingField", **DEAD_LETTER}],
    }


def _dead_letter_headers() -> Document:
    number = {"type": "string", "pattern": "^[0-9]+$"}
    own = {
        "error.type": {"type": "string", "enum": [why.value for why in Why]},
        "error.message": {"type": "string", "description": "which field, what was expected, what was there"},
        "source.topic": {"type": "string"},
        "source.partition": number,
        "source.offset": number,
    }
    about = "Beside the event's own headers."
    return {"type": "object", "description": about, "properties": own, "required": list(own)}


def _key_binding(key: Document) -> Document:
    return {"kafka": {"key": key, "bindingVersion": _BINDING}}


def _component_schemas() -> Document:
    _, found = msgspec.json.schema_components(_STRUCTS, ref_template="#/components/schemas/{name}")
    return {name: _draft7(_tidy(schema)) for name, schema in sorted(found.items())}


def _tidy(schema: Any) -> Any:
    """Docstrings as text, without the indentation of the source."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {key: _tidy(value) for key, value in schema.items()}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = cleandoc(tidy["description"])
    return tidy


def _draft7(schema: Any) -> Any:
    """As AsyncAPI wants it: draft 7 says in `items` what 2020-12 says in `prefixItems`."""
    if isinstance(schema, list):
        return [_draft7(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    older = {key: _draft7(value) for key, value in schema.items()}
    if "prefixItems" in older:
        older["additionalItems"] = older.pop("items", True)
        older["items"] = older.pop("prefixItems")
    return older


def _channel_id(topic: str) -> str:
    """`inference.requests.v1.dlq` -> `inferenceRequestsV1Dlq`."""
    first, *rest = topic.split(".")
    return first + "".join(word.capitalize() for word in rest)


def _message_id(channel: Channel) -> str:
    return channel.payload.__name__.lower()


def _payload_of(topic: str) -> str:
    return next(channel.payload.__name__ for channel in CHANNELS if channel.topic == topic)


def _json(document: Document) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _yaml(document: Document) -> str:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # ruamel says None or True
    yaml.width = 110
    text = io.StringIO("# Made from the code by `python -m streams.documents`.\n")
    text.seek(0, io.SEEK_END)
    yaml.dump(json.loads(json.dumps(document)), text)  # through JSON: no aliases for what is used twice
    return text.getvalue()


if __name__ == "__main__":
    for path in write(FOLDER):
        print(path.relative_to(FOLDER.parent))  # noqa: T201 -- a program's output
