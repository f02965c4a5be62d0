"""`steer`: techniques of a search that are pinned or forbidden from its next round on."""

import argparse

from engine.cli.common import add_json, add_study, add_workspace, print_json, say


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    steer = subparsers.add_parser(
        "steer",
        help="pin or forbid a technique while a search runs",
        description="From its next round on every new candidate of a search has a pinned technique, and none has a "
        "forbidden one. What was tried stays in its tables. Without options: show what is wished for.",
    )
    add_study(steer)
    for name, text in (
        ("pin", "a step of search.over that has to run"),
        ("forbid", "one that must not"),
        ("free", "one that may again"),
    ):
        steer.add_argument(
            f"--{name}", action="append", default=[], metavar="STEP", help=f"{text}; may be repeated"
        )
    add_workspace(steer)
    add_json(steer)
    steer.set_defaults(run=_steer)


def _steer(args: argparse.Namespace) -> int:
    from engine.search import held
    from engine.store.workspace import workspace
    from engine.studies.rundir import find
    from engine.studies.state import StudyState, load

    run = find(workspace(args.workspace), args.study)
    space = held.space_of(run.spec(), run.name)
    wishes: tuple[tuple[list[str], held.Wish], ...] = (
        (args.free, "free"),
        (args.pin, "pinned"),
        (args.forbid, "forbidden"),
    )
    asked = [(name, how) for names, how in wishes for name in names]
    state = load(run.path) if asked else StudyState()
    for name, how in asked:
        held.wish(run, state, space, name, how)
    found = held.wished(run, space)
    if args.json:
        print_json({"study": run.name, "held": found, "techniques": list(space.techniques)})
    else:
        told = [
            f"{name}: {held.WORDS[found[name]] if name in found else 'free'}" for name in space.techniques
        ]
        say(f"{run.name}, from its next round on:", *(f"  {line}" for line in told))
    return 0
