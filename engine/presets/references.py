"""What names the parameters of steps: the sweep, the plot and the quick section; they follow when steps change."""

from collections.abc import Callable, Collection
from collections.abc import Mapping as Map
from dataclasses import replace

from engine.presets import sweep
from engine.presets.addresses import lines
from engine.presets.steps import Unknown, find_step, step_at
from engine.presets.sweep import VARIANT
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, dotted, put, under, without

Rename = Callable[[str], str | None]
"""What a path is called now; None if what it named is gone."""


def follow(before: Mapping, after: Mapping, places: Map[int, int]) -> Mapping:
    """With every parameter named by where its step is now; `places` maps old positions of steps to new ones.

    A path stays as it is written where it still means the same; what named parameters of removed steps is gone.
    """

    def rename(path: str) -> str | None:
        try:
            step, name = find_step(before, path)
        except Unknown:
            return path
        if step.index not in places:
            return None
        now = step_at(after, places[step.index])
        kept = now.name == step.name and _index(after, path) == now.index
        return path if kept or not name else f"{now.name}.{name}"

    for section, renamed in (("sweep", _sweep), ("plot", _plot), ("quick", _quick)):
        node = after.items.get(section)
        if isinstance(node, Mapping):
            changed = renamed(node, rename)
            after = put(after, (section,), changed) if changed else without(after, section)
    return after


def without_line(section: Mapping, path: str, zipped: bool) -> Mapping:
    """A sweep section without a line; a list left alone below `zip` is an axis of its own in its place."""
    below = section.items.get("zip")
    if not zipped or not isinstance(below, Mapping):
        return without(section, path)
    left = without(below, path)
    if len(left.items) > 1:
        return replace(section, items=section.items | {"zip": left})
    alone = {
        name: under(node, dotted(section.path, name)) for name, node in left.items.items() if name != VARIANT
    }
    items: dict[str, Node] = {}
    for name, node in section.items.items():
        items |= alone if name == "zip" else {name: node}
    return replace(section, items=items, keys=section.keys | left.keys)


def without_stale_plot(before: Mapping, after: Mapping, given: Collection[str] = ()) -> Mapping:
    """Without a plot along, or lines told apart by, what is no longer swept; names of it in `given` stay."""
    plot = after.items.get("plot")
    if not isinstance(plot, Mapping):
        return after
    gone = set(sweep.paths(before.items.get("sweep"))) - set(sweep.paths(after.items.get("sweep")))
    x, by = plot.items.get("x"), plot.items.get("by")
    if x and "x" not in given and _text(x) in gone:
        return without(after, "plot")
    if by is None or "by" in given:
        return after
    left = _those(by, lambda name: None if name in gone else name)
    return put(
        after, ("plot",), replace(plot, items=plot.items | {"by": left}) if left else without(plot, "by")
    )


def _index(root: Mapping, path: str) -> int | None:
    try:
        return find_step(root, path)[0].index
    except Unknown:
        return None


def _sweep(section: Mapping, rename: Rename) -> Mapping | None:
    """A sweep section with its paths renamed; None if nothing is left of it."""
    for path, _, zipped in list(lines(section)):
        if rename(path) is None:
            section = without_line(section, path, zipped)
    return _renamed(section, rename) if section.items else None


def _renamed(section: Mapping, rename: Rename) -> Mapping:
    items: dict[str, Node] = {}
    keys: dict[str, str] = {}
    for path, node in section.items.items():
        below = _renamed(node, rename) if path == "zip" and isinstance(node, Mapping) else node
        name = rename(path) or path
        items[name] = under(below, dotted(section.path, name))
        keys[name] = section.key_place(path)
    return replace(section, items=items, keys=keys)


def _plot(plot: Mapping, rename: Rename) -> Mapping | None:
    """A plot along the same parameters; None if the one it is drawn along is gone."""
    for name in ("x", "by"):
        node = plot.items.get(name)
        named = _those(node, rename) if node else None
        if node and named is None and name == "x":
            return None
        plot = replace(plot, items=plot.items | {name: named}) if named else without(plot, name)
    return plot


def _quick(section: Mapping, rename: Rename) -> Mapping | None:
    """The quick section: its paths, and what is named in the sweep and the plot that it puts in."""
    if "steps" in section.items:
        return section  # its paths name the parameters of these steps
    items: dict[str, Node] = {}
    keys: dict[str, str] = {}
    for path, node in section.items.items():
        name = path
        if path in ("sweep", "sweep.zip", "plot") and isinstance(node, Mapping):
            changed: Node | None = (_plot if path == "plot" else _sweep)(node, rename)
        elif path in ("plot.x", "plot.by"):
            changed = _those(node, rename)
        else:
            prefix = next((start for start in ("sweep.zip.", "sweep.") if path.startswith(start)), "")
            new = rename(path.removeprefix(prefix))
            name = f"{prefix}{new}"
            changed = under(node, dotted(section.path, name)) if new else None
        if changed is not None:
            items[name], keys[name] = changed, section.key_place(path)
    return replace(section, items=items, keys=keys) if items else None


def _those(node: Node, rename: Rename) -> Node | None:
    """A parameter's name, or a list of them, under new names; those that are gone are left out."""
    if not isinstance(node, Listing):
        return _named(node, rename)
    left = [named for item in node.items if (named := _named(item, rename))]
    return replace(node, items=type(node.items)(left)) if left else None


def _named(node: Node, rename: Rename) -> Node | None:
    """The name of a parameter under its new name."""
    path = rename(_text(node)) if _text(node) else ""
    if path is None:
        return None
    return replace(node, value=path, text=path) if path and isinstance(node, Scalar) else node


def _text(node: Node) -> str:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, str) else ""
