"""The `sweep` section of a preset: which values each swept parameter takes.

Axes multiply (the last varies fastest); the lists below `zip` vary together. A list `variant` among them names
their points: tables and plots then tell the trials apart by these names, and not by the lists beside it.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from engine.errors import Problem
from engine.presets.wording import given
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, is_empty

MAX_TRIALS = 10_000
"""More is a mistake: at a second each they would take three hours, and no plot could show them."""

VARIANT = "variant"
"""The list of names below `zip`."""

STUDY_WIDE = {
    "seed": "is not swept: a list of seeds makes a trial each",
    "threads": "is the same for all trials, so that their latency compares",
    "device": "is the same for all trials, so that their numbers compare",
    "measure": "is the same for all trials, so that their numbers compare",
    "executor": "says where trials run, not what they are",
    "plot": "says how the result is drawn, not what is computed",
    "version": "is the version of the format",
    "about": "describes the whole preset",
    "search": "chooses the trials itself",
}
"""Settings that no sweep varies, each with the reason."""

_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?"
_RANGE = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s+by\s+({_NUMBER})\s*", re.ASCII)
RANGE_WITHOUT_STEP = re.compile(rf"\s*({_NUMBER})\s*\.\.\s*({_NUMBER})\s*", re.ASCII)
ALLOWED = "a list such as [0, 0.5], or a range such as 0..0.9 by 0.1"


@dataclass(frozen=True)
class Axis:
    """Parameters that vary together: one path, or several below `zip`.

    `points` has one node per path for each point of the axis.
    """

    paths: tuple[str, ...]
    points: tuple[tuple[Node, ...], ...]

    @property
    def named(self) -> bool:
        """Whether its points have names."""
        return len(self.paths) > 1 and VARIANT in self.paths

    @property
    def column_names(self) -> tuple[str, ...]:
        """What tells its trials apart in tables and plots."""
        return (VARIANT,) if self.named else self.paths

    def values(self, path: str) -> tuple[Any, ...]:
        """The plain values that `path` takes, in order."""
        column = self.paths.index(path)
        return tuple(point[column].plain() for point in self.points)


def read(node: Node) -> tuple[list[Axis], list[Problem]]:
    """Read a sweep section; the axes come in written order, with every problem found."""
    if is_empty(node) or (isinstance(node, Mapping) and not node.items):
        hint = "leave the section out for a single trial"
        return [], [Problem(node.place, node.path, "is empty", "PATH: [values]", hint)]
    if not isinstance(node, Mapping):
        return [], [Problem(node.place, node.path, given(node), "lines of PATH: [values]")]
    axes: list[Axis] = []
    problems: list[Problem] = []
    for path, below in node.items.items():
        axis, wrong = _zip(below) if path == "zip" else _single(path, below)
        problems += wrong
        if axis is not None:
            axes.append(axis)
    return axes, problems


def plain(axes: list[Axis]) -> dict[str, Any]:
    """The axes as a sweep section of plain values, every range written out."""
    section: dict[str, Any] = {}
    for axis in axes:
        values = {path: list(axis.values(path)) for path in axis.paths}
        section |= {"zip": values} if len(axis.paths) > 1 else values
    return section


def paths(node: Node | None) -> tuple[str, ...]:
    """Every path that a sweep section names, valid or not."""
    if not isinstance(node, Mapping):
        return ()
    zipped = node.items.get("zip")
    inner = tuple(zipped.items) if isinstance(zipped, Mapping) else ()
    return tuple(path for path in node.items if path != "zip") + inner


def column_names(node: Node | None) -> tuple[str, ...]:
    """What trials are told apart by: `paths`, with the names of a `zip` in the place of its lists."""
    zipped = node.items.get("zip") if isinstance(node, Mapping) else None
    hidden = (
        set(zipped.items) - {VARIANT} if isinstance(zipped, Mapping) and VARIANT in zipped.items else set()
    )
    return tuple(path for path in paths(node) if path not in hidden)


def _single(path: str, node: Node) -> tuple[Axis | None, list[Problem]]:
    values, problems = distinct(node)
    return (Axis((path,), tuple((value,) for value in values)) if values else None), problems


def distinct(node: Node) -> tuple[list[Node], list[Problem]]:
    """The values of one parameter, each once: written as a list, a range, or a list with ranges in it."""
    values, problems = _values(node)
    return values, problems + _repeated([(value,) for value in values])


def _zip(node: Node) -> tuple[Axis | None, list[Problem]]:
    if not isinstance(node, Mapping) or len(node.items) < 2:
        allowed = "two or more lines of PATH: [values], all of the same length"
        return None, [Problem(node.place, node.path, given(node), allowed)]
    columns: list[list[Node]] = []
    problems: list[Problem] = []
    for below in node.items.values():
        values, wrong = _values(below)
        columns.append(values)
        problems += wrong
    if problems:
        return None, problems
    lengths = {path: len(column) for path, column in zip(node.items, columns, strict=True)}
    if len(set(lengths.values())) > 1:
        text = ", ".join(f"{length} for {path}" for path, length in lengths.items())
        return None, [Problem(node.place, node.path, f"given {text}", "lists of the same length")]
    axis = Axis(tuple(node.items), tuple(zip(*columns, strict=True)))
    return axis, _repeated(list(axis.points)) + _unnamed(axis)


def _unnamed(axis: Axis) -> list[Problem]:
    """A problem for each name of a variant that is no text, or is another one's too."""
    names = [point[axis.paths.index(VARIANT)] for point in axis.points] if axis.named else []
    texts = [name.value if isinstance(name, Scalar) else None for name in names]
    allowed = "a text of its own for each point, such as static"
    return [
        Problem(name.place, name.path, given(name), allowed)
        for at, (name, text) in enumerate(zip(names, texts, strict=True))
        if not isinstance(text, str) or not text or text in texts[:at]
    ]


def _values(node: Node) -> tuple[list[Node], list[Problem]]:
    """The values written as a list, a range, or a list with ranges in it."""
    if isinstance(node, Listing) and node.items:
        return _flatten(node)
    if isinstance(node, Scalar) and isinstance(node.value, str) and ".." in node.value:
        values, problem = _range(node)
        return list(values), [problem] if problem else []
    hint = ""
    if isinstance(node, Scalar) and node.value is not None:
        hint = "a single value belongs in its step or section"
    return [], [Problem(node.place, node.path, given(node), ALLOWED, hint)]


def _flatten(node: Listing) -> tuple[list[Node], list[Problem]]:
    values: list[Node] = []
    problems: list[Problem] = []
    for item in node.items:
        if isinstance(item, Scalar) and isinstance(item.value, str) and _RANGE.fullmatch(item.value):
            several, problem = _range(item)
            values += several
            problems += [problem] if problem else []
        else:
            values.append(item)
    return values, problems


def _range(node: Scalar) -> tuple[tuple[Node, ...], Problem | None]:
    """The values of `A..B by C`, ends included when hit; decimal arithmetic keeps 0.1 steps exact."""
    match = _RANGE.fullmatch(str(node.value))
    if not match:
        hint = ""
        if RANGE_WITHOUT_STEP.fullmatch(str(node.value)):
            hint = f"say how far apart: {str(node.value).strip()} by 1"
        return (), Problem(node.place, node.path, given(node), ALLOWED, hint)
    first, last, step = (Decimal(text) for text in match.groups())
    if step == 0 or (last - first) / step < 0:
        allowed = "a step that leads from the first value to the last"
        return (), Problem(node.place, node.path, given(node), allowed)
    if (last - first) / step >= MAX_TRIALS:
        return (), Problem(node.place, node.path, given(node), f"at most {MAX_TRIALS:,} values")
    whole = all(re.fullmatch(r"[-+]?\d+", text) for text in match.groups())
    return tuple(_steps(node, first, last, step, whole)), None


def _steps(node: Scalar, first: Decimal, last: Decimal, step: Decimal, whole: bool) -> Iterator[Scalar]:
    for index in range(int((last - first) / step) + 1):
        value = first + index * step
        number = int(value) if whole else float(value)
        yield replace(node, value=number, path=f"{node.path}[{index}]", text=str(number))


def _repeated(points: list[tuple[Node, ...]]) -> list[Problem]:
    """A problem for each point that occurs before: its trials would be computed and drawn twice."""
    seen: set[str] = set()
    problems: list[Problem] = []
    for point in points:
        identity = json.dumps([_comparable(node.plain()) for node in point], sort_keys=True)
        if identity in seen:
            problems.append(
                Problem(point[0].place, point[0].path, f"{given(point[0])} again", "each value once")
            )
        seen.add(identity)
    return problems


def _comparable(value: Any) -> Any:
    """The value with 1 and 1.0 alike, but not 1 and true."""
    if isinstance(value, int) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return value
    return value
