"""`secateur presets [NAME]`: what comes with secateur, ready to run or to copy and change."""

import argparse
from pathlib import Path
from typing import Any

from engine.cli.common import add_json, print_as_it_is, print_json, say_text, table_width
from engine.presets import spec
from engine.presets.shipped import Shipped, find, shipped
from engine.text.tables import table

DESCRIPTION = """\
Without a name: the presets that come with secateur. With one: the preset itself, comments and all, to read
or to copy: `secateur presets quickstart > mine.yaml`, then `secateur run mine.yaml`."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "presets", help="list the presets that come with secateur, or print one", description=DESCRIPTION
    )
    parser.add_argument("preset", metavar="NAME", nargs="?", help="a preset's name, or a file, to print")
    add_json(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List the shipped presets, or print one; raises `UsageError` for an unknown name."""
    if args.preset is not None:
        _print_one(find(args.preset), args.json)
    elif args.json:
        print_json({"presets": listed()})
    else:
        say_text(_listing(shipped()))
    return 0


def listed() -> list[dict[str, Any]]:
    """Every preset that comes with secateur, whole, as plain values."""
    return [_as_dict(preset.path) for preset in shipped()]


def _listing(presets: tuple[Shipped, ...]) -> str:
    rows = [(preset.name, *counts(preset.path), preset.about) for preset in presets]
    headers = ("preset", "trials", "quick", "about")
    listed = table(headers, rows, ("left", "right", "right", "left"), width=table_width())
    return (
        f"{listed}\n\nRun one: secateur run NAME\n"
        "A small version, where quick has trials: secateur run NAME --quick\n"
        "Read or copy one: secateur presets NAME > mine.yaml"
    )


def counts(path: Path) -> tuple[str, str]:
    """How many trials a preset has, and its quick version ("" if there is none)."""
    read = spec.read(path)
    return _count(read), _count(read.quick) if read.quick else ""


def _count(read: spec.Spec) -> str:
    """The number of its trials; a search's is not known before."""
    return str(len(read.trials)) if read.space is None else "search"


def _print_one(path: Path, as_json: bool) -> None:
    if as_json:
        print_json(_as_dict(path))
        return
    # What cannot be read or is not valid is said so, not printed.
    spec.read(path)
    print_as_it_is(path.read_text("utf-8-sig"))


def _as_dict(path: Path) -> dict[str, Any]:
    read = spec.read(path)
    return {
        "name": read.name,
        "path": str(path),
        "about": read.settings.about,
        "trials": len(read.trials),
        "axes": {swept: list(values) for swept, values in read.axes.items()},
        "quick": {"trials": len(read.quick.trials), "document": read.quick.document} if read.quick else None,
        "document": read.document,
    }
