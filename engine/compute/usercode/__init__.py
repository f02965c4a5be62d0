"""Functions in a user's own Python file, named `path/file.py:function`: loading and calling them."""

from engine.compute.usercode.calls import guarded, line_of
from engine.compute.usercode.load import current, load_function, own_error, use
from engine.compute.usercode.reads import watched

__all__ = ["current", "guarded", "line_of", "load_function", "own_error", "use", "watched"]
