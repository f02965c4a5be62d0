"""Functions in a user's own Python file, named `path/file.py:function`.

All code that is not ours comes in here. What is run is the text of that one file, as Python source: no compiled file
is taken in its place, nor one beside it that says to be its compiled form.
"""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from engine.errors import SecateurError
from engine.params.catalog import own_code


def load_function(reference: str, what: str) -> Callable[..., Any]:
    """The function that `reference` names; the file's folder is importable while its code runs.

    Raises SecateurError when the file or function is missing, the file is no Python source, or itself fails.
    """
    code = own_code(reference)
    if code is None:
        raise SecateurError(
            f"{reference} names no {what} that can be loaded",
            "Code is loaded from files of Python source whose names end in .py.",
            "Use path/to/file.py:function.",
        )
    file, name = code
    path = Path(file)
    if not path.is_file():
        raise SecateurError(
            f"No file {file} for the {what}", f"{reference} was given.", "Use path/to/file.py:function."
        )
    function = getattr(_module(path), name, None)
    if not callable(function):
        raise SecateurError(
            f"{file} has no function {name}", f"{reference} was given for the {what}.", "Check the name."
        )
    found: Callable[..., Any] = function
    return guarded(found, reference)


def guarded(function: Callable[..., Any], reference: str) -> Callable[..., Any]:
    """`function`, whose exceptions are reported as the user's own, with the line they came from."""
    from functools import wraps

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except SecateurError:
            raise
        except Exception as error:
            raise _users_error(reference, error) from error

    return call


class _Source(SourceFileLoader):
    """Compiles the file's text each time: a `.pyc` in `__pycache__` can be anybody's. None is read or written."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        code: CodeType = self.source_to_code(self.get_data(path), path)
        return code


def _module(path: Path) -> ModuleType:
    name = f"user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path, loader=_Source(name, str(path)))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.insert(0, str(path.parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise _users_error(str(path), error) from error
    finally:
        sys.path.remove(str(path.parent))
    return module


def _users_error(reference: str, error: Exception) -> SecateurError:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return SecateurError(
        f"Your own code failed: {reference}",
        f"{type(error).__name__}: {error} ({last.filename}, line {last.lineno})",
        "Fix the file; nothing that was computed before is lost.",
    )
