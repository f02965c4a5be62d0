"""What several commands share: options, and the one way by which anything is printed."""

import argparse
import codecs
import contextlib
import io
import os
import shutil
import sys
from typing import Any, TextIO

from engine.errors import PresetInvalid, SecateurError, UsageError
from engine.text import ascii
from engine.text.tables import to_ascii
from engine.text.visible import json_text, visible, visible_but_colours, visible_lines

WIDEST = 120
"""Columns beyond which a table is no easier to read."""


def add_study(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """The study, or several, by name."""
    parser.add_argument(
        "study",
        nargs="+" if several else None,
        help=f"{'names' if several else 'a name'} from `secateur list`, or `latest`: the one begun or resumed last",
    )


def add_trial(parser: argparse.ArgumentParser, about: str) -> None:
    """A study, and one of its trials: see `trial_of`."""
    parser.add_argument(
        "study",
        metavar="STUDY[:TRIAL]",
        help="a study as `secateur list` names it, or `latest`; and which trial",
    )
    parser.add_argument("--trial", metavar="N", help=about)


def trial_of(args: argparse.Namespace) -> tuple[str, str]:
    """The study that is meant, and its trial as it was given; empty where none was. Raises UsageError for two."""
    from engine.studies.rundir import named

    study, trial = named(args.study)
    if trial and args.trial not in (None, trial):
        raise UsageError(
            "Two trials are named", f"Given are {args.study} and --trial {args.trial}.", "Name one."
        )
    return study, trial or args.trial or ""


def add_workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--workspace",
        metavar="DIR",
        help="folder of studies and stored results (default: $SECATEUR_HOME or ./.secateur)",
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON value on stdout, nothing else")


def add_overrides(parser: argparse.ArgumentParser, what: str, metavar: str = "PATH=VALUE") -> None:
    """`--set`, as often as wanted; `what` says what it does to which values, and gives an example."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar=metavar,
        dest="overrides",
        help=f"{what}; may be repeated",
    )


def add_within(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--within",
        metavar="POINTS",
        type=_points,
        help="points of validation accuracy that the pick may lose (default: by your settings, else the preset's: 1)",
    )


def _points(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(text)) <= 100:
            return value
    raise argparse.ArgumentTypeError(f"given {text}; allowed: 0 to 100 points")


def say(*lines: str) -> None:
    """Print lines on standard output. What would steer a terminal is made visible, an end of line within one too."""
    _print(sys.stdout, *map(visible, lines))


def say_text(text: str) -> None:
    """The same for a text that we have laid out in lines ourselves, a table for example."""
    _print(sys.stdout, visible_lines(text))


def say_picture(text: str) -> None:
    """The same for one that has colours of ours."""
    _print(sys.stdout, visible_but_colours(text))


def tell(*lines: str) -> None:
    """As `say`, on standard error: progress, notices, whatever is not the answer."""
    _print(sys.stderr, *map(visible, lines))


def tell_error(error: SecateurError) -> None:
    """An error on standard error: title, detail and remedy. Only a detail has lines, which are ours."""
    if isinstance(error, PresetInvalid):
        detail = [f"  {visible(str(problem))}" for problem in error.problems]
    else:
        detail = [visible(line) for line in error.detail.split("\n")]
    lines = (visible(f"secateur: {error.title}"), *detail, visible(error.remedy))
    _print(sys.stderr, *filter(None, lines))


def redraw(line: str) -> None:
    """Put `line` in the place of what was drawn on the terminal's last line; nothing clears it."""
    _print(sys.stderr, f"\r\x1b[K{visible(line)}", end="")


def print_json(value: Any, indent: int | None = 2) -> None:
    """One JSON value on standard output."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    _print(sys.stdout, json_text(value, indent, ascii_only=not utf8))


def print_as_it_is(text: str) -> None:
    """A file of the user's own, to be kept: as it is, but on a terminal."""
    _print(sys.stdout, visible_lines(text) if sys.stdout.isatty() else text, end="")


def _print(stream: TextIO, *lines: str, end: str = "\n") -> None:
    if lines:
        print(*lines, sep="\n", end=end, file=stream, flush=stream is sys.stderr)


def settle_streams() -> None:
    """Have all three standard streams, and output and error take every text, whatever letters the terminal has.

    What the shell closed (`2>&-`, services, some cron) leads nowhere: else the next file that is opened would get its
    number, and with it what libraries print.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free
            os.set_inheritable(number, True)
            setattr(sys, name, os.fdopen(number, mode))
    codecs.register_error(SPELLED, _spelled)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Python takes the C locale's terminal for one of UTF-8; files get the letters in any case.
            ascii_only = stream.isatty() and ascii.wanted()
            stream.reconfigure(encoding="ascii" if ascii_only else None, errors=SPELLED)


SPELLED = "secateur.spelled"
"""How text is written where an encoding lacks letters of it: `×` as `x`, what has no such spelling as its escape."""


def _spelled(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    spelled = (
        to_ascii(letter) if to_ascii(letter) != "?" else letter.encode("ascii", "backslashreplace").decode()
        for letter in letters
    )
    return "".join(spelled), error.end


def table_width() -> int | None:
    """Width that a table has to fit, or None where no terminal shows it: a file or a program gets all of it."""
    return columns() if sys.stdout.isatty() else None


def columns() -> int:
    """Width to write for: the terminal's, or 100 where there is none."""
    return min(shutil.get_terminal_size((100, 24)).columns, WIDEST)
