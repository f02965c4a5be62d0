"""`plot`: any parameter or measure against any measure, in the terminal or a file."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.common import add_json, add_study, add_workspace, print_json, say, say_picture, tell

if TYPE_CHECKING:
    from engine.params.preset import Plot
    from engine.plotting.axis import Scale
    from engine.plotting.figure import Figure, Point
    from engine.studies.state import StudyState


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    plot = subparsers.add_parser(
        "plot",
        help="draw a study's curve",
        description="Draw one or several studies. x: a swept parameter or a measure; y: a measure such as "
        "accuracy, map50_95, agreement, sparsity, effective_macs, size.packed, latency.onnxruntime.1, speedup.torch.1; "
        "or, of latency, speedup and throughput, x: batch or threads, with --by runtime, precision, batch or threads. "
        "Trials that differ in their seed alone are drawn as mean ± standard deviation. --x rate draws what a "
        "sensitivity step found, a line for each layer (STEP.rate where there are several such steps).",
    )
    add_study(plot, several=True)
    plot.add_argument("--x", metavar="NAME", help="what to draw along (default: as in the preset)")
    plot.add_argument(
        "--y", metavar="NAME", help="what to draw (default: as in the preset, else accuracy or mAP)"
    )
    plot.add_argument(
        "--by",
        metavar="NAME",
        action="append",
        help="a parameter that lines are named after first (may be given again); of latency also runtime, …",
    )
    plot.add_argument(
        "--layers",
        metavar="NAMES",
        help="layers to draw with --x rate, such as 'conv1,layer3.*' (default: 8 of them; a CSV has all)",
    )
    scale = plot.add_mutually_exclusive_group()
    scale.add_argument("--log", action="store_true", help="logarithmic y axis")
    scale.add_argument(
        "--log-error",
        action="store_true",
        help="y axis of the error 1 - y, logarithmic: 90, 99 and 99.9 %% are as far apart as 1 %% is from 10 %%",
    )
    plot.add_argument(
        "--front",
        action="store_true",
        help="only the part that matters: the trials that no other beats in both x and y, from the best to the pick",
    )
    for kind in ("csv", "png", "svg"):
        plot.add_argument(f"--{kind}", type=Path, metavar="FILE", help=f"write it as {kind.upper()} instead")
    add_workspace(plot)
    add_json(plot)
    plot.set_defaults(run=_plot)


def _plot(args: argparse.Namespace) -> int:
    from engine.charts import pareto, sensitivity, trials
    from engine.charts.together import comparable
    from engine.config import files
    from engine.errors import UsageError
    from engine.plotting import text
    from engine.results import failures, pick
    from engine.store.workspace import workspace
    from engine.studies.rundir import find
    from engine.studies.state import load

    runs = [find(workspace(args.workspace), name) for name in args.study]
    states = [load(run.path) for run in runs]
    settings = [run.settings() for run in runs]
    asked = settings[0].plot
    default = trials.default_plot(states[0], asked)
    if asked not in (None, default) and not (args.x or args.y):
        tell(trials.UNMEASURED)
    wanted = _wanted(args, states, default)
    picks = pick.trials(zip(settings, states, strict=True), files.within(None))
    scale = _scale(args, wanted)
    layers = tuple(part.strip() for part in (args.layers or "").split(",") if part.strip())

    together = comparable(states, wanted.x, wanted.y, wanted.names)
    tell(*together.notes)

    def drawn(layers: tuple[str, ...]) -> "Figure":
        x, y, by = together.x, together.y, together.by
        return trials.figure(together.states, x, y, by, scale=scale, layers=layers, picks=picks)

    try:
        figure = drawn(layers)
    except UsageError as error:  # a name that is wrong, or that of what was not reached
        happened = [line for state in states for line in failures.lines(state)]
        raise UsageError(error.title, "\n".join([error.detail, *happened]), error.remedy) from error
    if not any(line.points for line in figure.series):
        of_layers = args.x and sensitivity.is_rate(together.x, states)
        tableless = sensitivity.without_tables(states, together.x) if of_layers else None
        if nothing := tableless or failures.without_values(states):
            raise nothing
    if args.front:
        figure = pareto.zoomed(figure)
    whole = drawn(layers or sensitivity.EVERY)
    written = _write_files(args, figure, whole)
    if args.json:
        print_json(as_json(whole) | {"notes": list(together.notes), "files": written})
        return 0
    if written:
        say(*(f"wrote {path}" for path in written))
        return 0
    say_picture(text.draw_for(sys.stdout, figure))
    for state in states:
        say(*failures.lines(state))
    return 0


def _wanted(args: argparse.Namespace, states: "list[StudyState]", default: "Plot | None") -> "Plot":
    """What to draw: as asked for, else as in the preset."""
    from engine.charts import sensitivity, trials
    from engine.errors import UsageError
    from engine.params.preset import Plot
    from engine.results import failures
    from engine.results.summary import quality_name

    x = args.x or (default.x if default else None)
    if x is None:
        if nothing := failures.without_values(states):
            raise nothing
        raise UsageError(trials.UNSWEPT.format(study=states[0].name), "", trials.CHOOSE.format(by="--x NAME"))
    if args.x and sensitivity.is_rate(args.x, states):
        default = None  # what the preset draws is of trials, not of layers
    return Plot(
        x=x,
        y=args.y or (default.y if default else quality_name(states[0])),
        by=tuple(args.by or ()) or (default.by if default and not args.x else None),
        log=args.log or bool(default and default.log and not args.y),
    )


def _scale(args: argparse.Namespace, wanted: "Plot") -> "Scale":
    """The y axis' scale. Raises UsageError for one of errors along what is not measured up to 100 %."""
    from engine.errors import UsageError
    from engine.plotting.axis import scales

    if not args.log_error:
        return wanted.scale
    if "error" not in scales(wanted.y):
        raise UsageError(
            f"{wanted.y} has no error", "Its best value is not 100 %.", "Use --log, or --y accuracy."
        )
    return "error"


def _write_files(args: argparse.Namespace, figure: "Figure", whole: "Figure") -> list[str]:
    """Write what --csv (of the whole figure), --png and --svg ask for; the files."""
    from engine.plotting import csv, png, svg
    from engine.store.files import write_named

    written = []
    for path, draw in ((args.csv, csv.write), (args.svg, svg.draw), (args.png, png.draw)):
        if path is None:
            continue
        content = draw(whole if path is args.csv else figure)
        write_named(path, content)
        written.append(str(path))
    return written


def as_json(figure: "Figure") -> dict[str, Any]:
    """A figure's lines with their points, and of each point the trials that it shows, as plain values."""
    from engine.charts.owner import owner_of

    def plain(point: "Point") -> dict[str, Any]:
        owner = owner_of(point)
        shown = (
            {"study": owner.state.name, "trials": [trial.index for trial in owner.trials]} if owner else {}
        )
        return {"x": point.x, "y": point.y, "deviation": point.deviation, **shown}

    return {
        "x": figure.x_measure or figure.x_label,
        "y": figure.y_measure or figure.y_label,
        "lines": [{"name": line.name, "points": list(map(plain, line.points))} for line in figure.series],
        "references": [reference._asdict() for reference in figure.references],
    }
