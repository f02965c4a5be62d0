"""`secateur export`: one trial's model as a folder to take away."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.commands.common import add_json, add_workspace, print_json

if TYPE_CHECKING:
    from engine.exports import Order

FORMATS_HELP = "safetensors (with a load.py that needs torch and safetensors alone) or onnx"


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "export",
        help="take a trial's model away",
        description="Write one trial's model into a folder: its weights, a loader that needs nothing of this "
        "program, a card with its results, its preset and SHA-256 sums. What was written is then run in a process "
        "of its own and compared with the trial's model on test images; a model that differs is not kept.",
    )
    parser.add_argument("study", help="a name from `secateur list`, or `latest`")
    parser.add_argument("out", metavar="OUT", type=Path, help="the folder to write")
    parser.add_argument(
        "--trial",
        metavar="N",
        help="number of the trial, or `best`: the most accurate compressed one, by validation (default: the last "
        "finished)",
    )
    parser.add_argument("--format", default="safetensors", metavar="FORMAT", help=FORMATS_HELP)
    parser.add_argument("--force", action="store_true", help="replace files in a folder that is not empty")
    add_workspace(parser)
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the folder; raises UsageError for a trial, format or folder that can't be used."""
    from engine import exports
    from engine.rundir import find, workspace
    from engine.state import load

    study = find(workspace(args.workspace), args.study)
    order = exports.order(study, load(study.path), args.trial, args.format, args.out, args.force)
    card = _write(order)
    if args.json:
        print_json({"folder": str(args.out.absolute())} | card)
    else:
        print(
            f"trial {card['trial']} of {card['study']} is in {args.out}: {', '.join([*card['files'], 'card.md'])}"
        )
    return 0


def _write(order: "Order") -> dict[str, Any]:
    _tell("loading torch")
    from engine.compute.export.folder import write

    return write(order, _tell)


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
