"""Calls into a user's code: in the folder that they know, without a trace in our own process, blamed on their line."""

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import torch

from engine.compute.usercode.reads import note_program
from engine.errors import SecateurError
from engine.sources import Program, Sources

STOPS = (Exception, SystemExit)
"""What ends a call: also a script that ends the program, such as argparse."""


def guarded(
    function: Callable[..., Any], reference: str, sources: Sources, program: Program | None = None
) -> Callable[..., Any]:
    """`function`, called as in the user's shell; its exceptions are reported as the user's own, with their line.

    `program` is what builds a network with it: see `engine.compute.usercode.reads`.
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if program is not None:
            note_program(reference, sources, program)
        with at_home(reference, sources):
            return function(*args, **kwargs)

    return call


@contextlib.contextmanager
def at_home(reference: str, sources: Sources) -> Iterator[None]:
    """Run a user's code in the folder where the study was started, with settings of torch as they were afterwards.

    Raises SecateurError for whatever it raises.
    """
    file = reference.rpartition(":")[0] or reference
    with contextlib.ExitStack() as stack:
        stack.callback(os.fchdir, _descriptor(stack, "."))
        try:
            os.chdir(sources.cwd)
        except OSError as error:
            raise SecateurError(
                "The folder in which the study was started is not there",
                f"{sources.cwd}: {error.strerror}. The user's own code {reference} runs in it.",
                "Make it again, or start a new study.",
            ) from error
        stack.enter_context(_settings_kept())
        stack.callback(setattr, sys, "argv", sys.argv)
        sys.argv = [file]
        try:
            yield
        except SecateurError:
            raise
        except STOPS as error:
            raise users_error(reference, error, sources) from error


def _descriptor(stack: contextlib.ExitStack, folder: str) -> int:
    descriptor = os.open(folder, os.O_RDONLY)
    stack.callback(os.close, descriptor)
    return descriptor


@contextlib.contextmanager
def _settings_kept() -> Iterator[None]:
    """What a user's file may set for itself and must not for all that is computed later."""
    threads, dtype = torch.get_num_threads(), torch.get_default_dtype()
    grad, deterministic = torch.is_grad_enabled(), torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    try:
        yield
    finally:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark


def line_of(error: BaseException, files: Iterable[str] = ()) -> str:
    """Where in a user's code `error` came from: `FILE, line N`; "" where none of its frames is in one of `files`.

    The innermost of their own lines, not that of the library which they called.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    theirs = set(files)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in theirs]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


def users_error(reference: str, error: BaseException, sources: Sources) -> SecateurError:
    """`error` as the user's own, with their line and what may help."""
    file = reference.rpartition(":")[0] or reference
    where = line_of(error, sources.files) or str(Path(file).resolve())
    said = " ".join(str(error).split()) or "no reason given"
    what = f"{type(error).__name__}: {said}"
    if isinstance(error, SystemExit):
        what = f"It ended the program, exit code {error.code}"
    return SecateurError(
        f"Your own code failed: {reference}", f"{what} ({where})", _remedy(error, file, sources)
    )


def _remedy(error: BaseException, file: str, sources: Sources) -> str:
    missing = getattr(error, "filename", None)
    if isinstance(error, FileNotFoundError) and isinstance(missing, str) and not Path(missing).is_absolute():
        rule = f"Relative paths start where the study was started: {sources.cwd}."
        beside = Path(file).resolve().parent
        if (beside / missing).exists():
            return f"{rule} It is in {beside}: start the study there, or write Path(__file__).parent / {missing!r}."
        return rule
    return "Fix the file; nothing that was computed before is lost."
