"""What every place of the lab has: the bar of places above, the keys that work here below."""

import asyncio
from typing import TYPE_CHECKING, TypeVar

from textual import events, on
from textual.app import ComposeResult
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Input

from tui import columns
from tui.keys.table import bindings, key_text
from tui.session import Session
from tui.widgets.chrome import KeyBar, PlaceBar
from tui.widgets.keys import Hint
from tui.widgets.picker import Choice, Picker
from tui.widgets.table import Table
from tui.work.messages import StudyChanged

if TYPE_CHECKING:
    from engine.studies.state import StudyState

LEAST_WIDTH, LEAST_HEIGHT = 72, 20
"""Below this something has no room; the lab says so and goes on."""


Shown = TypeVar("Shown", bound=Widget)


def titled(widget: Shown, title: str) -> Shown:
    """The widget in a frame with a title; a heavy one while the focus is within, so that no colour has to tell."""
    widget.border_title = title
    widget.add_class("panel", update=False)
    return widget


class BaseScreen(Screen[None]):
    """A place of the lab. Subclasses set WHERE, `BINDINGS = bindings(WHERE)`, and `compose_body`."""

    WHERE = ""
    AUTO_FOCUS = "*"
    # Textual repaints the whole screen (18 kB at 120x40) whenever the focus moves; our widgets show it themselves.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self._was_drawn = self._was_small = False

    def compose(self) -> ComposeResult:
        yield PlaceBar(self.WHERE)
        yield from self.compose_body()
        yield KeyBar()

    def compose_body(self) -> ComposeResult:
        """The widgets between the bar of places and the footer."""
        yield from ()

    def before_quit(self) -> str:
        """What leaving the program now would lose, as a sentence; empty if nothing."""
        return ""

    def pointed(self) -> str | None:
        """The study under the cursor, which places that show a study then open; None if this is no list of them."""
        return None

    def picks_changed(self) -> None:
        """The threshold of picks is another: show them anew."""

    def ready(self) -> bool:
        """Whether it has something to act on, so that a command from elsewhere can run."""
        return True

    def offers(self, action: str) -> bool:
        """Whether the footer names an action, by its id: not one that could only say now that it is not possible."""
        return True

    def say(self, text: str, role: str = "") -> None:
        """Show a message in the footer's line until the next key."""
        self.query_one(KeyBar).say(text, role)

    def show_current(self, state: "StudyState | None") -> None:
        """Name the current study and how it stands in the bar above."""
        status = f"{state.status} {state.fraction}" if state and state.trials else ""
        status = status or (state.status if state else "")
        self.query_one(PlaceBar).show_study(state.name if state else "", status)
        self._show_keys()

    async def on_event(self, event: events.Event) -> None:
        # Whoever leaves in the instant a place opens: that it was opened is still told when its widgets are gone.
        if isinstance(event, events.ScreenResume) and not self.is_attached:
            return
        await super().on_event(event)

    def on_mount(self) -> None:
        self.hide_columns()
        self.bindings_updated_signal.subscribe(self, lambda _: self._show_keys())
        self._show_keys()

    def hide_columns(self) -> None:
        """Hide the columns that the user has chosen not to see."""
        for table in self.query(Table):
            table.hidden = columns.hidden(self._named(table))

    def on_resize(self, event: events.Resize) -> None:
        width, height = event.size
        small = width < LEAST_WIDTH or height < LEAST_HEIGHT
        if small or self._was_small:
            self.say(
                f"{width}×{height} is too small: the lab is made for 80×24 and more" if small else "", "warn"
            )
        self._was_small = small

    def on_key(self, event: events.Key) -> None:
        self.query_one(KeyBar).say("")

    def _compositor_refresh(self) -> None:
        """Draw the whole of a screen that opens once, where Textual does so three times and sends it twice.

        What it draws during a batch it throws away: here that stays to be drawn when the batch is over.
        """
        if self.app._batch_count:
            return
        whole = self.outer_size.region in self._compositor._dirty_regions
        super()._compositor_refresh()
        if whole:
            self._repaint_required = False
        if not self._was_drawn:
            self._was_drawn = True
            self.call_next(self.complete)

    async def complete(self) -> None:
        """Load what the first frame did without; called once the place was drawn for the first time."""

    @on(Table.ColumnsWanted)
    def _choose_columns(self, message: Table.ColumnsWanted) -> None:
        """Ask which columns a list shows, and keep that."""
        table = message.table
        names = [column.name for column in table.columns]

        def set_(chosen: list[str] | None) -> None:
            if chosen:
                table.hidden = frozenset(names) - frozenset(chosen)
                columns.hide(self._named(table), table.hidden)
                table.redraw()

        shown = [name for name in names if name not in table.hidden]
        self.app.push_screen(
            Picker("Columns to show", [Choice(n, n) for n in names], shown, several=True), set_
        )

    def _named(self, table: Table) -> str:
        return f"{self.WHERE} {table.id or 'list'}"

    def _show_keys(self) -> None:
        """The footer names keys that work now: no bare letters while an input has the focus."""
        typing = isinstance(self.focused, Input)
        self.query_one(PlaceBar).typing(typing)
        keys: dict[str, Hint] = {}
        for active in self.active_bindings.values():
            binding = active.binding
            typed = typing and len(key_text(binding.key)) == 1
            offered = self.offers(binding.action.partition("(")[0])
            if binding.show and active.enabled and offered and not typed:
                hint = Hint(key_text(binding.key), binding.description, binding.key)
                keys.setdefault(binding.action, hint)
        self.query_one(KeyBar).show_keys(list(keys.values()))


class StudyScreen(BaseScreen):
    """A place that shows the current study; subclasses give `show_state`."""

    def on_screen_resume(self) -> None:
        study = self.session.current()
        if study is not None:
            self.session.watcher.subscribe(self, study)
        else:
            self.show_state(None)

    def on_screen_suspend(self) -> None:
        self.session.watcher.unsubscribe(self)

    async def on_study_changed(self, message: StudyChanged) -> None:
        if message.run_name == self.session.study:
            # The pick's rule: read here once, so that drawing reads no file.
            await asyncio.to_thread(self.session.settings_of, message.run_name, message.state)
            self.show_state(message.state)
            self.show_current(message.state)

    def show_state(self, state: "StudyState | None") -> None:
        """Show the study as it stands; None if the workspace has none."""


__all__ = ["BaseScreen", "StudyScreen", "bindings", "titled"]
