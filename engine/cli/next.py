"""`next`: what to try after a study, each as a preset."""

import argparse

from engine.cli.common import add_json, add_study, add_within, add_workspace, print_as_it_is, print_json, say


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "next",
        help="what to try after a study",
        description="Up to three things worth trying after a finished study, computed from its results: a part of the "
        "curve to sweep more finely, a training that was still getting better, steps that were not tried. With a "
        "number: that one's preset, to keep (`secateur next latest 1 > my.yaml`) or run (`| secateur run -`).",
    )
    add_study(parser)
    parser.add_argument(
        "number", nargs="?", type=int, metavar="N", help="print the preset of the N-th, from 1"
    )
    add_within(parser)
    add_workspace(parser)
    add_json(parser)
    parser.set_defaults(run=_next)


def _next(args: argparse.Namespace) -> int:
    from engine.config import files
    from engine.errors import UsageError
    from engine.results import pick
    from engine.results.suggestions import suggestions, without
    from engine.store.workspace import workspace
    from engine.studies.rundir import find
    from engine.studies.state import load

    run = find(workspace(args.workspace), args.study)
    state = load(run.path)
    choice = pick.asked_for(state, run.settings(), files.within(args.within))
    found = suggestions(run, state, choice)
    if args.number is not None and not 1 <= args.number <= len(found):
        has = f"has {len(found)} of them" if found else f"has none: {without(state, choice)}"
        raise UsageError(f"There is no suggestion {args.number}", f"{run.name} {has}.")
    if args.json:
        shown = found if args.number is None else found[args.number - 1 : args.number]
        why = {} if found else {"why": without(state, choice)}
        print_json({"study": run.name, "suggestions": [one.as_dict() for one in shown]} | why)
    elif args.number is not None:
        print_as_it_is(found[args.number - 1].preset)
    elif found:
        say(*(f"{place}. {one}" for place, one in enumerate(found, 1)))
        say("", f"`secateur next {run.name} N` prints the preset of one of them.")
    else:
        say(f"{run.name}: {without(state, choice)}")
    return 0
