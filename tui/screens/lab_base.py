"""What the lab screen knows and shows; its actions and handlers build on this."""

from textual import work
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from tui.lab import edits, outline, tree
from tui.lab.check import Checked, check, validate
from tui.lab.document import Document
from tui.lab.estimate import History
from tui.lab.fields import Field, fields_of, problems_at, says
from tui.lab.text import Default, Typed
from tui.screens.base import StudyScreen
from tui.session import Session
from tui.widgets.form import Form
from tui.widgets.lab_head import FieldHelp, FormTitle, Head
from tui.widgets.outline import Outline

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
        self.expected: dict[str, float] = {}
        """Seconds that studies started here were estimated to take."""
        self.running = ""
        """The study that ran when last looked at."""
        self._history: History | None = None
        self._timer: Timer | None = None
        self._shown_owner: int | str | None = None

    @property
    def history(self) -> History:
        if self._history is None:
            self._history = History(self.session.workspace)
        return self._history

    # What is shown

    def refresh_all(self, *, fresh: bool = False) -> None:
        """Show the preset as it is now, and have it checked."""
        self.query_one(Outline).fill(outline.items(self.document.plain, self.checked.problems))
        self.show_form(fresh=fresh)
        self._show_head()
        self.check_soon()

    def show_form(self, *, fresh: bool = False) -> None:
        item = self.query_one(Outline).item
        owner = self._owner(item)
        fields = [] if owner is None else fields_of(self.document.plain, owner)
        fresh = fresh or owner != self._shown_owner
        self._shown_owner = owner
        self.query_one(Form).show(fields, fresh=fresh)
        axis = self._selected_axis(item)
        if fresh and axis is not None and axis.spot is not None:
            self.query_one(Form).point_at(axis.spot)
        self.query_one(FormTitle).show(self.document.plain, owner)
        self.show_help()

    def _owner(self, item: outline.Item | None) -> int | str | None:
        """The form that a line of the outline opens."""
        axis = self._selected_axis(item)
        if axis is not None and axis.spot is not None:
            return axis.spot.step if axis.spot.step is not None else axis.spot.path.partition(".")[0]
        return item.owner if item else None

    def _selected_axis(self, item: outline.Item | None) -> tree.AxisLine | None:
        found = (axis for axis in tree.axes(self.document.plain) if item and axis.path == item.axis)
        return next(found, None)

    def show_help(self) -> None:
        item, field = self.query_one(Outline).item, self.query_one(Form).field
        wrong = self.told(field) if field else ""
        loose = self._wrong_axis(item)
        self.query_one(FieldHelp).show(item, field, wrong or loose)

    def _wrong_axis(self, item: outline.Item | None) -> str:
        """What is wrong with a sweep that names nothing, and so has no field."""
        axis = self._selected_axis(item)
        if axis is None or axis.spot is not None:
            return ""
        found = (
            says(problem) for problem in self.checked.problems if problem.path.startswith(axis.problem_path)
        )
        return next(found, "")

    def _show_head(self) -> None:
        self.query_one(Head).show(self.document, self.checked, typing=isinstance(self.focused, Input))

    def told(self, field: Field) -> str:
        """What is wrong with a field."""
        found = problems_at(self.document.plain, field, self.checked.problems)
        return says(found[0]) if found else ""

    # Checking

    def check_soon(self) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(CHECK_AFTER_S, self._check)

    @work(thread=True, exclusive=True, group="check")
    def _check(self) -> None:
        """Two answers: what is wrong at once, the estimate (which reads studies) when it is there."""
        document = self.document
        plain, name, folder, revision = document.plain, document.name, document.folder, document.revision
        found, problems = validate(plain, name, folder)
        before = self.checked.estimate
        first = Checked(revision, found, problems, estimate=before, complete=found is None)
        self.post_message(Answered(first))
        if found is not None:
            self.post_message(Answered(check(plain, name, folder, revision, self.history)))

    def on_answered(self, message: Answered) -> None:
        self.take(message.checked)

    def take(self, checked: Checked) -> None:
        if not self.is_attached or checked.revision != self.document.revision:
            return
        self.checked = checked
        self.query_one(Outline).fill(outline.items(self.document.plain, checked.problems))
        self.query_one(Form).body.redraw()
        self.show_help()
        self._show_head()

    # Editing

    def flush(self) -> None:
        """Take what was typed last, before anything else is done with the preset."""
        pending = self.query_one(Form).pending()
        if pending is not None:
            self.enter(*pending)

    def enter(self, field: Field, typed: Typed) -> None:
        default = not field.row.required and getattr(typed, "value", self) == field.row.default
        if default and field.options and not self.document.was_given(field.spot):
            typed = Default()
        merge = f"{field.spot.step}.{field.spot.path}"
        plain = edits.enter(self.document.before(merge), field.spot, typed)
        self.document.apply(plain, f"set {tree.swept_path(self.document.plain, field.spot)}", merge)
        self.refresh_all()
