"""`secateur export`: one trial's model as a folder to take away."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.cli.common import add_json, add_trial, add_within, add_workspace, print_json, say, tell, trial_of
from engine.errors import SecateurError

if TYPE_CHECKING:
    from engine.results.exports import Order


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    from engine.results.exports import FORMATS

    parser = subparsers.add_parser(
        "export",
        help="take a trial's model away",
        description="Write one trial's model into a folder: the model, a loader that needs nothing of this "
        "program, a card with its results, its preset and SHA-256 sums. What was written is then run in a process "
        "of its own and compared with the trial's model on test images; a model that differs is not kept.",
        epilog="formats:\n" + "\n".join(f"  {name:<12} {about}" for name, about in FORMATS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_trial(
        parser,
        "number of the trial, or `pick`: the smallest that loses little enough on validation (default: pick)",
    )
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    add_within(parser)
    parser.add_argument(
        "--format",
        metavar="FORMAT",
        help="one of those below (default: safetensors, or int8-onnx for a trial quantized to INT8)",
    )
    parser.add_argument("--force", action="store_true", help="replace files in a folder that is not empty")
    add_workspace(parser)
    add_json(parser)
    parser.add_argument(
        "--json-lines",
        action="store_true",
        help="for other programs: print what is being done and how it ended on stdout, a JSON object a line",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the folder; raises UsageError for a trial, format or folder that can't be used."""
    if args.json_lines:
        return _in_lines(args)
    card = _export(args, tell)
    if args.json:
        print_json({"folder": str(args.out.absolute())} | card)
    else:
        files = ", ".join([*card["files"], "card.json", "card.md"])
        say(f"trial {card['trial']} of {card['study']} is in {args.out}: {files}")
    return 0


def _in_lines(args: argparse.Namespace) -> int:
    """The same for a program that follows it: `doing` lines, then one with `folder` or `error`."""
    try:
        card = _export(args, lambda text: _line({"doing": text}))
    except SecateurError as error:
        _line({"error": error.as_dict()})
        return error.exit_code
    _line({"folder": str(args.out.absolute()), "format": card["format"], "check": card["check"]})
    return 0


def _line(value: dict[str, Any]) -> None:
    print_json(value, indent=None)
    sys.stdout.flush()


def _export(args: argparse.Namespace, tell: Callable[[str], None]) -> dict[str, Any]:
    from engine.config import files
    from engine.results import exports
    from engine.results.pick import PICK
    from engine.store.workspace import workspace
    from engine.studies.rundir import find
    from engine.studies.state import load

    name, trial = trial_of(args)
    study = find(workspace(args.workspace), name)
    state, within = load(study.path), files.within(args.within)
    order = exports.order(study, state, trial or PICK, args.format, args.out, args.force, within)
    tell(order.choice)
    return _write(order, tell)


def _write(order: "Order", tell: Callable[[str], None]) -> dict[str, Any]:
    tell("loading torch")
    from engine.compute.export.folder import write

    return write(order, tell)
