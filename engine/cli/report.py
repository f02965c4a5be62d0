"""`report`: one or several studies as a file for colleagues."""

import argparse
from pathlib import Path

from engine.cli.common import add_json, add_study, add_within, add_workspace, print_json, say


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "report",
        help="write a study's results as one HTML or Markdown file",
        description="Write one or several studies into one file that needs nothing else: the model to take, curves, "
        "tables, the pick's layers, the note and tags, what to mind, the preset, the environment. An HTML file fetches "
        "nothing and runs no script.",
    )
    add_study(parser, several=True)
    parser.add_argument("out", metavar="OUT", type=Path, help="the file: OUT.html, or OUT.md for Markdown")
    add_within(parser)
    add_workspace(parser)
    add_json(parser)
    parser.set_defaults(run=_report)


def _report(args: argparse.Namespace) -> int:
    from engine.config import files as config
    from engine.reports import content, files
    from engine.store.workspace import workspace
    from engine.studies.rundir import find
    from engine.studies.state import load

    files.check(args.out)
    runs = [find(workspace(args.workspace), name) for name in dict.fromkeys(args.study)]
    within = config.within(args.within)
    path = files.write([content.reported(run, load(run.path), within) for run in runs], args.out)
    if args.json:
        print_json({"file": str(path), "studies": [run.name for run in runs], "bytes": path.stat().st_size})
    else:
        say(f"wrote {path}")
    return 0
