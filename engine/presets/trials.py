"""From a sweep to trials: putting the values of every point in, and checking each combination once."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import product
from math import prod
from typing import Any

from engine.errors import Problem
from engine.params import STEPS, Params, Step
from engine.params.preset import Settings
from engine.presets import sweep
from engine.presets.steps import AROUND, StepNode, Target, Unknown, locate, settings_node
from engine.presets.sweep import MAX_TRIALS, STUDY_WIDE, VARIANT, Axis
from engine.presets.validate import check
from engine.presets.yaml.tree import Listing, Mapping, Node, put

Point = tuple[int, ...]
"""The position on each axis."""

_INSTEAD = {"seed": "`seed: [0, 1, 2]`", "measure": "all that is to be measured, at once, under `measure:`"}


@dataclass(frozen=True)
class Assignment:
    """One swept parameter: the axis, its column there, and what it sets."""

    path: str
    axis: int
    column: int
    target: Target


@dataclass(frozen=True)
class Sweep:
    """The axes of a preset whose paths all name a parameter."""

    axes: tuple[Axis, ...] = ()
    assignments: tuple[Assignment, ...] = ()

    def points(self) -> Iterator[Point]:
        """Every combination, the last axis fastest; one empty point where nothing is swept."""
        return product(*(range(len(axis.points)) for axis in self.axes))

    def node(self, assignment: Assignment, point: Point) -> Node:
        return self.axes[assignment.axis].points[point[assignment.axis]][assignment.column]

    def of_step(self, index: int | None) -> tuple[Assignment, ...]:
        """What is swept in one step, or (None) in the settings; outer parameters before those within them."""
        mine = (one for one in self.assignments if one.target.step == index)
        return tuple(sorted(mine, key=lambda one: len(one.target.field)))

    def put(self, node: Mapping, assignments: Iterable[Assignment], point: Point) -> Mapping:
        """The parameters with the values of a point put in."""
        for assignment in assignments:
            node = put(node, assignment.target.field, self.node(assignment, point))
        return node


def read_sweep(root: Mapping) -> tuple[Sweep, list[Problem]]:
    """The sweep of a normalised tree; axes with problems are left out of it."""
    node = root.items.get("sweep")
    if node is None:
        return Sweep(), []
    axes, problems = sweep.read(node)
    assignments: list[Assignment] = []
    kept: list[Axis] = []
    for axis in axes:
        of_axis: list[Assignment] = []
        columns = [(n, path) for n, path in enumerate(axis.paths) if not (axis.named and path == VARIANT)]
        for column, path in columns:
            target = _target(root, node, path, assignments + of_axis)
            if isinstance(target, Target):
                of_axis.append(Assignment(path, len(kept), column, target))
            else:
                problems.append(target)
        if len(of_axis) == len(columns):
            kept.append(axis)
            assignments += of_axis
    too_many = _too_many(root, node, kept)
    if too_many:
        # More combinations than can be looked at: the first one stands for all.
        kept = [Axis(axis.paths, axis.points[:1]) for axis in kept]
    return Sweep(tuple(kept), tuple(assignments)), problems + too_many


def _target(root: Mapping, node: Node, path: str, before: list[Assignment]) -> Target | Problem:
    zipped = node.items.get("zip") if isinstance(node, Mapping) else None
    owner = zipped if isinstance(zipped, Mapping) and path in zipped.items else node
    assert isinstance(owner, Mapping)
    place, full = owner.key_place(path), f"{owner.path}.{path}"
    section = path.partition(".")[0]
    if section in STUDY_WIDE:
        instead = _INSTEAD.get(section, "parameters of steps, model or data")
        return Problem(place, full, STUDY_WIDE[section], instead)
    try:
        target = locate(root, path)
    except Unknown as error:
        return Problem(place, full, *error.parts)
    if target.row is not None and target.row.type == "group" and not target.row.optional:
        return Problem(place, full, "is a whole group", f"one of its parameters, such as {path}.name")
    if target.step is not None and target.field == ("id",):
        return Problem(place, full, "is not swept: it names the step", "parameters that change a result")
    twin = next((one.path for one in before if one.target.keys == target.keys), None)
    if twin is not None:
        return Problem(place, full, f"is swept already, as {twin}", "each parameter once")
    return target


def _too_many(root: Mapping, node: Node, axes: list[Axis]) -> list[Problem]:
    seeds = root.items.get("seed")
    count = prod(len(axis.points) for axis in axes) * max(
        1, len(seeds.items) if isinstance(seeds, Listing) else 1
    )
    if count <= MAX_TRIALS:
        return []
    return [Problem(root.key_place("sweep"), node.path, f"makes {count:,} trials", f"at most {MAX_TRIALS:,}")]


@dataclass
class Combinations:
    """Every combination of swept values in one group of parameters, each checked once."""

    cls: type[Params]
    base: Mapping
    sweep: Sweep
    assignments: tuple[Assignment, ...]
    also: tuple[str, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    checked: dict[Point, Params | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.assignments:
            return
        # What was written and is replaced in every trial should still be right.
        _, problems = check(self.cls, self.base, also=self.also, partial=True)
        self.problems += problems

    def at(self, point: Point) -> Params | None:
        """The parameters at a point, or None (and problems) where they are not valid."""
        key = tuple(point[axis] for axis in sorted({one.axis for one in self.assignments}))
        if key not in self.checked:
            node = self.sweep.put(self.base, self.assignments, point)
            self.checked[key], problems = check(self.cls, node, also=self.also)
            self.problems += problems
        return self.checked[key]


@dataclass(frozen=True)
class Built:
    """The settings and steps of every point, where all of them are valid."""

    settings: tuple[Settings, ...]
    steps: tuple[tuple[Step, ...], ...]


def build(root: Mapping, steps: list[StepNode], swept: Sweep) -> tuple[Built, list[Problem]]:
    """Check the settings and every step at every point of the sweep."""
    settings = Combinations(Settings, settings_node(root), swept, swept.of_step(None), also=AROUND)
    groups = [
        Combinations(STEPS[step.kind], step.params, swept, swept.of_step(step.index))
        for step in steps
        if step.kind in STEPS
    ]
    points = list(swept.points())
    all_settings = [settings.at(point) for point in points]
    all_steps = [[group.at(point) for group in groups] for point in points]
    problems = [problem for group in (settings, *groups) for problem in group.problems]
    if problems:
        return Built((), ()), problems
    return Built(
        tuple(one for one in all_settings if isinstance(one, Settings)),
        tuple(tuple(step for step in one if isinstance(step, Step)) for one in all_steps),
    ), []


def parameters(swept: Sweep, point: Point) -> dict[str, Any]:
    """Swept path → plain value at a point, in written order; of an axis whose points have names, the name."""
    return {
        path: axis.values(path)[at]
        for axis, at in zip(swept.axes, point, strict=True)
        for path in axis.column_names
    }


def assigned(swept: Sweep, point: Point) -> dict[str, Any]:
    """Path → plain value that every assignment puts in at a point."""
    return {one.path: swept.node(one, point).plain() for one in swept.assignments}


def with_seed(settings: Settings, seed: int) -> Settings:
    return settings.model_copy(update={"seed": seed})
