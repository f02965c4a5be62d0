"""`clean`: what each study holds in the store, what nobody needs any more, and its removal."""

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NewType

from engine.cli.common import add_json, add_workspace, print_json, say, say_text, table_width
from engine.text.phrases import counted

if TYPE_CHECKING:
    from engine.store.inventory import Item
    from engine.studies.bin import Binned
    from engine.studies.holdings import Holdings

SECONDS = {"h": 3600.0, "d": 86_400.0, "w": 7 * 86_400.0}


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    clean = subparsers.add_parser(
        "clean",
        help="what fills the workspace, and what nobody needs",
        description="Show what each study holds in the workspace's store, and remove what none does: studies that were "
        "deleted long ago and what only they held, unfinished and temporary work, damaged results. It shows and asks "
        "first. What any study planned stays, also if it is queued, running on another node, lost, failed or "
        "cancelled. Of several users' files only your own are removed.",
    )
    clean.add_argument(
        "--older-than",
        metavar="AGE",
        type=_age,
        default="1d",
        help="remove only what has not been used for so long, such as 12h, 30d or 8w (default: 1d)",
    )
    clean.add_argument(
        "--bin",
        metavar="AGE",
        type=_age,
        default="30d",
        help="of deleted studies, remove those deleted so long ago (default: 30d; 0d empties the bin)",
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
    from engine.reports.disk import amount, overview
    from engine.store.workspace import workspace
    from engine.studies import bin, holdings

    folder = workspace(args.workspace)
    contents = holdings.holdings(folder)
    expired = bin.expired(folder, args.bin)
    left = contents.without([one.run.name for one in expired]).left_over(args.older_than)
    what = _what(expired, amount(left) if left else "")
    if not args.json:
        say_text(overview(contents, left, table_width()))
        if expired:
            say(f"  {counted(len(expired), 'study', 'studies')} in the bin long enough to go")
    agreed = bool(what) and (args.yes or (not args.json and _asked(what)))
    if agreed:
        bin.empty(expired)
    removed = holdings.remove(left, folder) if agreed else []
    if args.json:
        gone = [one.name for one in expired] if agreed else []
        print_json(
            _as_json(contents, left, removed) | {"expired": [o.name for o in expired], "emptied": gone}
        )
    elif agreed:
        say(
            f"removed {_what(expired, amount(removed) if removed else '') or 'nothing: it was taken up meanwhile'}"
        )
    return 0


def _what(expired: "Sequence[Binned]", left: str) -> str:
    """What would go, in a few words; empty if nothing."""
    names = counted(len(expired), "deleted study", "deleted studies") if expired else ""
    return " and ".join(filter(None, (names, left)))


def _asked(what: str) -> bool:
    """Whether the user at the terminal says yes; without one, how to."""
    if not sys.stdin.isatty():
        say("Nothing was removed: `secateur clean --yes` does it.")
        return False
    say(f"Remove {what}? [y/N] ")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _as_json(contents: "Holdings", left: "Sequence[Item]", removed: "Sequence[Item]") -> dict[str, Any]:
    def plain(item: "Item") -> dict[str, Any]:
        return asdict(item) | {"path": str(item.path)}

    return {
        "store": str(contents.store.root),
        "size": sum(item.size for item in contents.items),
        "studies": [
            {
                "study": one.title,
                "state": one.state,
                "folder": one.folder,
                "in_store": contents.held(one),
                "alone": sum(item.size for item in contents.alone([one.name])),
                "created": one.created,
                "unknown": one.unknown,
                "deleted": one.deleted,
            }
            for one in contents.holders
        ],
        "left_over": [plain(item) for item in left],
        "removed": [plain(item) for item in removed],
    }
