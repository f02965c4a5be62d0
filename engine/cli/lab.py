"""`lab`: open the terminal lab, which is a program of its own on top of the engine."""

import argparse
import os
import sys

from engine.cli.common import add_workspace


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    lab = subparsers.add_parser(
        "lab",
        help="open the terminal lab (what `secateur` alone does in a terminal)",
        description="Set parameters, start studies, watch them and read their curves, keyboard only. "
        "Studies go on when the lab is closed; it finds them again.",
    )
    lab.add_argument("preset", nargs="?", help="a file, or a name from `secateur presets`")
    add_workspace(lab)
    lab.set_defaults(run=_lab)


def _lab(args: argparse.Namespace) -> int:
    """Replace this process by the lab's, so that the engine need not import it."""
    from engine.machine.package import importable

    command = [sys.executable, "-P", "-m", "tui"]
    if args.preset:
        command.append(args.preset)
    if args.workspace:
        command += ["--workspace", args.workspace]
    sys.stdout.flush()
    os.execve(sys.executable, command, {**os.environ, **importable()})
