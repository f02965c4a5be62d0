"""`compress`: one command from a network to its best compressed version."""

import argparse
from pathlib import Path
from typing import Any, get_args

from engine.cli import run
from engine.cli.common import add_json, add_workspace, tell
from engine.errors import UsageError
from engine.params.runtimes import TargetRuntime
from engine.text.numbers import points_of

RUNTIMES = ", ".join(get_args(TargetRuntime))


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    command = subparsers.add_parser(
        "compress",
        help="find the fastest or smallest version of a network that loses little",
        description="Write a preset that searches for the best compressed version of a network, and run it. The preset "
        "is an ordinary one: edit it, run it again; what is stored is not computed twice.",
        epilog="It ends with the best model so far, as a preset without a search (answer.yaml in the study's folder); "
        "`secateur export STUDY FOLDER` takes it away.",
    )
    command.add_argument(
        "network", help="resnet20, torchvision/NAME, path/file.py:function, or a file of trained weights"
    )
    command.add_argument("--data", required=True, metavar="NAME", help="a data set, see `secateur data list`")
    command.add_argument("--root", metavar="DIR", help="the folder that holds the images, for your own data")
    goal = command.add_mutually_exclusive_group(required=True)
    goal.add_argument("--fastest", metavar="RUNTIME", help=f"least latency in one of {RUNTIMES}")
    goal.add_argument(
        "--smallest", metavar="SIZE", help="least of size.packed, size.plain, parameters or macs"
    )
    goal.add_argument(
        "--most-accurate", action="store_true", help="best accuracy that the --within limits leave"
    )
    command.add_argument(
        "--batch", type=int, default=1, help="batch size that --fastest is about (default: 1)"
    )
    command.add_argument(
        "--lose", type=float, metavar="POINTS", help="points of accuracy that may be lost (default: 1)"
    )
    command.add_argument(
        "--within",
        action="append",
        default=[],
        metavar="MEASURE=LIMIT",
        help="a limit, such as size.packed=500kB or macs=40%%; may be repeated",
    )
    command.add_argument("--hours", type=float, help="time for the whole search")
    command.add_argument(
        "--trials", type=int, help="trials of the search; with --hours, whichever comes first"
    )
    command.add_argument(
        "--preset", metavar="FILE", help="where to write the preset (default: compress-NETWORK.yaml)"
    )
    command.add_argument("--detach", action="store_true", help="start it and return at once")
    run.add_turn(command)
    add_workspace(command)
    add_json(command)
    command.set_defaults(run=_compress)


def _compress(args: argparse.Namespace) -> int:
    from engine.presets import compress, spec

    document = compress.preset(args.network, args.data, args.root, _goal(args), _within(args), _budget(args))
    name = Path(args.network.rpartition(":")[0] or args.network).stem
    file = Path(args.preset or f"compress-{name}.yaml")
    text = spec.to_yaml(document)
    read = spec.parse(text, file.stem, source="compress")  # refused before anything is written
    _write(file, text)
    tell(f"wrote {file}")
    shown = argparse.Namespace(**vars(args) | {"name": None, "show_script": False, "prepare": False})
    return run.carry_out(shown, read)


def _write(file: Path, text: str) -> None:
    """The preset, in a file that nobody else has: one that holds the same stays as it is."""
    from engine.store.files import write_named, writing

    with writing(file):
        there = file.read_bytes() if file.exists() else None
    if there is None:
        write_named(file, text)
    elif there != text.encode():
        raise UsageError(
            f"{file} is there already", "It holds another preset.", "Name another with --preset."
        )


def _goal(args: argparse.Namespace) -> dict[str, Any]:
    if args.fastest:
        return {"fastest": {"runtime": args.fastest, "batch": args.batch}}
    return {"smallest": args.smallest} if args.smallest else {"most_accurate": True}


def _within(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    given = [text.partition("=")[0].strip() for text in args.within]
    if args.lose is not None or not (args.most_accurate or "accuracy" in given or "map50_95" in given):
        points = 1.0 if args.lose is None else args.lose
        found["accuracy"] = f"-{points_of(points)}"
    for text in args.within:
        measure, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f"--within {text} is no limit", "", "Write MEASURE=LIMIT, such as size.packed=500kB."
            )
        if measure.strip() in found:
            raise UsageError(
                f"{measure.strip()} is limited twice", "", "Give each limit once; --lose is that of accuracy."
            )
        found[measure.strip()] = value.strip()
    return found


def _budget(args: argparse.Namespace) -> dict[str, Any]:
    if args.hours is None and args.trials is None:
        raise UsageError("The search has no end", "", "Say --hours 2, or --trials 60.")
    return {name: value for name in ("hours", "trials") if (value := getattr(args, name)) is not None}
