"""`spec`: everything that a program needs to know to use this one, as one JSON value."""

import argparse
import dataclasses
from collections.abc import Iterable
from typing import Any

from engine import __version__
from engine.cli import declared
from engine.cli.common import add_json, print_json, say, say_text, table_width
from engine.errors import EXIT_CODES


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    spec = subparsers.add_parser(
        "spec",
        help="what programs and agents need to know: commands, parameters, measures, exit codes, events",
        description="With --json: every command with its arguments, the preset format as a JSON Schema with the help "
        "of each parameter, the presets that come with secateur, every measure, what exit codes mean, and the events "
        "that a study writes. All of it is read from what the program itself is run by.",
    )
    add_json(spec)
    spec.set_defaults(run=_spec, commands=subparsers)


def _spec(args: argparse.Namespace) -> int:
    commands = list(declared.commands_of(args.commands))
    if args.json:
        print_json(as_dict(commands))
        return 0
    from engine.text import tables

    rows = [(command.name, command.about) for command in commands]
    say_text(tables.table(("command", "what it does"), rows, ("left", "left"), table_width()))
    say("", "Exit codes")
    say(*(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()))
    say("", "With --json: all of it, with arguments, parameters, measures and events.")
    return 0


def as_dict(commands: Iterable[declared.Command]) -> dict[str, Any]:
    """All of it as plain values."""
    from engine.cli import params
    from engine.cli.presets import listed
    from engine.measures.table import TABLE
    from engine.params.schema import schema
    from engine.studies import events

    return {
        "secateur": __version__,
        "commands": [command.as_dict() for command in commands],
        "exit_codes": [{"code": code, "meaning": meaning} for code, meaning in EXIT_CODES.items()],
        "json": JSON,
        "preset": {"schema": schema(), **params.everything()},
        "presets": listed(),
        "measures": [{"name": name, **dataclasses.asdict(known)} for name, known in TABLE.items()],
        "events": events.described(),
    }


JSON = {
    "answers": "With --json a command prints one JSON value on standard output and nothing else there; progress and "
    "messages go to standard error. Nothing is left out of it.",
    "errors": "A command that fails prints {error: {title, detail, remedy}, exit_code} in its place.",
    "study": "run, resume, watch, replay and show give a study: baseline, trials (parameters, results by the names of "
    "measures), pick (the model to take: index, goal, value, times smaller, within, allowed), environment.",
}
"""What all answers have in common."""
