"""Every change to a preset, for `--set`, the `quick` section and the lab's form alike.

An edit takes a normalised tree and gives a new one; the old stays as it is. Trees and not plain values, because
problems tell the line (or the `--set`) that a value comes from. Where an edit gives a step another name or place,
whatever names its parameters follows. Where one ends a sweep, the plot along it is for
`references.without_stale_plot` to take away, once after all edits that are made as one.

Edits raise `Unknown` where a value would have no effect.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from collections.abc import Mapping as Map
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from engine.params import STEPS
from engine.params.preset import SETTLED_BY_SITES
from engine.presets.addresses import (
    AxisNode,
    axes,
    axis_at,
    keys_of,
    names_of,
    node_at,
    path_of,
    row_at,
    rows_at,
    sweepable,
)
from engine.presets.references import follow, without_line
from engine.presets.steps import Address, Unknown, normalise, step_at, steps_of
from engine.presets.wording import text_of
from engine.presets.yaml import tree
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, dotted, is_empty, node_of, under, without

Edit = Callable[[Mapping], Mapping]


def put(root: Mapping, address: Address, value: Node) -> Mapping:
    """With `value` at `address`, and no longer swept there; null is not written where it is the default for all."""
    axis, row = axis_at(root, address), row_at(root, address)
    changed = _ended(root, axis) if axis else root
    around = _axis_around(changed, address)
    if around is not None:
        raise Unknown(f"lies within {around.path}, which is swept", f"{around.path}, or sweep.PATH=[values]")
    for_all = address.step is not None or address.path not in SETTLED_BY_SITES
    if is_empty(value) and row is not None and row.optional and row.default is None and for_all:
        changed = _removed(changed, address)
    else:
        changed = _set(changed, keys_of(root, address), _variant(changed, address, value))
    return _followed(root, changed, address)


def reset(root: Mapping, address: Address) -> Mapping:
    """With the declared default at `address`: nothing written, nothing swept."""
    axis = axis_at(root, address)
    changed = _removed(_ended(root, axis) if axis else root, address)
    return _followed(root, changed, address)


def sweep(
    root: Mapping, address: Address, values: Node, path: str = "", *, together: bool = False
) -> Mapping:
    """Swept over `values`, a list or a range's text, and no longer fixed there.

    An axis keeps its name, its place and its partners; a new one is called `path` (default: the parameter's).
    With `together` it varies together with the others that do.
    """
    if together:
        root = set_together(root, address, True)
    axis, row = axis_at(root, address), row_at(root, address)
    if axis is not None:
        return _set(root, axis.keys, values)
    keys = ("sweep", "zip") if together else ("sweep",)
    changed = _set(root, (*keys, path or path_of(root, address)), values)
    return _removed(changed, address) if row is not None and sweepable(address, row) else changed


def drop_axis(root: Mapping, axis: AxisNode) -> Mapping:
    """Without a line of the sweep: its parameter is fixed to the first value, or reset where there is none."""
    root = _ended(root, axis)
    if axis.address is None or axis_at(root, axis.address):
        return root
    values = axis.values()
    if not values or _axis_around(root, axis.address):
        return reset(root, axis.address)
    return put(root, axis.address, node_of(values[0]))


def set_together(root: Mapping, address: Address, together: bool) -> Mapping:
    """Whether an axis varies together with the others that do (`zip`) or multiplies with all."""
    axis, section = axis_at(root, address), root.items.get("sweep")
    if axis is None or axis.zipped == together or not isinstance(section, Mapping):
        return root
    keys = ("sweep", "zip", axis.path) if together else ("sweep", axis.path)
    root = _set(root, ("sweep",), without_line(section, axis.path, axis.zipped))
    return _set(root, keys, under(axis.node, dotted("", *keys)))


def put_steps(root: Mapping, steps: Node) -> Mapping:
    """With other steps; what names parameters of the old ones stays as it is."""
    return normalise(_set(root, ("steps",), steps))


def add_step(root: Mapping, kind: str, at: int, params: Map[str, Any] = MappingProxyType({})) -> Mapping:
    """With a new step of `kind` at position `at`, under an id where there is another of its kind."""
    known = any(step.kind == kind for step in steps_of(root)[0])
    own = {"id": _free_id(root, kind)} if known else {}
    return _insert(root, node_of({kind: own | dict(params)}), at)


def copy_step(root: Mapping, index: int) -> Mapping:
    """With a copy of a step right after it, under an id of its own; sweeps stay with the first."""
    step = step_at(root, index)
    params = replace(step.params, items=step.params.items | {"id": node_of(_free_id(root, step.kind))})
    return _insert(root, Mapping({step.kind: params}, step.place, ""), index + 1)


def remove_step(root: Mapping, index: int) -> Mapping:
    """Without a step and what is swept in it."""
    return _ordered(root, [old for old in range(len(_items(root))) if old != index])


def move_step(root: Mapping, index: int, to: int) -> Mapping:
    """With a step moved to position `to`, or to the nearer end."""
    order = [old for old in range(len(_items(root))) if old != index]
    order.insert(max(to, 0), index)
    return _ordered(root, order)


def switch_step(root: Mapping, index: int) -> Mapping:
    """With a step switched off, or on again."""
    address = Address(index, "enabled")
    return put(root, address, node_of(False)) if enabled(root, index) else reset(root, address)


def enabled(root: Mapping, index: int) -> bool:
    node = node_at(root, Address(index, "enabled"))
    return not (isinstance(node, Scalar) and node.value is False)


def _set(root: Mapping, keys: tuple[str | int, ...], value: Node) -> Mapping:
    return tree.put(root, keys, value if value.path else under(value, dotted("", *keys)))


def _variant(root: Mapping, address: Address, value: Node) -> Node:
    """The name of a variant, with those parameters of the variant before that it has too."""
    before, kind = node_at(root, address), text_of(value)
    if not kind or not isinstance(before, Mapping):
        return value
    known = [row.path for row in rows_at(root, address.step) if kind in row.kinds]
    kept = {name: node for name, node in before.items.items() if f"{address.path}.{name}" in known}
    return replace(before, items={"kind": value, **kept}) if kept else value


def _removed(root: Mapping, address: Address) -> Mapping:
    """Without a value, and the groups that this leaves empty unless being there means something."""
    meaning = {row.path for row in rows_at(root, address.step) if row.type == "group" and row.optional}
    names = names_of(root, address)
    if address.step is None:
        return _pruned(root, names, meaning)
    step = step_at(root, address.step)
    return _set(root, ("steps", step.index, step.kind), _pruned(step.params, names, meaning))


def _pruned(node: Mapping, names: Sequence[str], meaning: Collection[str], path: str = "") -> Mapping:
    name, *rest = names
    below, path = node.items.get(name), dotted(path, name)
    if rest and not isinstance(below, Mapping):
        return node
    if rest and isinstance(below, Mapping):
        below = _pruned(below, rest, meaning, path)
        if below.items or path in meaning:
            return replace(node, items=node.items | {name: below})
    return without(node, name)


def _axis_around(root: Mapping, address: Address) -> AxisNode | None:
    """The axis over a group or variant that a parameter lies in, whose values would replace it."""
    for axis in axes(root):
        outer = axis.address
        if outer and outer.step == address.step and address.path.startswith(f"{outer.path}."):
            return axis
    return None


def _ended(root: Mapping, axis: AxisNode) -> Mapping:
    """Without an axis, and without a section that this leaves empty."""
    section = root.items["sweep"]
    assert isinstance(section, Mapping)
    section = without_line(section, axis.path, axis.zipped)
    return _set(root, ("sweep",), section) if section.items else without(root, "sweep")


def _items(root: Mapping) -> tuple[Node, ...]:
    steps = root.items.get("steps")
    return steps.items if isinstance(steps, Listing) else ()


def _insert(root: Mapping, step: Node, at: int) -> Mapping:
    items = [*_items(root)]
    items.insert(at, step)
    return follow(root, _with_steps(root, items), {old: old + (old >= at) for old in range(len(items) - 1)})


def _ordered(root: Mapping, order: list[int]) -> Mapping:
    """With the steps at these old positions, in this order."""
    items = _items(root)
    changed = _with_steps(root, (items[old] for old in order))
    return follow(root, changed, {old: new for new, old in enumerate(order)})


def _with_steps(root: Mapping, items: Iterable[Node]) -> Mapping:
    placed = tuple(under(item, dotted("steps", index)) for index, item in enumerate(items))
    return _set(root, ("steps",), Listing(placed, root.key_place("steps"), "steps"))


def _free_id(root: Mapping, kind: str) -> str:
    """A name that no step has: `finetune-2`, `prune-weights-2`, …"""
    taken = {step.name for step in steps_of(root)[0]} | set(STEPS)
    stem, number = kind.replace(".", "-"), 2
    while f"{stem}-{number}" in taken:
        number += 1
    return f"{stem}-{number}"


def _followed(before: Mapping, after: Mapping, address: Address) -> Mapping:
    """With the new name of the step wherever it is named, if it is its id that was edited."""
    if address.step is None or address.path != "id":
        return after
    return follow(before, after, {step.index: step.index for step in steps_of(before)[0]})
