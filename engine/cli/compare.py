"""`compare`: two trials side by side."""

import argparse
from typing import TYPE_CHECKING

from engine.cli.common import add_json, add_workspace, print_json, say, say_text, table_width

if TYPE_CHECKING:
    from engine.results.compare import Comparison, Side
    from engine.results.network import Layer

BAR = 16
"""Letters of a layer's bar."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "compare",
        help="two trials side by side",
        description="Two trials, of one study or of two: the parameters in which they differ, all measures with their "
        "differences, and the layers of both. STUDY:TRIAL is a trial, STUDY alone means the study's pick.",
    )
    parser.add_argument("a", metavar="A", help="STUDY:TRIAL, or STUDY for its pick")
    parser.add_argument("b", metavar="B", help="what it is compared with, named likewise")
    add_workspace(parser)
    add_json(parser)
    parser.set_defaults(run=_compare)


def _compare(args: argparse.Namespace) -> int:
    from engine.results import compare

    found = compare.compare(_side(args, args.a), _side(args, args.b))
    if args.json:
        print_json(compare.as_json(found))
    else:
        _show(found)
    return 0


def _side(args: argparse.Namespace, text: str) -> "Side":
    from engine.config import files
    from engine.results import compare
    from engine.store.workspace import workspace
    from engine.studies.rundir import find, named
    from engine.studies.state import load

    study, trial = named(text)
    run = find(workspace(args.workspace), study)
    return compare.side(run, load(run.path), trial, files.within(None))


def _show(found: "Comparison") -> None:
    from engine.text import tables

    names = found.a.name, found.b.name
    for title, rows in (
        ("parameters that differ", found.parameters),
        ("environment that differs", found.environment_in_words),
    ):
        if rows:
            cells = [(one.name, one.a, one.b) for one in rows]
            say_text(tables.table((title, *names), cells, ("left",) * 3, table_width()) + "\n")
    if not found.parameters:
        say("They differ in no parameter.", "")
    measures = [row.cells() for row in found.measures]
    say_text(tables.table(("measure", *names, "difference"), measures, ("left",), table_width()))
    if found.layers:
        say_text("\n" + _layers(found))


def _layers(found: "Comparison") -> str:
    """The layers of both, mirrored: what is left of each as a bar of its parameters in the baseline."""
    from engine.text import numbers, tables

    every = [layer for pair in found.layers for layer in pair if layer is not None]
    largest = max(layer.before for layer in every) or 1

    def bar(layer: "Layer | None") -> str:
        if layer is None:
            return ""
        whole, left = (round(BAR * share / largest) for share in (layer.before, layer.nonzero))
        return "#" * left + "." * (whole - left)

    rows = [
        (
            (a or b or every[0]).name.removesuffix(".weight"),
            numbers.count(a.nonzero) if a else numbers.MISSING,
            bar(a)[::-1].rjust(BAR),
            bar(b).ljust(BAR),
            numbers.count(b.nonzero) if b else numbers.MISSING,
            numbers.count(a.effective_macs) if a else numbers.MISSING,
            numbers.count(b.effective_macs) if b else numbers.MISSING,
        )
        for a, b in found.layers
    ]
    heads = ("layer", found.a.name, "parameters", "left", found.b.name, "MACs", "MACs")
    return tables.table(heads, rows, ("left", "right", "right", "left", "left"), table_width())
