"""`config`: every setting, its value, and which file decided."""

import argparse
from typing import TYPE_CHECKING, Any

from engine.cli.common import add_json, print_json, say, say_text, table_width
from engine.errors import EXIT_USAGE
from engine.text.numbers import MISSING

if TYPE_CHECKING:
    from engine.config.files import Given


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "config",
        help="every setting, its value, and which file decided",
        description="Settings of the lab and the commands, in YAML files: the site's, then your own, which decides. "
        "Shows the value of each and where it is from, the files that are looked for, and what is wrong in them.",
    )
    add_json(parser)
    parser.set_defaults(run=_config)


def _config(args: argparse.Namespace) -> int:
    from engine.config import files
    from engine.config.settings import SETTINGS
    from engine.text import tables

    config = files.load()
    looked = files.files()
    if args.json:
        settings = {name: _as_dict(given) for name, given in config.given.items()}
        places = [{"path": str(path), "exists": path.exists()} for path in looked]
        print_json({"settings": settings, "files": places, "problems": list(config.problems)})
    else:
        rows = [(name, _text(given.value), _from(given)) for name, given in config.given.items()]
        say_text(tables.table(("setting", "value", "from"), rows, ("left", "left", "left"), table_width()))
        say("")
        for setting in SETTINGS:
            say(f"{setting.name}: {setting.about} Takes {setting.allowed}.")
        say("", "Files, of which the last decides:")
        say(*(f"  {path}{'' if path.exists() else ' (not there)'}" for path in looked))
        say(*(f"PROBLEM: {problem}" for problem in config.problems))
    return EXIT_USAGE if config.problems else 0


def _as_dict(given: "Given") -> dict[str, Any]:
    setting = given.setting
    return {
        "value": given.value,
        "from": given.source,
        "also_in": list(given.also),
        "default": setting.default,
        "about": setting.about,
        "allowed": setting.allowed,
    }


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {keys}" for name, keys in value.items()) or MISSING
    if isinstance(value, list):
        return ", ".join(map(str, value)) or MISSING
    if value is None or isinstance(value, bool):
        return MISSING if value is None else str(value).lower()
    return str(value)


def _from(given: "Given") -> str:
    return given.source + (f" (over {', '.join(given.also)})" if given.also else "")
