"""The documents in `docs/` are those that the code makes, and they are true of what travels."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import msgspec
import pytest
from ruamel.yaml import YAML

from schemas import topics
from schemas.config import Config
from schemas.decode import EVENTS
from schemas.events import BadEvent, Why
from schemas.orders import Order
from schemas.outputs import Alert, Command, Finding, Result, Rollup
from streams import documents
from streams.document_examples import DEAD_LETTER, INPUTS, OUTPUTS
from streams.topics import needed

STRUCTS: dict[str, type[msgspec.Struct]] = {
    **{event.__name__: event for event in EVENTS.values()},
    **{struct.__name__: struct for struct in (Finding, Command, Result, Order, Alert, Rollup)},
}
EXAMPLES = {**{EVENTS[topic].__name__: example for topic, example in INPUTS.items()}, **OUTPUTS}


@pytest.fixture(scope="module")
def asyncapi() -> Any:
    """The document as a reader of the file sees it."""
    return YAML(typ="safe", pure=True).load((documents.FOLDER / "asyncapi.yaml").read_text("utf-8"))


def references(document: Any) -> Iterator[str]:
    """Every `$ref` in a document."""
    for value in document.values() if isinstance(document, dict) else document:
        if isinstance(value, (dict, list)):
            yield from references(value)
    if isinstance(document, dict) and "$ref" in document:
        yield document["$ref"]


def resolve(document: Any, reference: str) -> Any:
    """What a reference within a document points to; KeyError if nothing is there."""
    for part in reference.removeprefix("#/").split("/"):
        document = document[part]
    return document


@pytest.mark.parametrize("name", documents.render())
def test_the_documents_are_fresh(name: str) -> None:
    """The files are what the code makes today; if not: `python -m streams.documents`."""
    assert (documents.FOLDER / name).read_text("utf-8") == documents.render()[name]


def test_no_document_is_left_over() -> None:
    """Every schema in the folder is one that the code makes."""
    there = {f"schemas/{path.name}" for path in (documents.FOLDER / "schemas").iterdir()}
    assert there == set(documents.render()) - {"asyncapi.yaml", "security.md"}


@pytest.mark.parametrize("name", STRUCTS)
def test_an_example_fits_its_schema(name: str) -> None:
    """The schema accepts the example, and is itself a valid schema."""
    schema = json.loads((documents.FOLDER / f"schemas/{name.lower()}.json").read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(EXAMPLES[name], schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("name", STRUCTS)
def test_an_example_is_read_by_the_code(name: str) -> None:
    """What the documents show can be decoded with the struct that they are made from."""
    encoded = json.dumps(EXAMPLES[name]).encode()
    assert msgspec.json.decode(encoded, type=STRUCTS[name])


@pytest.mark.parametrize("name", STRUCTS)
def test_schema_and_code_demand_the_same_fields(name: str) -> None:
    """Without any one of its fields an example is refused by both or by neither."""
    schema = documents.json_schemas()[name]
    for field in EXAMPLES[name]:
        less = {key: value for key, value in EXAMPLES[name].items() if key != field}
        assert jsonschema.Draft202012Validator(schema).is_valid(less) == decodes(less, STRUCTS[name]), field


@pytest.mark.parametrize("wrong", [-1, "text", None, [], 1e300])
@pytest.mark.parametrize("name", [event.__name__ for event in EVENTS.values()])
def test_what_an_event_s_schema_refuses_the_code_refuses(name: str, wrong: Any) -> None:
    """No value slips through that the published schema does not allow."""
    schema = documents.json_schemas()[name]
    for field in EXAMPLES[name]:
        changed = {**EXAMPLES[name], field: wrong}
        if not jsonschema.Draft202012Validator(schema).is_valid(changed):
            assert not decodes(changed, STRUCTS[name]), field


def decodes(value: Any, struct: type[msgspec.Struct]) -> bool:
    """Whether the code reads the value."""
    try:
        msgspec.json.decode(json.dumps(value).encode(), type=struct)
    except msgspec.ValidationError:
        return False
    return True


def test_the_document_has_the_shape_of_asyncapi_3(asyncapi: Any) -> None:
    """What AsyncAPI 3.0 requires is there, and nothing at the top that it does not know."""
    known = {
        "asyncapi",
        "id",
        "info",
        "servers",
        "defaultContentType",
        "channels",
        "operations",
        "components",
    }
    assert asyncapi["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(asyncapi["info"])
    assert set(asyncapi) <= known
    assert all({"host", "protocol"} <= set(server) for server in asyncapi["servers"].values())


def test_every_reference_leads_somewhere(asyncapi: Any) -> None:
    """No `$ref` dangles."""
    found = set(references(asyncapi))
    assert found
    assert all(resolve(asyncapi, reference) is not None for reference in found)


def test_every_message_is_used(asyncapi: Any) -> None:
    """No message is described that is on no topic, and no schema that is in no message."""
    found = set(references(asyncapi))
    for kind, members in asyncapi["components"].items():
        assert {f"#/components/{kind}/{name}" for name in members} <= found


def test_operations_point_to_channels(asyncapi: Any) -> None:
    """Every operation sends to or receives from a channel, and every channel is used."""
    operations = asyncapi["operations"].values()
    assert {operation["action"] for operation in operations} == {"send", "receive"}
    used = {operation["channel"]["$ref"] for operation in operations}
    assert used == {f"#/channels/{name}" for name in asyncapi["channels"]}


def test_channels_are_the_topics_that_are_declared(asyncapi: Any) -> None:
    """Names and partitions are those of `tidegate topics create`."""
    declared = {topic.name: topic.partitions for topic in needed(Config()) if not topic.name.endswith(topics.STATE)}
    described = {
        channel["address"]: channel["bindings"]["kafka"]["partitions"] for channel in asyncapi["channels"].values()
    }
    assert described == declared


def test_messages_have_a_key_and_an_example_that_fits(asyncapi: Any) -> None:
    """Each message says what its key is, and its example fits its payload as AsyncAPI's tools read it."""
    for message in asyncapi["components"]["messages"].values():
        assert message["bindings"]["kafka"]["key"]["description"]
        payload = {**message["payload"], "components": asyncapi["components"]}
        for example in message["examples"]:
            jsonschema.validate(example["payload"], payload, cls=jsonschema.Draft7Validator)


def test_dead_letters_say_why_and_whence(asyncapi: Any) -> None:
    """The headers are those of the contract, and the reasons those of the code."""
    headers = asyncapi["components"]["messages"]["deadLetter"]["headers"]
    where = {"source.topic", "source.partition", "source.offset"}
    assert set(headers["required"]) == {"error.type", "error.message"} | where
    assert headers["properties"]["error.type"]["enum"] == [why.value for why in Why]
    jsonschema.validate(DEAD_LETTER["headers"], headers, cls=jsonschema.Draft7Validator)
    assert BadEvent.__doc__


def test_documents_are_written_where_they_are_asked_for(tmp_path: Any) -> None:
    """`write` makes the folders it needs and gives the paths of all files."""
    written = documents.write(tmp_path / "new")
    assert {str(path.relative_to(tmp_path / "new")) for path in written} == set(documents.render())
    assert all(path.is_file() for path in written)
