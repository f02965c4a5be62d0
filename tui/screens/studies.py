"""Every study of the workspace: find, compare, start, stop, replay, delete."""

import asyncio
import time
from collections.abc import Sequence
from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.widgets import Input, Static

from engine.errors import SecateurError
from engine.reports.clips import Clip
from engine.studies import notes
from engine.studies.listed import Listed
from engine.studies.status import OPEN
from engine.text.phrases import counted
from engine.text.tables import path_ends
from tui.keys.action import hint
from tui.screens.acting import StudyActions, question
from tui.screens.base import bindings
from tui.screens.compare import CompareActions
from tui.screens.copying import CopyActions, of_table
from tui.screens.next import NextActions
from tui.screens.preview import Preview
from tui.screens.report import ReportActions
from tui.screens.turning import KnobActions
from tui.session import Back, Failed, Go, Session, Tell
from tui.views.studies import COLUMNS, SORTS, TAGS, about, cells, chosen, headed
from tui.widgets.chrome import PlaceBar
from tui.widgets.confirm import Confirm, Prompt
from tui.widgets.keyinput import KeyInput
from tui.widgets.pager import Pager
from tui.widgets.painted import Line
from tui.widgets.table import Row, Table
from tui.work import studies
from tui.work.messages import StudiesChanged

AGES_EVERY_S = 60.0
"""Seconds between two looks at the ages; only those that read differently are sent."""


class StudiesScreen(
    Preview, StudyActions, ReportActions, CompareActions, CopyActions, NextActions, KnobActions
):
    """The list; its rows come from the watcher."""

    WHERE = "studies"
    BINDINGS: ClassVar[list[BindingType]] = bindings("studies")
    CSS_PATH = "studies.tcss"
    AUTO_FOCUS = "Table"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._studies: tuple[Listed, ...] = ()
        self._sort = 0
        self._reversed = False
        self._current: str | None = None
        """The current study when the list was opened last."""
        self._towards: str | None = None
        """The current study, until it is listed: one that has just been started is not yet."""

    def compose_body(self) -> ComposeResult:
        with Horizontal(id="top"):
            yield Static("filter ", markup=False)
            yield KeyInput(placeholder="/ to type words in any column")
            yield Static("", id="count", markup=False)
        yield Table(COLUMNS, "Reading the workspace …")
        yield self.compose_preview()
        yield Pager(self._about, id="about")

    def on_mount(self) -> None:
        self.query_one("#about").can_focus = False
        self.set_interval(AGES_EVERY_S, self._fill)

    def on_screen_resume(self) -> None:
        self.session.watcher.watch_list(self)
        if self.session.study != self._current:  # not where a question or a text was open over the list
            self._current = self._towards = self.session.study
            self._go_towards()

    def _go_towards(self) -> None:
        """Put the cursor on the current study once it is listed; a filter that hides it leaves the cursor alone."""
        if self._towards in {study.run.name for study in self._studies}:
            self.query_one(Table).move_to(self._towards or "")
            self._towards = None
            self._name_pointed()

    def pointed(self) -> str | None:
        return self._towards or self.query_one(Table).key

    def _pointed_study(self) -> Listed | None:
        return next((s for s in self._studies if s.run.name == self.pointed()), None)

    @on(Table.Moved)
    def _moved(self) -> None:
        self._towards = None
        self._name_pointed()

    def _name_pointed(self) -> None:
        """Name in the bar above the study that the places named there open."""
        study = self._pointed_study()
        if study is not None:
            status = f"{study.status.state} {study.status.fraction}"
            self.query_one(PlaceBar).show_study(study.run.name, status)
        self.query_one("#about", Pager).show(self._about)
        self.rest_on(self.pointed())

    def _about(self, width: int) -> list[Line]:
        study = self._pointed_study()
        return about(study, width) if study is not None else []

    def ready(self) -> bool:
        return bool(self._studies)

    def on_screen_suspend(self) -> None:
        self.session.watcher.unsubscribe(self)

    @on(StudiesChanged)
    def _listed(self, message: StudiesChanged) -> None:
        self._studies = message.studies
        self._fill()
        self._go_towards()

    @on(Input.Changed)
    def _fill(self) -> None:
        words = self.query_one(KeyInput).value.lower().split()
        label, largest_first, by = SORTS[self._sort]
        now = time.time()
        models = path_ends(study.status.model for study in self._studies)
        rows = [(s, cells(s, now, models)) for s in self._studies if s.has(words)]
        rows.sort(key=lambda pair: by(pair[0]), reverse=largest_first != self._reversed)  # type: ignore[arg-type, return-value]
        table = self.query_one(Table)
        table.empty = self._nothing(words)
        tagged = any(study.notes.tags for study in self._studies)
        shown = [column for column in chosen(self.session.columns) if tagged or column.label != TAGS]
        table.fill(
            (Row(s.run.name, tuple(row[column.label] for column in shown)) for s, row in rows),
            headed(shown, label, largest_first != self._reversed),
        )
        filtered = f"{len(rows)} of {len(self._studies)}" if words else counted(len(rows), "study", "studies")
        marked = f", {len(table.marked)} marked" if table.marked else ""
        self.query_one("#count", Static).update(f"{filtered}{marked}")
        self._name_pointed()

    def _nothing(self, words: list[str]) -> str:
        if words and self._studies:
            return "No study has these words. Esc clears the filter."
        return f"No studies in {self.session.workspace} yet: {hint('lab')} starts one."

    @on(Input.Submitted)
    def _filtered(self) -> None:
        self.query_one(Table).focus()

    @on(Table.Chosen)
    def _chosen(self) -> None:
        self.action_open()

    def action_back(self) -> None:
        """Escape first clears the filter."""
        entry = self.query_one(KeyInput)
        if entry.value or entry.has_focus:
            entry.value = ""
            self.query_one(Table).focus()
        else:
            self.post_message(Back())

    def action_open(self) -> None:
        key = self.query_one(Table).key
        if key:
            self.session.show(key)
            self.post_message(Go("curves"))

    def action_filter(self) -> None:
        self.query_one(KeyInput).focus()

    def action_sort(self) -> None:
        self._sort, self._reversed = (self._sort + 1) % len(SORTS), False
        self._fill()

    def action_reverse(self) -> None:
        self._reversed = not self._reversed
        self._fill()

    def action_mark(self) -> None:
        self.query_one(Table).action_mark()
        self._fill()

    def action_mark_all(self) -> None:
        table = self.query_one(Table)
        shown = {row.key for row in table.rows}
        table.marked = set() if shown <= table.marked else shown
        table.redraw()
        self._fill()

    def meant(self) -> list[Listed]:
        """The marked studies, or the one under the cursor."""
        table = self.query_one(Table)
        keys: set[str | None] = {*table.marked} or {table.key}
        return [s for s in self._studies if s.run.name in keys]

    def acted(self) -> None:
        self.query_one(Table).marked.clear()
        self._fill()

    def action_hold(self) -> None:
        self.do("what waits of it is held", OPEN, studies.hold)

    def action_release(self) -> None:
        self.do("what was held of it waits for its turn", OPEN, studies.release)

    def action_throttle(self, factor: float) -> None:
        self.do("so many run at the same time", OPEN, partial(studies.throttle, factor=factor))

    def action_replay(self) -> None:
        self.run_worker(self._replay())

    async def _replay(self) -> None:
        """Run what is done of what is meant again, once that is confirmed: it takes as long as it took."""
        meant = [study for study in self.meant() if study.status.state == "done"]
        if meant:
            trials = counted(sum(study.status.trials for study in meant), "trial")
            detail = f"Every step of {trials} is computed again from nothing, and every number compared."
            if not await self.app.push_screen_wait(
                Confirm(question("Replay", meant), detail, "Replay", "Leave it")
            ):
                return
        self.do("being replayed", ("done",), studies.replay)

    def action_detach(self) -> None:
        """Follow the current study no more."""
        chosen = [s.run.name for s in self.meant()]
        if self.session.study in chosen:
            self.session.study = None
        self.post_message(Tell(f"{', '.join(chosen)}: runs on its own, with this program or without it"))

    def action_edit(self) -> None:
        chosen = self.meant()
        if chosen:
            self.session.preset = chosen[0].run.preset
            self.post_message(Go("lab"))

    def action_export(self) -> None:
        self.run_worker(self._export())

    async def _export(self) -> None:
        """Export the model that is a study's pick."""
        from tui.screens.model_export import ExportScreen

        chosen = self.meant()
        if not chosen:
            return
        try:
            trial, why = await asyncio.to_thread(
                studies.pick, chosen[0], self.session.asked(chosen[0].run.name)
            )
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            self.app.push_screen(ExportScreen.of(self.session, chosen[0].run.name, trial, why))

    def in_report(self) -> list[str]:
        return [study.run.name for study in self.meant()]

    def picks_changed(self) -> None:
        self.session.watcher.look()

    def compared(self) -> list[str]:
        """The picks of the studies that are marked, or of the one under the cursor."""
        return self.in_report()

    def clips(self) -> Sequence[Clip]:
        return of_table(self.query_one(Table), "table of studies")

    def read_clips(self) -> Sequence[Clip]:
        study = self.pointed()
        return studies.clips(self.session.run(study), None, self.session.asked(study)) if study else ()

    def action_note(self) -> None:
        self.run_worker(self._note())

    async def _note(self) -> None:
        """Write a note and tags about the study under the cursor."""
        study = self._pointed_study()
        if study is None:
            return
        detail = "Words that begin with # are tags. They are found by / here and by `secateur list`."
        typed = await self.app.push_screen_wait(Prompt(f"Note on {study.run.name}", study.notes.line, detail))
        if typed is None or typed == study.notes.line:
            return
        try:
            await asyncio.to_thread(notes.write, study.run, notes.typed(typed))
        except SecateurError as error:
            self.post_message(Failed(error))
        self.session.watcher.look()

    def action_restore(self) -> None:
        self.run_worker(self._restore())

    async def _restore(self) -> None:
        """Take back the study that was deleted last."""
        try:
            name = await asyncio.to_thread(studies.restore, self.session.workspace)
        except SecateurError as error:
            self.post_message(Failed(error))
            return
        self.session.watcher.look()
        self.post_message(Tell(f"{name}: back from the bin", "good"))

    def action_disk(self) -> None:
        self.run_worker(self._disk(), group="disk", exclusive=True)

    async def _disk(self) -> None:
        """Show what each study holds, the bin, and what is left over."""
        from tui.screens.lab_texts import TextView

        self.post_message(Tell("Looking at every file of the workspace …"))
        width = min(self.size.width - 8, 100)
        text = await asyncio.to_thread(studies.disk_use, self.session.workspace, width)
        self.post_message(Tell(""))
        await self.app.push_screen(
            TextView("What fills the workspace; `secateur clean` frees it", [(text, "")])
        )

    def action_delete(self) -> None:
        self.run_worker(self._delete())

    async def _delete(self) -> None:
        chosen = self.meant()
        open_ = [s for s in chosen if s.status.state in OPEN]
        if open_:
            standing = f"{open_[0].run.name} is {open_[0].status.state}"
            self.post_message(Tell(f"{standing}: cancel it first (c)", "warn"))
            return
        if not chosen:
            return
        lost = await asyncio.to_thread(studies.what_is_lost, chosen)
        if await self.app.push_screen_wait(Confirm(question("Delete", chosen), lost, "Delete", "Keep")):
            if self.session.study in {s.run.name for s in chosen}:
                self.session.study = None
            await self.carry_out(chosen, studies.delete, "deleted")
