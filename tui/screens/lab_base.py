"""What the lab screen knows and shows; its actions and handlers build on this."""

from dataclasses import replace
from typing import TYPE_CHECKING

from textual import work
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from engine.presets.addresses import AxisNode, axes, path_of
from engine.presets.edits import Edit
from engine.presets.steps import Address, Unknown
from tui.lab import outline
from tui.lab.check import Checked, completed, valid
from tui.lab.document import Document, enter
from tui.lab.fields import Field, fields_of, said_at, says
from tui.lab.text import Default, Typed
from tui.screens.base import StudyScreen
from tui.session import Session
from tui.widgets.form import Form, Help
from tui.widgets.lab_head import FormTitle, Head, field_help
from tui.widgets.outline import Outline

if TYPE_CHECKING:
    from engine.results.estimates import History

CHECK_AFTER_S = 0.08
"""Pause in typing after which the preset is checked: shorter than anybody reads, longer than a key takes."""


class Answered(Message):
    """What the engine says about a revision of the preset."""

    def __init__(self, checked: Checked) -> None:
        super().__init__()
        self.checked = checked


class LabBase(StudyScreen):
    """The preset being edited in `document`, and in `checked` what the engine last said about it."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self.document = Document.new()
        self.checked = Checked(-1)
        self.running = ""
        """The study that ran when last looked at."""
        self._history: History | None = None
        self._timer: Timer | None = None
        self._shown_owner: int | str | None = None
        self._shown_axis = ""

    @property
    def history(self) -> "History":
        from engine.results.estimates import History

        if self._history is None:
            self._history = History(self.session.workspace)
        return self._history

    # What is shown

    def refresh_all(self, *, fresh: bool = False, typed: bool = False) -> None:
        """Show the preset as it is now, and have it checked; `fresh` and `typed` are the form's."""
        self._fill_outline()
        self.show_form(fresh=fresh, typed=typed)
        self._show_head()
        self.check_soon()

    def _fill_outline(self) -> None:
        lines = outline.items(self.document.root, self.checked.problems, self.checked.settled)
        self.query_one(Outline).fill(lines)

    def show_form(self, *, fresh: bool = False, typed: bool = False) -> None:
        item = self.query_one(Outline).item
        owner = self._owner(item)
        fields = [] if owner is None else fields_of(self.document.root, owner, self.checked.settled)
        fresh = fresh or owner != self._shown_owner
        self._shown_owner = owner
        self.query_one(Form).show(fields, fresh=fresh, typed=typed)
        axis = self._selected_axis(item)
        another = axis is not None and axis.path != self._shown_axis
        self._shown_axis = axis.path if axis is not None else ""
        if (fresh or another) and axis is not None and axis.address is not None:
            self.query_one(Form).point_at(axis.address)
        self.query_one(FormTitle).show(self.document.root, owner)
        if not fields and self.query_one(Form).focused:
            self.query_one(Outline).focus()  # what it was about is gone

    def _owner(self, item: outline.Item | None) -> int | str | None:
        """The form that a line of the outline opens."""
        axis = self._selected_axis(item)
        if axis is not None and axis.address is not None:
            address = axis.address
            return address.step if address.step is not None else address.path.partition(".")[0]
        return item.owner if item else None

    def _selected_axis(self, item: outline.Item | None) -> AxisNode | None:
        matching = (axis for axis in axes(self.document.root) if item and axis.path == item.axis)
        return next(matching, None)

    def show_help(self) -> None:
        self.query_one(Form).body.redraw()

    def help_lines(self, width: int) -> Help:
        """What stands below the fields."""
        form, item = self.query_one(Form), self.query_one(Outline).item
        wrong = self.problem_of(form.field) if form.field else ""
        return field_help(item, form.field, wrong or self._wrong_axis(item), width, editing=form.editing)

    def _wrong_axis(self, item: outline.Item | None) -> str:
        """What is wrong with a sweep that names nothing, and so has no field."""
        axis = self._selected_axis(item)
        if axis is None or axis.address is not None:
            return ""
        sentences = (
            says(problem) for problem in self.checked.problems if problem.path.startswith(axis.problem_path)
        )
        return next(sentences, "")

    def _show_head(self) -> None:
        self.query_one(Head).show(self.document, self.checked, typing=isinstance(self.focused, Input))

    def problem_of(self, field: Field) -> str:
        """What is wrong with a field."""
        return next(iter(said_at(self.document.root, field, self.checked.problems)), "")

    # Checking

    def check_soon(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_AFTER_S, self._check)

    @work(thread=True, exclusive=True, group="check")
    def _check(self) -> None:
        """Two answers: what is wrong at once, the estimate (which reads studies) when it is there."""
        document = self.document
        checked = valid(document.root, document.name, document.folder, document.revision)
        self.post_message(Answered(replace(checked, estimate=self.checked.estimate)))
        self._remember(document)
        if not checked.complete:
            self.post_message(Answered(completed(checked, self.history)))

    def _remember(self, document: Document) -> None:
        """Keep what is edited for the next lab, should this one be killed."""
        draft = document.yaml() if document.dirty or document.path is None else ""
        path = str(document.path.absolute()) if document.path else ""
        self.session.keep(preset=path, name=document.name, draft=draft)

    def on_answered(self, message: Answered) -> None:
        self.take(message.checked)

    def take(self, checked: Checked) -> None:
        if not self.is_attached or checked.revision != self.document.revision:
            return
        elsewhere = checked.settled != self.checked.settled
        self.checked = checked
        self._fill_outline()
        if elsewhere:
            self.show_form(typed=True)
        self.show_help()
        self._show_head()

    # Editing

    def flush(self) -> None:
        """Take what was typed last, before anything else is done with the preset."""
        pending = self.query_one(Form).pending()
        if pending is not None:
            self.enter(*pending)

    def enter(self, field: Field, typed: Typed) -> None:
        address = field.address
        default = not field.row.required and getattr(typed, "value", self) == field.row.default
        if default and field.options and not field.settled and not self.document.was_given(address):
            typed = Default()
        merge = merge_of(address)
        label = f"set {path_of(self.document.root, address)}"
        self.change(lambda root: enter(root, address, typed), label, merge)

    def give_up(self, field: Field) -> None:
        """What was typed into a field since it was entered is as if it had not been."""
        self.document.give_up(merge_of(field.address))
        self.refresh_all()

    def change(self, edit: Edit, label: str, merge: str = "") -> bool:
        """Make a change and show it; whether it was made. What is typed has a `merge`, a command has none."""
        if not merge:
            self.document.close_change()
        try:
            changed = self.document.change(edit, label, merge)
        except Unknown as refused:
            what, allowed, _ = refused.parts
            self.say(f"Not changed: it {what}. Allowed: {allowed}", "warn")
            return False
        self.refresh_all(typed=bool(merge))
        return changed


def merge_of(address: Address) -> str:
    """What tells the changes that are made by typing one value."""
    return f"{address.step}.{address.path}"
