"""`--set PATH=VALUE`: changing a preset without editing it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.errors import Problem
from engine.presets import sweep
from engine.presets.steps import SECTIONS, Target, Unknown, locate, normalise
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, at, is_empty, load, put, without
from engine.text.phrases import suggest

EXAMPLE = "PATH=VALUE such as train.epochs=1"


@dataclass(frozen=True)
class _Swept:
    """An axis as written: its path and the keys that lead to it."""

    path: str
    keys: tuple[str, ...]


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
        change, found = _read(text)
        changes += [change] if change else []
        problems += found
    root, found = put_all(root, changes)
    return root, [*problems, *found]


def put_all(root: Mapping, changes: Sequence[Change]) -> tuple[Mapping, list[Problem]]:
    """The tree with every change made in turn, and what is wrong with their paths."""
    problems: list[Problem] = []
    swept_before = set(sweep.paths(root.items.get("sweep")))
    for change in changes:
        try:
            changed = _put(root, change.path, change.value)
        except Unknown as error:
            problems.append(Problem(change.place, change.name, *error.parts))
            continue
        assert isinstance(changed, Mapping)
        root = normalise(changed)
    gone = swept_before - set(sweep.paths(root.items.get("sweep")))
    return _adjust_plot(root, gone, {change.path for change in changes}), problems


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


def _put(root: Mapping, path: str, value: Node) -> Node:
    if path == "sweep" and is_empty(value):
        return without(root, "sweep")
    if path in ("steps", "sweep"):
        return put(root, (path,), value)
    if path.startswith("sweep."):
        return _put_axis(root, path.removeprefix("sweep."), value)
    if path.partition(".")[0].partition("[")[0] == "steps":
        raise Unknown("is not how steps are addressed", "STEP.PARAMETER such as train.epochs")
    try:
        target = locate(root, path)
    except Unknown as error:
        what, allowed, hint = error.parts
        raise Unknown(what, allowed, hint or suggest(path, SECTIONS)) from error
    axis = _axis_of(root, target)
    if axis is not None and _replaces(value, target):
        return put(root, axis.keys, value)
    if axis is not None:
        root = _drop(root, axis.keys)
    _refuse_inside_axis(root, target)
    return put(root, target.keys, value)


def _put_axis(root: Mapping, path: str, value: Node) -> Node:
    """Set an axis where it is written already, under whichever name, or add it."""
    if path == "zip":
        return put(root, ("sweep", "zip"), value)
    keys = ("sweep", "zip", path.removeprefix("zip.")) if path.startswith("zip.") else ("sweep", path)
    axis = _axis_of(root, locate(root, keys[-1]))
    return put(root, axis.keys if axis else keys, value)


def _axes(root: Mapping) -> list[_Swept]:
    node = root.items.get("sweep")
    zipped = at(node, "zip")
    axes = [_Swept(path, ("sweep", path)) for path in (node.items if isinstance(node, Mapping) else ())]
    axes += [
        _Swept(path, ("sweep", "zip", path)) for path in (zipped.items if isinstance(zipped, Mapping) else ())
    ]
    return [axis for axis in axes if axis.path != "zip"]


def _axis_of(root: Mapping, target: Target) -> _Swept | None:
    """The axis that sweeps `target`, whatever it is called there."""
    return next((axis for axis in _axes(root) if _keys(root, axis.path) == target.keys), None)


def _keys(root: Mapping, path: str) -> tuple[str | int, ...]:
    try:
        return locate(root, path).keys
    except Unknown:
        return ()


def _refuse_inside_axis(root: Mapping, target: Target) -> None:
    for axis in _axes(root):
        keys = _keys(root, axis.path)
        if keys and keys == target.keys[: len(keys)]:
            raise Unknown(f"lies within {axis.path}, which is swept", f"{axis.path}, or sweep.PATH=[values]")


def _replaces(value: Node, target: Target) -> bool:
    """Whether the value is a new axis rather than a fixed value."""
    if isinstance(value, Listing):
        is_list = target.row is not None and target.row.type == "list"
        return not is_list or all(isinstance(item, Listing) for item in value.items)
    return isinstance(value, Scalar) and isinstance(value.value, str) and ".." in value.value


def _drop(root: Mapping, keys: tuple[str, ...]) -> Mapping:
    """The tree without an axis, and without a section that this leaves empty.

    A list that was zipped with this one only becomes an axis of its own.
    """
    section = root.items["sweep"]
    assert isinstance(section, Mapping)
    if len(keys) == 2:
        section = without(section, keys[1])
    else:
        zipped = section.items["zip"]
        assert isinstance(zipped, Mapping)
        zipped = without(zipped, keys[2])
        if set(zipped.items) <= {sweep.VARIANT}:
            zipped = replace(zipped, items={})
        section = without(section, "zip") if len(zipped.items) < 2 else section
        items = zipped.items if len(zipped.items) < 2 else {"zip": zipped}
        section = replace(section, items=section.items | items)
    return replace(root, items=root.items | {"sweep": section}) if section.items else without(root, "sweep")


def _adjust_plot(root: Mapping, gone: set[str], given_paths: set[str]) -> Mapping:
    """Without a plot along, or lines told apart by, what an override has fixed to one value."""
    plot = root.items.get("plot")
    if not isinstance(plot, Mapping):
        return root
    x, by = plot.items.get("x"), plot.items.get("by")
    if isinstance(x, Scalar) and x.value in gone and "plot.x" not in given_paths:
        return without(root, "plot")
    if isinstance(by, Scalar) and by.value in gone and "plot.by" not in given_paths:
        return replace(root, items=root.items | {"plot": without(plot, "by")})
    return root
