"""Changes to a preset: each takes plain values and gives new ones, the old stay as they are."""

from copy import deepcopy
from typing import Any

from engine.params import STEPS
from engine.params.rows import Row
from engine.presets.sweep import VARIANT
from tui.lab.text import Default, Fixed, Swept, Typed
from tui.lab.tree import (
    ABSENT,
    AxisLine,
    Plain,
    Spot,
    address,
    axes,
    axis_at,
    axis_values,
    nodes,
    rows,
    spot_of,
    steps,
    swept_path,
    value,
)

NEW: Plain = {
    "model": {"name": "resnet20"},
    "data": {"name": "digits"},
    "steps": [{"train": {}}],
}
"""What a new preset starts from: the least that runs, on data that are always there."""

PLOT = Spot(None, "plot")


def put(plain: Plain, spot: Spot, given: Any) -> Plain:
    """With `given` at `spot`, and no longer swept there."""
    changed = _without_axis(plain, spot)
    owner = changed if spot.step is None else steps(changed)[spot.step][1]
    _put(owner, spot.path.split("."), _variant(changed, spot, given))
    return _adjusted(plain, changed)


def reset(plain: Plain, spot: Spot) -> Plain:
    """With the declared default at `spot`: nothing written, nothing swept."""
    changed = _without_axis(plain, spot)
    _remove(changed, spot)
    return _adjusted(plain, changed)


def put_axis(plain: Plain, spot: Spot, values: Any) -> Plain:
    """Swept over `values`, a list or a range's text; an axis keeps its place and its partners."""
    changed = deepcopy(plain)
    axis = axis_at(changed, spot)
    section = changed.setdefault("sweep", {})
    if not isinstance(section, dict):
        section = changed["sweep"] = {}
    if axis is None:
        section[swept_path(changed, spot)] = values
        _remove(changed, spot)
    else:
        (section["zip"] if axis.zipped else section)[axis.path] = values
    return changed


def fix(plain: Plain, spot: Spot, given: Any) -> Plain:
    """No longer swept: fixed to `given`, or to the default where that is ABSENT."""
    return reset(plain, spot) if given is ABSENT else put(plain, spot, given)


def enter(plain: Plain, spot: Spot, typed: Typed) -> Plain:
    """With what was typed into a field."""
    match typed:
        case Default():
            return reset(plain, spot)
        case Swept(values):
            return put_axis(plain, spot, values)
        case Fixed(given):
            if spot == PLOT and given == {}:
                given = first_plot(plain)
            return put(plain, spot, given)


def first_plot(plain: Plain) -> Plain:
    """A plot to start from: accuracy along the first swept parameter, or against sparsity."""
    swept = axes(plain)
    return {"x": swept[0].path if swept else "sparsity", "y": "accuracy"}


def drop_axis(plain: Plain, axis: AxisLine) -> Plain:
    """Without a sweep: fixed to its first value, or gone where it names nothing."""
    if axis.spot is not None:
        values = axis_values(axis)
        return fix(plain, axis.spot, values[0] if values else ABSENT)
    changed = deepcopy(plain)
    _drop_axis(changed, axis.path, axis.zipped)
    return changed


def set_together(plain: Plain, spot: Spot, together: bool) -> Plain:
    """Whether an axis varies together with the others that do (`zip`) or multiplies with all."""
    axis = axis_at(plain, spot)
    if axis is None or axis.zipped == together:
        return plain
    changed = deepcopy(plain)
    section = changed["sweep"]
    if together:
        section.setdefault("zip", {})[axis.path] = section.pop(axis.path)
    else:
        section[axis.path] = section["zip"].pop(axis.path)
        if not section["zip"]:
            del section["zip"]
    return changed


def add_step(plain: Plain, kind: str, at: int) -> tuple[Plain, int]:
    """With a new step of `kind` at position `at`, and that position."""
    changed = deepcopy(plain)
    params: Plain = {}
    if any(other == kind for other, _ in steps(plain)):
        params["id"] = _free_id(plain, kind)
    return _insert(plain, changed, {kind: params}, at), at


def duplicate_step(plain: Plain, index: int) -> tuple[Plain, int]:
    """With a copy of a step after it under an id of its own, and its position; sweeps stay with the first."""
    changed = deepcopy(plain)
    kind, params = steps(changed)[index]
    copy = deepcopy(params) | {"id": _free_id(plain, kind)}
    return _insert(plain, changed, {kind: copy}, index + 1), index + 1


def remove_step(plain: Plain, index: int) -> Plain:
    """Without a step and what is swept in it."""
    changed = deepcopy(plain)
    del changed["steps"][index]
    places = {old: old - (old > index) for old in range(len(steps(plain))) if old != index}
    return _readdressed(plain, changed, places)


def move_step(plain: Plain, index: int, by: int) -> tuple[Plain, int]:
    """With a step moved by that many places, and its new position."""
    count = len(steps(plain))
    to = max(0, min(count - 1, index + by))
    order = [i for i in range(count) if i != index]
    order.insert(to, index)
    changed = deepcopy(plain)
    changed["steps"] = [changed["steps"][i] for i in order]
    return _readdressed(plain, changed, {old: new for new, old in enumerate(order)}), to


def toggle_step(plain: Plain, index: int) -> Plain:
    """With a step switched off, or on again."""
    spot = Spot(index, "enabled")
    return put(plain, spot, False) if enabled(plain, index) else reset(plain, spot)


def enabled(plain: Plain, index: int) -> bool:
    return steps(plain)[index][1].get("enabled", True) is not False


def _insert(plain: Plain, changed: Plain, step: Plain, at: int) -> Plain:
    changed.setdefault("steps", [])
    changed["steps"] = [*(changed["steps"] or [])]
    changed["steps"].insert(at, step)
    return _readdressed(plain, changed, {old: old + (old >= at) for old in range(len(steps(plain)))})


def _free_id(plain: Plain, kind: str) -> str:
    """A name that no step has: `finetune-2`, `prune-weights-2`, …"""
    taken = {address(plain, i) for i in range(len(steps(plain)))} | set(STEPS)
    stem = kind.replace(".", "-")
    number = 2
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def _put(owner: Plain, names: list[str], given: Any) -> None:
    """Set a value below dictionaries, made where they are missing; a variant's name becomes its `kind`."""
    *parents, name = names
    for parent in parents:
        below = owner.get(parent)
        if isinstance(below, str):
            below = {"kind": below}
        owner[parent] = below if isinstance(below, dict) else {}
        owner = owner[parent]
    owner[name] = deepcopy(given)


def _variant(plain: Plain, spot: Spot, given: Any) -> Any:
    """The name of a variant, with those parameters of the variant before that it has too."""
    before = value(plain, spot)
    if not isinstance(given, str) or not isinstance(before, dict):
        return given
    known = {_name(row) for row in rows(plain, spot.step) if _belongs(row, spot.path, given)}
    kept = {name: below for name, below in before.items() if name in known}
    return {"kind": given, **kept} if kept else given


def _belongs(row: Row, owner: str, kind: str) -> bool:
    return row.path.startswith(f"{owner}.") and kind in kinds_of(row)


def kinds_of(row: Row) -> list[str]:
    """The variants in which a row exists; none for a row that always does."""
    return row.when.partition(" = ")[2].split(" or ") if row.when else []


def _name(row: Row) -> str:
    return row.path.rpartition(".")[2]


def _remove(changed: Plain, spot: Spot) -> None:
    """Take a value away, and the groups that this leaves empty unless being there means something."""
    *parents, name = spot.path.split(".")
    owner: Any = changed if spot.step is None else steps(changed)[spot.step][1]
    trail: list[tuple[Plain, str]] = []
    for parent in parents:
        trail.append((owner, parent))
        owner = owner.get(parent)
        if not isinstance(owner, dict):
            return
    owner.pop(name, None)
    meaningful = {row.path for row in rows(changed, spot.step) if row.type == "group" and row.optional}
    for depth in range(len(trail), 0, -1):
        holder, key = trail[depth - 1]
        if holder[key] or ".".join(parents[:depth]) in meaningful:
            return
        del holder[key]


def _without_axis(plain: Plain, spot: Spot) -> Plain:
    changed = deepcopy(plain)
    axis = axis_at(plain, spot)
    if axis is not None:
        _drop_axis(changed, axis.path, axis.zipped)
    return changed


def _drop_axis(changed: Plain, path: str, zipped: bool) -> None:
    """Take an axis away; one that was zipped with this one only becomes an axis of its own."""
    section = changed["sweep"]
    if zipped:
        below = section["zip"]
        del below[path]
        if len(below) < 2:
            section |= {path: given for path, given in section.pop("zip").items() if path != VARIANT}
    else:
        del section[path]
    if not section:
        del changed["sweep"]


def _adjusted(before: Plain, changed: Plain) -> Plain:
    """`_readdressed` for a change that leaves the steps in their places."""
    return _readdressed(before, changed, {i: i for i in range(len(steps(before)))})


def _readdressed(before: Plain, changed: Plain, places: dict[int, int]) -> Plain:
    """With every axis named by where its step is now; axes of removed steps, and plots along them, are gone.

    `places` maps old positions of steps to new ones.
    """
    renamed: dict[str, str] = {}
    for axis in axes(before):
        if axis.spot is None or axis.spot.step is None:
            continue
        place = places.get(axis.spot.step)
        if place is None:
            _drop_axis(changed, axis.path, _is_zipped(changed, axis.path))
        else:
            renamed[axis.path] = swept_path(changed, Spot(place, axis.spot.path))
    if any(old != new for old, new in renamed.items()):
        changed["sweep"] = _renamed(changed.get("sweep") or {}, renamed)
    _readdress_quick(before, changed, places)
    return _adjust_plot(before, changed, renamed)


def _readdress_quick(before: Plain, changed: Plain, places: dict[int, int]) -> None:
    """Let the quick section name steps by what they are called now, in place; without those that are gone."""
    section = before.get("quick")
    if not isinstance(section, dict):
        return
    root = nodes(before)
    kept: Plain = {}
    for path, given in section.items():
        prefix = next((start for start in ("sweep.zip.", "sweep.") if path.startswith(start)), "")
        spot = spot_of(root, path.removeprefix(prefix))
        if spot is None or spot.step is None:
            kept[path] = given
        elif spot.step in places:
            kept[prefix + swept_path(changed, Spot(places[spot.step], spot.path))] = given
    if kept:
        changed["quick"] = kept
    else:
        del changed["quick"]


def _is_zipped(plain: Plain, path: str) -> bool:
    zipped = plain["sweep"].get("zip")
    return isinstance(zipped, dict) and path in zipped


def _renamed(section: Plain, names: dict[str, str]) -> Plain:
    return {
        names.get(path, path): _renamed(below, names) if path == "zip" and isinstance(below, dict) else below
        for path, below in section.items()
    }


def _adjust_plot(before: Plain, changed: Plain, renamed: dict[str, str]) -> Plain:
    """Plot along the same parameters under their new names; not along what is no longer swept."""
    plot = changed.get("plot")
    if not isinstance(plot, dict):
        return changed
    swept = {axis.path for axis in axes(changed)}
    gone = {axis.path for axis in axes(before)} - swept - set(renamed)
    gone |= {old for old, new in renamed.items() if new not in swept}
    for name in ("x", "by"):
        path = plot.get(name)
        if path in gone:
            if name == "x":
                del changed["plot"]
                return changed
            del plot[name]
        elif path in renamed:
            plot[name] = renamed[path]
    return changed
