"""The lab: the preset's outline, the form of what is selected in it, and the study beside them."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from engine.errors import SecateurError
from engine.presets import shipped
from engine.store.paths import is_file
from engine.studies.status import OPEN, counts
from tui.lab.document import Document
from tui.screens.base import bindings, titled
from tui.screens.lab_data import DataActions
from tui.screens.lab_edit import EditActions
from tui.screens.lab_files import FileActions
from tui.screens.lab_outside import OutsideActions
from tui.session import Failed, Go, Session
from tui.widgets.ending import ONWARD, Endings
from tui.widgets.form import Form
from tui.widgets.lab_head import FormTitle, Head, Views, picked_from_list
from tui.widgets.live import Live
from tui.widgets.outline import Outline
from tui.widgets.table import Table
from tui.work.messages import StudyChanged
from tui.work.remembered import Remembered

if TYPE_CHECKING:
    from engine.studies.state import StudyState

START = "quickstart"
"""The preset that a first start opens."""
VIEWS = ("edit", "curve", "trials")
"""What a narrow terminal shows one at a time."""

BESIDE_FORM = 6
"""Lines above the form that say what became of the study, where a narrow terminal shows no more of it."""


def ended(state: "StudyState") -> tuple[str, str]:
    """How a study that ran here ended and which keys go on, with its role."""
    from engine.results.failures import ending

    head = f"{state.name} {'is ' if state.status in ('done', 'lost') else ''}{state.status}"
    end = ending(state)
    if end is None:
        done = counts(state.done, len(state.trials), 0, state.most, verb="")
        return f"{head}, {done}. ^l: its curve and trials.", "good"
    return f"{head}: {f'{ONWARD} {end.resumed}' if end.resumed else end.headline}.", "bad"


class LabScreen(EditActions, FileActions, DataActions, OutsideActions):
    """Edits one preset and starts it; actions live in the mixins, what is edited in `document`."""

    WHERE = "lab"
    BINDINGS: ClassVar[list[BindingType]] = bindings("lab")
    CSS_PATH = "lab.tcss"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._state: StudyState | None = None
        self.add_class("view-edit", update=False)

    def compose_body(self) -> Iterable[Widget]:
        yield Head()
        yield Views()
        yield Endings(id="ended")
        with Horizontal(id="panes"):
            with titled(Vertical(id="left"), "preset"):
                yield Outline(id="outline")
            with titled(Vertical(id="middle"), "parameters"):
                yield FormTitle()
                yield Form(self.problem_of, self.help_lines, id="form")
            yield titled(Live(id="right"), "study")

    def on_mount(self) -> None:
        self.set_view("edit")
        self._load_first()
        self.query_one(Outline).focus()

    async def complete(self) -> None:
        await self.query_one(Live).complete()
        self.hide_columns()
        self._show_study()

    def _load_first(self) -> None:
        last = self.session.take_remembered()
        path = self.session.take_preset() or self._last_preset(last) or shipped.find(START)
        try:
            if last is not None and last.draft:
                self.document = Document.restored(
                    last.name, Path(last.preset) if last.preset else None, last.draft
                )
                self.say(f"{last.name}: what was not saved is back; u takes it away again", "good")
            else:
                self.document = self.read(path)
        except SecateurError as error:
            self.post_message(Failed(error))
        self.refresh_all(fresh=True)

    def _last_preset(self, last: Remembered | None) -> Path | None:
        """The file of the last lab's preset, if it is there still."""
        return Path(last.preset) if last and last.preset and is_file(Path(last.preset)) else None

    def on_screen_resume(self) -> None:
        """Open the preset that another place has asked for."""
        path, proposal = self.session.take_preset(), self.session.take_proposal()
        if path is not None:
            self.open(path)
        elif proposal is not None:
            self.open_text(*proposal)

    @on(Form.Edited)
    def _edited(self, message: Form.Edited) -> None:
        owner, form = self._shown_owner, self.query_one(Form)
        if message.field.address.step == (owner if isinstance(owner, int) else None):
            pending = form.pending()
            current = pending is not None and pending[0].address == message.field.address
            self.enter(*(pending if current and pending else (message.field, message.typed)))

    @on(Form.Pointed)
    def _pointed(self) -> None:
        self.document.close_change()
        self.show_help()

    @on(Form.GivenUp)
    def _given_up(self, message: Form.GivenUp) -> None:
        self.give_up(message.field)

    @on(Form.Mistaken)
    def _mistaken(self) -> None:
        self.say("Enter edits the value; letters are commands in the outline (Esc)", "warn")

    @on(Form.Entered)
    async def _entered(self, message: Form.Entered) -> None:
        """Enter opens what the value is chosen from, turns a switch round, or begins to edit the text."""
        field, form = message.field, self.query_one(Form)
        self.document.close_change()
        if field.axis is not None and (field.options or field.checks):
            self.action_sweep()
        elif field.toggles:
            form.cycle(1)
        elif field.checks:
            self.action_check()
        elif picked_from_list(field):
            await self.run_action("pick_model" if field.address.path == "model.name" else "pick_data")
        elif field.options:
            self.action_choose_value()
        else:
            form.edit()

    @on(Outline.Moved)
    def _moved(self) -> None:
        self.document.close_change()
        self.show_form()

    @on(Outline.Chosen)
    async def _chosen(self, message: Outline.Chosen) -> None:
        await self.choose(message.item)

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        self.show_help()
        self._show_head()

    # The study

    def show_state(self, state: "StudyState | None") -> None:
        self._state = state
        if state is not None:
            self._follow_to_the_end(state)
        self._show_study()

    def _follow_to_the_end(self, state: "StudyState") -> None:
        """Say how a study ended where it was said that it runs, and beside the form until another one runs."""
        if state.status in OPEN:
            self.running = state.name
            self.query_one("#ended", Endings).show([])
        elif self.running == state.name:
            self.running = ""
            self.say(*ended(state))
            self.query_one("#ended", Endings).show([state], BESIDE_FORM)

    def _show_study(self) -> None:
        """Show the study unless it is out of view: drawing 1,000 trials takes 40 ms."""
        live, state = self.query_one(Live), self._state
        if live.display and live.is_complete:
            another = state is not None and state.preset not in ("", self.document.name)
            live.border_title = "study of another preset" if another else "study"
            settings = self.session.settings_of(state.name, state) if state else None
            live.asked = self.session.asked(state.name) if state else None
            live.show(state, settings)

    @on(events.Resize)
    def _comes_into_view(self) -> None:
        self.call_after_refresh(self._show_study)

    async def on_study_changed(self, message: StudyChanged) -> None:
        if message.run_name == self.session.study and message.state.status not in OPEN:
            self.check_soon()

    @on(Table.Chosen, "#trials")
    def _trial_chosen(self, message: Table.Chosen) -> None:
        if message.key is not None:
            self.session.trial = int(message.key)
            self.post_message(Go("trial"))

    def on_plot_chosen(self) -> None:
        if self.session.study:
            self.post_message(Go("curves"))

    def picks_changed(self) -> None:
        self._show_study()

    # Views

    def set_view(self, view: str) -> None:
        """What a narrow terminal shows."""
        self.update_classes({f"view-{name}": name == view for name in VIEWS})
        self.query_one(Views).show(view)
        self.call_after_refresh(self._show_study)

    @property
    def view(self) -> str:
        return next(name for name in VIEWS if self.has_class(f"view-{name}"))

    def action_next_view(self) -> None:
        """The next view where one is shown at a time; else the next pane."""
        order = [self.query_one(Outline), *self.query("#curve, #trials")]
        if len(order) < len(VIEWS):
            return  # in the instant after the first frame
        now = next((i for i, pane in enumerate(order) if pane is self.focused), 0)
        if self.query_one(Views).display:
            now = VIEWS.index(self.view)
        to = (now + 1) % len(order)
        self.set_view(VIEWS[to])
        self.call_after_refresh(order[to].focus)

    def action_outline(self) -> None:
        """To the outline; from there back to the place before."""
        target = self.query_one(Outline)
        if self.focused is target:
            self.say("This is the preset's outline: ^q leaves, the numbers above go elsewhere")
            return
        self.set_view("edit")
        target.focus()
