"""The `secateur` program: presets in, curves out, from a terminal."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn

from engine import __version__
from engine.cli.common import print_json, settle_streams, tell_error
from engine.errors import EXIT_CODES, EXIT_FAILED, SecateurError, UsageError, exit_code_of
from engine.machine.signals import interrupt, number_of, unblock

EPILOG = """\
how it goes:
  secateur                             the terminal lab
  secateur presets                     what comes with secateur
  secateur run quickstart              run one: a table, a curve, and a study in the workspace
  secateur run my.yaml --set train.epochs=2 --set data.limit=2000
  secateur compress best.pth --data cifar10 --lose 1 --fastest onnxruntime --hours 2
  secateur list                        the studies of this workspace
  secateur plot latest --x sparsity --y size.packed --by prune.weights.scope
  secateur compare latest:3 latest:9   two trials side by side; without a number, a study's pick
  secateur next latest                 what to try after it, each as a preset
  secateur report latest report.html   verdict, curves, tables and preset in one file for colleagues
  secateur export latest model/        its pick, with a loader that needs none of this
  secateur replay latest               run it again from nothing and compare every number bit for bit

A study runs in the background: closing the terminal does not stop it, `secateur watch` finds it again,
`secateur cancel` stops it and `secateur resume` goes on where it was. The workspace is --workspace,
$SECATEUR_HOME or ./.secateur. Programs and agents: `secateur spec --json` says everything, every command takes --json,
and `secateur mcp` serves the same commands to agents.

exit codes:
"""


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "lab": ("lab",),
    "run": ("run", "watch", "resume", "replay"),
    "compress": ("compress",),
    "study": ("list", "show", "cancel"),
    "next": ("next",),
    "solve": ("solve",),
    "steer": ("steer",),
    "compare": ("compare",),
    "note": ("note",),
    "delete": ("delete", "restore"),
    "cluster": ("hold", "release", "throttle"),
    "plot": ("plot",),
    "report": ("report",),
    "export": ("export",),
    "presets": ("presets",),
    "params": ("params",),
    "data": ("data",),
    "clean": ("clean",),
    "doctor": ("doctor",),
    "config": ("config",),
    "spec": ("spec",),
    "mcp": ("mcp",),
}
"""Modules of this package with the commands that each declares, in the order of the help."""
TELLING_OF_ALL = ("spec", "mcp")
"""Commands that are about all commands."""


class Misused(UsageError):
    """A command line that the program does not take; its usage is told by then."""


class Parser(argparse.ArgumentParser):
    """One whose errors, which repeat what was typed, can't steer the terminal, and end as those of all commands."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        raise Misused(message, "", f"`{self.prog} --help` says what it takes.")


def parser(command: str = "") -> argparse.ArgumentParser:
    """The command line's parser, every command with its own help.

    If `command` is one, only with the commands of its module: no other is imported then.
    """
    top = Parser(
        prog="secateur",
        description="Find out how far a vision network can be compressed before it breaks.",
        epilog=EPILOG + "\n".join(f"  {code:>3}  {meaning}" for code, meaning in EXIT_CODES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"secateur {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    alone = [] if command in TELLING_OF_ALL else [name for name, own in COMMANDS.items() if command in own]
    for module in alone or COMMANDS:
        import_module(f"engine.cli.{module}").add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. A user's mistake is one message on stderr, never a traceback."""
    unblock()
    settle_streams()
    if argv is None:
        interrupt()
    given = sys.argv[1:] if argv is None else list(argv)
    if not given and sys.stdin.isatty() and sys.stdout.isatty():
        given = ["lab"]
    try:
        try:
            return _run(given)
        finally:
            sys.stdout.flush()  # here, where it can still be told that it fails
    except BrokenPipeError:  # the reader of our output (`head`, say) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        return 0
    except OSError as error:
        from engine.store.files import explanation, unwritable

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.filename is None and error.errno is not None:  # a stream has no name
            known: SecateurError | None = unwritable("The output", error.errno)
        else:
            known = explanation(error.errno, str(error.filename or ""))
        if known is None:
            raise
        tell_error(known)
        return EXIT_FAILED  # what was asked for may have been done


def _run(given: list[str]) -> int:
    try:
        args = parser(*given[:1]).parse_args(given)
        code: int = args.run(args)
    except SecateurError as error:
        tell_error(error)
        if "--json" in given:
            print_json({"error": error.as_dict(), "exit_code": error.exit_code})
        return error.exit_code
    except KeyboardInterrupt as error:
        return exit_code_of(number_of(error))
    return code


if __name__ == "__main__":
    sys.exit(main())
