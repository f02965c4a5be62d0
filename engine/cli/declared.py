"""The commands as data, read from the one parser that declares them: for `spec`, the MCP server and the docs."""

import argparse
import typing
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["flag", "string", "integer", "number"]
STDIN = "-"
"""What reads standard input in place of a file or a text."""


@dataclass(frozen=True)
class Argument:
    """An option or a place of a command line.

    Attributes:
        name: What it is called, without dashes.
        flag: How an option is written; empty for a place.
        repeated: Whether it may be given several times (an option), or takes several words (a place).
        stdin: Whether `-` reads it from standard input.
    """

    name: str
    flag: str
    type: Kind
    about: str
    metavar: str = ""
    required: bool = False
    repeated: bool = False
    choices: tuple[str, ...] = ()
    default: Any = None
    stdin: bool = False


@dataclass(frozen=True)
class Command:
    """A command with its arguments, in the order of its usage."""

    name: str
    about: str
    description: str
    usage: str
    arguments: tuple[Argument, ...]

    @property
    def has_json(self) -> bool:
        """Whether `--json` gives its answer as one JSON value."""
        return any(argument.name == "json" for argument in self.arguments)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Group: typing.TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def commands(parser: argparse.ArgumentParser, name: str = "", about: str = "") -> Iterator[Command]:
    """Every command below `parser`, each with what its own help says."""
    groups: list[Group] = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
        usage = usage.replace("[-h] ", "").replace(" [-h]", "")
        shown = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
        text = "\n\n".join(part for part in (parser.description, parser.epilog) if part)
        yield Command(name, about, text, usage, tuple(map(_argument, shown)))
    for group in groups:
        yield from commands_of(group, name)


def commands_of(group: Group, name: str = "") -> Iterator[Command]:
    """Every command of a group, which `name` is the name of."""
    abouts = {choice.dest: choice.help or "" for choice in group._choices_actions}
    for word, below in group.choices.items():
        yield from commands(below, f"{name} {word}".strip(), abouts.get(word, ""))


def _argument(action: argparse.Action) -> Argument:
    several = isinstance(action, argparse._AppendAction) or action.nargs in ("*", "+")
    flag = max(action.option_strings, key=len, default="")
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    about = action.help or ""
    return Argument(
        name=flag.removeprefix("--") or action.dest,
        flag=flag,
        type=_kind(action),
        about=about,
        metavar=metavar,
        required=action.required
        and action.nargs != "*",  # argparse calls a place of no words or more required
        repeated=several,
        choices=tuple(map(str, action.choices or ())),
        default=action.default if isinstance(action.default, str | int | float) else None,
        stdin=f"`{STDIN}` reads" in about,
    )


def _kind(action: argparse.Action) -> Kind:
    if action.nargs == 0:
        return "flag"
    read = action.type
    result = read if isinstance(read, type) else typing.get_type_hints(read).get("return") if read else str
    if result is int:
        return "integer"
    return "number" if result is float else "string"


def command_line(command: Command, values: dict[str, Any]) -> list[str]:
    """The words that give a command these values, by the names of its arguments.

    Raises ValueError for a name that it has not, a value of another type, and what is required and missing.
    """
    known = {argument.name: argument for argument in command.arguments}
    if strange := [name for name in values if name not in known]:
        raise ValueError(f"{command.name} takes no {', '.join(strange)}; it takes {', '.join(known)}")
    words, places = command.name.split(), []
    for argument in command.arguments:
        given = values.get(argument.name)
        if given is None:
            if argument.required and not argument.flag:
                raise ValueError(f"{command.name} needs {argument.name}: {argument.about}")
            continue
        texts = [_word(argument, one) for one in (given if isinstance(given, list) else [given])]
        if argument.type == "flag":
            words += [argument.flag] if given else []
        elif argument.flag:
            words += [f"{argument.flag}={text}" for text in texts]
        else:
            places += texts
    return [*words, *(["--", *places] if places else [])]


def _word(argument: Argument, value: Any) -> str:
    allowed: dict[Kind, tuple[type, ...]] = {
        "flag": (bool,),
        "string": (str, int, float),
        "integer": (int,),
        "number": (int, float),
    }
    if not isinstance(value, allowed[argument.type]) or (isinstance(value, bool) and argument.type != "flag"):
        raise ValueError(f"{argument.name}: given {value!r}; allowed: a {argument.type}")
    return str(value)
