"""`len` of a tensor, as tracers can follow it: Python's own gives a number, which a trace takes for the only one."""

import builtins
from collections.abc import Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import Any

from torch import Tensor, fx, nn

_python_len = builtins.len
Names = dict[str, Any]


def _len(thing: Any) -> Any:
    """The first size of a tensor, or of what stands for one in a trace; of all else what Python says."""
    if isinstance(thing, fx.Proxy):
        return thing.size(0)
    if isinstance(thing, Tensor) and thing.ndim:
        return thing.shape[0]
    return _python_len(thing)


@contextmanager
def lengths_followed(model: nn.Module) -> Iterator[None]:
    """Within the block `len(x)` is `x.size(0)` wherever code asks for it, that of `model` too."""
    places = [vars(builtins), *_own_builtins(model)]
    for place in places:
        place["len"] = _len
    try:
        yield
    finally:
        for place in places:
            place["len"] = _python_len


def _own_builtins(model: nn.Module) -> Iterator[Names]:
    """The built-in names of users' modules, of which each has its own (`engine.compute.usercode`): of those that define
    the classes in `model`, and those that they use."""
    queue = [names for module in model.modules() for cls in type(module).__mro__ for names in _globals(cls)]
    seen: set[int] = set()
    while queue:
        names = queue.pop()
        own = names.get("__builtins__")
        if id(names) in seen or not isinstance(own, dict) or own is vars(builtins):
            continue
        seen.add(id(names))
        yield own
        queue += [inner for value in [*names.values()] for inner in _globals(value)]


def _globals(value: object) -> list[Names]:
    """The names that a function, the functions of a class, or a module see."""
    match value:
        case FunctionType():
            return [value.__globals__]
        case type():
            return [inner.__globals__ for inner in vars(value).values() if isinstance(inner, FunctionType)]
        case ModuleType():
            return [vars(value)]
    return []
