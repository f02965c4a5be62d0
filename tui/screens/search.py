"""A search's page, over any place that shows a study: another limit, another answer; techniques to pin or forbid."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.screen import ModalScreen

from engine.errors import SecateurError
from engine.params.preset import Pick as Rule
from engine.presets import limits
from engine.presets.limits import Limit
from engine.presets.space import Space
from engine.presets.spec import Spec
from engine.results import pick, searches
from engine.search import answers, held
from engine.search.answers import Answer
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState
from tui.keys.table import bindings
from tui.screens.base import BaseScreen, titled
from tui.session import Failed, Go, Session, Tell
from tui.views import search as view
from tui.widgets.box import Box
from tui.widgets.keys import Hint, Keys
from tui.widgets.pager import Pager
from tui.widgets.painted import Line
from tui.widgets.table import Table
from tui.work import studies
from tui.work.messages import StudyChanged

KEYS = (
    Hint("+ -", "limit"),
    Hint("p", "pin", "p"),
    Hint("f", "forbid", "f"),
    Hint("Enter", "trial", "enter"),
    Hint("e", "preset", "e"),
    Hint("Esc", "close", "escape"),
    Hint("Tab", "next list", "tab"),
)


@dataclass(frozen=True)
class Asked:
    """What the study asks of its search."""

    run: RunDir
    spec: Spec
    rule: Rule
    held: Mapping[str, bool]

    @classmethod
    def of(cls, run: RunDir) -> "Asked":
        """Raises SecateurError where the study is no search, or its preset can't be read."""
        spec = run.spec()
        space = held.space_of(spec, run.name)
        return cls(run, spec, pick.rule(run.settings()), held.wished(run, space))

    @property
    def space(self) -> Space:
        assert self.spec.space is not None
        return self.spec.space

    @property
    def limits(self) -> tuple[Limit, ...]:
        assert self.spec.settings.search is not None
        return limits.of_search(self.spec.settings.search)

    @property
    def goal(self) -> str:
        assert self.spec.settings.search is not None
        return self.spec.settings.search.goal


class SearchPage(ModalScreen[None]):
    """Follows one search; what is moved here moves its pick in the whole lab."""

    CSS_PATH = "search.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("search")
    AUTO_FOCUS = "#limits"

    def __init__(self, session: Session, asked: Asked) -> None:
        super().__init__()
        self.session, self.asked = session, asked
        self._state: StudyState | None = None
        self._held = asked.held
        self._one_by_one = asyncio.Lock()

    def compose(self) -> ComposeResult:
        with Box(self.asked.run.name):
            yield Pager(self._head, id="head")
            with Horizontal(id="asked"):
                yield titled(Table(view.LIMITS, id="limits"), "limits")
                yield titled(Table(view.TECHNIQUES, id="techniques"), "techniques")
            yield titled(Table(view.FRONT, "No candidate is through yet.", id="front"), "front")
            yield Keys(*KEYS)

    def on_mount(self) -> None:
        self.query_one("#head").can_focus = False
        self.session.watcher.subscribe(self, self.asked.run.name)
        self._show()

    def on_unmount(self) -> None:
        self.session.watcher.unsubscribe(self)

    @on(StudyChanged)
    def _changed(self, message: StudyChanged) -> None:
        if message.run_name == self.asked.run.name:
            self._state = message.state
            self._show()

    @property
    def limits(self) -> tuple[Limit, ...]:
        """The limits as they stand here."""
        return self.session.limits_of(self.asked.run.name, self.asked.limits)

    def answer(self) -> Answer:
        """What to take within them, of what there is."""
        if self._state is None:
            return Answer(self.limits, None)
        return answers.answer(self._state, self.asked.rule, self.limits)

    def _show(self) -> None:
        self.query_one("#head", Pager).show(self._head)
        self.query_one("#limits", Table).fill(view.limit_rows(self.asked.limits, self.limits))
        state = self._state
        if state is None:
            return
        goal, found = self.asked.goal, self.answer().picked
        techniques = view.technique_rows(state, self.asked.space, self._held, goal)
        self.query_one("#techniques", Table).fill(techniques)
        front = view.front_rows(state, goal, found.trial.index if found else None)
        self.query_one("#front", Table).fill(front)

    def _head(self, width: int) -> list[Line]:
        return view.head(self._state, self.answer(), width) if self._state is not None else []

    # What can be done

    def action_limit(self, by: int) -> None:
        """Move the limit under the cursor one step; the answer follows from what is there."""
        name = self.query_one("#limits", Table).key
        self._move(lambda one: answers.moved(one, by) if one.measure == name else one)

    def action_limits(self) -> None:
        self.session.limits.pop(self.asked.run.name, None)
        self._show()

    def _move(self, change: Callable[[Limit], Limit]) -> None:
        self.session.limits[self.asked.run.name] = tuple(map(change, self.limits))
        self._show()

    def action_pin(self) -> None:
        self.run_worker(self._hold("pinned"))

    def action_forbid(self) -> None:
        self.run_worker(self._hold("forbidden"))

    async def _hold(self, how: held.Wish) -> None:
        """Wish for the technique under the cursor, or take the same wish back."""
        name = self.query_one("#techniques", Table).key
        if name is None or self._state is None:
            return
        async with self._one_by_one:
            now = self._held.get(name)
            wish: held.Wish = "free" if now is not None and now == (how == "pinned") else how
            try:
                self._held = await asyncio.to_thread(
                    held.wish, self.asked.run, self._state, self.asked.space, name, wish
                )
            except SecateurError as error:
                self.post_message(Failed(error))
            else:
                self._show()

    @on(Table.Chosen, "#front")
    def _open(self, message: Table.Chosen) -> None:
        if message.key:
            self.session.trial = int(message.key)
            self._leave_for("trial")

    def action_edit(self) -> None:
        """Open the preset that makes the front's trial in the lab."""
        key = self.query_one("#front", Table).key
        if self._state is None or key is None:
            return
        try:
            self.session.preset = studies.trial_preset(self.asked.run, self._state.trials[int(key)])
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        self._leave_for("lab")

    def _leave_for(self, place: str) -> None:
        self.dismiss(None)
        self.app.post_message(Go(place))

    def action_close(self) -> None:
        self.dismiss(None)


class SearchActions(BaseScreen):
    """A part of a place that shows a study."""

    _searches = False

    def show_current(self, state: StudyState | None) -> None:
        self._searches = state is not None and searches.is_search(state)
        super().show_current(state)

    def offers(self, action: str) -> bool:
        return self._searches if action == "search" else super().offers(action)

    def action_search(self) -> None:
        self.run_worker(self._search(), group="search", exclusive=True)

    async def _search(self) -> None:
        name = self.session.current()
        if name is None:
            self.post_message(Tell("There is no study", "warn"))
            return
        try:
            asked = await asyncio.to_thread(Asked.of, self.session.run(name))
        except SecateurError as error:
            self.post_message(Tell(error.sentence, "warn"))
            return
        await self.app.push_screen_wait(SearchPage(self.session, asked))
        self.picks_changed()
