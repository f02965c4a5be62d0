"""The function that a reference names, from the sources of the study or, outside of one, from the disk."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.compute.usercode.calls import at_home, guarded, line_of, users_error
from engine.compute.usercode.modules import Space
from engine.compute.usercode.reads import note_program
from engine.errors import SecateurError
from engine.params.catalog import own_code
from engine.sources import Sources, collect
from engine.sources.kept import file_of

MODEL = "model"
"""What data are asked for by is compared by what it gives; a network by what it is made of."""

_kept: Sources | None = None


def use(sources: Sources | None) -> None:
    """From now on this process runs users' code as `sources` has it, and none that is not in it; None: from disk.

    The environment variables that it asks for have the values that they had when the study began.
    """
    global _kept
    _kept = sources
    for name, value in (sources.variables if sources else {}).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def current() -> Sources | None:
    """What `use` was given."""
    return _kept


def own_error(error: BaseException) -> SecateurError | None:
    """`error` as the user's own, with the line, where it went through the code that this process runs; else None."""
    where = line_of(error, _kept.files) if _kept else ""
    return users_error(where.rpartition(", line")[0], error, _kept) if _kept and where else None


def load_function(reference: str, what: str) -> Callable[..., Any]:
    """The function that `reference` names, its file run anew.

    Raises SecateurError when the file or function is missing, when the study's preset does not name that file, or
    when the file itself fails.
    """
    code = own_code(reference)
    if code is None:
        raise SecateurError(
            f"{reference} names no {what} that can be loaded",
            "Code is loaded from files of Python source whose names end in .py.",
            "Use path/to/file.py:function.",
        )
    file, name = file_of(reference), code.function
    sources = _sources(reference, what)
    program = sources.programs[file]
    space = Space(sources, program, sources.identity(reference))
    if what == MODEL:
        space.check()
        note_program(reference, sources, program)
    with at_home(file, sources):
        module = space.run(Path(file))
    function = getattr(module, name, None)
    if not callable(function):
        raise SecateurError(
            f"{code.file} has no function {name}", f"{reference} was given for the {what}.", "Check the name."
        )
    return guarded(function, reference, sources, program if what == MODEL else None)


def _sources(reference: str, what: str) -> Sources:
    file = file_of(reference)
    if _kept is not None:
        if file in _kept.programs:
            return _kept
        raise SecateurError(
            f"The {what} is built by code that the preset does not name",
            f"It names {reference}; the study's preset names {', '.join(_kept.programs) or 'no file of code'}.",
            "Code runs only where the preset names it.",
        )
    if not Path(file).is_file():
        raise SecateurError(
            f"No file {reference.rpartition(':')[0]} for the {what}",
            f"{reference} was given.",
            "Use path/to/file.py:function.",
        )
    return collect([reference], Path.cwd())
