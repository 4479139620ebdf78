"""Reads YAML nodes as typed values, and goes on after a mistake: every problem is found in one pass.

What cannot be read is reported and left out (`INVALID`); no message ever quotes a secret, or what stands
where a secret belongs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Final

from msgspec import Struct, inspect, structs
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from schemas.config import Secret
from streams.errors import Problem
from streams.values import MismatchError, convert, describe, is_scalar, is_secret, nearest
from streams.yaml_lines import Place, Plain, Scalar, entries, meaning, place, scalar

KeyPath = tuple[str | int, ...]
Handler = Callable[[Node, KeyPath], Any]


class _Invalid(Enum):
    INVALID = "invalid"


INVALID: Final = _Invalid.INVALID


class Report:
    """Where every key stands, and what is wrong with it: the first error at a key is the one that counts."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._places: dict[KeyPath, Place] = {}
        self._left_open: set[KeyPath] = set()
        self._errors: dict[KeyPath, Problem] = {}
        self._repeated: list[Problem] = []
        self._warnings: list[Problem] = []

    def seen(self, path: KeyPath, at: Place) -> None:
        self._places[path] = at

    def was_given(self, path: KeyPath) -> bool:
        return path in self._places

    def left_open(self, path: KeyPath) -> None:
        """The key stands there without a value: the same as if it did not."""
        self._left_open.add(path)

    @property
    def given(self) -> dict[KeyPath, Place]:
        """Every key that has a value, with its place."""
        return {path: at for path, at in self._places.items() if path not in self._left_open}

    def error(self, path: KeyPath, message: str) -> None:
        self._errors.setdefault(path, self._problem(path, message))

    def repeated(self, path: KeyPath, at: Place) -> None:
        """The key stands there once more, besides whatever is wrong with its first value."""
        first = self._places[path].line
        message = f"this key is in line {first} already"
        self._repeated.append(Problem(self._file, at.line, at.column, dotted(path), message))

    def warning(self, path: KeyPath, message: str) -> None:
        self._warnings.append(self._problem(path, message)._replace(severity="warning"))

    def is_wrong(self, path: KeyPath) -> bool:
        """Whether there is an error at the key itself."""
        return path in self._errors

    def has_error(self) -> bool:
        """Whether there is an error anywhere."""
        return bool(self._errors or self._repeated)

    @property
    def problems(self) -> list[Problem]:
        found = [*self._errors.values(), *self._repeated, *self._warnings]
        return sorted(found, key=lambda problem: (problem.line, problem.column))

    def _problem(self, path: KeyPath, message: str) -> Problem:
        known = next((path[:end] for end in range(len(path), 0, -1) if path[:end] in self._places), ())
        line, column = self._places.get(known, Place(0, 0))
        return Problem(self._file, line, column, dotted(path), message)


def dotted(path: KeyPath) -> str:
    """`budgets.all.endpoints[0]`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


class Reader:
    """Reads nodes as types. `folder` is where relative paths of files begin."""

    def __init__(self, report: Report, environ: Mapping[str, str], folder: Path) -> None:
        self.report = report
        self.environ = environ
        self.folder = folder

    def read(self, node: Node, kind: inspect.Type, path: KeyPath) -> Any:
        """The node's value as `kind`, or INVALID."""
        if isinstance(kind, inspect.UnionType):
            return self._union(node, kind, path)
        if isinstance(kind, inspect.StructType):
            return self.struct(kind.cls, self.fields(node, kind, path), path)
        if isinstance(kind, inspect.DictType):
            return self._mapping(node, kind, path)
        if isinstance(kind, (inspect.VarTupleType, inspect.ListType)):
            return self._sequence(node, kind, path)
        if isinstance(kind, inspect.AnyType):
            return self._anything(node, path)
        return self._leaf(node, kind, path)

    def keys(self, node: Node | None, path: KeyPath, known: Iterable[str] | None = None) -> dict[str, Node]:
        """A mapping's entries; those that stand there twice or are not `known` are reported and left out."""
        if node is None or self._is_empty(node):
            return {}
        if not isinstance(node, MappingNode):
            self.report.error(path, f"expected a mapping, got {_sort(node)}")
            return {}
        return self._entries(node, path, None if known is None else set(known))

    def _entries(self, node: MappingNode, path: KeyPath, known: set[str] | None) -> dict[str, Node]:
        found: dict[str, Node] = {}
        for key, key_node, value in entries(node):
            at = (*path, key)
            if key in found:
                self.report.repeated(at, place(key_node))
            elif known is not None and key not in known:
                self.report.seen(at, place(key_node))
                self.report.error(at, f"unknown key{nearest(key, known)}")
            else:
                self.report.seen(at, place(value if isinstance(value, ScalarNode) else key_node))
                found[key] = value
        return found

    def fields(
        self,
        node: Node | None,
        kind: inspect.StructType,
        path: KeyPath,
        own: Mapping[str, Handler] | None = None,
    ) -> dict[str, Any]:
        """What a mapping gives of a struct's fields; `own` reads some of them in its own way."""
        handlers = own or {}
        known = {field.encode_name: field for field in kind.fields}
        found: dict[str, Any] = {}
        given = self.keys(node, path, [*known, kind.tag_field] if kind.tag_field else known)
        for key, value in given.items():
            if key == kind.tag_field:  # it has chosen this kind
                continue
            field, at = known[key], (*path, key)
            read = handlers[key](value, at) if key in handlers else self.read(value, field.type, at)
            found[field.name] = read
        self._require(kind, found, path)
        found = {name: value for name, value in found.items() if value is not INVALID}
        return self._files(kind, found, path)

    def _require(self, kind: inspect.StructType, found: Mapping[str, Any], path: KeyPath) -> None:
        for field in kind.fields:
            if field.required and field.name not in found and not self.report.is_wrong(path):
                self.report.error((*path, field.encode_name), f"is required: {describe(field.type)}")

    def struct(self, cls: type[Struct], given: Mapping[str, Any], path: KeyPath) -> Any:
        """The struct, unless something that it cannot do without is missing."""
        if any(field.required and field.name not in given for field in structs.fields(cls)):
            return INVALID
        try:
            return cls(**given)
        except ValueError as error:  # the struct's own check of its fields together
            self.report.error(path, str(error))
            return INVALID

    def _files(self, kind: inspect.StructType, given: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        """Reads what `*_file` names: a secret goes to its field, any other file must only be readable."""
        secrets = {field.name for field in kind.fields if _holds_secret(field.type)}
        for name in [name for name in given if name.endswith("_file") and given[name] is not None]:
            secret = name.removesuffix("_file")
            if secret in secrets and given.get(secret) is not None:
                self.report.error((*path, name), f"give either {secret} or {name}, not both")
                continue
            content = self._content(given[name], (*path, name))
            given[name] = str(self.folder / given[name])
            if secret in secrets and content is not None:
                given[secret] = content
        return given

    def _content(self, name: str, path: KeyPath) -> Secret | None:
        try:
            text = (self.folder / name).read_text(encoding="utf-8")
        except OSError as error:
            self.report.error(path, f"cannot read '{name}': {error.strerror}")
            return None
        except ValueError:
            self.report.error(path, f"cannot read '{name}': not a UTF-8 text file")
            return None
        if not text.strip():
            self.report.error(path, f"'{name}' is empty")
        return Secret(text.rstrip("\r\n"))

    def _is_empty(self, node: Node) -> bool:
        return isinstance(node, ScalarNode) and not node.style and meaning(str(node.value)) is None

    def _union(self, node: Node, kind: inspect.UnionType, path: KeyPath) -> Any:
        if self._is_empty(node) and any(isinstance(one, inspect.NoneType) for one in kind.types):
            self.report.left_open(path)
            return None
        tagged = [one for one in kind.types if isinstance(one, inspect.StructType) and one.tag_field]
        if tagged and isinstance(node, MappingNode):
            return self._tagged(node, tagged, path)
        wanted: Mapping[type, tuple[type, ...]] = {
            MappingNode: (inspect.DictType, inspect.StructType),
            SequenceNode: (inspect.VarTupleType, inspect.ListType),
        }
        classes = wanted.get(type(node))
        for one in kind.types:
            if isinstance(one, classes) if classes else is_scalar(one) or is_secret(one):
                return self.read(node, one, path)
        self.report.error(path, f"expected {describe(kind)}, got {_sort(node)}")
        return INVALID

    def _tagged(self, node: MappingNode, kinds: Sequence[inspect.StructType], path: KeyPath) -> Any:
        """One of several structs: a key that they share says which."""
        key, by_tag = str(kinds[0].tag_field), {str(kind.tag): kind for kind in kinds}
        words = inspect.LiteralType(values=tuple(by_tag))
        tag = next((entry for entry in entries(node) if entry.key == key), None)
        if tag is None:
            self.report.error((*path, key), f"is required: {describe(words)}")
            return INVALID
        self.report.seen((*path, key), place(tag.value))
        chosen = self._leaf(tag.value, words, (*path, key))
        return INVALID if chosen is INVALID else self.read(node, by_tag[chosen], path)

    def _mapping(self, node: Node, kind: inspect.DictType, path: KeyPath) -> dict[Any, Any]:
        """Sorted by key, so that the order in the file means nothing."""
        found: dict[Any, Any] = {}
        for key, value in sorted(self.keys(node, path).items()):
            name = self._converted(key, kind.key_type, (*path, key))
            read = self.read(value, kind.value_type, (*path, key))
            if name is not INVALID and read is not INVALID:
                found[name] = read
        return found

    def _sequence(self, node: Node, kind: inspect.VarTupleType | inspect.ListType, path: KeyPath) -> Any:
        if not isinstance(node, SequenceNode):
            self.report.error(path, f"expected a list, got {_sort(node)}")
            return INVALID
        found = []
        for index, item in enumerate(node.value):
            self.report.seen((*path, index), place(item))
            found.append(self.read(item, kind.item_type, (*path, index)))
        if len(found) < (kind.min_length or 0):
            self.report.error(path, f"expected a list of at least {kind.min_length}, got {len(found)}")
            return INVALID
        valid = [item for item in found if item is not INVALID]
        return tuple(valid) if isinstance(kind, inspect.VarTupleType) else valid

    def _leaf(self, node: Node, kind: inspect.Type, path: KeyPath) -> Any:
        if not isinstance(node, ScalarNode):
            self.report.error(path, f"expected {describe(kind)}, got {_sort(node)}")
            return INVALID
        text = self._scalar(node, path)
        if text is None:
            return INVALID
        if is_secret(kind):
            return Secret(text.text)
        value = _typed(text, wants_text=isinstance(kind, inspect.StrType))
        return self._converted(value, kind, path, source=str(node.value) if text.from_environment else None)

    def _converted(self, value: Plain, kind: inspect.Type, path: KeyPath, source: str | None = None) -> Any:
        try:
            return convert(value, kind)
        except MismatchError as error:
            # what the environment gave may be anything, a secret too: name the variable, not its value
            quoted = None if source is None else re.sub(r":-[^}]*", "", source)
            self.report.error(path, f"expected {describe(kind)}, got {quoted}" if quoted else str(error))
            return INVALID

    def _scalar(self, node: ScalarNode, path: KeyPath) -> Scalar | None:
        if node.tag and not str(node.tag).startswith("tag:yaml.org,2002:"):
            self.report.error(path, "a tag has no meaning here; put a value that begins with ! in quotes")
            return None
        text = scalar(node, self.environ)
        for name in text.missing:
            self.report.error(path, _unset(name))
        return None if text.missing else text

    def _anything(self, node: Node, path: KeyPath) -> Any:
        """A value whose type nobody knows yet. What comes from the environment there counts as a secret."""
        if isinstance(node, MappingNode):
            found = self.keys(node, path).items()
            return {key: self._anything(value, (*path, key)) for key, value in sorted(found)}
        if isinstance(node, SequenceNode):
            return [self._anything(item, (*path, index)) for index, item in enumerate(node.value)]
        text = self._scalar(node, path) if isinstance(node, ScalarNode) else None
        if text is None:
            return None
        return Secret(text.text) if text.from_environment else _typed(text, wants_text=False)


def _typed(text: Scalar, *, wants_text: bool) -> Plain:
    if text.from_environment:
        return text.text if wants_text else meaning(text.text)
    return meaning(text.text) if text.plain else text.text


def _unset(name: str) -> str:
    if not name:
        return "expected ${NAME} or ${NAME:-default}; a dollar sign itself is written $$"
    return f"the environment variable {name} is not set; set it, or write ${{{name}:-default}}"


def _sort(node: Node) -> str:
    if isinstance(node, ScalarNode):
        return "a single value"
    return "a list" if isinstance(node, SequenceNode) else "a mapping"


def _holds_secret(kind: inspect.Type) -> bool:
    return any(map(is_secret, kind.types)) if isinstance(kind, inspect.UnionType) else is_secret(kind)
