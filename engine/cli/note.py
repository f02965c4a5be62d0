"""`note`: what people write about a study, and the tags that they find it by."""

import argparse
import sys

from engine.cli.common import add_json, add_study, add_workspace, print_json, say


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    note = subparsers.add_parser(
        "note",
        help="write a note about a study, or tag it",
        description="Without a text and tags: show what is written about a study. The note and its tags stand in "
        "`secateur list`, which finds studies by them, in the lab and in reports.",
    )
    add_study(note)
    note.add_argument("text", nargs="?", help="the note, in place of the one before; `-` reads it from stdin")
    note.add_argument("--tag", action="append", default=[], metavar="TAG", help="tag it; may be repeated")
    note.add_argument(
        "--untag", action="append", default=[], metavar="TAG", help="take a tag off; may be repeated"
    )
    add_workspace(note)
    add_json(note)
    note.set_defaults(run=_note)


def _note(args: argparse.Namespace) -> int:
    from engine.store.workspace import workspace
    from engine.studies import notes
    from engine.studies.rundir import find

    run = find(workspace(args.workspace), args.study)
    before = notes.read(run)
    text = sys.stdin.read() if args.text == "-" else args.text
    kept = notes.changed(before, text, args.tag, args.untag)
    if kept != before:
        notes.write(run, kept)
    if args.json:
        print_json({"study": run.name, "note": kept.text, "tags": list(kept.tags)})
    else:
        tags = " ".join(f"#{tag}" for tag in kept.tags)
        say(f"{run.name}: {tags or 'no tags'}", *(kept.text.splitlines() or ["no note"]))
    return 0
