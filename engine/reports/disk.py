"""What fills a workspace, as text: for the command `clean` and for the lab."""

import time
from collections.abc import Sequence

from engine.store.inventory import Item
from engine.studies.holdings import Holdings
from engine.text import numbers, tables
from engine.text.phrases import counted

CALLED = {
    "result": "results that no study holds",
    "unfinished": "unfinished work that no study goes on with",
    "temporary": "temporary files of processes that were killed",
    "damaged": "damaged results that were set aside",
}


def overview(contents: Holdings, left: Sequence[Item], width: int | None) -> str:
    """What each study holds, those in the bin too, and what of it nobody needs any more."""
    now = time.time()
    rows = [
        [
            one.title,
            f"in the bin, {numbers.age(now - one.deleted)}" if one.deleted else one.state,
            numbers.size(one.folder),
            numbers.size(contents.held(one)),
            numbers.size(sum(item.size for item in contents.alone([one.name]))),
            numbers.age(now - one.created) if one.created else "",
        ]
        for one in contents.holders
    ]
    lines = []
    if rows:
        headers = ["study", "state", "folder", "in store", "alone", "started"]
        align: list[tables.Align] = ["whole", "left", "right", "right", "right", "left"]
        lines.append(tables.table(headers, rows, align, width))
        lines += ["", "alone: what only this study holds, and deleting it would leave to be cleaned", ""]
    lines.append(f"{contents.store.root}: {numbers.size(sum(item.size for item in contents.items))} in all")
    for kind, text in CALLED.items():
        if mine := [item for item in left if item.kind == kind]:
            oldest = numbers.age(now - min(item.used for item in mine))
            lines.append(f"  {amount(mine)} are {text}; the oldest was used {oldest}")
    if not left:
        lines.append("  nothing of yours is left over")
    for one in contents.unknown:
        lines.append(
            f"results and unfinished work stay, because study {one.title} may hold them: {one.unknown}"
        )
    return "\n".join(lines)


def amount(items: Sequence[Item]) -> str:
    """How much, in how many folders."""
    return f"{numbers.size(sum(item.size for item in items))} in {counted(len(items), 'folder')}"
