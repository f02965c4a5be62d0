"""Presets that come with secateur, run to the end at their full size: what each gives, and how long it takes.

    python -m benchmarks.presets NAME ... [--folder .benchmarks/presets]
    python -m benchmarks.presets --kept      compute nothing: what the studies in --folder have come to
    python -m benchmarks.presets --quick     the quickstart as it comes, in a new workspace

Runs them one after the other as a user does, as studies of one workspace: what presets have in common is computed once,
and one that was interrupted goes on where it was. Of each that is done the table of its trials is written to
benchmarks/results/presets/NAME.json, with what its steps took, those from the store included, and its curve to
docs/img/presets/NAME.svg; docs/reference/presets.md shows both. Run it on an otherwise idle machine where a preset
measures latency: rows that others disturbed are marked.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks import results
from engine.charts.trials import default_plot
from engine.machine import private
from engine.presets import spec
from engine.presets.shipped import find, shipped
from engine.reports.remarks import closing, reused_lines
from engine.reports.table import of_trials
from engine.results import pick
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, load
from engine.text.visible import visible
from tools.results import PRESET_CURVES, preset_digest

FIRST = "quickstart"
"""What README has a new user run first."""
COLUMNS = 11
"""Of a table, the first ones: those that a reader compares."""


def secateur(*words: str, workspace: Path) -> int:
    """The exit code of a command, given as a user gives it."""
    command = [sys.executable, "-m", "engine.cli.main", *words, "--workspace", str(workspace)]
    return subprocess.run(command, check=False).returncode


def result(run: RunDir) -> Path | None:
    """Write what a study has come to, and its curve; None while it is not done, or can't be drawn."""
    state = load(run.path)
    if state.status != "done":
        return None
    settings = run.settings()
    picked = pick.asked_for(state, settings)
    verdict = pick.verdict(picked) if picked else ""
    elsewhere = {verdict, *reused_lines(state)}
    grid = of_trials(state, picked)
    if default_plot(state, settings.plot) is not None:
        curve = PRESET_CURVES / f"{run.name}.svg"
        curve.parent.mkdir(parents=True, exist_ok=True)
        if secateur("plot", run.name, "--svg", str(curve), workspace=run.workspace):
            return None
    return results.write(
        f"presets/{run.name}",
        [dict(list(zip(grid.headers, row, strict=True))[:COLUMNS]) for row in grid.rows],
        title=run.name,
        about=settings.trials[0].about,
        verdict=verdict.removeprefix(f"{pick.MARK} "),
        mind=[visible(line) for line in closing(state, picked) if line not in elsewhere],
        threads=settings.trials[0].threads,
        seconds=seconds(state),
        preset=_digest(run),
    )


def _digest(run: RunDir) -> str:
    """The digest of the preset as it comes with secateur; "" where the study was one of another."""
    file = find(run.name)
    same = spec.read(file).settings == run.spec().settings
    return preset_digest(file.read_text("utf-8")) if same else ""


def seconds(state: StudyState) -> float:
    """What all steps of a study took, one after the other; those from the store what they took when they were made."""
    return sum(step.seconds or 0.0 for step in state.steps.values())


def quick() -> int:
    """Whether that one comes to its end, and to a model; beside whatever else computes."""
    with private.scratch() as workspace:
        ended = secateur("run", FIRST, "--name", FIRST, "--beside", workspace=workspace) == 0
        run = RunDir.of(workspace, FIRST)
        state = load(run.path) if run.path.is_dir() else StudyState()
        trials = spec.read(find(FIRST)).trials
        whole = [trial.status for trial in state.trials] == ["done"] * len(trials)
        return results.judged(
            {
                f"all {len(trials)} trials are done": ended and whole,
                "one of them is picked": whole and pick.asked_for(state, run.settings()) is not None,
            }
        )


def main() -> int:
    """Run what is named; exit code 1 where one did not come to its end."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [preset.name for preset in shipped()]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks/presets"), help="the workspace")
    parser.add_argument("--kept", action="store_true", help="compute nothing")
    parser.add_argument("--quick", action="store_true", help="the quickstart alone; nothing is written")
    args = parser.parse_args()
    if args.quick:
        return quick()
    if unknown := [name for name in args.names if name not in known]:
        parser.error(f"{', '.join(unknown)}: not among {', '.join(known)}")
    workspace: Path = args.folder.absolute()
    good = True
    for name in args.names or known:
        if not args.kept:
            secateur("run", name, "--name", name, workspace=workspace)
        run = RunDir.of(workspace, name)
        file = result(run) if run.path.is_dir() else None
        good &= args.kept or file is not None
        print(f"{name}: {file or 'not done'}", flush=True)
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
