"""Functions in a user's own Python file, named `path/file.py:function`."""

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.errors import SecateurError


def load_function(reference: str, what: str) -> Callable[..., Any]:
    """The function that `reference` names; the file's folder is importable while its code runs.

    Raises SecateurError when the file or function is missing, or the file itself fails.
    """
    file, _, name = reference.rpartition(":")
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


def _module(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise SecateurError(f"{path} is not a Python file", "", "Name a file that ends in .py.")
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
