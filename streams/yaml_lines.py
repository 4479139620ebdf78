"""YAML as nodes that know their place: what the configuration is read from, before anything has a type.

A plain scalar means what YAML 1.2's core schema says. `${NAME}` and `${NAME:-default}` come from the
environment, in values only and after parsing, so that no value can change the shape of the file; `$$` is a
dollar sign.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

Plain = str | int | float | bool | None


class Place(NamedTuple):
    """Where something stands in the file, counted from 1."""

    line: int
    column: int


class YamlError(Exception):
    """The text is not one YAML document; the message quotes nothing longer than a character of it."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


class Scalar(NamedTuple):
    """A scalar's text. What the environment gave has a type only once it is known which one is wanted."""

    text: str
    plain: bool  # written without quotes
    from_environment: bool
    missing: tuple[str, ...]  # variables that are not set, or are no variable at all


class Entry(NamedTuple):
    """A key of a mapping and its value, with their places in the file."""

    key: str
    key_node: Node
    value: Node


def compose(text: str) -> Node | None:
    """The root of the document; None when it is empty. Raises YamlError."""
    yaml = YAML(pure=True)
    yaml.composer.warn_double_anchors = False  # legal: the later anchor counts
    try:
        root: Node | None = yaml.compose(text)
    except MarkedYAMLError as error:
        raise _located(error, text) from None
    except YAMLError:
        raise YamlError("not YAML: a character that YAML does not allow", Place(1, 1)) from None
    except (ValueError, OverflowError):  # ruamel on `\UFFFFFFFF`
        raise YamlError("an escape sequence names no character", Place(1, 1)) from None
    except RecursionError:
        raise YamlError("nested too deeply", Place(1, 1)) from None
    return root


def _located(error: MarkedYAMLError, text: str) -> YamlError:
    mark = error.problem_mark or error.context_mark
    at = Place(mark.line + 1, mark.column + 1) if mark else Place(1, 1)
    # the parser quotes names from the file: an unquoted password that begins with * would be one of them
    problem = re.sub(r"""\s*(["'])[^"'<\s][^"'\s]+\1""", "", error.problem or "not YAML")
    line = text.splitlines()[at.line - 1 : at.line]
    hint = "; inside { } and [ ], put ${...} in quotes" if line and "${" in line[0] else ""
    return YamlError(f"not YAML: {problem}{hint}", at)


def place(node: Node) -> Place:
    return Place(node.start_mark.line + 1, node.start_mark.column + 1)


def entries(node: MappingNode) -> Iterator[Entry]:
    """The entries as they are written, duplicates too; then those that only `<<` brings."""
    written = [Entry(_key(key), key, value) for key, value in node.value if not _is_merge(key)]
    yield from written
    seen = {entry.key for entry in written}
    for source in _merged(node):
        for entry in entries(source):
            if entry.key not in seen:
                seen.add(entry.key)
                yield entry


def _key(node: Node) -> str:
    return str(node.value) if isinstance(node, ScalarNode) else "?"


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.value == "<<" and key.style is None


def _merged(node: MappingNode) -> Iterator[MappingNode]:
    for key, value in node.value:
        if _is_merge(key):
            sources = value.value if isinstance(value, SequenceNode) else [value]
            yield from (source for source in sources if isinstance(source, MappingNode))


_VARIABLE: Final = re.compile(r"\$(?:(?P<dollar>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\}|\{)")


def scalar(node: ScalarNode, environ: Mapping[str, str]) -> Scalar:
    """The scalar's text, with the environment put in."""
    missing: list[str] = []
    used = False

    def expand(found: re.Match[str]) -> str:
        nonlocal used
        name, default = found["name"], found["default"]
        if found["dollar"]:
            return "$"
        used = True
        value = environ.get(name, "") if name else ""
        if default is None and name not in environ:
            missing.append(name or "")
        return value or default or ""

    text = _VARIABLE.sub(expand, str(node.value))
    return Scalar(text, plain=not node.style, from_environment=used, missing=tuple(missing))


_WORDS: Final[Mapping[str, Plain]] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,300}|0o[0-7]{1,300}|0x[0-9a-fA-F]{1,300}")
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL: Final = re.compile(r"([-+]?)\.(inf|Inf|INF|nan|NaN|NAN)")


def meaning(text: str) -> Plain:
    """What an unquoted text means by YAML 1.2's core schema."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text, 0 if "o" in text or "x" in text else 10)
    if special := _SPECIAL.fullmatch(text):
        return float(special[1] + special[2])
    return float(text) if _FLOAT.fullmatch(text) else text
