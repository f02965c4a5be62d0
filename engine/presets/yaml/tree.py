"""YAML text as a tree of nodes that remember where they were written.

Scalars follow YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema), which is what
people expect of a preset: ``2:4``, ``yes`` and ``2024-01-01`` are text, ``1e-3`` is a number. PyYAML only
splits the text into events; nothing it knows about tags or Python objects is ever used.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from engine.errors import Problem
from engine.presets.yaml.errors import explain
from engine.text.visible import STEERING

MAX_CHARACTERS = 1_000_000
"""A preset is a page of text; what is longer is another file given by mistake."""
MAX_NODES = 100_000
"""Ten thousand trials times a few values; aliases that multiply beyond it are a mistake or an attack."""
MAX_DEPTH = 40
"""The format itself is six levels deep."""
MAX_DIGITS = 300
"""Longer whole numbers do not even fit a float."""
SHORT = 60
"""Characters of a value that a message repeats."""

Value = None | bool | int | float | str


@dataclass(frozen=True)
class Scalar:
    """A single value; `text` is what was written."""

    value: Value
    place: str
    path: str
    text: str = ""

    def plain(self) -> Any:
        return self.value


@dataclass(frozen=True)
class Listing:
    """A YAML sequence."""

    items: tuple["Node", ...]
    place: str
    path: str

    def plain(self) -> list[Any]:
        return [item.plain() for item in self.items]


@dataclass(frozen=True)
class Mapping:
    """A YAML mapping, its keys as text; `keys` gives the place of each key."""

    items: dict[str, "Node"]
    place: str
    path: str
    keys: dict[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        return {key: node.plain() for key, node in self.items.items()}

    def key_place(self, key: str) -> str:
        return self.keys.get(key, self.place)


Node = Scalar | Listing | Mapping


def is_empty(node: Node | None) -> bool:
    """Whether nothing, or nothing but `null`, was written."""
    return node is None or (isinstance(node, Scalar) and node.value is None)


def node_of(value: Any, path: str = "") -> Node:
    """Plain values as a tree without places; the inverse of `plain`."""
    if isinstance(value, dict):
        items = {str(key): node_of(below, dotted(path, str(key))) for key, below in value.items()}
        return Mapping(items, "", path)
    if isinstance(value, list | tuple):
        return Listing(tuple(node_of(item, dotted(path, i)) for i, item in enumerate(value)), "", path)
    return Scalar(value, "", path, "" if value is None else str(value))


def under(node: Node, path: str) -> Node:
    """The same tree at another path."""
    if isinstance(node, Mapping):
        items = {key: under(below, dotted(path, key)) for key, below in node.items.items()}
        return replace(node, items=items, path=path)
    if isinstance(node, Listing):
        items_ = tuple(under(item, dotted(path, index)) for index, item in enumerate(node.items))
        return replace(node, items=items_, path=path)
    return replace(node, path=path)


def dotted(path: str, *keys: str | int) -> str:
    """The path of what is below `path`.

    >>> dotted("steps", 0, "train", "epochs")
    'steps[0].train.epochs'
    """
    for key in keys:
        path += f"[{key}]" if isinstance(key, int) else f".{key}" if path else key
    return path


def put(root: Mapping, keys: tuple[str | int, ...], value: Node) -> Mapping:
    """The tree with `value` at `keys`; mappings on the way there are made where they are missing.

    A text on the way is a variant written by its name (`schedule: cubic`) and becomes `{kind: cubic}`.
    """
    changed = _put(root, keys, value)
    assert isinstance(changed, Mapping)
    return changed


def _put(node: Node, keys: tuple[str | int, ...], value: Node) -> Node:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        assert isinstance(node, Listing)
        return replace(
            node, items=(*node.items[:key], _put(node.items[key], rest, value), *node.items[key + 1 :])
        )
    if isinstance(node, Scalar) and isinstance(node.value, str):
        node = Mapping({"kind": node}, node.place, node.path)
    if not isinstance(node, Mapping):
        node = Mapping({}, node.place, node.path)
    below = node.items.get(key, Mapping({}, value.place, dotted(node.path, key)))
    return replace(
        node, items={**node.items, key: _put(below, rest, value)}, keys={key: value.place} | node.keys
    )


def without(node: Mapping, key: str) -> Mapping:
    """The mapping without one of its keys."""
    return replace(node, items={name: below for name, below in node.items.items() if name != key})


def at(node: Node | None, *keys: str) -> Node | None:
    """The node below `keys`, or None."""
    for key in keys:
        if not isinstance(node, Mapping):
            return None
        node = node.items.get(key)
    return node


class _Fatal(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(problem)
        self.problem = problem


def load(text: str, place: Callable[[int], str], path: str = "") -> tuple[Node | None, list[Problem]]:
    """Read one YAML document; `place` names a line (counted from 1) of it, `path` is the root's dotted path.

    Returns the tree, or None where the text is not YAML at all or holds nothing, and every problem found.
    """
    if len(text) > MAX_CHARACTERS:
        given = f"{len(text):,} characters"
        return None, [Problem(place(1), path, given, f"a preset has at most {MAX_CHARACTERS:,}")]
    composer = _Composer(text, place)
    try:
        return composer.document(path), composer.problems
    except _Fatal as fatal:
        return None, [*composer.problems, fatal.problem]


class _Composer:
    """Builds nodes from PyYAML's events."""

    def __init__(self, text: str, place: Callable[[int], str]) -> None:
        self.text = text
        self.place = place
        self.problems: list[Problem] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.count = 0
        self.line = 1

    def document(self, path: str) -> Node | None:
        try:
            self.events = yaml.parse(self.text, Loader=yaml.SafeLoader)
        except yaml.reader.ReaderError as error:
            raise self._not_yaml(error) from error
        root: Node | None = None
        while not isinstance(event := self._next(), yaml.StreamEndEvent):
            if isinstance(event, yaml.DocumentEndEvent) and event.explicit:
                self.line += 1
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            if root is not None:
                raise self._fatal(path, "a second document starts here (`---`)", "one preset per file")
            root = self._node(self._next(), path, 0)
        return root

    def _next(self) -> Any:  # one of PyYAML's events, which are not typed
        event: Any
        try:
            event = next(self.events)
        except (yaml.YAMLError, ValueError, OverflowError) as error:
            raise self._not_yaml(error) from error
        self.line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            event.value = self._whole(event.value)
        return event

    def _whole(self, text: str) -> str:
        """The text with each pair of halves made the character that it is: JSON escapes those beyond 16 bits so."""
        try:
            return text.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise self._fatal(
                "", "given half a character (`\\ud800` to `\\udfff`)", "both halves of it"
            ) from None

    def _not_yaml(self, error: Exception) -> _Fatal:
        line, given, allowed = explain(error, self.text, self.line)
        return _Fatal(Problem(self.place(line), "", given, allowed))

    def _fatal(self, path: str, given: str, allowed: str) -> _Fatal:
        return _Fatal(Problem(self.place(self.line), path, given, allowed))

    def _report(self, path: str, given: str, allowed: str, hint: str = "") -> None:
        self.problems.append(Problem(self.place(self.line), path, given, allowed, hint))

    def _grow(self, by: int, path: str) -> None:
        self.count += by
        if self.count > MAX_NODES:
            allowed = f"at most {MAX_NODES:,} values in a preset, aliases written out"
            raise self._fatal(path, "grows too large", allowed)

    def _node(self, event: Any, path: str, depth: int, place: str = "") -> Node:
        if depth > MAX_DEPTH:
            raise self._fatal(path[:80], "is nested too deeply", f"at most {MAX_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, path)
        before = self.count
        self._grow(1, path)
        if event.tag is not None:
            self._report(path, f"given the tag {event.tag[:60]}", "plain values only, without `!` tags")
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, path)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._listing(path, depth, place or self.place(self.line))
        else:
            node = self._mapping(path, depth, place or self.place(self.line))
        if event.anchor is not None:
            self.anchors[event.anchor] = (node, self.count - before)
        return node

    def _alias(self, event: Any, path: str) -> Node:
        if event.anchor not in self.anchors:
            raise self._fatal(
                path, f"refers to `*{event.anchor}`", f"an anchor `&{event.anchor}` complete before it"
            )
        node, size = self.anchors[event.anchor]
        self._grow(size, path)
        return node

    def _scalar(self, event: yaml.ScalarEvent, path: str) -> Scalar:
        plain = event.implicit[0] and event.tag is None
        value = resolve(event.value) if plain else event.value
        if isinstance(value, float) and not math.isfinite(value):
            self._report(path, f"given {shorten(event.value)}", "a finite number")
        if isinstance(value, int) and len(event.value) > MAX_DIGITS:
            self._report(path, f"given a number of {len(event.value):,} digits", f"at most {MAX_DIGITS}")
        return Scalar(value, self.place(self.line), path, event.value)

    def _listing(self, path: str, depth: int, place: str) -> Listing:
        items: list[Node] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._node(event, f"{path}[{len(items)}]", depth + 1))
        return Listing(tuple(items), place, path)

    def _mapping(self, path: str, depth: int, place: str) -> Mapping:
        items: dict[str, Node] = {}
        keys: dict[str, str] = {}
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            key = self._key(event, path, depth, keys)
            here = self.place(self.line)
            below = ".".join(part for part in (path, key) if part)
            node = self._node(self._next(), below, depth + 1, place=here)
            if key is not None:
                items[key], keys[key] = node, here
        return Mapping(items, place, path, keys)

    def _key(self, event: Any, path: str, depth: int, keys: dict[str, str]) -> str | None:
        """The key as text, or None (and a problem) for one that cannot be used."""
        if not isinstance(event, yaml.ScalarEvent):
            self._node(event, path, depth + 1)
            self._report(path, "has a key that is not a plain name", "names as keys")
            return None
        key: str = event.value
        below = ".".join(part for part in (path, shorten(key)) if part)
        if event.tag is not None:
            self._report(below, f"given the tag {event.tag[:60]}", "plain values only, without `!` tags")
        elif key == "<<" and event.implicit[0]:
            self._report(path, "merges another mapping (`<<`)", "every parameter written where it belongs")
            return None
        elif not key:
            self._report(path, "has a value without a name", "`name: value`")
            return None
        elif key in keys:
            self._report(below, "is written twice", "each name once", f"first at {keys[key]}")
            return None
        return key


_NULL = re.compile(r"(?:~|null|Null|NULL)?")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def resolve(text: str) -> Value:
    """The value of a plain scalar by YAML 1.2's core schema.

    >>> [resolve(text) for text in ("1e-3", "0o17", "2:4", "yes", "~", "True")]
    [0.001, 15, '2:4', 'yes', None, True]
    """
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            return int(text, base) if len(text) <= MAX_DIGITS else 0
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", "", 1))
    return text


def shorten(text: str) -> str:
    """One line of at most `SHORT` characters, fit for a message."""
    line = "".join(character if character.isprintable() else "·" for character in text)
    return line if len(line) <= SHORT else line[: SHORT - 1] + "…"


class _Dumper(yaml.SafeDumper):
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 (PyYAML's own attribute)

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        # PyYAML's other styles fold some of these into plain line breaks and let others stand.
        style = '"' if STEERING.search(data) else None
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)

    def write_double_quoted(self, text: str, split: bool = True) -> None:
        before, self.allow_unicode = self.allow_unicode, self.allow_unicode and not STEERING.search(text)
        super().write_double_quoted(text, split)
        self.allow_unicode = before


_Dumper.add_representer(str, _Dumper.text)

_DUMPED = {
    "null": _NULL,
    "bool": re.compile(f"{_TRUE.pattern}|{_FALSE.pattern}"),
    "int": re.compile("|".join(pattern.pattern for pattern in (_INT, _OCTAL, _HEX))),
    "float": re.compile(f"{_FLOAT.pattern}|{_INFINITE.pattern}"),
    "merge": re.compile("<<"),
}
for _name, _pattern in _DUMPED.items():
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(f"(?:{_pattern.pattern})$"), None)


def to_yaml(document: dict[str, Any]) -> str:
    """Plain values as YAML that `load` reads back to the same values; innermost collections on one line."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )
    return text
