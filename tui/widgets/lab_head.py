"""The lines around the form: what the preset is and whether it can run, and help on the selected field."""

from collections.abc import Sequence

from engine.params import STEPS
from engine.params.rows import summary
from engine.presets.steps import step_at
from engine.presets.yaml.tree import Mapping
from engine.results.estimate import UNKNOWN
from engine.store.paths import home
from engine.text.tables import abbreviate, cell_width
from tui.lab.check import Checked
from tui.lab.document import Document
from tui.lab.fields import Field, help_of, says, section_help
from tui.lab.outline import ADD, TITLES, Item, amount_of
from tui.widgets.form import Help
from tui.widgets.painted import Line, Painted
from tui.widgets.wrap import wrapped


class Head(Painted):
    """Two lines: the preset with its trials and their time; what is wrong with it, or which key runs it."""

    DEFAULT_CSS = "Head { height: 2; }"

    def __init__(self) -> None:
        super().__init__()
        self._preset = self._edited = self._origin = ""
        self._status: tuple[str, str] = ("", "")
        self._amounts: tuple[str, ...] = ("",)

    def show(self, document: Document, checked: Checked, *, typing: bool = False) -> None:
        """Show a document with what was found about it; `typing`: letters go into an input now."""
        self._preset = document.name
        self._edited = " (edited)" if document.dirty else ""
        self._origin = f"  {origin_of(document)}"
        if checked.spec is not None:
            trials = amount_of(checked.spec)
            time = checked.estimate
            # What is not known yet is being looked for: that nobody can know it is said when that has come out.
            looked = checked.complete or time != UNKNOWN
            self._amounts = (f"{trials}, {time}", f"{trials}, {time.short}", trials) if looked else (trials,)
        self._status = status_of(checked, typing)
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        text, role = self._status
        return [self._headline(width - 2), [(f" {abbreviate(text, width - 2)}", role)]]

    def _headline(self, room: int) -> Line:
        """Where there is no room, first the origin goes, then details of the time; the mark of an edit stays."""
        ways = [(self._origin, self._amounts[0]), *(("", amount) for amount in self._amounts)]
        fixed = cell_width(f"{self._preset}{self._edited}") + 1
        fitting = (way for way in ways if fixed + cell_width("".join(way)) <= room)
        origin, amount = next(fitting, ways[-1])
        name = abbreviate(self._preset, room - cell_width(f"{self._edited}{origin}{amount}") - 1)
        gap = " " * (room - cell_width(f"{name}{self._edited}{origin}{amount}"))
        return [(f" {name}", "title"), (self._edited, "warn"), (origin, "muted"), (f"{gap}{amount} ", "")]


def origin_of(document: Document) -> str:
    """Where a preset is from: the folder of its file, so that one saved in the wrong place is noticed."""
    if document.shipped:
        return "comes with secateur"
    if document.path is None:
        return "not saved"
    folder, own = document.path.absolute().parent, home()
    return f"in ~/{folder.relative_to(own)}" if own is not None and own in folder.parents else f"in {folder}"


def status_of(checked: Checked, typing: bool = False) -> tuple[str, str]:
    """What to say about a preset, and in which role."""
    if checked.revision < 0:
        return "", ""
    if checked.problems:
        first = checked.problems[0]
        count = len(checked.problems)
        keys = "Esc, then !" if typing else "!"
        head = "! " if count == 1 else f"! {count} problems ({keys} lists them), first "
        return f"{head}{first.path}: {says(first)}", "bad"
    if checked.unusable is not None:
        return f"! {checked.unusable.title}: {checked.unusable.remedy or checked.unusable.detail}", "bad"
    return "Press F9 to run it: all values are shown once more before it starts.", "good"


class Views(Painted):
    """What a narrow terminal can show, the one shown in brackets."""

    DEFAULT_CSS = "Views { height: 1; }"
    LABELS = {"edit": "Preset", "curve": "Curve", "trials": "Trials"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._view = "edit"

    def show(self, view: str) -> None:
        self._view = view
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        spans: list[tuple[str, str]] = [(" ^l ", "accent")]
        for name, label in self.LABELS.items():
            spans.append((f"[{label}]", "bold reverse") if name == self._view else (f" {label} ", ""))
            spans.append((" ", ""))
        return [spans]


class FormTitle(Painted):
    """The name of what the form is about, and what that is for."""

    DEFAULT_CSS = "FormTitle { height: 1; }"

    def __init__(self) -> None:
        super().__init__()
        self._title = ""
        self._about = ""

    def show(self, root: Mapping, owner: int | str | None) -> None:
        """`owner` is a step's position or a section's name."""
        if isinstance(owner, int):
            step = step_at(root, owner)
            kind, self._title = step.kind, f"{owner + 1}. {step.name}"
            self._about = summary(STEPS[kind]) if kind in STEPS else f"There is no step called {kind}."
        elif owner is not None:
            self._title, self._about = TITLES[owner], section_help(owner)
        else:
            self._title = self._about = ""
        self.redraw()

    def lines(self, width: int, height: int) -> Sequence[Line]:
        room = max(width - cell_width(self._title) - 3, 0)
        return [[(f" {self._title}  ", "title"), (abbreviate(self._about, room), "muted")]]


def field_help(item: Item | None, field: Field | None, wrong: str, width: int, *, editing: bool) -> Help:
    """What the selected parameter is, what it takes, what is wrong with it, and which keys change it.

    `item` is the outline's line, `field` the form's.
    """
    parts = [(f"! {wrong}", "bad")] if wrong else []
    if field is not None:
        parts += [(line, "") for line in help_of(field)]
    elif item is not None and item.key == ADD:
        parts = [("Enter adds a step at the end: train, prune, fine-tune, …", "")]

    def under(text: str, role: str) -> list[Line]:
        return [[(" ", ""), *line] for line in wrapped(text, max(width - 2, 10), role)]

    lines = [line for text, role in parts for line in under(text, role)]
    keys = under(keys_for(field, editing=editing), "muted") if field is not None else []
    return Help([[("─" * width, "muted")], *lines], keys)


def keys_for(field: Field, *, editing: bool) -> str:
    """Which keys change a field."""
    if editing:
        return "Enter takes it, Tab goes on to the next, Esc leaves it as it was, ^u clears: the default"
    if picked_from_list(field):
        parts = ["Enter lists them"]
    elif field.toggles:
        parts = ["Enter turns it round"]
    else:
        parts = ["Enter lists them" if field.options else "Enter edits it"]
        parts += ["←→ choose"] if field.cycles else []
    if field.sweepable:
        parts.append("F8 sweep")
    if field.given and not field.row.required:
        parts.append("^r default")
    return ", ".join(parts)


def picked_from_list(field: Field) -> bool:
    """Whether Enter opens a list to choose from, and typing is done there."""
    return bool(field.checks) or (
        field.address.step is None and field.address.path in ("model.name", "data.name") and not field.axis
    )
