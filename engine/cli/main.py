"""The `secateur` program: presets in, curves out, from a terminal."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn

from engine import __version__
from engine.cli import (
    clean,
    cluster,
    data,
    doctor,
    export,
    lab,
    note,
    params,
    plot,
    presets,
    report,
    run,
    study,
)
from engine.cli.common import settle_streams, tell_error
from engine.errors import SecateurError, exit_code_of
from engine.machine.signals import number_of, unblock
from engine.text.visible import visible

EPILOG = """\
how it goes:
  secateur                             the terminal lab
  secateur presets                     what comes with secateur
  secateur run quickstart              run one: a table, a curve, and a study in the workspace
  secateur run my.yaml --set train.epochs=2 --set data.limit=2000
  secateur list                        the studies of this workspace
  secateur plot latest --x sparsity --y size.packed --by prune.weights.scope
  secateur report latest report.html   verdict, curves, tables and preset in one file for colleagues
  secateur export latest model/        the last model, with a loader that needs none of this
  secateur replay latest               run it again from nothing and compare every number bit for bit

A study runs in the background: closing the terminal does not stop it, `secateur watch` finds it again,
`secateur cancel` stops it and `secateur resume` goes on where it was. The workspace is --workspace,
$SECATEUR_HOME or ./.secateur. Exit codes: 0 done, 1 failed, 2 wrong usage or preset (nothing written),
3 a replay that differs, 130 interrupted or cancelled, 128 and a signal's number where that ended the study (143:
SIGTERM), 75 where a study has an engine already.
"""


class Parser(argparse.ArgumentParser):
    """One whose errors, which repeat what was typed, can't steer the terminal."""

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))


def parser() -> argparse.ArgumentParser:
    """The command line's parser, every command with its own help."""
    top = Parser(
        prog="secateur",
        description="Find out how far a vision network can be compressed before it breaks.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action="version", version=f"secateur {__version__}")
    commands = top.add_subparsers(metavar="COMMAND", required=True)
    for module in (
        lab,
        run,
        study,
        note,
        cluster,
        plot,
        report,
        export,
        presets,
        params,
        data,
        clean,
        doctor,
    ):
        module.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. A user's mistake is one message on stderr, never a traceback."""
    unblock()
    settle_streams()
    given = sys.argv[1:] if argv is None else list(argv)
    if not given and sys.stdin.isatty() and sys.stdout.isatty():
        given = ["lab"]
    args = parser().parse_args(given)
    try:
        code: int = args.run(args)
    except SecateurError as error:
        tell_error(error)
        return error.exit_code
    except KeyboardInterrupt as error:
        return exit_code_of(number_of(error))
    except BrokenPipeError:  # the reader of our output (`head`, say) has seen enough
        sys.stderr.close()
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
