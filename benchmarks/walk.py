"""What the walks over torchvision's classification networks have in common: which ones, and a process for each."""

import argparse
import contextlib
import io
import json
import os
import warnings
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from engine.params.catalog import MODELS

PREFIX = "torchvision/"
QUICK = "--models resnet18 mobilenet_v3_small shufflenet_v2_x0_5 squeezenet1_1"
"""Networks of kinds that differ."""
Row = dict[str, Any]


def arguments(description: str | None, large: Sequence[str]) -> argparse.ArgumentParser:
    """A parser with the options that choose networks; `large` are patterns of names. `trained.parsed` reads it."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["*"], help="patterns of names, such as 'resnet*'")
    parser.add_argument("--skip-large", action="store_true", help="leave out " + ", ".join(large))
    return parser


def chosen(args: argparse.Namespace, large: Sequence[str]) -> list[str]:
    """The networks asked for, without `torchvision/`, in the order of the catalogue."""
    warnings.simplefilter("ignore")
    names = (name.removeprefix(PREFIX) for name in MODELS if name.startswith(PREFIX))
    left_out = large if args.skip_large else ()
    return [name for name in names if _matches(name, args.models) and not _matches(name, left_out)]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def in_a_process(walk: Callable[[], Row]) -> Row:
    """`walk` in a process of its own, so that its memory is given back; what kills it is the `result`."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            out.write(json.dumps(_guarded(walk)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        text = lines.read()
    _, status = os.waitpid(pid, 0)
    return dict(json.loads(text)) if text else {"result": f"killed: status {status}"}


def _guarded(walk: Callable[[], Row]) -> Row:
    """A crash is a row too: the walk is about which networks fail."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return walk()
    except Exception as error:  # noqa: BLE001
        return {"result": f"failed: {type(error).__name__}: {str(error)[:150]}"}
