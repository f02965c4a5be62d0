"""Finding one's way in a preset's tree: its steps, and the parameters that dotted paths name."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine.errors import Problem
from engine.params import STEPS, Params
from engine.params.preset import Executor, Settings
from engine.params.rows import Row, describe, find, path_keys
from engine.presets.wording import given, text_of
from engine.presets.yaml.tree import Listing, Mapping, Node, Scalar, is_empty
from engine.text.phrases import names, suggest

if TYPE_CHECKING:
    from engine.params import Step

AROUND = ("steps", "sweep", "quick")
"""Sections that are not settings."""
SECTIONS = (*Settings.model_fields, *AROUND)
STEPS_ALLOWED = "a list of steps such as `- train: {epochs: 10}`"


@dataclass(frozen=True)
class StepNode:
    """A step as written: its position, its kind (perhaps none of ours) and its parameters."""

    index: int
    kind: str
    place: str
    path: str
    params: Mapping

    @property
    def cls(self) -> "type[Step] | None":
        return STEPS.get(self.kind)

    @property
    def id(self) -> str:
        return text_of(self.params.items.get("id"))

    @property
    def name(self) -> str:
        """What paths call it: its id, or its kind."""
        return self.id or self.kind

    def value(self, parameter: str) -> Any:
        """A parameter's plain value, written or by default; None of a kind that is none of ours."""
        default = self.cls.model_fields[parameter].default if self.cls else None
        return self.params.plain().get(parameter, default)


@dataclass(frozen=True)
class Address:
    """Where a parameter is: in step number `step` (from 0), or (None) in the settings; its dotted path."""

    step: int | None
    path: str


@dataclass(frozen=True)
class Target:
    """What a dotted path names: where it is in the tree, and how it is declared.

    `step` is the step's position, None for a setting; `field` are the keys below the step, or the section
    and the keys below it; `row` is None where the step's kind is unknown.
    """

    keys: tuple[str | int, ...]
    field: tuple[str, ...]
    step: int | None
    row: Row | None

    @property
    def address(self) -> Address:
        return Address(self.step, ".".join(self.field))


class Unknown(Exception):
    """A path that names nothing, or more than one thing."""

    def __init__(self, given: str, allowed: str, hint: str = "") -> None:
        super().__init__(given, allowed, hint)
        self.parts = (given, allowed, hint)


def normalise(root: Mapping) -> Mapping:
    """The tree with every step written as `{kind: {parameters}}`, and a place to run at as `{place: {}}`."""
    root = _normalise_place(root)
    steps = root.items.get("steps")
    if not isinstance(steps, Listing):
        return root
    steps = replace(steps, items=tuple(_normalise_step(item) for item in steps.items))
    return replace(root, items={**root.items, "steps": steps})


def _normalise_place(root: Mapping) -> Mapping:
    node = root.items.get("executor")
    if not isinstance(node, Scalar) or node.value not in Executor.model_fields:
        return root
    name = str(node.value)
    group = Mapping({}, node.place, f"{node.path}.{name}")
    return replace(
        root,
        items={
            **root.items,
            "executor": Mapping({name: group}, node.place, node.path, {name: node.place}),
        },
    )


def _normalise_step(item: Node) -> Node:
    if isinstance(item, Scalar) and isinstance(item.value, str):
        path = f"{item.path}.{item.value}"
        return Mapping(
            {item.value: Mapping({}, item.place, path)}, item.place, item.path, {item.value: item.place}
        )
    if isinstance(item, Mapping) and len(item.items) == 1:
        [(kind, params)] = item.items.items()
        if is_empty(params):
            return replace(item, items={kind: Mapping({}, params.place, params.path)})
    return item


def steps_of(root: Mapping) -> tuple[list[StepNode], list[Problem]]:
    """The steps of a normalised tree that have a kind and parameters, and what is wrong with the others."""
    node = root.items.get("steps")
    if not isinstance(node, Listing) or not node.items:
        place = root.place if node is None else root.key_place("steps")
        what = "is missing" if node is None else given(node)
        return [], [Problem(place, "steps", what, STEPS_ALLOWED)]
    steps: list[StepNode] = []
    problems: list[Problem] = []
    for index, item in enumerate(node.items):
        step = _step(index, item)
        if isinstance(step, StepNode):
            steps.append(step)
            problems += _unknown_kind(step)
        else:
            problems.append(step)
    return steps, problems + _ids(steps)


def step_at(root: Mapping, index: int) -> StepNode:
    """The step at a position where there is a well-formed one."""
    node = root.items["steps"]
    assert isinstance(node, Listing)
    step = _step(index, node.items[index])
    assert isinstance(step, StepNode)
    return step


def _step(index: int, item: Node) -> StepNode | Problem:
    if not isinstance(item, Mapping) or len(item.items) != 1:
        hint = ""
        if isinstance(item, Mapping) and (kind := next(iter(item.items), "")) in STEPS:
            hint = f"indent the parameters below `{kind}:`"
        return Problem(item.place, item.path, given(item), "one step such as train: {epochs: 10}", hint)
    [(kind, params)] = item.items.items()
    if not isinstance(params, Mapping):
        allowed = f"parameters such as {kind}: {{name: value}}"
        return Problem(params.place, params.path, given(params), allowed)
    return StepNode(index, kind, item.key_place(kind), params.path, params)


def _unknown_kind(step: StepNode) -> list[Problem]:
    if step.kind in STEPS:
        return []
    hint = suggest(step.kind, STEPS)
    return [Problem(step.place, step.path, "is not a step", f"one of {names(STEPS)}", hint)]


def _ids(steps: list[StepNode]) -> list[Problem]:
    """Ids that are used twice, or that mean something else already."""
    taken: dict[str, str] = {}
    problems: list[Problem] = []
    for step in steps:
        if not step.id:
            continue
        place, path = step.params.items["id"].place, step.params.items["id"].path
        if step.id in STEPS or step.id in SECTIONS or step.id == "zip":
            what = "a step" if step.id in STEPS else "a section"
            problems.append(
                Problem(place, path, f"given '{step.id}', the name of {what}", "a name of its own")
            )
        elif step.id in taken:
            what = f"given '{step.id}' again"
            problems.append(Problem(place, path, what, "each id once", f"first at {taken[step.id]}"))
        taken.setdefault(step.id, place)
    return problems


def locate(root: Mapping, path: str) -> Target:
    """What `path` names in a normalised tree; raises `Unknown`."""
    if path.partition(".")[0] in Settings.model_fields:
        row = _parameter(Settings, path)
        keys = tuple(path.split("."))
        return Target(keys, keys, None, row)
    step, name = find_step(root, path)
    return _in_step(step, path.removesuffix(f".{name}"), name)


def find_step(root: Mapping, path: str) -> tuple[StepNode, str]:
    """The step that `path` begins with, and the rest of the path, declared or not; raises `Unknown`."""
    steps, _ = steps_of(root)
    addresses = _addresses(steps)
    matching = [address for address in addresses if path == address or path.startswith(f"{address}.")]
    if not matching:
        candidates = [f"{address}.{row.path}" for address, of in addresses.items() for row in _rows(of[0])]
        candidates += [row.path for row in describe(Settings)]
        hint = suggest(path, candidates)
        raise Unknown(
            "names nothing in this preset", f"STEP.PARAMETER with a step of {_list(addresses)}", hint
        )
    address = max(matching, key=len)
    return _only(addresses[address], address), path[len(address) + 1 :]


def _list(addresses: dict[str, list[StepNode]]) -> str:
    return names(addresses) or "this preset"


def _rows(step: StepNode) -> tuple[Row, ...]:
    return describe(step.cls) if step.cls else ()


def _addresses(steps: list[StepNode]) -> dict[str, list[StepNode]]:
    """Ids and kinds, each with the steps it may mean."""
    addresses: dict[str, list[StepNode]] = {}
    for step in steps:
        addresses.setdefault(step.kind, []).append(step)
        if step.id and step.id != step.kind:
            addresses.setdefault(step.id, []).append(step)
    return addresses


def _only(steps: list[StepNode], address: str) -> StepNode:
    """The one step meant: a kind that occurs twice means the step without an id, if there is one such."""
    if len(steps) > 1:
        steps = [step for step in steps if not step.id] or steps
    if len(steps) > 1:
        ids = [step.id for step in steps if step.id]
        hint = f"use {' or '.join(ids)}" if ids else "give them an id each: {id: NAME}"
        raise Unknown(f"may mean {len(steps)} steps", f"the id of one {address} step", hint)
    return steps[0]


def _in_step(step: StepNode, address: str, name: str) -> Target:
    cls = step.cls
    if not name:
        raise Unknown("names a whole step", f"one of its parameters, such as {address}.enabled")
    row = _parameter(cls, name) if cls else None
    field = path_keys(cls, name) if cls else tuple(name.split("."))
    return Target(("steps", step.index, step.kind, *field), field, step.index, row)


def _parameter(cls: type[Params], path: str) -> Row:
    row = find(cls, path)
    if row is None:
        parent = path.rpartition(".")[0]
        while parent and find(cls, parent) is None:
            parent = parent.rpartition(".")[0]
        raise Unknown("is unknown", *known(cls, parent, path[len(parent) :].strip(".")))
    return row


def known(cls: type[Params], parent: str, name: str, also: tuple[str, ...] = ()) -> tuple[str, str]:
    """The names allowed below `parent`, and which of them `name` may have meant."""
    prefix = f"{parent}." if parent else ""
    rows = [
        row for row in describe(cls) if row.path.startswith(prefix) and "." not in row.path[len(prefix) :]
    ]
    below = [row.path[len(prefix) :] for row in rows if row.path != parent]
    if not below and parent:
        row = find(cls, parent)
        return (f"{parent} itself, {row.allowed()}" if row else ""), ""
    return names((*below, *also), most=20), suggest(name, (*below, *also))


def settings_node(root: Mapping) -> Mapping:
    """The tree without what is around the settings."""
    items: dict[str, Any] = {key: node for key, node in root.items.items() if key not in AROUND}
    return replace(root, items=items)
