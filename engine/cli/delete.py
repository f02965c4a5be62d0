"""`delete` and `restore`: studies into the bin, and out of it again."""

import argparse

from engine.cli.common import add_json, add_workspace, print_json, say, say_text, table_width


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    delete = subparsers.add_parser(
        "delete",
        help="move studies into the bin",
        description="Move studies into the workspace's bin, where they keep their results and their names until "
        "`secateur clean` empties it of what has been there for 30 days; `secateur restore` takes them back.",
    )
    delete.add_argument("study", nargs="+", help="names from `secateur list`")
    delete.set_defaults(run=_delete)
    restore = subparsers.add_parser(
        "restore",
        help="take a study back out of the bin",
        description="Take deleted studies back, with all that they had. Without a name: what is in the bin.",
    )
    restore.add_argument("study", nargs="*", help="names of deleted studies")
    restore.set_defaults(run=_restore)
    for command in (delete, restore):
        add_workspace(command)
        add_json(command)


def _delete(args: argparse.Namespace) -> int:
    from engine.store.workspace import workspace
    from engine.studies import bin
    from engine.studies.rundir import find

    folder = workspace(args.workspace)
    runs = [find(folder, name) for name in dict.fromkeys(args.study)]
    names = [bin.delete(run).name for run in runs]
    if args.json:
        print_json({"deleted": names})
    else:
        say(f"{', '.join(names)}: in the bin; `secateur restore NAME` takes back what was deleted")
    return 0


def _restore(args: argparse.Namespace) -> int:
    from engine.store.workspace import workspace
    from engine.studies import bin

    folder = workspace(args.workspace)
    names = [bin.restore(folder, name).name for name in dict.fromkeys(args.study)]
    found = bin.binned(folder)
    if args.json:
        shown = [{"study": one.name, "deleted": one.deleted, "folder": str(one.run.path)} for one in found]
        print_json({"restored": names, "bin": shown})
    elif names:
        say(f"{', '.join(names)}: back again")
    elif found:
        from engine.text import numbers, tables

        rows = [(one.name, numbers.age(one.age())) for one in found]
        say_text(tables.table(("study", "deleted"), rows, ("whole", "left"), table_width()))
    else:
        say("The bin is empty.")
    return 0
