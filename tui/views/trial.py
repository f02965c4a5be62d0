"""A trial as lines of text: pure functions of the study's state."""

import time
from collections.abc import Sequence

from engine.errors import BITS_COMMAND
from engine.measures.latency import HEADS, cells, is_name, measured
from engine.measures.latency import remarks as latency_remarks
from engine.measures.table import change_text, measure, measure_text
from engine.results import environment as surroundings
from engine.results import failures
from engine.results import remarks as of_trials
from engine.results.summary import (
    baseline_value,
    measure_names,
    measure_value,
    quality_name,
    quality_of,
)
from engine.studies.state import Standing, StepState, StudyState, TrialState
from engine.text import numbers, tables
from tui.keys.action import hint
from tui.widgets.ending import ONWARD, paragraphs
from tui.widgets.painted import Line, Span
from tui.widgets.trials import shown
from tui.widgets.wrap import wrapped

NEITHER = " " * len("  better")
"""Where a difference is neither better nor worse: numbers stand below each other."""
NARROWEST = 18
"""Columns that a measure's name keeps before another column goes."""
SIGNS: dict[Standing, Span] = {
    "scored": ("✓", "good"),
    "done": ("✓", "good"),
    "failed": ("✗", "bad"),
    "running": ("▶", "accent"),
    **dict.fromkeys(("waiting", "unfinished", "not run"), ("·", "muted")),
}


def find(state: StudyState | None, index: int) -> TrialState | None:
    """The trial with this index, else the first."""
    trials = state.trials if state else []
    return next((t for t in trials if t.index == index), trials[0] if trials else None)


def nothing(state: StudyState | None) -> str:
    """What to say where there is no trial to show."""
    if state is None:
        return f"No study yet: {hint('lab')} starts one, {hint('studies')} opens one."
    if end := failures.ending(state):
        return f"{state.name}: {failures.brief(end)}"
    return f"{state.name} is {state.status} and has no trials yet."


def head(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """Name, progress and parameters."""
    title = f"{state.name}  trial {trial.index} (0 to {len(state.trials) - 1})"
    standing = state.standing(trial)
    sign, role = SIGNS[standing]
    done = f"  {trial.progress:.0%}" if standing == "running" else ""
    out: list[Line] = [[(title, "title"), (f"  {sign} {standing}{done}", role)], ()]
    out.append([("Parameters", "accent")])
    names = trial.parameters or {"(none is swept)": ""}
    longest = max(len(name) for name in names)
    out += [[(f"  {name:<{longest}}  ", "muted"), (shown(value), "")] for name, value in names.items()]
    return [*out, ()]


def errors(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """What went wrong, with its remedy; the study's own error too."""
    out: list[Line] = []
    for error in (trial.error, state.error):
        if error:
            out.append([(f"✗ {error.get('title', 'An error')}", "bad")])
            out += wrapped(error.get("detail", ""), width, "", "  ")
            remedy = error.get("remedy", "").replace(failures.RESUME, ONWARD)
            out += paragraphs([("remedy", remedy)], width) if remedy else []
            if BITS_COMMAND in error.get("remedy", ""):
                out += wrapped("b runs that here", width, "title", "  → ")
            out.append(())
    parts = failures.of_trial(state, trial, ONWARD)
    shown = [part for part in parts if not (trial.error or state.error) or part[0] in ("headline", "onward")]
    lines = paragraphs([(part, text.removesuffix(":")) for part, text in shown], width)
    return [*lines, *([()] if lines else []), *out]


def remarks(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """What a reader of the numbers must know first."""
    said = of_trials.remarks(trial)
    lines = [line for one in said for line in wrapped(f"{of_trials.MARK} {one['text']}", width, "warn", "  ")]
    return [*lines, ()] if lines else []


def steps(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """Every step with its status, time and what is known after it."""
    rows = [
        [
            _signed(state.standing(s), s.address),
            (_status(state.standing(s), s), "muted"),
            (numbers.duration(s.seconds) if s.seconds is not None else "", ""),
            (numbers.percent((quality_of(s.measures, "validation_") or ("", None))[1]), ""),
            (numbers.percent(_number(s.measures.get("sparsity")), 1), ""),
        ]
        for s in trial.chain
    ]
    judged = "validation" if quality_name(state) == "accuracy" else "validation mAP"
    heads = ("step", "", "time", judged, "sparsity")
    return [[("Steps", "accent")], *aligned(heads, rows, width, texts=2), ()]


def _signed(standing: Standing, address: str) -> Span:
    sign, role = SIGNS[standing]
    return f"{sign} {address}", "" if standing == "done" else role


def _status(standing: Standing, step: StepState) -> str:
    if standing == "running":
        return step.text or f"{step.done:.0%}"
    return "reused" if step.reused else standing


def measures(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """Every measure against the baseline, with the difference and whether that is better."""
    rows = []
    for name in measure_names(state):
        if is_name(name):
            continue  # in a table of their own
        value, before = measure_value(trial.results, name), baseline_value(trial, name)
        if value is None and before is None and trial.results:
            continue  # other trials alone have it: of a search, some are scored on validation and some on test images
        rows.append(
            [
                (measure(name).label, ""),
                (measure_text(name, value), ""),
                (measure_text(name, before), "muted"),
                difference(name, value, before),
            ]
        )
    if not rows:
        return [[("Measures", "accent")], [("  none yet", "muted")], ()]
    heads = ("measure", "this trial", "baseline", "difference")
    return [[("Measures", "accent")], *aligned(heads, rows, width), ()]


def latency(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """A row for each runtime, precision, batch and number of threads; what was not measured, and why."""
    rows: list[list[Span]] = []
    for row in measured(trial.results):
        better = "good" if row["speedup"] > 1 else "bad" if row["speedup"] < 1 else "muted"
        roles = {"faster": better, "baseline": "muted", "threads": "muted", "precision": "muted"}
        rows.append([(text, roles.get(head, "")) for head, text in cells(row)])
    said = latency_remarks(trial.results)
    if not rows and not said:
        return []
    table = aligned(HEADS, rows, width, texts=2) if rows else []
    lines = [line for note in said for line in wrapped(note, width, "warn", "  ")]
    return [[("Latency", "accent")], *table, *lines, ()]


def difference(name: str, value: float | None, before: float | None) -> Span:
    """The change with its sign, and in words whether it is for the better.

    >>> difference("accuracy", 0.90, 0.95)
    ('-5.00 points  worse ', 'bad')
    """
    if value is None or before is None:
        return "", ""
    change = value - before
    if change == 0:
        return f"={NEITHER}", "muted"
    known = measure(name)
    if known.kind in ("count", "bytes", "milliseconds") and before:
        text = f"{change / before:+z.1%}".replace("%", " %")
    else:
        text = change_text(name, change)
    if not known.better:
        return f"{text}{NEITHER}", ""
    good = (change > 0) == (known.better == "higher")
    return f"{text}  {'better' if good else 'worse '}", "good" if good else "bad"


def events(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """What happened, oldest first: starts, results, notices."""
    happened: list[tuple[float, str, str]] = []
    for step in trial.chain:
        if step.started:
            happened.append((step.started, f"{step.address} started", ""))
            if step.seconds is not None and step.status == "done" and not step.reused:
                happened.append((step.started + step.seconds, f"{step.address} done", "good"))
    if state.checked:
        happened += [(state.checked.time, line, "") for line in state.checked.lines]
    keys = {step.key for step in trial.chain}
    happened += [(n.time, n.text, "warn") for n in state.notices if n.key is None or n.key in keys]
    out: list[Line] = [[("Events", "accent")]]
    for when, text, role in sorted(happened):
        time_of_day = f"  {clock(when)}  "
        first, *rest = wrapped(text, max(width - len(time_of_day), 10), role)
        out.append([(time_of_day, "muted"), *first])
        out += [[(" " * len(time_of_day), ""), *line] for line in rest]
    return [*out, ()]


def clock(when: float) -> str:
    """Time of day on this machine."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(when))
    except (ValueError, OverflowError, OSError):
        return "--:--:--"


def environment(state: StudyState, trial: TrialState, width: int) -> list[Line]:
    """Where it ran."""
    out: list[Line] = [[("Environment", "accent")]]
    for name, text in surroundings.rows(state):
        out += [
            [(f"  {name}  ", "muted"), (part[0][0], "")]
            for part in wrapped(text, max(width - len(name) - 4, 8))
        ]
    return out


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def aligned(
    heads: Sequence[str],
    rows: Sequence[Sequence[Span]],
    width: int,
    texts: int = 1,
    narrowest: int = NARROWEST,
) -> list[Line]:
    """Rows under headers, `texts` columns to the left; names are cut short, to `narrowest` cells, then columns go from
    the right."""
    columns = range(len(heads))
    widths = [
        max(tables.cell_width(heads[i]), *(tables.cell_width(row[i][0]) for row in rows)) for i in columns
    ]
    shown = len(heads)
    while shown > 1 and sum(widths[1:shown]) + min(widths[0], narrowest) + shown + 1 > width:
        shown -= 1
    widths[0] = min(widths[0], max(narrowest, width - sum(widths[1:shown]) - shown - 1))
    rows = [[(tables.abbreviate(row[0][0], widths[0]), row[0][1]), *row[1:]] for row in rows]
    head = [(_padded(heads[i], widths[i], i < texts), "muted") for i in columns[:shown]]
    out: list[Line] = [[(" ", ""), *head]]
    for row in rows:
        out.append(
            [(" ", ""), *((_padded(row[i][0], widths[i], i < texts), row[i][1]) for i in columns[:shown])]
        )
    return out


def _padded(text: str, width: int, left: bool) -> str:
    space = " " * (width - tables.cell_width(text))
    return f" {text}{space}" if left else f" {space}{text}"
