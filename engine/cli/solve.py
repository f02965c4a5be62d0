"""`solve`: networks within limits, from what a study's sensitivity steps measured, without training."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.common import add_json, add_workspace, print_json, say, say_text, table_width
from engine.errors import UsageError

if TYPE_CHECKING:
    from engine.presets.limits import Limit
    from engine.search.proposals import Proposal, Table
    from engine.studies.rundir import RunDir
    from engine.studies.state import TrialState

LATENCY = "latency"
"""In the runtime and at the batch that a step measured."""
COUNTED = {"macs": "effective_macs", "parameters": "nonzero_parameters"}
"""What tables count is what is not zero, and other measures are called so."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "solve",
        help="propose networks within limits from a study's sensitivity, without training",
        description="From the tables of layers by levels that the sensitivity steps of a trial measured: how far each "
        "layer should be compressed so that the network has least of a measure, or loses least, within limits. "
        "Losses of layers are taken to add up, so they are predictions. Another limit is another solve; nothing is "
        "computed on images.",
        epilog="`secateur solve latest --within accuracy=-1` asks for the smallest network that loses a point; "
        "`--within size.packed=100kB --least accuracy` for the one that loses least within 100 kB.",
    )
    parser.add_argument("study", metavar="STUDY[:TRIAL]", help="whose sensitivity steps to take")
    parser.add_argument(
        "--within",
        action="append",
        default=[],
        metavar="MEASURE=LIMIT",
        help="accuracy=-1 (points), size.packed=500kB, macs=40%%, parameters=100k (of both those that are not zero), "
        "latency=2ms (as the step measured it); may be repeated (default: accuracy=-1)",
    )
    parser.add_argument(
        "--least",
        default="size.packed",
        choices=("size.packed", "parameters", "macs", LATENCY, "accuracy"),
        help="what the network is to have least of; accuracy: what it is to lose least of (default: size.packed)",
    )
    parser.add_argument(
        "--fastest", dest="least", action="store_const", const=LATENCY, help="the same as --least latency"
    )
    parser.add_argument("--of", help="take the table of weights, channels, bits or rank only")
    parser.add_argument(
        "--out", metavar="FILE", help="write the preset of the one network that --of proposes"
    )
    add_workspace(parser)
    add_json(parser)
    parser.set_defaults(run=_solve)


def _solve(args: argparse.Namespace) -> int:
    from engine.search.proposals import Table
    from engine.store.workspace import workspace
    from engine.studies.rundir import find, named
    from engine.studies.state import load

    _check_of(args.of)
    study, number = named(args.study)
    run = find(workspace(args.workspace), study)
    trial, tables = _tables(run, load(run.path).trials, number, args.of)
    asked = args.within or ["accuracy=-1"]
    timed = args.least == LATENCY or any(text.partition("=")[0].strip() == LATENCY for text in asked)
    limits: list[Limit] = []
    found: dict[str, Proposal | None] = {}
    for of, table in _timed({of: Table(scanned) for of, scanned in tables.items()}, run, timed).items():
        limits = _limits(asked, table.latency)
        least = {"accuracy": "quality", LATENCY: table.latency}.get(args.least, args.least)
        bounds = {
            one.measure if one.kind != "loss" else "quality": _bound(one, table.before) for one in limits
        }
        found[of] = table.propose(least, bounds)
    if args.out:
        _write(args, run, trial, found)
    if args.json:
        rows = {of: one.as_dict() if one else None for of, one in found.items()}
        print_json({"study": run.name, "trial": trial.index, "proposals": rows})
    else:
        _show(run, trial, limits, found)
    return 0


def _tables(
    run: "RunDir", trials: "list[TrialState]", number: str, of: str | None
) -> "tuple[TrialState, dict[str, dict[str, Any]]]":
    """The trial, by default the first that has any, and its tables by what was removed."""
    from engine.results.sensitivity import KIND, found_by, of_trial

    for trial in trials:
        if number not in ("", "pick", str(trial.index)):
            continue
        chosen = {name: one for name, one in of_trial(trial).items() if of in (None, name)}
        if chosen:
            return trial, chosen
    what = f"the sensitivity of its {of}" if of else "any sensitivity"
    where = f"Trial {number} has no" if number not in ("", "pick") else "No trial has a"
    step = f"- sensitivity: {{of: {of or 'weights'}}}"
    beside = [step for trial in trials for step in trial.beside if step.kind == KIND]
    unpaid = any(step.status == "done" and found_by(step) is None for step in beside)
    raise UsageError(
        f"Nothing has measured {what} in {run.name}",
        "The search's budget did not pay for its own tables."
        if unpaid
        else f"{where} finished step of that.",
        f"Add `{step}` after the training{' in its `steps`' if beside else ''}, and run the preset: what is stored is "
        "not computed again.",
    )


def _timed(tables: "dict[str, Table]", run: "RunDir", timed: bool) -> "dict[str, Table]":
    """Those that tell what is asked of them: milliseconds, where `timed`."""
    found = {of: table for of, table in tables.items() if table.latency or not timed}
    if found:
        return found
    raise UsageError(
        f"Nothing has measured the latency of layers in {run.name}",
        f"Its tables are of {', '.join(tables)}, without times.",
        "Add `- sensitivity: {of: channels, latency: {runtime: onnxruntime}}` after the training, and run the preset.",
    )


def _check_of(of: str | None) -> None:
    from typing import get_args

    from engine.params.sensitivity import Of

    if of is not None and of not in get_args(Of):
        raise UsageError(f"There is no table of {of}", "", f"Tables are of {', '.join(get_args(Of))}.")


def _limits(asked: Sequence[str], latency: str) -> "list[Limit]":
    """All that were given. Raises UsageError for two of one thing."""
    found = [_limit(text, latency) for text in asked]
    seen: set[str] = set()
    for limit in found:
        name = "accuracy" if limit.kind == "loss" else limit.measure
        if name in seen:
            raise UsageError(f"--within limits {name} twice", "", "Give each limit once.")
        seen.add(name)
    return found


def _limit(text: str, latency: str) -> "Limit":
    """The limit that was given; `latency` is what the table measured."""
    from engine.presets import limits
    from engine.presets.steps import Unknown

    name, _, value = text.partition("=")
    try:
        return limits.parse(latency if name.strip() == LATENCY else name.strip(), value)
    except Unknown as error:
        what, allowed, *hint = error.parts
        raise UsageError(f"--within {text}: {what}", f"Allowed: {allowed}.", " ".join(hint)) from error


def _bound(limit: "Limit", before: dict[str, float]) -> float:
    if limit.kind == "loss":
        return limit.value
    bound = limit.bound(before.get(limit.measure))
    return float("inf") if bound is None else bound


def _write(
    args: argparse.Namespace,
    run: "RunDir",
    trial: "TrialState",
    found: "dict[str, Proposal | None]",
) -> None:
    """The preset of the one proposal, in a file that is not there."""
    from engine.results import edited, sensitivity
    from engine.store.files import write_named

    if len(found) != 1:
        raise UsageError(
            "--out takes one proposal",
            f"The tables are of {', '.join(found)}.",
            f"Say which one: {' or '.join(f'--of {of}' for of in found)}.",
        )
    ((of, proposal),) = found.items()
    if proposal is None or not proposal.steps:
        why = "No network is within the limits." if proposal is None else "The network as it is answers best."
        raise UsageError("There is no preset to write", why)
    about = f"What solve proposed from {run.name}"
    measured = [step.address for step in trial.steps if (sensitivity.found_by(step) or {}).get("of") == of]
    if measured:
        text = edited.followed(run, trial, proposal.steps, about, after=measured[-1])
    else:
        text = edited.followed(run, trial, [_table_step(run, trial, of), *proposal.steps], about)
    if (file := Path(args.out)).exists():
        raise UsageError(f"{file} is there already", "Nothing was written.", "Name another file.")
    write_named(file, text)


def _table_step(run: "RunDir", trial: "TrialState", of: str) -> dict[str, Any]:
    """The step of a search that measured what is removed beside its baseline, as one of the baseline's own."""
    from engine.results import sensitivity

    measured = {step.address for step in trial.beside if (sensitivity.found_by(step) or {}).get("of") == of}
    step = next(one for one in run.spec().trials[0].tables if one.address in measured)
    return {step.kind: step.model_dump(mode="json", exclude_unset=True, exclude={"id"})}


def _show(
    run: "RunDir", trial: "TrialState", limits: "list[Limit]", found: "dict[str, Proposal | None]"
) -> None:
    from engine.measures.table import measure, measure_text
    from engine.text import tables
    from engine.text.numbers import ratio, significant

    say(f"{run.name}, trial {trial.index}, within {'; '.join(map(str, limits))}: predicted without training")
    names = list(dict.fromkeys(name for one in found.values() if one for name in one.amounts))
    rows = [
        [
            of,
            f"{-100 * one.loss:+z.2f}",
            *(
                f"{measure_text(name, one.amounts[name])} {ratio(one.before[name] / one.amounts[name])}"
                if name in one.amounts
                else ""
                for name in names
            ),
            f"{significant(one.seconds, 2)} s",
        ]
        for of, one in found.items()
        if one is not None
    ]
    heads = ["table of", "points", *(measure(COUNTED.get(name, name)).label for name in names), "solved in"]
    if rows:
        say_text(tables.table(heads, rows, ["left"], table_width()))
    say(*(f"{of}: no choice of its levels is within the limits" for of, one in found.items() if one is None))
    # Bytes are estimated by every table: they are named where they are limited.
    limited = [limit.measure for limit in limits if limit.kind != "loss"]
    for of, one in found.items():
        if one is None or not one.steps:
            continue
        told = [name for name in dict.fromkeys((*limited, *COUNTED)) if name in one.amounts]
        if loose := [measure(COUNTED.get(name, name)).label for name in told if name not in one.held]:
            say(f"{of}: {', '.join(loose)}, as predicted: what its preset makes may have more")
