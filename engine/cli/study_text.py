"""A study as text: its table, its chart, its environment."""

import sys
from typing import Any

from engine.charts import trials
from engine.cli import sensitivity
from engine.cli.common import say, say_picture, say_text, table_width
from engine.errors import SecateurError
from engine.params.preset import Plot
from engine.plotting import text
from engine.reports.remarks import closing
from engine.reports.table import table
from engine.results import pick
from engine.results.suggestions import suggestions
from engine.results.summary import study_json
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState
from engine.text.phrases import counted


def as_json(run: RunDir, state: StudyState, asked: pick.Asked = None) -> dict[str, Any]:
    """The study as `--json` prints it, with its pick."""
    return study_json(state) | {"pick": pick.as_json(pick.asked_for(state, run.settings(), asked))}


def print_study(run: RunDir, state: StudyState, asked: pick.Asked = None, *, followed: bool = False) -> None:
    """Table, chart and verdict on stdout; what was told at the start too, unless the study was just followed.

    The pick is by what is `asked` for in place of what its preset says.
    """
    settings = run.settings()
    choice = pick.asked_for(state, settings, asked)
    say(*heading(state))
    if state.checked and not followed:
        say(*state.checked.lines)
    if state.trials:
        say_text(table(state, table_width(), choice))
    for rates in sensitivity.tables(state, table_width()):
        say_text(f"\n{rates}")
    chart = chart_text(settings.plot, state, choice)
    if chart:
        say("")
        say_picture(chart)
    say(*closing(state, choice))
    found = suggestions(run, state, choice)
    say(*(f"next {place}. {one}" for place, one in enumerate(found, 1)))
    if found:
        say(f"`secateur next {run.name} N` prints the preset of one of them")


def heading(state: StudyState) -> list[str]:
    """The study's name, how it stands and what its numbers come from; and its place in a queue, where it has one."""
    return [_origin(state), *([state.queue] if state.queue else [])]


def _origin(state: StudyState) -> str:
    cpu = state.environment.get("cpu", {})
    flags = [f.upper().replace("_", "-") for f in cpu.get("flags", []) if "vnni" in f or f == "amx_int8"]
    versions = state.environment.get("packages", {})
    if not state.environment:
        return f"{state.name} ({state.status})"
    processor = cpu.get("model", "an unknown processor")
    threads = state.devices.get("threads")  # not known before its trials are planned
    where = [
        state.host,
        processor if threads is None else f"{counted(threads, 'thread')} of {processor}",
        " ".join(flags),
        f"torch {versions.get('torch', '?')}",
        f"onnxruntime {versions.get('onnxruntime', '?')}",
    ]
    return f"{state.name} ({state.status}) · " + " · ".join(part for part in where if part)


def chart_text(wanted: Plot | None, state: StudyState, picked: pick.Pick | None = None) -> str:
    """The study's chart, which its preset may have `wanted`, or an empty text where there is nothing to draw."""
    picks = [picked.trial] if picked else []
    plot = trials.default_plot(state, wanted)
    if plot is None or not any(t.measure.status == "done" for t in state.trials):
        return ""
    try:
        figure = trials.figure([state], plot.x, plot.y, plot.by, scale=plot.scale, picks=picks)
    except (
        SecateurError
    ):  # what the preset plots was not measured; the table and `closing` say what was, and why
        return ""
    chart = text.draw_for(sys.stdout, figure)
    return chart if wanted in (None, plot) else f"{chart}\n{trials.UNMEASURED}"
