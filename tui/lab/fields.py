"""The fields of a form: one for each declared parameter that exists now, with what is written there."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import Problem
from engine.params.preset import SETTLED_BY_SITES, Settings
from engine.params.rows import Row, find
from engine.presets.addresses import (
    ABSENT,
    AxisNode,
    axes,
    problem_path,
    rows_at,
    sweepable,
    value_at,
)
from engine.presets.quick import SECTION as QUICK
from engine.presets.steps import Address, step_at
from engine.presets.yaml.tree import Mapping, is_empty
from engine.text.tables import abbreviate
from tui.lab.text import Default, Fixed, Swept, Typed, sweep_text, text_of

SECTIONS = ("model", "data", "study", "measure", "executor", "plot", "search")
"""The forms of the settings, in the order shown; `study` holds what stands at the top of a preset."""
OF_STUDY = ("distributed",)
"""Groups whose parameters stand among those of the study."""
FIXED = ("version",)
"""What has one value only."""
UNKNOWN_HELP = "Not a parameter of this: reset removes it."
QUICK_HELP = (
    "What makes the small version that `--quick` runs, to be written in a text editor: reset removes it."
)
SWITCH = "switch"
"""The type of a field that says whether an optional group is there."""


ENTRY = re.compile(r"(?:\[\d+\])?\.(.+)")
"""How the path of a mapping's entry goes on after the mapping's, or its sweep's."""


@dataclass(frozen=True)
class Field:
    """One parameter in a form.

    Attributes:
        address: Where it is in the preset.
        row: How it is declared; type `switch` for the presence of an optional group.
        value: What is written, or ABSENT.
        axis: The sweep over it, if there is one.
        label: What it is called in the form.
        groups: The labels of the lines that it stands below: of groups and variants that it is a part of.
        settled: The file of a site or a user by which it is on where nothing is written.
    """

    address: Address
    row: Row
    value: Any
    axis: AxisNode | None
    label: str
    groups: tuple[str, ...] = ()
    settled: str = ""

    @property
    def name(self) -> str:
        """What its line says: its label below that of the line it is a part of. A group without a line is named."""
        return self.label.removeprefix(f"{self.groups[-1]}.") if self.groups else self.label

    @property
    def given(self) -> bool:
        """Whether anything is written for it."""
        return self.value is not ABSENT or self.axis is not None

    @property
    def typed(self) -> Typed:
        """What is written for it, as `read` gives what is typed."""
        if self.axis is not None:
            return Swept(self.axis.node.plain())
        return Default() if self.value is ABSENT else Fixed(self.value)

    @property
    def text(self) -> str:
        """What its input holds; empty while the default holds."""
        if self.axis is not None:
            return sweep_text(self.axis.node.plain())
        if self.value is ABSENT or self.value is None:
            return ""
        return sweep_text(self.value) if self.row.listable else text_of(self.value)

    @property
    def default_text(self) -> str:
        """The default as it would be typed."""
        if self.row.required:
            return "required"
        return "none" if self.row.default in (None, "") else text_of(self.row.default)

    @property
    def off(self) -> bool:
        """Of an optional group: whether it is not there."""
        return self.value is None or (self.value is ABSENT and not self.settled)

    @property
    def current(self) -> str:
        """The value that holds, default or not."""
        if self.row.type == SWITCH:
            return "off" if self.off else "on"
        return self.text or self.default_text

    @property
    def options(self) -> tuple[str, ...]:
        """What a choice can be set to; empty for what is typed."""
        if self.row.type == SWITCH:
            return ("off", "on")
        if self.row.type == "yes/no":
            return ("true", "false")
        if self.row.type == "choice":
            none = ("none",) if self.row.optional else ()
            return (*none, *(text_of(choice) for choice in self.row.choices))
        return ()

    @property
    def cycles(self) -> bool:
        """Whether a key puts the next value in place of this one; a list or mapping is never replaced so."""
        return bool(self.options) and (self.row.type == SWITCH or not isinstance(self.value, dict | list))

    @property
    def checks(self) -> tuple[str, ...]:
        """What a list can hold, where that is a choice: any of them, in this order."""
        listed = self.row.type == "list" and self.row.item == "choice"
        return tuple(text_of(choice) for choice in self.row.choices) if listed else ()

    @property
    def toggles(self) -> bool:
        """Whether it is one of two things, so that one key turns it round."""
        return self.row.type in (SWITCH, "yes/no") and not self.row.optional

    @property
    def offered(self) -> str:
        """What its input holds when one begins to edit it: the value that holds, default or not."""
        if self.given or self.row.required or self.row.default in (None, ""):
            return self.text
        return self.default_text

    def meaning(self, option: str) -> str:
        """What choosing one of `options` or `checks` means, in a line."""
        told = dict(zip(map(text_of, self.row.choices), self.row.meanings, strict=True))
        return told.get(option) or ("nothing is asked for" if option == "none" and self.row.optional else "")

    @property
    def sweepable(self) -> bool:
        """Whether it may differ between trials."""
        return self.row.type != SWITCH and sweepable(self.address, self.row)


def of_step(root: Mapping, index: int) -> list[Field]:
    """The fields of a step, those of its variants as they are chosen, and what is unknown in it."""
    fields = _fields(root, index, [(row, row.path) for row in rows_at(root, index)])
    return [*_shown(fields), *_unknown(root, index, "", step_at(root, index).params)]


def of_section(root: Mapping, section: str, settled: str = "") -> list[Field]:
    """The fields of one of SECTIONS; `settled` is the file by which presets that do not say where run by Slurm."""
    rows = []
    for row in rows_at(root, None):
        head, dot, rest = row.path.partition(".")
        own = not dot or head in OF_STUDY
        in_study = section == "study" and own and row.type != "group" and row.path not in FIXED
        optional = head == section and not dot and row.type == "group" and row.optional
        if in_study or optional or (head == section and dot):
            rows.append((row, row.path if in_study else rest or row.path))
    below = root if section == "study" else root.items.get(section)
    parent = "" if section == "study" else section
    unknown = _unknown(root, None, parent, below) if isinstance(below, Mapping) else []
    return [*_shown(_fields(root, None, rows, settled)), *unknown]


def _fields(
    root: Mapping, step: int | None, rows: Iterable[tuple[Row, str]], settled: str = ""
) -> Iterator[Field]:
    """A field for each row and its label."""
    swept = {axis.address: axis for axis in reversed(axes(root))}
    for row, label in rows:
        address = Address(step, row.path)
        value, by = value_at(root, address), settled if row.path in SETTLED_BY_SITES else ""
        if by and value is ABSENT and says_where(root):
            value = None
        yield Field(address, row, value, swept.get(address), label, settled=by)


def _shown(fields: Iterable[Field]) -> Iterator[Field]:
    """The fields without those of other variants and of groups that are off. An optional group becomes a switch; any
    other has no field of its own."""
    off: list[str] = []
    lines: list[str] = []
    owners: dict[str, Field] = {}
    for field in fields:
        path = field.address.path
        owners[path] = field
        if any(path.startswith(f"{group}.") for group in off) or not _applies(field, owners):
            continue
        if field.row.type == "group":
            if not field.row.optional:
                continue
            if field.off:
                off.append(path)
            field = replace(field, row=replace(field.row, type=SWITCH))
        elif field.row.type == "choice" and isinstance(field.value, dict):
            # A variant with parameters: its own value is its kind.
            field = replace(field, value=field.value.get("kind", ABSENT))
            owners[path] = field
        yield replace(field, groups=tuple(line for line in lines if field.label.startswith(f"{line}.")))
        lines.append(field.label)


def _applies(field: Field, owners: dict[str, Field]) -> bool:
    kinds = field.row.kinds
    if not kinds:
        return True
    owner = owners.get(_owner(field.address.path, field.row.when.partition(" = ")[0]))
    if owner is None:
        return False
    if owner.axis is not None:
        return any(text_of(_kind(item)) in kinds for item in owner.axis.values())
    kind = owner.row.default if owner.value is ABSENT else _kind(owner.value)
    return kind in kinds


def _owner(path: str, name: str) -> str:
    """The path above `path` whose last name is `name`: a group may lie between a field and its variant."""
    above = path.rpartition(".")[0]
    while above and f".{above}".removesuffix(f".{name}") == f".{above}":
        above = above.rpartition(".")[0]
    return above


def _kind(value: Any) -> Any:
    return value.get("kind") if isinstance(value, dict) else value


def _unknown(root: Mapping, step: int | None, parent: str, params: Mapping) -> list[Field]:
    """What is written there under a name that is not declared, so that it can be seen and removed."""
    known = {row.path for row in rows_at(root, step)}
    mappings = {row.path for row in rows_at(root, step) if row.type == "mapping"}
    also = ("steps", "sweep") if step is None and not parent else ()
    fields: list[Field] = []
    for name, below in params.items.items():
        path = f"{parent}.{name}" if parent else name
        if name in also or path in mappings or (name == "kind" and parent):
            continue
        if path not in known:
            row = Row(path, "anything", said=QUICK_HELP if path == QUICK else UNKNOWN_HELP)
            fields.append(Field(Address(step, path), row, below.plain(), None, path))
        elif isinstance(below, Mapping) and not (step is None and not parent):
            fields += _unknown(root, step, path, below)
    return fields


def says_where(root: Mapping) -> bool:
    """Whether a preset says itself where it runs, whatever a site has settled for those that do not."""
    return not is_empty(root.items.get("executor")) and bool(root.items["executor"].plain())


def fields_of(root: Mapping, owner: int | str, settled: str = "") -> list[Field]:
    """The fields of a step (its position) or of a section (its name, and `settled` as in `of_section`)."""
    return of_step(root, owner) if isinstance(owner, int) else of_section(root, owner, settled)


def problems_at(root: Mapping, field: Field, problems: Iterable[Problem]) -> list[Problem]:
    """Those problems that are about a field: its value, its items or entries, or its sweep."""
    return [problem for problem in problems if _within(root, field, problem) is not None]


def said_at(root: Mapping, field: Field, problems: Iterable[Problem]) -> list[str]:
    """What `problems_at` finds, in sentences; what is about an entry of a mapping begins with the entry's name."""
    placed = ((_within(root, field, problem), problem) for problem in problems)
    return [
        f"{entry}: {says(problem)}" if entry else says(problem)
        for entry, problem in placed
        if entry is not None
    ]


def _within(root: Mapping, field: Field, problem: Problem) -> str | None:
    """The entry of the field's mapping that a problem is about, empty for another problem of the field; None for one
    of another field."""
    paths = [problem_path(root, field.address)]
    if field.axis is not None:
        paths.append(field.axis.problem_path)
    for path in paths:
        if not problem.path.startswith(path):
            continue
        rest = problem.path.removeprefix(path)
        if field.row.type == "mapping" and (entry := ENTRY.fullmatch(rest)):
            return entry[1]
        if not rest or rest.startswith("[") or (field.row.type == "choice" and rest == ".kind"):
            return ""
    return None


def says(problem: Problem) -> str:
    """A problem without its place, for beside the field."""
    text = problem.given + (f"; allowed: {problem.allowed}" if problem.allowed else "")
    return text + (f" ({problem.hint})" if problem.hint else "")


def brief(params: dict[str, Any], width: int = 40) -> str:
    """What is written in a step, on one line.

    >>> brief({"epochs": 12, "id": "warm"})
    'epochs 12'
    """
    parts = [
        f"{name} {_kind_text(below)}"
        for name, below in params.items()
        if name not in ("id", "enabled")
    ]  # fmt: skip
    return abbreviate(", ".join(parts), width)


def _kind_text(below: Any) -> str:
    return str(below["kind"]) if isinstance(below, dict) and "kind" in below else text_of(below)


def help_of(field: Field) -> list[str]:
    """What a parameter is: its help, what it takes, its default."""
    row = field.row
    if row.type == SWITCH:
        return [
            row.help,
            *([f"On where the preset says nothing, by {field.settled}."] if field.settled else []),
        ]
    if row.type == "anything":
        return [row.help]
    default = "It has to be given." if row.required else f"Default: {field.default_text}."
    lines = [row.help, f"Takes {row.allowed()}. {default}"]
    if row.when:
        lines.append(f"Only when {row.when}.")
    return lines


def section_help(section: str) -> str:
    """What a section is for."""
    if section == "study":
        return "What holds for every trial."
    row = find(Settings, section)
    return row.help if row else ""


def choice(field: Field, option: str) -> Typed:
    """What choosing an option of a field means."""
    row = field.row
    if row.type == SWITCH:
        if option == "on":
            return Fixed({})
        return Fixed(None) if field.address.path in SETTLED_BY_SITES else Default()
    if row.type == "yes/no":
        return Fixed(option == "true")
    place = field.options.index(option) - (1 if row.optional else 0)
    return Default() if place < 0 else Fixed(row.choices[place])
