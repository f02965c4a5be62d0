"""The declarations of `engine.params` as rows, for forms, `secateur params`, the docs and error messages."""

import ast
import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from functools import cache
from itertools import pairwise
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from engine.params.base import Params, StepParams
from engine.params.choices import meaning

_TYPES = {bool: "yes/no", int: "integer", float: "number", str: "text", Any: "anything"}
_NOUNS = {
    "yes/no": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "text": "text",
    "mapping": "a mapping of names to values",
    "group": "a group of parameters",
    "anything": "any value",
}
_PLURALS = {"integer": "whole numbers", "number": "numbers", "text": "texts", "choice": "choices"}


Owner = type[Params]


@dataclass(frozen=True)
class Row:
    """One parameter as people read it.

    Attributes:
        path: Dotted name below the class described, such as `latency.batch`.
        type: `number`, `integer`, `choice`, `text`, `list`, `yes/no`, `mapping`,
            or `group` (rows below it follow).
        item: Type of a list's items, or of a mapping's values.
        listable: Whether a list of such values is taken as well as a single one.
        default: Value when not given, as JSON; a variant's default is its kind.
        required: Whether it must be given.
        optional: Whether `null` is a value.
        choices: Values allowed; for another type than `choice`, values allowed beside it.
        meanings: What each of them means, in a line; empty where nothing is said of it.
        minimum: Least value (or the values of a list), in `unit`; likewise `maximum`.
        form: What a text must look like.
        when: Condition under which it exists, such as `schedule = linear or cubic`.
        said: Its help, where no class declares it.
        owner: The class that declares it.
    """

    path: str
    type: str
    item: str = ""
    listable: bool = False
    default: Any = None
    required: bool = False
    optional: bool = False
    choices: tuple[Any, ...] = ()
    meanings: tuple[str, ...] = ()
    minimum: float | int | None = None
    maximum: float | int | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    min_items: int = 0
    unit: str = ""
    form: str = ""
    when: str = ""
    said: str = ""
    owner: Owner | None = field(default=None, compare=False, repr=False)

    @property
    def help(self) -> str:
        """What it is for, read from its class's source when it is first asked for."""
        if self.owner is None:
            return self.said
        return plain(_helps(self.owner).get(self.path.rpartition(".")[2], ""))

    def as_dict(self) -> dict[str, Any]:
        """All that is known of it as plain values."""
        return {
            one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("said", "owner")
        } | {"help": self.help}

    @property
    def bounds(self) -> str:
        """The bounds in signs.

        >>> Row("sparsity", "number", minimum=0, maximum=1, exclusive_maximum=True).bounds
        '≥ 0 and < 1'
        """
        low = high = ""
        if self.minimum is not None:
            low = f"{'>' if self.exclusive_minimum else '≥'} {number(self.minimum)}"
        if self.maximum is not None:
            high = f"{'<' if self.exclusive_maximum else '≤'} {number(self.maximum)}"
        return " and ".join(part for part in (low, high) if part)

    def holds(self, number: float) -> bool:
        """Whether a number is within the bounds.

        >>> [Row("sparsity", "number", minimum=0, maximum=1, exclusive_maximum=True).holds(n) for n in (-1, 0, 1)]
        [False, True, False]
        """
        low, high = self.minimum, self.maximum
        above = low is None or (number > low if self.exclusive_minimum else number >= low)
        return above and (high is None or (number < high if self.exclusive_maximum else number <= high))

    @property
    def kinds(self) -> tuple[str, ...]:
        """The variants in which it exists; none for what always does.

        >>> Row("schedule.rounds", "integer", when="schedule = linear or cubic").kinds
        ('linear', 'cubic')
        """
        return tuple(self.when.partition(" = ")[2].split(" or ")) if self.when else ()

    @property
    def one(self) -> "Row":
        """The row of a single item of a list or mapping."""
        return replace(
            self, type=self.item or self.type, item="", listable=False, optional=False, unit=self.unit
        )

    def allowed(self) -> str:
        """What values are allowed, as a phrase.

        >>> Row("epochs", "integer", minimum=1, unit="epochs").allowed()
        'a whole number ≥ 1 (epochs)'
        """
        unit = f" ({self.unit})" if self.unit else ""
        if self.type == "list":
            items = self._several()
            least = "at least one of them" if self.min_items == 1 else f"at least {self.min_items}"
            text = f"a list of {items}{unit}" + (f", {least}" if self.min_items else "")
            named = self.choices if self.item != "choice" else ()
            return ", or ".join([text, *map(str, named)])
        if self.type == "mapping" and self.bounds:
            return f"names, each with {self.one.allowed()}"
        text = self._single() + unit
        if self.listable:
            text += ", or a list of them"
        return text + (", or null" if self.optional else "")

    def _single(self) -> str:
        choices = ", ".join(str(choice) for choice in self.choices)
        if self.type == "choice":
            return choices if len(self.choices) == 1 else f"one of {choices}"
        noun = self.form or _NOUNS[self.type]
        text = f"{noun} {self.bounds}" if self.bounds else noun
        return f"{text}, or {choices}" if choices else text

    def _several(self) -> str:
        if self.item == "choice":
            return ", ".join(str(choice) for choice in self.choices)
        noun = self.form or _PLURALS.get(self.item, _NOUNS.get(self.item, self.item))
        return f"{noun} {self.bounds}" if self.bounds else noun


def number(value: float) -> str:
    """A bound without needless digits."""
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e15 else f"{value:g}"


@cache
def describe(cls: type[Params]) -> tuple[Row, ...]:
    """Every parameter of `cls`; nested groups and variants get dotted names below their own row."""
    names = list(cls.model_fields)
    if issubclass(cls, StepParams):
        # What all steps share comes after what makes this one.
        names.sort(key=lambda name: name in StepParams.model_fields)
    return tuple(row for name in names for row in _rows(cls, name))


@cache
def _helps(cls: type[Params]) -> dict[str, str]:
    """The docstrings under a class's attributes, its bases' among them.

    Read here rather than by pydantic, which reads the source of every class as it is declared.
    """
    helps: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Params):
            helps |= _docstrings(base.__module__).get(base.__name__, {})
    return helps


@cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """By class of a module and by attribute: the text that stands under the attribute's declaration."""
    docstrings: dict[str, dict[str, str]] = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if isinstance(node, ast.ClassDef):
            docstrings[node.name] = {
                above.target.id: inspect.cleandoc(below.value.value)
                for above, below in pairwise(node.body)
                if isinstance(above, ast.AnnAssign)
                and isinstance(above.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
                and isinstance(below.value.value, str)
            }
    return docstrings


def find(cls: type[Params], path: str) -> Row | None:
    """The row of a dotted path; below a mapping, the mapping's; a variant's `kind`, the variant's."""
    rows = describe(cls)
    owner = path.removesuffix(".kind")
    if owner != path and any(row.path.startswith(f"{owner}.") and row.when for row in rows):
        path = owner
    for row in rows:
        if row.path == path or (row.type == "mapping" and path.startswith(f"{row.path}.")):
            return row
    return None


def path_keys(cls: type[Params], path: str) -> tuple[str, ...]:
    """The names that a dotted path leads through; what it names in a mapping of values is one, dots and all."""
    row = find(cls, path)
    if row is None or row.type != "mapping" or row.item == "anything" or row.path == path:
        return tuple(path.split("."))
    return (*row.path.split("."), path[len(row.path) + 1 :])


def summary(cls: type[BaseModel]) -> str:
    """A class's first paragraph, on one line."""
    return plain((cls.__doc__ or "").split("\n\n")[0])


def plain(text: str) -> str:
    return " ".join(text.split())


@dataclass
class _Shape:
    """What an annotation says, gathered from its parts; `noun` is the row's type."""

    noun: str = ""
    item: str = ""
    listable: bool = False
    optional: bool = False
    choices: list[Any] = field(default_factory=list)
    classes: list[type[Params]] = field(default_factory=list)
    limits: dict[str, Any] = field(default_factory=dict)


def _rows(cls: type[Params], name: str) -> Iterator[Row]:
    info = cls.model_fields[name]
    shape = _Shape()
    _read(info.annotation, shape)
    _limits(info.metadata, shape)
    extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
    row = Row(
        path=name,
        type=shape.noun,
        item=shape.item,
        listable=shape.listable,
        default=_default(info),
        required=info.is_required(),
        optional=shape.optional,
        choices=tuple(shape.choices),
        meanings=tuple(_meanings(name, shape)),
        unit=str(extra.get("unit", "")),
        form=str(extra.get("form", "")),
        owner=cls,
        **shape.limits,
    )
    yield row
    if shape.noun == "group":
        yield from (replace(below, path=f"{name}.{below.path}") for below in describe(shape.classes[0]))
    elif shape.classes:
        yield from _variants(name, shape.classes)


def _meanings(name: str, shape: _Shape) -> Iterator[str]:
    """What each choice means: the first paragraph of its class, where it is one."""
    classes = {_kind(cls): cls for cls in shape.classes if "kind" in cls.model_fields}
    for choice in shape.choices:
        yield summary(classes[choice]) if choice in classes else meaning(name, choice)


def _variants(name: str, classes: Iterable[type[Params]]) -> Iterator[Row]:
    """The parameters of all variants, each once, with the kinds that have it."""
    kinds: list[tuple[Row, list[str]]] = []
    for cls in classes:
        for row in describe(cls):
            if row.path == "kind":
                continue
            having = next(
                (having for known, having in kinds if known == row and known.help == row.help), None
            )
            if having is None:
                kinds.append((row, [_kind(cls)]))
            else:
                having.append(_kind(cls))
    for row, having in kinds:
        yield replace(row, path=f"{name}.{row.path}", when=f"{name} = {' or '.join(having)}")


def _kind(cls: type[Params]) -> str:
    return str(cls.model_fields["kind"].default)


def _default(info: FieldInfo) -> Any:
    if info.default is PydanticUndefined:
        return None
    kind = getattr(info.default, "kind", None)
    return _plain(info.default) if kind is None else kind


def _plain(value: Any) -> Any:
    """A default as JSON has it.

    Not by pydantic, which builds the validators of a class for that: the lab's first frame does without.
    """
    if isinstance(value, Params):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _read(annotation: Any, shape: _Shape) -> None:
    """Add what `annotation` says to `shape`."""
    origin = get_origin(annotation)
    if origin is Annotated:
        base, *metadata = get_args(annotation)
        _read(base, shape)
        _limits(metadata, shape)
    elif origin in (Union, UnionType):
        for member in get_args(annotation):
            _read(member, shape)
    elif origin is Literal:
        shape.noun = shape.noun or "choice"
        shape.choices += get_args(annotation)
    elif origin is tuple:
        _read_tuple(get_args(annotation)[0], shape)
    elif origin is dict:
        _read(get_args(annotation)[1], shape)
        shape.noun, shape.item = "mapping", shape.noun
    elif annotation is NoneType:
        shape.optional = True
    elif isinstance(annotation, type) and issubclass(annotation, Params):
        _read_class(annotation, shape)
    else:
        shape.noun = _TYPES[annotation]


def _read_tuple(item: Any, shape: _Shape) -> None:
    if shape.noun:
        # `int | tuple[int, ...]`: the single value was described already.
        shape.listable = True
        return
    _read(item, shape)
    shape.noun, shape.item = "list", shape.noun


def _read_class(cls: type[Params], shape: _Shape) -> None:
    shape.classes.append(cls)
    if "kind" in cls.model_fields:
        shape.noun = "choice"
        shape.choices.append(_kind(cls))
    else:
        shape.noun = "group"


_BOUNDS = {
    "ge": ("minimum", "exclusive_minimum", False),
    "gt": ("minimum", "exclusive_minimum", True),
    "le": ("maximum", "exclusive_maximum", False),
    "lt": ("maximum", "exclusive_maximum", True),
}


def _limits(metadata: Iterable[Any], shape: _Shape) -> None:
    for item in metadata:
        if isinstance(item, FieldInfo):
            _limits(item.metadata, shape)
            continue
        for name, (bound, exclusive, strict) in _BOUNDS.items():
            if (limit := getattr(item, name, None)) is not None:
                shape.limits |= {bound: limit, exclusive: strict}
        if (least := getattr(item, "min_length", None)) is not None and not shape.listable:
            shape.limits["min_items"] = least
