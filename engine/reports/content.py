"""What a report on studies says: the model to take, curves, tables, layers, how to get it again, what to mind."""

import shlex
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine import __version__
from engine.charts import training, trials
from engine.charts.together import SIZES, comparable
from engine.errors import SecateurError
from engine.measures import latency
from engine.measures.table import change_text, measure, measure_text
from engine.params.preset import Plot
from engine.plotting.figure import Figure
from engine.presets.yaml.flow import as_written
from engine.reports import remarks
from engine.reports.document import Block, Bullets, Chart, Code, Paragraph, Report, Section, Table
from engine.reports.table import Grid, of_trials
from engine.results import environment, failures, network, pick
from engine.results.suggestions import suggestions
from engine.results.summary import (
    baseline_value,
    measure_names,
    measure_value,
    quality_name,
)
from engine.studies import notes as written
from engine.studies.notes import Notes
from engine.studies.rundir import RunDir
from engine.studies.settings import StudySettings
from engine.studies.state import StudyState, TrialState
from engine.text import numbers
from engine.text.visible import visible


@dataclass(frozen=True)
class Reported:
    """A study with all that a report says of it; `pick` is None where there is none to take."""

    run: RunDir
    state: StudyState
    settings: StudySettings
    notes: Notes
    pick: pick.Pick | None


def reported(run: RunDir, state: StudyState, asked: pick.Asked = None) -> Reported:
    """Gather it; the pick is by what is `asked` for in place of what the preset says."""
    settings = run.settings()
    return Reported(run, state, settings, written.read(run), pick.asked_for(state, settings, asked))


def report(studies: Sequence[Reported], now: float | None = None) -> Report:
    """The report on one study, or on several: what they are together, then each of them."""
    names = [one.state.name for one in studies]
    when = failures.moment(time.time() if now is None else now)
    below = f"written by secateur {__version__}, {when}"
    if len(studies) == 1:
        return Report(names[0], below, tuple(_study(studies[0], level=2)))
    sections = [Section("Verdict", tuple(_verdicts(studies))), *_overlay(studies)]
    for one in studies:
        first, *rest = _study(one, level=3)
        sections += [Section(one.state.name, first.blocks), *rest]
    return Report(" · ".join(names), below, tuple(sections))


def _verdicts(studies: Sequence[Reported]) -> Iterator[Block]:
    for one in studies:
        yield Paragraph(f"{one.state.name}: {_verdict(one)}", "lead" if one.pick else "")


def _verdict(one: Reported) -> str:
    if one.pick is not None:
        return pick.verdict(one.pick)
    return pick.without(one.state)


def _overlay(studies: Sequence[Reported]) -> Iterator[Section]:
    """All studies in one chart."""
    states = [one.state for one in studies]
    plot = trials.default_plot(states[0], studies[0].settings.plot)
    if plot is None:
        return
    together = comparable(states, plot.x, plot.y, plot.names)
    drawn = _drawn(together.states, Plot(x=together.x, y=together.y, by=together.by or None), studies)
    if drawn is not None:
        notes = tuple(Paragraph(note, "warn") for note in together.notes)
        yield Section("Together", (Chart(drawn, _caption(drawn)), *notes))


def _study(one: Reported, level: int) -> Iterator[Section]:
    yield Section("Verdict", tuple(_head(one)), level)
    if charts := tuple(_charts(one)):
        yield Section("Curves", charts, level)
    if one.state.trials:
        place = (
            1 + one.state.trials.index(one.pick.trial) if one.pick else None
        )  # the baseline is the first row
        table = Table(of_trials(one.state, one.pick), f"{pick.MARK} the pick" if one.pick else "", place)
        yield Section("Trials", (table,), level)
    if one.pick is not None:
        yield Section(f"Trial {one.pick.trial.index}, the pick", tuple(_trial(one, one.pick.trial)), level)
    yield Section("What to mind", tuple(_minded(one)), level)
    if found := suggestions(one.run, one.state, one.pick):
        lines = tuple(f"{place}. {idea}" for place, idea in enumerate(found, 1))
        name = shlex.quote(visible(one.run.name))
        blocks = Bullets(lines), Code(f"secateur next {name} 1 > next.yaml   # the first as a preset", "sh")
        yield Section("What to try next", blocks, level)
    yield Section("How to get it again", tuple(_again(one)), level)
    yield Section(
        "Environment", (Table(Grid(("what", "is"), environment.rows(one.state), ("left", "left"))),), level
    )


def _head(one: Reported) -> Iterator[Block]:
    yield Paragraph(_verdict(one), "lead")
    about = one.settings.trials[0].about
    if about:
        yield Paragraph(about)
    if one.notes.text:
        yield Paragraph(f"Note: {one.notes.text}")
    if one.notes.tags:
        yield Paragraph(" ".join(f"#{tag}" for tag in one.notes.tags))
    yield Paragraph(f"The study is {one.state.status}, {one.state.counts}.")
    if ended := failures.lines(one.state):
        yield Bullets(tuple(line.strip() for line in ended))


def _charts(one: Reported) -> Iterator[Block]:
    """The preset's chart, quality along what the pick goes for, along latency, and by epoch."""
    state, quality = one.state, quality_name(one.state)
    wanted = [trials.default_plot(state, one.settings.plot)]
    goal = one.pick.goal if one.pick else ""
    measured = measure_names(state)
    wanted += [Plot(x=name, y=quality) for name in dict.fromkeys([goal, *SIZES[:2]]) if name in measured]
    rows = [name for name in measured if name.startswith("latency.")]
    wanted += [Plot(x=name, y=quality) for name in rows[:MOST_LATENCIES] if name != goal]
    seen = set()
    for plot in wanted:
        if plot is not None and (plot.x, plot.y) not in seen:
            seen.add((plot.x, plot.y))
            if (drawn := _drawn([state], plot, [one])) is not None:
                yield Chart(drawn, _caption(drawn))
    for name in training.measures([state])[:1]:
        yield Chart(training.figure([state], name), f"{measure(name).label} by epoch of training")


MOST_LATENCIES = 2
"""Charts of latencies; the tables have them all."""


def _drawn(states: Sequence[StudyState], plot: Plot, studies: Sequence[Reported]) -> Figure | None:
    """The figure; None where nothing of it was measured."""
    picks = [one.pick.trial for one in studies if one.pick]
    try:
        figure = trials.figure(states, plot.x, plot.y, plot.by, scale=plot.scale, picks=picks)
    except SecateurError:
        return None
    return figure if any(line.points for line in figure.series) else None


def _caption(figure: Figure) -> str:
    starred = ", the pick starred" if any(line.name == "pick" for line in figure.series) else ""
    return f"{figure.y_label} along {figure.x_label}{starred}"


def _trial(one: Reported, trial: TrialState) -> Iterator[Block]:
    """Everything on one trial: its parameters, measures, latencies, steps and layers."""
    values = [(name, as_written(value)) for name, value in trial.parameters.items()]
    if values:
        yield Table(Grid(("parameter", "value"), values, ("left", "left")), "swept parameters")
    yield Table(
        Grid(("measure", "this trial", "baseline", "difference"), list(_measures(one.state, trial))),
        "measures",
    )
    if rows := latency.measured(trial.results):
        cells = [[text for _, text in latency.cells(row)] for row in rows]
        yield Table(Grid(latency.HEADS, cells, ("left", "left")), "latency")
    steps = [
        (s.address, one.state.standing(s) + (", reused" if s.reused else ""), numbers.duration(s.seconds))
        for s in trial.chain
    ]
    yield Table(Grid(("step", "status", "time"), steps, ("left", "left")), "steps")
    if layers := network.of(one.run, trial):
        yield _layers(layers)


def _measures(state: StudyState, trial: TrialState) -> Iterator[tuple[str, str, str, str]]:
    for name in measure_names(state):
        value, before = measure_value(trial.results, name), baseline_value(trial, name)
        if not latency.is_name(name) and (value is not None or before is not None):
            change = "" if value is None or before is None else change_text(name, value - before)
            yield measure(name).label, measure_text(name, value), measure_text(name, before), change


def _layers(layers: Sequence[network.Layer]) -> Table:
    largest = max(layer.before for layer in layers) or 1
    formed = any(layer.forms for layer in layers)
    rows = [
        [
            layer.name.removesuffix(".weight"),
            layer.type,
            network.shape(layer),
            numbers.count(layer.before),
            numbers.count(layer.nonzero),
            numbers.percent(layer.sparsity, 1),
            numbers.count(layer.macs),
            *([layer.forms, layer.lost] if formed else []),
        ]
        for layer in layers
    ]
    heads = ["layer", "type", "shape", "before", "after", "zeros", "MACs"]
    bars = tuple((layer.before / largest, layer.nonzero / largest) for layer in layers)
    grid = Grid([*heads, *(["made of it", "lost"] if formed else [])], rows, ("left", "left", "left"))
    return Table(grid, "layers: parameters in the baseline, and those that are left", bars=bars)


def _minded(one: Reported) -> Iterator[Block]:
    """What a reader of the numbers has to know before using them."""
    lines = [] if one.pick is None else [_judged(one.pick)]
    seeds = {trial.parameters.get("seed") for trial in one.state.trials}
    if len(seeds) < 2 and one.state.trials:
        lines.append("One seed: how far another one would move these numbers is not known.")
    lines += [line for line in remarks.closing(one.state) if line.strip() not in _stated_above(one)]
    lines += [notice.text for notice in one.state.notices if notice.level != "info"]
    if one.state.checked:
        lines += one.state.checked.lines
    yield Bullets(tuple(dict.fromkeys(line.strip() for line in lines)))


def _stated_above(one: Reported) -> set[str]:
    return {line.strip() for line in failures.lines(one.state)}


def _judged(choice: pick.Pick) -> str:
    quality = measure(choice.quality).label
    lost, allowed = numbers.points(choice.loss), numbers.points(choice.allowed)
    return (
        f"The pick was chosen on the validation split, where it loses {lost} of {quality}; it may lose "
        f"{allowed}. The {quality} in tables and curves is that on the test split, which nothing was chosen on."
    )


def _again(one: Reported) -> Iterator[Block]:
    name = shlex.quote(visible(one.run.name))
    commands = ["secateur run preset.yaml          # the preset below, on any machine with its data"]
    commands += [f"secateur replay {name}   # here: from nothing, and compared bit for bit"]
    if one.pick is not None:
        commands += [f"secateur export {name} model/ --trial {one.pick.trial.index}"]
    yield Code("\n".join(commands), "sh")
    try:
        yield Code(one.run.preset.read_text("utf-8"), "yaml")
    except (OSError, ValueError):
        yield Paragraph("Its preset can't be read.", "warn")
