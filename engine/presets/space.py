"""What a search may choose from: the dimensions that `search.over` opens, and the plain preset at a point of them."""

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from engine.errors import Problem
from engine.params.base import UNKNOWN, Extent
from engine.params.rows import Row, find
from engine.params.training import Fit
from engine.presets import sweep
from engine.presets.steps import SECTIONS, STEPS_ALLOWED, StepNode, normalise, steps_of
from engine.presets.wording import given
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, at, dotted, node_of, put, without

DIGITS = 3
"""Significant digits of a value between the ends of a range: a preset is to be read, and equal ones recognized."""
LOG_FROM = 4.0
"""A range whose end is so many times its begin is searched by its logarithm."""
OPENED = 1 / 64
"""How far along a range its first value is where it has none at its least."""
PROBED = 64
"""Combinations of switches that are checked at most."""
ENABLED = "enabled"

Point = AnyMapping[str, Any]
"""A value for each dimension, by path; those of a step that is off are left out."""


@dataclass(frozen=True)
class Dimension:
    """A parameter that the search sets: one of `values`, or (where there are none) a number from `low` to `high`.

    `opens`: at `low` itself the parameter has no value, because its bound is exclusive: the step is left out there.
    `extent`: what its step's class says of it as a number that tells how far the step goes.
    """

    path: str
    step: int
    field: tuple[str, ...]
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    opens: bool = False
    extent: Extent = UNKNOWN
    written: Scalar = dataclasses.field(default=Scalar(None, "", ""), compare=False)

    @property
    def log(self) -> bool:
        return self.low > 0 and self.high / self.low >= LOG_FROM

    @property
    def switch(self) -> bool:
        return self.field == (ENABLED,)

    @property
    def ordered(self) -> bool:
        """Whether its values are numbers that rise or fall."""
        found = list(self.values)
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in found):
            return False
        return found in (sorted(found), sorted(found, reverse=True))

    def between(self, share: float) -> Any:
        """The value at a share of the way from its first to its last, as it would be proposed."""
        if self.values:
            return self.values[min(int(share * len(self.values)), len(self.values) - 1)]
        if self.log:
            return self.rounded(self.low * (self.high / self.low) ** share)
        return self.rounded(self.low + share * (self.high - self.low))

    @property
    def first(self) -> Any:
        """The first of its values with which the step runs."""
        if self.switch and True in self.values:
            return True
        return self.between(OPENED if self.opens else 0.0)

    def next(self, value: Any, *, harsher: bool) -> Any:
        """The value beside this one with which the step goes further, or less far; None where there is none, or where
        values have no order or no neighbours."""
        up = (self.extent.sign > 0) is harsher
        if not self.extent.sign or not (self.whole or self.ordered):
            return None
        there = sorted(self.values) if self.values else range(int(self.low), int(self.high) + 1)
        place = there.index(value) + (1 if up else -1)
        return there[place] if 0 <= place < len(there) else None

    def share(self, value: float) -> float:
        """How far along a range a number is: what `between` takes."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def rounded(self, value: float) -> int | float:
        """A number of the range as a preset would say it."""
        if self.whole:
            return int(min(max(round(value), self.low), self.high))
        return min(max(float(f"{value:.{DIGITS}g}"), self.low), self.high)

    def node(self, value: Any) -> Node:
        """The value as it stands in a preset; problems with it tell the line of its range."""
        if isinstance(value, dict | list):
            return node_of(value, self.written.path)
        return replace(self.written, value=value, text=str(value))


@dataclass(frozen=True)
class Space:
    """All dimensions, and the rungs of the training that has some.

    `rungs` are the epochs in total of each rung, one 0 where no training has a range; `training`: its place in `over`.
    `names` are what the steps of `over` are called, `techniques` those of them that compress and may run, `off` the
    places of those whose `enabled` is plainly false; from the place `trained` on, none trains.
    """

    names: tuple[str, ...]
    dimensions: tuple[Dimension, ...]
    rungs: tuple[int, ...] = (0,)
    training: int | None = None
    techniques: tuple[str, ...] = ()
    off: frozenset[int] = frozenset()
    trained: int = 0

    def enabled(self, point: Point) -> list[bool]:
        """Of each step of `over` whether it runs at a point."""
        opened = {
            one.step for one in self.dimensions if one.opens and point.get(one.path, one.high) <= one.low
        }
        off = self.off | opened
        switched = (point.get(f"{name}.{ENABLED}") is not False for name in self.names)
        return [on and step not in off for step, on in enumerate(switched)]

    def running(self, point: Point) -> dict[str, bool]:
        """The same by the steps' names."""
        return dict(zip(self.names, self.enabled(point), strict=True))

    def canonical(self, point: Point) -> dict[str, Any]:
        """The point without values of steps that are off, which decide nothing: equal ones are one candidate."""
        on = self.enabled(point)
        found = {}
        for one in self.dimensions:
            if on[one.step]:
                found[one.path] = point[one.path]
        off = [number for number, runs in enumerate(on) if not runs]
        return found | {f"{self.names[number]}.{ENABLED}": False for number in off}

    def trainings(self, point: Point) -> dict[str, Any]:
        """What of a canonical point the trainings depend on: points that agree in it share them in the store."""
        behind = tuple(f"{name}." for name in self.names[self.trained :])
        return {path: value for path, value in point.items() if not path.startswith(behind)}

    def middle(self) -> dict[str, Any]:
        """The point in the middle of every range, where every step runs that may."""
        return {
            one.path: True if one.switch and True in one.values else one.between(0.5)
            for one in self.dimensions
        }

    def first(self) -> dict[str, Any]:
        """The point of first values, where every step runs that may."""
        return {one.path: one.first for one in self.dimensions}

    @property
    def size(self) -> float:
        """How many points there are; infinite where a dimension is a range of fractions."""
        counts = [len(d.values) or (d.high - d.low + 1 if d.whole else math.inf) for d in self.dimensions]
        return math.prod(counts)


def read(root: Mapping) -> tuple[Space, list[Problem]]:
    """The space of a normalised tree whose `search.over` is a list, with every problem of its ranges."""
    steps, problems = _steps(root)
    dimensions: list[Dimension] = []
    off = frozenset(step.index for step in steps if is_off(step))
    for step in steps:
        for one in _of_step(step) if step.index not in off else ():
            if isinstance(one, Problem):
                problems.append(one)
            else:
                dimensions.append(one)
    if problems:
        return Space((), ()), problems
    names = tuple(step.name for step in steps)
    rungs, training, rest = _rungs(steps, dimensions)
    if not rest and len(rungs) == 1:
        node = at(root, "search", "over")
        what = "has nothing to choose: no range, no list of values"
        return Space((), ()), [
            Problem(node.place if node else "", "search.over", what, "such as speedup: 1..8")
        ]
    never = off | {one.step for one in rest if one.switch and True not in one.values}
    techniques = tuple(
        step.name
        for step in steps
        if step.cls is not None and step.cls.compresses and step.index not in never
    )
    trained = max((step.index + 1 for step in steps if step.cls is not None and step.cls.trains), default=0)
    return Space(names, tuple(rest), rungs, training, techniques, off, trained), []


def is_off(step: StepNode) -> bool:
    """Whether its `enabled` is plainly false."""
    switch = step.params.items.get(ENABLED)
    return isinstance(switch, Scalar) and switch.value is False


def _steps(root: Mapping) -> tuple[list[StepNode], list[Problem]]:
    node = at(root, "search", "over")
    if not isinstance(node, Listing) or not node.items:
        place = node.place if node else root.place
        what = given(node) if node else "is missing"
        return [], [Problem(place, "search.over", what, f"auto, or {STEPS_ALLOWED}")]
    base = at(root, "steps")
    items = (*(base.items if isinstance(base, Listing) else ()), *node.items)
    # Beside those of `steps`: names must tell all of them apart.
    _, problems = steps_of(replace(root, items={"steps": Listing(items, node.place, "search.over")}))
    steps, _ = steps_of(replace(root, items={"steps": node}))
    twice = [step for step in steps if sum(other.name == step.name for other in steps) > 1]
    for step in twice[1:]:
        what, allowed = f"is {step.name} again", "an id for each: {id: NAME}"
        problems.append(Problem(step.place, step.path, what, allowed))
    for step in steps:
        if step.name in SECTIONS:
            problems.append(Problem(step.place, step.path, f"is called {step.name}", "a name of its own"))
    return steps, problems


def _of_step(step: StepNode) -> Iterator[Dimension | Problem]:
    if step.cls is not None:
        yield from _below(step, step.params, ())


def _below(step: StepNode, node: Mapping, field: tuple[str, ...]) -> Iterator[Dimension | Problem]:
    for name, below in node.items.items():
        here = (*field, name)
        row = find(step.cls, ".".join(here)) if step.cls else None
        if isinstance(below, Mapping):
            yield from _below(step, below, here)
        elif row is not None:
            found = _dimension(step, below, here, row)
            if found is not None:
                yield found


def _dimension(step: StepNode, node: Node, field: tuple[str, ...], row: Row) -> Dimension | Problem | None:
    """The dimension that a value opens; None for a plain value."""
    path = ".".join((step.name, *field))
    extent = step.cls.extents.get(".".join(field), UNKNOWN) if step.cls else UNKNOWN
    own = Dimension(path, step.index, field, extent=extent, written=Scalar(None, node.place, node.path))
    if isinstance(node, Listing):
        if field == ("id",):
            return Problem(node.place, node.path, given(node), "one name")
        if row.type == "list" and not (node.items and all(isinstance(item, Listing) for item in node.items)):
            return None
        return _several(own, node)
    if not isinstance(node, Scalar) or not isinstance(node.value, str) or ".." not in node.value:
        return None
    match = sweep.RANGE_WITHOUT_STEP.fullmatch(node.value)
    if match is None:
        return _several(own, node)
    if row.type not in ("number", "integer"):
        return Problem(node.place, node.path, given(node), f"{row.allowed()}, or a list of them")
    whole = row.type == "integer"
    if whole and not all(re.fullmatch(r"[-+]?\d+", text) for text in match.groups()):
        return Problem(node.place, node.path, given(node), "a range of whole numbers such as 1..8")
    low, high = (float(text) for text in match.groups())
    if low >= high:
        return Problem(node.place, node.path, given(node), "a range that rises, such as 1..8")
    opens = row.exclusive_minimum and row.minimum == low
    return replace(own, low=low, high=high, whole=whole, opens=opens)


def _several(own: Dimension, node: Node) -> Dimension | Problem:
    nodes, problems = sweep.distinct(node)
    return problems[0] if problems else replace(own, values=tuple(node.plain() for node in nodes))


def _rungs(
    steps: list[StepNode], dimensions: list[Dimension]
) -> tuple[tuple[int, ...], int | None, list[Dimension]]:
    """The rungs that the last training's range of epochs makes, its place, and the other dimensions.

    A range from no epoch at all makes none: that it can't be is told with its value.
    """
    fits = {step.index for step in steps if step.cls is not None and issubclass(step.cls, Fit)}
    ranges = [one for one in dimensions if one.step in fits and one.field == ("epochs",) and one.low >= 1]
    if not ranges:
        return (0,), None, dimensions
    chosen = ranges[-1]
    rungs = [int(chosen.low)]
    while rungs[-1] < chosen.high:
        rungs.append(min(2 * rungs[-1], int(chosen.high)))
    return tuple(rungs), chosen.step, [one for one in dimensions if one is not chosen]


def concrete(root: Mapping, space: Space, point: Point | None, rung: int = -1) -> Mapping:
    """The plain preset at a point: no search, the values put in, steps that are off left out.

    `rung` says how far its last training goes, the highest by default: a chain of trainings, of which those of lower
    rungs are a prefix. Point None: no step of `over` that compresses, but the trainings, with their first values.
    """
    over, base = at(root, "search", "over"), at(root, "steps")
    assert isinstance(over, Listing)
    steps, _ = steps_of(replace(root, items={"steps": over}))
    values = {one.path: one.between(0.0) for one in space.dimensions} | dict(point or {})
    on = (
        space.enabled(values)
        if point is not None
        else [_only_trains(step) and not is_off(step) for step in steps]
    )
    items: list[Node] = [*base.items] if isinstance(base, Listing) else []
    for step in steps:
        if not on[step.index]:
            continue
        params = step.params
        for one in space.dimensions:
            if one.step == step.index and not one.switch:
                params = put(params, one.field, one.node(values[one.path]))
        params = without(params, ENABLED)
        items += _chain(step, params, space.rungs[: rung + 1 or None], chained=step.index == space.training)
    listing = Listing(tuple(items), over.place, "steps")
    rest = {name: node for name, node in root.items.items() if name not in ("search", "steps")}
    return replace(root, items={**rest, "steps": listing})


def baseline(root: Mapping, *, tables: bool = False) -> Mapping:
    """The plain preset of the network that candidates are compared with: what `steps` says, and nothing else; with
    `tables`, those of `search.table` after them."""
    base, beside = at(root, "steps"), at(root, "search", "table")
    listing = base if isinstance(base, Listing) else Listing((), root.place, "steps")
    if tables and isinstance(beside, Listing):
        listing = replace(listing, items=(*listing.items, *beside.items))
    rest = {name: node for name, node in root.items.items() if name != "search"}
    return replace(root, items={**rest, "steps": listing})


def _only_trains(step: StepNode) -> bool:
    return step.cls is not None and issubclass(step.cls, Fit) and not step.cls.compresses


def _chain(step: StepNode, params: Mapping, rungs: tuple[int, ...], *, chained: bool) -> Iterator[Node]:
    """A step, or of the training with rungs one for each of them, with the epochs that are new there."""
    before = 0
    for number, epochs in enumerate(rungs if chained else (0,)):
        own = params
        if chained:
            place = params.key_place("epochs")
            own = put(
                own, ("epochs",), Scalar(epochs - before, place, dotted(step.path, "epochs"), str(epochs))
            )
        if number:
            name = rung_id(step.name, number)
            own = put(own, ("id",), Scalar(name, step.place, dotted(step.path, "id"), name))
        yield Mapping({step.kind: own}, step.place, step.path, {step.kind: step.place})
        before = epochs


def rung_id(name: str, rung: int) -> str:
    """What the training of a rung beyond the first is called, where that of the first is called `name`.

    >>> rung_id("finetune", 1)
    'finetune-2'
    """
    return f"{name.replace('.', '-')}-{rung + 1}"


def probes(space: Space) -> Iterator[tuple[dict[str, Any], int]]:
    """Points, each with a rung, that between them show every value and every combination of switches."""
    first = space.first()
    switches = [one for one in space.dimensions if one.switch]
    combinations: Iterable[tuple[Any, ...]] = product(*(one.values for one in switches))
    for number, values in enumerate(combinations):
        if number == PROBED:
            break
        yield first | dict(zip((one.path for one in switches), values, strict=True)), len(space.rungs) - 1
    for one in space.dimensions:
        ends = one.values if one.values else (one.high, *(() if one.opens else (one.low,)))
        for value in ends if not one.switch else ():
            yield first | {one.path: one.rounded(value) if not one.values else value}, 0


def tree(root: Mapping) -> Mapping:
    """The tree with the steps of `search.over` and `search.table` written as `{kind: {parameters}}`."""
    for name in ("over", "table"):
        steps = at(root, "search", name)
        if isinstance(steps, Listing):
            written = normalise(Mapping({"steps": steps}, root.place, ""))
            root = put(root, ("search", name), written.items["steps"])
    return root
