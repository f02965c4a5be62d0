"""Finding one's way in a preset held as plain values; what a path means is asked of the engine."""

from dataclasses import dataclass
from typing import Any

from engine.errors import UsageError
from engine.params import STEPS, Params
from engine.params.preset import Settings
from engine.params.rows import Row, describe
from engine.presets import spec, sweep
from engine.presets.steps import Unknown, locate, normalise
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, load

Plain = dict[str, Any]
"""A preset as plain values, its steps written out as `{kind: {parameters}}`."""

ABSENT = object()
"""What `value` gives for a parameter that is not written."""


@dataclass(frozen=True)
class Spot:
    """Where a parameter is: in step number `step` (from 0), or (None) in the settings; its dotted path."""

    step: int | None
    path: str


def read(text: str, source: str) -> Plain:
    """A preset's text as plain values, ranges as written.

    Values may be wrong (they are shown as such), but its shape must be that of a preset.

    Raises:
        UsageError: It is not YAML, or its sections or steps have a shape that no form can show.
    """
    root, problems = load(text, lambda line: f"{source}:{line}")
    told = [str(problem) for problem in problems]
    if isinstance(root, Mapping):
        plain: Plain = normalise(root).plain()
        told += shape_problems(plain)
    elif not told:
        told.append("There are no sections such as model:, data: and steps:.")
    if told:
        raise UsageError(
            f"{source} can't be edited here", "\n".join(told), "Correct it in a text editor first."
        )
    return plain


def shape_problems(plain: Plain) -> list[str]:
    """What keeps the forms from showing a preset, a sentence each."""
    told = []
    for name in ("model", "data", "measure", "executor", "plot", "sweep"):
        if not isinstance(plain.get(name, {}), dict | None):
            told.append(f"{name}: is not a group of parameters.")
    steps = plain.get("steps", [])
    if not isinstance(steps, list):
        return [*told, "steps: is not a list."]
    for number, step in enumerate(steps, 1):
        if not (isinstance(step, dict) and len(step) == 1 and isinstance(next(iter(step.values())), dict)):
            told.append(f"Step {number} is not a kind with its parameters, such as train: {{epochs: 10}}.")
    return told


def steps(plain: Plain) -> list[tuple[str, Plain]]:
    """Each step's kind and parameters."""
    return [next(iter(step.items())) for step in plain.get("steps") or []]


def step_class(kind: str) -> type[Params] | None:
    return STEPS.get(kind)


def address(plain: Plain, index: int) -> str:
    """What sweeps call a step: its id, or its kind."""
    kind, params = steps(plain)[index]
    return str(params.get("id") or kind)


def value(plain: Plain, spot: Spot) -> Any:
    """What is written at `spot`, or ABSENT; a variant written by its name alone has that as its `kind`."""
    node: Any = plain if spot.step is None else steps(plain)[spot.step][1]
    for name in spot.path.split("."):
        if isinstance(node, str) and name == "kind":
            return node
        if not isinstance(node, dict) or name not in node:
            return ABSENT
        node = node[name]
    return node


def rows(plain: Plain, step: int | None) -> tuple[Row, ...]:
    """How the parameters of a step, or the settings, are declared; none for a step we do not know."""
    if step is None:
        return describe(Settings)
    cls = step_class(steps(plain)[step][0])
    return describe(cls) if cls else ()


@dataclass(frozen=True)
class AxisLine:
    """One swept parameter: its path as written, what it names (None: nothing), its values as written."""

    path: str
    spot: Spot | None
    values: Any
    zipped: bool

    @property
    def problem_path(self) -> str:
        """The path of its problems."""
        return f"sweep.zip.{self.path}" if self.zipped else f"sweep.{self.path}"


def axes(plain: Plain) -> list[AxisLine]:
    """Every swept parameter in written order, those varying together where their `zip` is."""
    section = plain.get("sweep") or {}
    root = nodes(plain)
    found = []
    for path, values in section.items():
        inner = values.items() if path == "zip" and isinstance(values, dict) else ((path, values),)
        found += [AxisLine(name, spot_of(root, name), below, path == "zip") for name, below in inner]
    return found


def axis_at(plain: Plain, spot: Spot) -> AxisLine | None:
    """The axis that sweeps the parameter at `spot`."""
    return next((axis for axis in axes(plain) if axis.spot == spot), None)


def axis_values(axis: AxisLine) -> list[Any]:
    """The values an axis takes, ranges written out; none where they can't be read."""
    node = nodes({axis.path: axis.values})
    read_axes, _ = sweep.read(node)
    return list(read_axes[0].values(axis.path)) if read_axes else []


def spot_of(root: Mapping, path: str) -> Spot | None:
    """What a swept path names."""
    try:
        target = locate(root, path)
    except Unknown:
        return None
    return Spot(target.step, ".".join(target.field))


def swept_path(plain: Plain, spot: Spot) -> str:
    """How a sweep names the parameter at `spot`."""
    return spot.path if spot.step is None else f"{address(plain, spot.step)}.{spot.path}"


def problem_path(plain: Plain, spot: Spot) -> str:
    """How the engine's problems name the parameter at `spot`."""
    if spot.step is None:
        return spot.path
    return f"steps[{spot.step}].{steps(plain)[spot.step][0]}.{spot.path}"


def nodes(plain: Plain) -> Mapping:
    """Plain values as the tree that the engine's functions take, without places."""
    node = _node(plain, "")
    assert isinstance(node, Mapping)
    return node


def _node(plain: Any, path: str) -> Node:
    if isinstance(plain, dict):
        below = {str(key): _node(item, f"{path}.{key}" if path else str(key)) for key, item in plain.items()}
        return Mapping(below, "", path)
    if isinstance(plain, list):
        return Listing(tuple(_node(item, f"{path}[{i}]") for i, item in enumerate(plain)), "", path)
    return Scalar(plain, "", path, "" if plain is None else str(plain))


def to_yaml(plain: Plain) -> str:
    return spec.to_yaml(plain)
