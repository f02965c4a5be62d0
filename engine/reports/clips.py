"""What is worth copying of a study: tables as Markdown and CSV, its preset, the command that repeats a trial."""

import csv
import io
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from engine.errors import SecateurError
from engine.presets import spec
from engine.presets.sweep import VARIANT
from engine.reports import markdown
from engine.reports.table import Grid, of_trials
from engine.results import pick
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState
from engine.text.visible import json_text, visible, visible_lines


@dataclass(frozen=True)
class Clip:
    """A text to copy, and what it is."""

    label: str
    text: str


def of_grid(grid: Grid, row: int | None = None, what: str = "table") -> Iterator[Clip]:
    """A row's values, the row, and the whole table as Markdown and as CSV."""
    if row is not None and row < len(grid.rows):
        for head, text in zip(grid.headers, grid.rows[row], strict=False):
            if text:
                yield Clip(f"value: {head}", visible(text))
        yield Clip("row", "\t".join(map(visible, grid.rows[row])))
    if grid.rows:
        yield Clip(f"{what}, Markdown", markdown.table(grid) + "\n")
        yield Clip(f"{what}, CSV", comma_separated(grid.headers, grid.rows))


def of_study(
    run: RunDir, state: StudyState, trial: TrialState | None = None, asked: pick.Asked = None
) -> Iterator[Clip]:
    """The table of its trials, the verdict, its preset, and the commands that run it, or one of its trials, again."""
    choice = pick.asked_for(state, run.settings(), asked)
    if choice is not None:
        yield Clip("verdict", visible(pick.verdict(choice)))
    if state.trials:
        yield from of_grid(of_trials(state, choice), what="table of trials")
    yield Clip("preset", visible_lines(run.preset.read_text("utf-8")))
    if trial is not None:
        yield Clip(f"command: trial {trial.index} again", command(run, trial))
    yield Clip("command: the study again", command(run))


def of_preset(text: str, path: str | None) -> Iterator[Clip]:
    """A preset that is being edited, and the command that runs its file."""
    yield Clip("preset", visible_lines(text))
    if path is not None:
        yield Clip("command: run it", f"secateur run {shlex.quote(visible(path))}")


def command(run: RunDir, trial: TrialState | None = None) -> str:
    """The command that runs a study's preset again, or one of its trials alone where `--set` can say which."""
    words = ["secateur", "run", str(run.preset)]
    if trial is not None:
        # What is swept is set to a list of one; a seed is set as it is.
        changes = [
            f"{name}={json_text(value if name == 'seed' else [value])}"
            for name, value in trial.parameters.items()
            if name != VARIANT
        ]
        if _makes(run, changes, trial):
            words += [word for change in changes for word in ("--set", change)]
    return shlex.join(map(visible, words))


def _makes(run: RunDir, changes: Sequence[str], trial: TrialState) -> bool:
    """Whether the preset with these changes is the trial alone."""
    try:
        planned = run.spec().trials
        alone = spec.read(run.preset, changes).trials
    except SecateurError:
        return False
    meant = next((one for one in planned if one.index == trial.index), None)
    return meant is not None and len(alone) == 1 and alone[0].steps == meant.steps


def comma_separated(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table as CSV (RFC 4180), every text made visible."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(visible, headers))
    writer.writerows(map(visible, row) for row in rows)
    return out.getvalue()
