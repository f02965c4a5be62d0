"""Curves: any parameter or measure along x, any measure along y, one study or several."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.charts import sensitivity, training
from engine.errors import SecateurError
from engine.measures.table import measure
from engine.plotting.axis import NAMES, Scale, scales
from engine.plotting.figure import Figure
from engine.reports.clips import Clip
from engine.results import pick
from engine.store.paths import expanded
from engine.studies.rundir import studies
from engine.studies.state import StudyState
from engine.studies.status import OPEN
from engine.text.phrases import counted
from tui.keys.action import hint
from tui.screens.base import bindings
from tui.screens.copying import CopyActions
from tui.screens.next import NextActions
from tui.screens.report import ReportActions
from tui.screens.search import SearchActions
from tui.screens.turning import KnobActions
from tui.session import Failed, Go, Session, Tell
from tui.views import curves
from tui.views.curves import Drawn, View
from tui.widgets.confirm import Prompt
from tui.widgets.ending import Endings
from tui.widgets.pager import Pager
from tui.widgets.painted import Line
from tui.widgets.picker import Choice, Picker
from tui.widgets.plot import Plot
from tui.widgets.table import Column, Row, Table
from tui.widgets.verdict import Verdict
from tui.widgets.wrap import wrapped
from tui.work import charts
from tui.work import studies as studies_work
from tui.work.messages import StudyChanged

FRONT_COLUMNS = (
    Column("trial", "right"),
    Column("line", widest=24, rank=1),
    Column("x", "right"),
    Column("y", "right"),
)

MOST_LINES = 16
"""Lines that say what became of studies where there is no curve; with one, the first few."""
BESIDE_CURVE = 3


class CurvesScreen(ReportActions, CopyActions, NextActions, SearchActions, KnobActions):
    """The chart with what is chosen above it and the point under the cursor below."""

    WHERE = "curves"
    BINDINGS: ClassVar[list[BindingType]] = bindings("curves")
    CSS_PATH = "curves.tcss"
    AUTO_FOCUS = "Plot"

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._states: dict[str, StudyState] = {}
        self._following: list[str] = []
        self._view: View | None = None
        self._viewed = ""
        self._drawn = Drawn(Figure())

    def compose_body(self) -> ComposeResult:
        yield Pager(self._chosen, id="chosen")
        yield Verdict()
        yield Endings()
        with Horizontal():
            yield Plot(id="plot")
            yield Table(FRONT_COLUMNS, "No front yet.", id="front")
        yield Pager(self._read_out, id="readout")

    def on_mount(self) -> None:
        for name in ("#chosen", "#readout"):
            self.query_one(name).can_focus = False
        self.query_one("#front").display = False

    def on_screen_resume(self) -> None:
        self._follow()
        self.query_one(Plot).focus()

    def ready(self) -> bool:
        return self._view is not None

    def on_screen_suspend(self) -> None:
        self.session.watcher.unsubscribe(self)

    def _follow(self) -> None:
        """Subscribe to the current study and those laid over it."""
        wanted = [name for name in dict.fromkeys([self.session.current(), *self.session.overlay]) if name]
        self.session.watcher.unsubscribe(self)
        self._following = wanted
        self._states = {name: state for name, state in self._states.items() if name in wanted}
        for name in wanted:
            self.session.watcher.subscribe(self, name)
        if not wanted:
            self._show(f"No study yet: {hint('lab')} starts one, {hint('studies')} opens one.")
        elif self._viewed != wanted[0]:
            self._view = None

    @on(StudyChanged)
    async def _changed(self, message: StudyChanged) -> None:
        if message.run_name not in self._following:
            return
        self._states[message.run_name] = message.state
        settings = await asyncio.to_thread(self.session.settings_of, message.run_name, message.state)
        if message.run_name == self.session.study:
            self.show_current(message.state)
            if self._view is None and message.state.trials:
                self._view = curves.first_view(message.state, settings.plot if settings else None)
                self._viewed = message.run_name
        self._show()

    def _picks(self) -> list[pick.Pick]:
        """The pick of each study that is drawn and has one."""
        states = [(name, self._states[name]) for name in self._following if name in self._states]
        return [choice for name, state in states if (choice := self.session.picked(name, state))]

    def picks_changed(self) -> None:
        self._show()

    def _show(self, nothing: str = "") -> None:
        states = [self._states[name] for name in self._following if name in self._states]
        picks = self._picks()
        plot = self.query_one(Plot)
        if self._view is None or not states:
            waiting = states and states[0].status in OPEN
            self._drawn = Drawn(Figure(), problem=nothing or ("Waiting for its plan …" if waiting else ""))
        else:
            self._drawn = curves.draw(states, self._view, [picked.trial for picked in picks])
        live = any(state.status in OPEN for state in states)
        ended = "" if live else curves.nothing(states, self._view)
        trains = self._view and not self._view.epochs and training.measures(states)
        waits = "no values yet; t draws its training by epoch" if trains else ""
        plot.show(self._drawn.figure, (self._viewed, self._view), live=live, ended=ended, waits=waits)
        first = states[0] if states else None
        self.query_one(Verdict).show_pick(first, picks[0] if picks else None, self._drawn.notes)
        drawn = any(line.points for line in self._drawn.figure.series)
        self.query_one(Endings).show(states, BESIDE_CURVE if drawn or live else MOST_LINES)
        front = self.query_one("#front", Table)
        front.display = bool(self._view and self._view.pareto and not self._view.epochs)
        front.fill(Row(key, cells) for key, cells in curves.front_rows(self._drawn))
        for name, build in (("#chosen", self._chosen), ("#readout", self._read_out)):
            self.query_one(name, Pager).show(build)

    def _chosen(self, width: int) -> list[Line]:
        view = self._view
        if view is None:
            return [[("", "")]]
        if view.epochs:
            parts = [("x", "epoch"), ("y", view.epoch_y)]
        elif self._by_layer():
            figure = self._drawn.figure
            parts = [("x", view.x), ("y", figure.y_measure or view.y), ("by", figure.title or "layer")]
        else:
            parts = [("x", view.x), ("y", view.y), ("by", ", ".join(view.by) or "–")]
        spans: list[tuple[str, str]] = []
        for key, name in parts:
            spans += [(f"{key} ", "accent"), (f"{name}   ", "")]
        pareto = f"Pareto: {curves.directions(self._drawn.figure)}"
        figure, plot = self._drawn.figure, self.query_one(Plot)
        flags = [
            f"{NAMES[scale]} {axis}"
            for scale, axis in ((figure.y_scale, "y"), (figure.x_scale, "x"))
            if NAMES[scale]
        ]
        flags += [pareto] if self._drawn.front else []
        flags += ["zoomed: 0 shows all"] if plot.zoomed else []
        spans += [(f"[{name}] ", "muted") for name in flags]
        if self.session.overlay:
            spans.append((f"+{counted(len(self.session.overlay), 'study', 'studies')}", "muted"))
        return [spans]

    def _read_out(self, width: int) -> list[Line]:
        if self._drawn.problem:
            return [[(line, "warn")] for line in self._drawn.problem.splitlines()]
        cursor = self.query_one(Plot).cursor
        if not any(line.points for line in self._drawn.figure.series):
            return []
        if cursor is None or not self._drawn.owner(*cursor):
            return [[("← → walk the points, Enter opens the trial", "muted")]]
        return wrapped(curves.readout(self._drawn, *cursor), width, "title")

    @on(Plot.Moved)
    def _moved(self, message: Plot.Moved) -> None:
        self.query_one("#readout", Pager).show(self._read_out)
        if message.series is not None:
            self.query_one("#front", Table).move_to(f"{message.series} {message.point}")

    @on(Plot.Zoomed)
    def _zoomed(self) -> None:
        self.query_one("#chosen", Pager).show(self._chosen)

    @on(Plot.Chosen)
    def _open(self, message: Plot.Chosen) -> None:
        if message.series is not None and message.point is not None:
            self._open_trial(message.series, message.point)

    @on(Table.Chosen)
    def _open_row(self, message: Table.Chosen) -> None:
        if message.key:
            series, point = message.key.split()
            self._open_trial(int(series), int(point))

    def _open_trial(self, series: int, point: int) -> None:
        owner = self._drawn.owner(series, point)
        if owner:
            names = [name for name, state in self._states.items() if state is owner.state]
            self.session.study = names[0] if names else self.session.study
            self.session.trial = owner.trials[0].index
            self.post_message(Go("trial"))

    def _set(self, **changes: object) -> None:
        if self._view is not None:
            self._view = replace(self._view, **changes)  # type: ignore[arg-type]
            self._show()

    def _choose(self, title: str, names: list[str], field: str, chosen: str | None) -> None:
        swept = curves.parameters(list(self._states.values()))
        choices = [Choice(name, name, "swept" if name in swept else _about(name)) for name in names]

        def set_(keys: list[str] | None) -> None:
            if keys is not None:
                self._set(**{field: keys[0] or None})

        self.app.push_screen(Picker(title, choices, [chosen or ""]), set_)

    def _by_layer(self) -> bool:
        return self._view is not None and curves.by_layer(list(self._states.values()), self._view)

    def action_choose_x(self) -> None:
        if self._view is not None:
            states = list(self._states.values())
            self._choose("Draw along", curves.xs(states), "x", self._view.x)

    def action_choose_y(self) -> None:
        if self._view is None:
            return
        if self._view.epochs:
            values = training.measures(list(self._states.values()))
            self._choose("Draw", values, "epoch_y", self._view.epoch_y)
        elif self._by_layer():
            names = sensitivity.measures(list(self._states.values()))
            self._choose("Draw", names, "y", self._drawn.figure.y_measure)
        else:
            self._choose("Draw", curves.ys(list(self._states.values())), "y", self._view.y)

    def action_choose_by(self) -> None:
        """Choose the parameter that tells the lines apart, or the layers that are drawn."""
        if self._view is not None and self._by_layer():
            self._choose_layers(self._view)
        elif self._view is not None:
            self._choose_lines(self._view)

    def _choose_lines(self, view: View) -> None:
        def set_(chosen: list[str] | None) -> None:
            if chosen is not None:
                self._set(by=tuple(chosen))

        choices = [Choice(name, name) for name in curves.bys(list(self._states.values()))]
        self.app.push_screen(Picker("Name lines first after", choices, view.by, several=True), set_)

    def _choose_layers(self, view: View) -> None:
        def set_(chosen: list[str] | None) -> None:
            if chosen is not None:
                self._set(layers=tuple(chosen))

        choices = [
            Choice(name, name, about) for name, about in curves.layers(list(self._states.values()), view)
        ]
        title = "Layers to draw (none: a few of all)"
        self.app.push_screen(Picker(title, choices, view.layers, several=True), set_)

    def action_overlay(self) -> None:
        """Choose the studies drawn together with the current one."""
        from tui.views.previews import of_study

        def set_(names: list[str] | None) -> None:
            if names is not None:
                self.session.overlay = names
                self._follow()
                self._show()

        choices = [
            Choice(run.name, run.name, run.read_status().about)
            for run in studies(self.session.workspace)[:200]
            if run.name != self.session.study
        ]
        if not choices:
            self.say("There is no other study in this workspace to lay over", "warn")
            return
        picker = Picker(
            "Lay over",
            choices,
            self.session.overlay,
            several=True,
            columns=("study", "about"),
            preview=lambda name: of_study(self.session.run(name), self.session.asked(name)),
        )
        self.app.push_screen(picker, set_)

    def action_epochs(self) -> None:
        if self._view is not None:
            self._set(epochs=not self._view.epochs)

    def action_pareto(self) -> None:
        if self._view is not None:
            self._set(pareto=not self._view.pareto, epochs=False)

    def action_log(self) -> None:
        if self._view is not None:
            self._set(y_scale=_next_scale(self._drawn.figure.y_scale, self._drawn.figure.y_measure))

    def action_log_x(self) -> None:
        if self._view is not None:
            self._set(x_scale=_next_scale(self._drawn.figure.x_scale, self._drawn.figure.x_measure))

    def clips(self) -> Sequence[Clip]:
        from engine.plotting import csv

        plot = self.query_one(Plot)
        point = [Clip("point", curves.readout(self._drawn, *plot.cursor))] if plot.cursor else []
        return [*point, Clip("points drawn, CSV", csv.write(plot.shown))]

    def read_clips(self) -> Sequence[Clip]:
        name = self.session.study
        return studies_work.clips(self.session.run(name), None, self.session.asked(name)) if name else ()

    def in_report(self) -> list[str]:
        return self._following

    def action_export(self) -> None:
        self.run_worker(self._export())

    async def _export(self) -> None:
        y = self._drawn.figure.y_measure.replace(".", "-") or "chart"
        asked = Prompt("Write the chart to", f"{self.session.study}-{y}.svg", charts.ABOUT)
        name = await self.app.push_screen_wait(asked)
        if not name:
            return
        try:
            path = await asyncio.to_thread(charts.write, self.query_one(Plot).shown, expanded(name))
        except SecateurError as error:
            self.post_message(Failed(error))
        else:
            self.post_message(Tell(f"wrote {path}", "good"))


def _next_scale(scale: Scale, name: str) -> Scale:
    """The next one of those that make sense for a measure or parameter."""
    order = scales(name)
    return order[(order.index(scale) + 1) % len(order)]


def _about(name: str) -> str:
    known = measure(name)
    return f"{known.better} is better" if known.better else ""
