"""`--set PATH=VALUE` and the lines of `quick`: text that says which edits to make of a preset."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import Problem
from engine.presets import edits
from engine.presets.addresses import axis_at
from engine.presets.references import without_stale_plot
from engine.presets.steps import SECTIONS, Target, Unknown, locate, normalise
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, is_empty, load, put, without
from engine.text.phrases import suggest

EXAMPLE = "PATH=VALUE such as train.epochs=1"


@dataclass(frozen=True)
class Change:
    """A value to put at a dotted path; `place` and `name` are what problems with the path call it."""

    path: str
    value: Node
    place: str
    name: str = ""


def apply(root: Mapping, overrides: Sequence[str]) -> tuple[Mapping, list[Problem]]:
    """The tree with every override applied in turn, and what is wrong with them."""
    problems: list[Problem] = []
    changes: list[Change] = []
    for text in overrides:
        change, wrong = _read(text)
        changes += [change] if change else []
        problems += wrong
    root, wrong = put_all(root, changes)
    return root, [*problems, *wrong]


def put_all(root: Mapping, changes: Sequence[Change]) -> tuple[Mapping, list[Problem]]:
    """The normalised tree with every change made in turn, and what is wrong with their paths."""
    problems: list[Problem] = []
    changed = root
    for change in changes:
        try:
            changed = normalise(_edit(changed, change.path, change.value))
        except Unknown as error:
            problems.append(Problem(change.place, change.name, *error.parts))
    paths = {change.path for change in changes}
    given = ("x", "by") if "plot" in paths else [name for name in ("x", "by") if f"plot.{name}" in paths]
    return without_stale_plot(root, changed, given), problems


def _read(text: str) -> tuple[Change | None, list[Problem]]:
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        return None, [Problem("--set", "", f"given '{text[:80]}'", EXAMPLE)]
    place = f"--set {path}"
    node, problems = load(value, lambda _line: place, path)
    if node is None and problems:
        return None, problems
    return Change(path, node or Scalar(None, place, path), place), problems


def _edit(root: Mapping, path: str, value: Node) -> Mapping:
    if path == "sweep" and is_empty(value):
        return without(root, "sweep")
    if path in ("sweep", "sweep.zip"):
        return put(root, tuple(path.split(".")), value)
    if path == "steps":
        return edits.put_steps(root, value)
    if path.startswith("sweep."):
        name = path.removeprefix("sweep.")
        together, name = name.startswith("zip."), name.removeprefix("zip.")
        return edits.sweep(root, locate(root, name).address, value, name, together=together)
    if path.partition(".")[0].partition("[")[0] == "steps":
        raise Unknown("is not how steps are addressed", "STEP.PARAMETER such as train.epochs")
    try:
        target = locate(root, path)
    except Unknown as error:
        what, allowed, hint = error.parts
        raise Unknown(what, allowed, hint or suggest(path, SECTIONS)) from error
    swept = axis_at(root, target.address) is not None
    return (edits.sweep if swept and _is_axis(value, target) else edits.put)(root, target.address, value)


def _is_axis(value: Node, target: Target) -> bool:
    """Whether the value is that of an axis rather than a fixed one."""
    if isinstance(value, Listing):
        is_list = target.row is not None and target.row.type == "list"
        return not is_list or all(isinstance(item, Listing) for item in value.items)
    return isinstance(value, Scalar) and isinstance(value.value, str) and ".." in value.value
