"""Checking a group of parameters against its declaration, with problems in our own words.

pydantic decides what is valid; what it says is only used to find the value that is wrong.
"""

import json
import re
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.errors import Problem
from engine.params.base import Clash, Params
from engine.params.rows import Row, describe, find
from engine.presets.steps import known
from engine.presets.wording import given
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, resolve
from engine.text.phrases import suggest

P = TypeVar("P", bound=Params)

_INCOMPLETE = ("missing", "union_tag_not_found", "value_error")
"""Errors that values put in by a sweep can still remove."""


def check(
    cls: type[P], node: Mapping, *, also: tuple[str, ...] = (), partial: bool = False
) -> tuple[P | None, list[Problem]]:
    """The parameters in `node`, or every problem with them.

    `also` are further names allowed beside the declared ones (for suggestions); with `partial`, what a
    sweep may still complete is no problem.
    """
    try:
        return cls.model_validate(node.plain()), []
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
    problems: dict[str, Problem] = {}
    for detail in details:
        if partial and detail["type"] in _INCOMPLETE:
            continue
        problem = _translate(cls, node, detail, also)
        if problem is not None:
            problems.setdefault(problem.path, problem)
    return None, _innermost(problems)


def _innermost(problems: dict[str, Problem]) -> list[Problem]:
    """Without those of a list whose own items have problems: `int | tuple[int, ...]` reports both."""
    return [
        problem
        for path, problem in problems.items()
        if not any(other.startswith((f"{path}.", f"{path}[")) for other in problems)
    ]


def _translate(
    cls: type[Params], root: Mapping, detail: ErrorDetails, also: tuple[str, ...]
) -> Problem | None:
    kind = detail["type"]
    node, names, holder = _follow(root, detail["loc"])
    parent = ".".join(names)
    if kind == "missing":
        return _missing(cls, node, parent, str(detail["loc"][-1]))
    if kind == "extra_forbidden":
        return _extra(cls, node, holder, names, also)
    if kind == "value_error":
        return _clash(node, detail)
    row = find(cls, parent)
    if kind.startswith("union_tag") and isinstance(node, Mapping):
        return _variant(node, row)
    if (
        kind == "too_short"
        and isinstance(node, Listing)
        and row is not None
        and len(node.items) >= row.min_items
    ):
        # pydantic counts only the items that are valid.
        return None
    if row is None:
        return Problem(node.place, node.path, given(node), "")
    if isinstance(holder, Listing) or row.path != parent:
        row = row.one
    return Problem(node.place, node.path, given(node), row.allowed(), _hint(node, row))


def _follow(root: Mapping, loc: tuple[int | str, ...]) -> tuple[Node, list[str], Node]:
    """The node at pydantic's location, the names on the way, and what holds the node.

    A part of the location that is no key there names a variant.
    """
    node: Node = root
    holder: Node = root
    names: list[str] = []
    for part in loc:
        if isinstance(part, int) and isinstance(node, Listing) and part < len(node.items):
            holder, node = node, node.items[part]
        elif isinstance(part, str) and isinstance(node, Mapping) and part in node.items:
            holder, node = node, node.items[part]
            names.append(part)
    return node, names, holder


def _missing(cls: type[Params], node: Node, parent: str, name: str) -> Problem:
    row = find(cls, f"{parent}.{name}" if parent else name)
    path = f"{node.path}.{name}" if node.path else name
    return Problem(node.place, path, "is missing", row.allowed() if row else "")


def _extra(cls: type[Params], node: Node, holder: Node, names: list[str], also: tuple[str, ...]) -> Problem:
    *parents, name = names
    place = holder.key_place(name) if isinstance(holder, Mapping) else node.place
    row = find(cls, ".".join(names))
    if row is not None and row.when:
        return Problem(place, node.path, "does not apply here", f"only when {row.when}")
    allowed, hint = known(cls, ".".join(parents), name, () if parents else also)
    return Problem(place, node.path, "is unknown", allowed, _variant_hint(cls, parents, name, node) or hint)


def _variant_hint(cls: type[Params], parents: list[str], name: str, node: Node) -> str:
    """How to write what belongs to one value of another parameter, as `percentile` to `method`."""
    value = node.text if isinstance(node, Scalar) else "…"
    for row in describe(cls):
        *above, owner, below = ["", *row.path.split(".")]
        if row.when and below == name and above == ["", *parents]:
            kind = row.when.partition(" = ")[2].partition(" or ")[0]
            return f"write {owner}: {{kind: {kind}, {name}: {value}}}"
    return ""


def _clash(node: Node, detail: ErrorDetails) -> Problem:
    error: Any = detail.get("ctx", {}).get("error")
    if not isinstance(error, Clash):
        raise TypeError(f"a validator of parameters must raise Clash, not {error!r}")
    below = node.items.get(error.parameter, node) if isinstance(node, Mapping) else node
    path = f"{node.path}.{error.parameter}" if node.path else error.parameter
    return Problem(below.place, path, error.given, error.allowed)


def _variant(node: Mapping, row: Row | None) -> Problem:
    allowed = row.allowed() if row else ""
    kind = node.items.get("kind")
    if kind is None:
        return Problem(node.place, f"{node.path}.kind", "is missing", allowed)
    return Problem(kind.place, kind.path, given(kind), allowed, _hint(kind, row) if row else "")


def _hint(node: Node, row: Row) -> str:
    """What was probably meant."""
    if isinstance(node, Listing) and row.type not in ("list", "mapping", "group"):
        return "several values to try belong in `sweep`"
    if not isinstance(node, Scalar):
        return ""
    if row.type == "list" and node.value is not None:
        return f"write [{_as_item(node)}]" if _fits(node.value, row.one) else ""
    if row.type == "group":
        return _group_hint(node)
    if isinstance(node.value, str):
        return _text_hint(node.value, row)
    if row.type == "integer" and isinstance(node.value, float) and node.value.is_integer():
        return f"write {int(node.value)}" if _fits(int(node.value), row) else ""
    if (
        row.type == "text" and node.value is not None and row.minimum is None
    ):  # else numbers are taken as they are
        return f"write '{node.text}' in quotes"
    return ""


def _as_item(node: Scalar) -> str:
    """A value as one item of a list in brackets, in quotes where it would be several, or end it."""
    plain = not isinstance(node.value, str) or re.fullmatch(r"[\w./=+-]([\w./=+ -]*[\w./=+-])?", node.text)
    return node.text if plain else json.dumps(node.value, ensure_ascii=False)


def _fits(value: Any, row: Row) -> bool:
    """Whether a value is one that `row` takes, so that a hint does not lead to the next error."""
    if row.type == "choice":
        return value in row.choices
    if row.type not in ("integer", "number"):
        return True
    kinds = int if row.type == "integer" else (int, float)
    return isinstance(value, kinds) and not isinstance(value, bool) and row.holds(value)


def _group_hint(node: Scalar) -> str:
    name = node.path.rpartition(".")[2]
    if isinstance(node.value, str):
        return f"write {name}: {{name: {_as_item(node)}}}" if name in ("model", "data") else ""
    return (
        f"write {name}: {{}} for the defaults"
        if node.value in (None, True) and name not in ("model", "data")
        else ""
    )


_YES = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


def _text_hint(text: str, row: Row) -> str:
    if row.type == "choice" or (row.choices and not _numeric(text)):
        return suggest(text, [str(choice) for choice in row.choices])
    if row.type == "yes/no":
        meant = _YES.get(text.lower(), text.lower())
        return f"write {meant}" if meant in ("true", "false") else ""
    if row.type in ("number", "integer") and _numeric(text):
        return f"write {text.strip()} without quotes" if _fits(resolve(text.strip()), row) else ""
    percent = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]+)?) ?%", text)
    if row.type == "number" and percent and _fits(share := float(percent[1]) / 100, row):
        return f"write {share:g}"
    return ""


def _numeric(text: str) -> bool:
    value = resolve(text.strip())
    return isinstance(value, int | float) and not isinstance(value, bool)
