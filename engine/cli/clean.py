"""`clean`: what each study holds in the store, what nobody needs any more, and its removal."""

import argparse
import re
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NewType

from engine.cli.common import add_json, add_workspace, columns, print_json, say, say_text
from engine.text.phrases import counted

if TYPE_CHECKING:
    from engine.store.inventory import Item
    from engine.studies.holdings import Holdings

SECONDS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}
CALLED = {
    "result": "results that no study holds",
    "unfinished": "unfinished work that no study goes on with",
    "temporary": "temporary files of processes that were killed",
    "damaged": "damaged results that were set aside",
}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    clean = subparsers.add_parser(
        "clean",
        help="what fills the workspace, and what nobody needs",
        description="Show what each study holds in the workspace's store, and remove what none does: results of "
        "studies that were deleted, unfinished and temporary work, damaged results. It shows and asks first. What any "
        "study planned stays, also of studies that are queued, running on another node, lost, failed or cancelled. Of "
        "several users' files only your own are removed.",
    )
    clean.add_argument(
        "--older-than",
        metavar="AGE",
        type=_age,
        default="1d",
        help="remove only what has not been used for so long, such as 12h, 30d or 8w (default: 1d)",
    )
    clean.add_argument("--yes", action="store_true", help="remove without asking")
    add_workspace(clean)
    add_json(clean)
    clean.set_defaults(run=_clean)


Age = NewType("Age", float)
"""Seconds; typed as a number with a unit."""


def _age(text: str) -> Age:
    match = re.fullmatch(r"(\d{1,6})([hdw])", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"given {text}; allowed: a number with h, d or w, such as 30d")
    return Age(int(match[1]) * SECONDS[match[2]])


def _clean(args: argparse.Namespace) -> int:
    from engine.store.workspace import workspace
    from engine.studies import holdings

    folder = workspace(args.workspace)
    contents = holdings.holdings(folder)
    left = contents.left_over(args.older_than)
    if not args.json:
        _show(contents, left)
    agreed = bool(left) and (args.yes or (not args.json and _asked(left)))
    removed = holdings.remove(left, folder) if agreed else []
    if args.json:
        print_json(_as_json(contents, left, removed))
    elif agreed:
        say(f"removed {_amount(removed)}")
    return 0


def _asked(left: "Sequence[Item]") -> bool:
    """Whether the user at the terminal says yes; without one, how to."""
    if not sys.stdin.isatty():
        say("Nothing was removed: `secateur clean --yes` does it.")
        return False
    say(f"Remove {_amount(left)}? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _show(contents: "Holdings", left: "Sequence[Item]") -> None:
    from engine.text import numbers, tables

    now = time.time()
    rows = [
        [
            one.name,
            one.state,
            numbers.size(one.folder),
            numbers.size(contents.held(one)),
            numbers.size(sum(item.size for item in contents.alone([one.name]))),
            numbers.age(now - one.created) if one.created else "",
        ]
        for one in contents.holders
    ]
    if rows:
        headers = ["study", "state", "folder", "in store", "alone", "started"]
        align: list[tables.Align] = ["left", "left", "right", "right", "right", "left"]
        say_text(tables.table(headers, rows, align, columns()))
        say("", "alone: what only this study holds, and deleting it would leave to be cleaned", "")
    say(f"{contents.store.root}: {numbers.size(sum(item.size for item in contents.items))} in all")
    for kind, text in CALLED.items():
        if mine := [item for item in left if item.kind == kind]:
            oldest = numbers.age(now - min(item.used for item in mine))
            say(f"  {_amount(mine)} are {text}; the oldest was used {oldest}")
    if not left:
        say("  nothing of yours is left over")
    for one in contents.unknown:
        say(f"results and unfinished work stay, because study {one.name} may hold them: {one.unknown}")


def _amount(items: "Sequence[Item]") -> str:
    from engine.text import numbers

    return f"{numbers.size(sum(item.size for item in items))} in {counted(len(items), 'folder')}"


def _as_json(contents: "Holdings", left: "Sequence[Item]", removed: "Sequence[Item]") -> dict[str, Any]:
    def plain(item: "Item") -> dict[str, Any]:
        return asdict(item) | {"path": str(item.path)}

    return {
        "store": str(contents.store.root),
        "size": sum(item.size for item in contents.items),
        "studies": [
            {
                "study": one.name,
                "state": one.state,
                "folder": one.folder,
                "in_store": contents.held(one),
                "alone": sum(item.size for item in contents.alone([one.name])),
                "created": one.created,
                "unknown": one.unknown,
            }
            for one in contents.holders
        ],
        "left_over": [plain(item) for item in left],
        "removed": [plain(item) for item in removed],
    }
