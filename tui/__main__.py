"""`python -m tui [PRESET] [--workspace DIR]` opens the lab."""

import argparse
import gc
import os
import sys
from pathlib import Path

from tui.keys.action import PLACES


def main(argv: list[str] | None = None) -> int:
    """Open the lab; its exit code."""
    gc.disable()  # until the first frame: collecting while modules load is a tenth of the time to it
    parser = argparse.ArgumentParser(
        prog="secateur lab",
        description="The terminal lab: set parameters, run studies, read the curves. Studies run on their own; "
        "closing the lab or losing the connection does not stop them.",
    )
    parser.add_argument(
        "preset",
        nargs="?",
        help="a file, or a name from `secateur presets` (default: the one opened last, else quickstart)",
    )
    parser.add_argument(
        "--workspace", metavar="DIR", help="folder of studies (default: $SECATEUR_HOME or ./.secateur)"
    )
    parser.add_argument(
        "--open",
        default="",
        choices=[place.name for place in PLACES],
        help="the screen to start on (default: the one before, else the lab)",
    )
    args = parser.parse_args(argv)
    if problem := _terminal_problem():
        print(f"secateur: the lab needs a terminal, and {problem}", file=sys.stderr)
        return 2
    from engine.errors import SecateurError
    from engine.machine.signals import unblock
    from engine.store.workspace import workspace
    from engine.studies.lives import lost_after_s
    from engine.text.visible import visible_lines

    unblock()
    try:
        preset, folder = _find(args.preset) if args.preset else None, workspace(args.workspace)
        lost_after_s()  # what reads studies is a thread, which could tell nobody that it is set wrongly
    except SecateurError as error:
        print(f"secateur: {visible_lines(str(error))}", file=sys.stderr)
        return error.exit_code
    from engine.config.files import load
    from tui.app import Lab
    from tui.work.remembered import Keeper

    config = load()
    app = Lab(preset, folder, args.open, keeper=Keeper(folder), config=config)
    try:
        app.run(mouse=config["mouse"])
    finally:
        app.let_go()
    return app.return_code or 0


def _terminal_problem() -> str:
    """Why the lab can't be shown here, and what works; empty if it can."""
    # Textual draws on stderr: with that in a file there would be a blank screen.
    for name, stream in (("input", sys.stdin), ("output", sys.stdout), ("error stream", sys.stderr)):
        if not stream.isatty():
            return f"its {name} is none; `secateur --help` lists what works without."
    if os.environ.get("TERM") == "dumb":
        return (
            "TERM says that yours can't move its cursor (dumb): where it can, `TERM=xterm-256color secateur` "
            "opens the lab; `secateur --help` lists what works without."
        )
    return ""


def _find(name: str) -> Path:
    from engine.presets.shipped import find

    return find(name)


if __name__ == "__main__":
    sys.exit(main())
