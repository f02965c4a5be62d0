"""`secateur data`: which data sets there are, where they lie, fetching one, and what is in one."""

import argparse
from pathlib import Path
from typing import Any

from engine.cli.common import add_json, add_overrides, add_workspace, print_json, say, say_text
from engine.datasets import RECORDS, Record, data_folder, is_user_function, record_of
from engine.datasets.locate import (
    bundled_folder,
    fetch_command,
    folder_with,
    locate,
    megabytes,
    places_of,
)
from engine.errors import EXIT_FAILED, SecateurError, UsageError
from engine.store.workspace import workspace
from engine.text.visible import visible


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register `secateur data list`, `secateur data fetch` and `secateur data check`."""
    data = subparsers.add_parser("data", help="list data sets, fetch or check one", description=__doc__)
    actions = data.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser(
        "list",
        help="show every data set and where it lies",
        description="Show every data set that a preset can name, and where it lies on this machine.",
    )
    add_json(listing)
    listing.set_defaults(run=run_list)
    fetch = actions.add_parser(
        "fetch",
        help="download a data set",
        description="Download a data set through torchvision, on a machine with internet: the login node.",
    )
    fetch.add_argument("name", metavar="NAME", help="a name that `secateur data list` shows")
    fetch.add_argument(
        "--root", type=Path, metavar="DIR", help="where to put it (default: WORKSPACE/data/NAME)"
    )
    add_json(fetch)
    fetch.set_defaults(run=run_fetch)
    check = actions.add_parser(
        "check",
        help="look at a preset's data",
        description="Read every image of a preset's data and tell what they are: classes, splits, values, imbalance, "
        "copies between splits, files that can't be read. Nothing is trained or kept.",
    )
    check.add_argument("preset", help="a file, or a name from `secateur presets`")
    add_overrides(check, "override one value of the preset, such as data.root=DIR")
    check.add_argument(
        "--images", type=int, default=0, metavar="N", help="with --json: that many small images too"
    )
    add_json(check)
    check.set_defaults(run=run_check)
    for action in (listing, fetch, check):
        add_workspace(action)


def run_list(args: argparse.Namespace) -> int:
    """Print the data sets, as a table or as one JSON object; returns the exit code."""
    rows = [row(record, workspace(args.workspace)) for record in RECORDS.values()]
    if args.json:
        print_json({"datasets": rows})
    else:
        say_text(table(rows))
    return 0


def run_fetch(args: argparse.Namespace) -> int:
    """Download a set unless it is here; returns the exit code. Raises SecateurError when that fails."""
    if is_user_function(args.name):
        raise UsageError(f"{args.name} is your own data", "Only built-in sets can be fetched.")
    record = record_of(args.name)
    folder = workspace(args.workspace)
    existing = find(record, folder, args.root)
    if existing is not None:
        if args.json:
            print_json({"name": record.name, "path": str(existing), "downloaded": False})
        else:
            say(f"{record.name} is already here: {existing}")
        return 0
    if not record.downloads:
        raise SecateurError(f"Data set {record.name} can't be downloaded", record.note)
    from engine.compute.data.download import download

    target = args.root or data_folder(folder, record.name)
    downloaded = download(record, target)
    if args.json:
        print_json({"name": record.name, "path": str(downloaded), "downloaded": True})
        return 0
    say(f"{record.name} is here now: {downloaded}")
    if args.root is not None:
        say(f"Name this folder in presets: data: {{name: {record.name}, root: {args.root}}}")
    return 0


def run_check(args: argparse.Namespace) -> int:
    """Look at every data section of a preset; returns the exit code. Raises SecateurError for what can't be read."""
    from engine.presets import shipped, spec

    read = spec.read(shipped.find(args.preset), args.overrides)
    sections = list(dict.fromkeys(trial.settings.data for trial in read.trials))
    # Sets that are not here are told before torch is imported.
    places = [locate(section, workspace(args.workspace)) for section in sections]
    from engine.compute.data.check import check

    checks = [
        {"root": section.root} | check(section, place, args.images)
        for section, place in zip(sections, places, strict=True)
    ]
    if args.json:
        print_json({"data": checks})
    else:
        say_text("\n\n".join(one["report"] for one in checks))
    return EXIT_FAILED if any("damaged" in one for one in checks) else 0


def find(record: Record, workspace: Path, root: Path | None = None) -> Path | None:
    """The folder that holds the set; None when it is not on this machine."""
    if record.source.own:
        return None
    if record.source.bundled:
        return bundled_folder()
    places = places_of(record, workspace, None if root is None else str(root))
    return next((folder for place in places if (folder := folder_with(record, place)) is not None), None)


def row(record: Record, workspace: Path) -> dict[str, Any]:
    """What is known about one set: plain JSON values."""
    folder = find(record, workspace)
    counts = record.images
    return {
        "name": record.name,
        "title": record.title,
        "classes": record.classes,
        "images": counts.total if counts else None,
        "splits": {"train": counts.train, "validation": counts.validation, "test": counts.test}
        if counts
        else None,
        "channels": record.channels,
        "size": record.size,
        "path": str(folder) if folder else None,
        "fetch": None if folder else fetch_command(record, workspace) or None,
        "download_mb": record.download_mb,
        "note": record.note,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as text, a set per line."""
    lines = [f"{'name':<22} {'classes':>7} {'images':>10} {'pixels':>7} {'channels':>8}  where"]
    for values in rows:
        images = f"{values['images']:,}".replace(",", " ") if values["images"] else "–"
        size = f"{values['size']}²" if values["size"] else "–" if values["images"] is None else "vary"
        lines.append(
            f"{values['name']:<22} {values['classes'] or '–':>7} {images:>10} {size:>7} "
            f"{values['channels'] or '–':>8}  {_where(values)}"
        )
    return "\n".join(lines)


def _where(values: dict[str, Any]) -> str:
    if values["path"]:
        return visible(values["path"])
    if values["images"] is None:
        return "your own, named as data.root"
    if not values["fetch"]:
        return f"not here, no download: `secateur data fetch {values['name']}` says why"
    size = f" ({megabytes(values['download_mb'])})" if values["download_mb"] else ""
    return f"not here: {visible(values['fetch'])}{size}"
