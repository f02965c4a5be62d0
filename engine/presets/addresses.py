"""What is written in a preset's normalised tree: the parameter at an address, and the axes of its sweep."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from engine.params.preset import Settings
from engine.params.rows import Row, describe, path_keys
from engine.presets import sweep
from engine.presets.steps import Address, Unknown, locate, step_at
from engine.presets.yaml.tree import Mapping, Node, Scalar, dotted

ABSENT = object()
"""What `value_at` gives for a parameter that is not written."""


def rows_at(root: Mapping, step: int | None) -> tuple[Row, ...]:
    """How the parameters of a step, or the settings, are declared; none for a step of an unknown kind."""
    cls = Settings if step is None else step_at(root, step).cls
    return describe(cls) if cls else ()


def row_at(root: Mapping, address: Address) -> Row | None:
    """How a parameter is declared; None for one that is not."""
    return next((row for row in rows_at(root, address.step) if row.path == address.path), None)


def keys_of(root: Mapping, address: Address) -> tuple[str | int, ...]:
    """Where the parameter is in the tree."""
    names = names_of(root, address)
    if address.step is None:
        return names
    return ("steps", address.step, step_at(root, address.step).kind, *names)


def names_of(root: Mapping, address: Address) -> tuple[str, ...]:
    """The names that lead to it in its step, or in the settings."""
    cls = Settings if address.step is None else step_at(root, address.step).cls
    return path_keys(cls, address.path) if cls else tuple(address.path.split("."))


def path_of(root: Mapping, address: Address) -> str:
    """How sweeps, plots and `--set` name a parameter."""
    if address.step is None:
        return address.path
    return f"{step_at(root, address.step).name}.{address.path}"


def problem_path(root: Mapping, address: Address) -> str:
    """How problems name a parameter."""
    return dotted("", *keys_of(root, address))


def node_at(root: Mapping, address: Address) -> Node | None:
    """What is written at an address; a variant written by its name alone has that as its `kind`."""
    node: Node = root if address.step is None else step_at(root, address.step).params
    for name in names_of(root, address):
        if isinstance(node, Scalar) and isinstance(node.value, str) and name == "kind":
            return node
        if not isinstance(node, Mapping) or name not in node.items:
            return None
        node = node.items[name]
    return node


def value_at(root: Mapping, address: Address) -> Any:
    """What is written at an address as a plain value, or ABSENT."""
    node = node_at(root, address)
    return ABSENT if node is None else node.plain()


def sweepable(address: Address, row: Row) -> bool:
    """Whether a parameter may differ between trials."""
    if row.type in ("group", "anything"):
        return False
    section = address.path.partition(".")[0]
    return section not in sweep.STUDY_WIDE if address.step is None else address.path != "id"


@dataclass(frozen=True)
class AxisNode:
    """A line of the sweep as written: its path, the parameter it names (None: none), its values.

    `zipped` are those that vary together, the names of their points among them.
    """

    path: str
    address: Address | None
    node: Node
    zipped: bool

    @property
    def keys(self) -> tuple[str, ...]:
        """Where it is in the tree."""
        return ("sweep", "zip", self.path) if self.zipped else ("sweep", self.path)

    @property
    def problem_path(self) -> str:
        """How problems name it."""
        return ".".join(self.keys)

    def values(self) -> list[Any]:
        """The values it takes, ranges written out; none where they can't be read."""
        axes, _ = sweep.read(Mapping({self.path: self.node}, "", ""))
        return list(axes[0].values(self.path)) if axes else []


def axes(root: Mapping) -> list[AxisNode]:
    """Every line of the sweep in written order, those varying together where their `zip` is."""
    section = root.items.get("sweep")
    if not isinstance(section, Mapping):
        return []
    return [AxisNode(path, _named(root, path), node, zipped) for path, node, zipped in lines(section)]


def lines(section: Mapping) -> Iterator[tuple[str, Node, bool]]:
    """Path, values, and whether it lies below `zip`, of each line of a sweep section."""
    for path, node in section.items.items():
        if path == "zip" and isinstance(node, Mapping):
            yield from ((name, below, True) for name, below in node.items.items())
        else:
            yield path, node, False


def _named(root: Mapping, path: str) -> Address | None:
    try:
        return locate(root, path).address
    except Unknown:
        return None


def axis_at(root: Mapping, address: Address) -> AxisNode | None:
    """The axis that sweeps a parameter, whatever it is called there."""
    return next((axis for axis in axes(root) if axis.address == address), None)
