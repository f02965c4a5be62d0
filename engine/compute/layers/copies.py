"""Copies of networks that are on their own, whatever functions their modules keep."""

import copy
from collections.abc import Callable, Iterable
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import nn

REGISTERED = {"_parameters", "_buffers", "_modules"}


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of `model`, whose functions work on the copy.

    `copy.deepcopy` takes functions as they are: a hook, or a `forward` put on a module, that holds something of the
    network (`lambda module, inputs, output: self.seen.append(output)`) would go on with the original's.
    """
    copies: dict[int, Any] = {}
    made = copy.deepcopy(model, copies)
    bound = _Binding(copies)
    for module in made.modules():
        own = vars(module)
        for name in own.keys() - REGISTERED:
            if isinstance(own[name], dict):  # of hooks: what removes one knows this very dictionary
                own[name].update({key: bound(value) for key, value in own[name].items()})
            else:
                own[name] = bound(own[name])
    return made


class _Binding:
    """Gives values with copies for what was copied, by its `id`; the very value where it holds nothing of it."""

    def __init__(self, copies: dict[int, Any]) -> None:
        self._copies = copies
        self._seen: list[Any] = []
        """Kept alive, so that no `id` becomes another's."""

    def __call__(self, value: Any) -> Any:
        if id(value) not in self._copies:
            self._seen.append(value)
            self._copies[id(value)] = value  # where it holds itself
            self._copies[id(value)] = self._bound(value)
        return self._copies[id(value)]

    def _bound(self, value: Any) -> Any:
        match value:
            case FunctionType():
                held = (value.__closure__, value.__defaults__, value.__kwdefaults__)
                return self._made(value, held, lambda parts: _function(value, *parts))
            case MethodType():
                return self._made(value, (value.__func__, value.__self__), lambda parts: MethodType(*parts))
            case CellType() if held := contents(value):
                return self._made(value, held, lambda parts: CellType(*parts))
            case dict():
                return self._made(value, value.values(), lambda parts: dict(zip(value, parts, strict=True)))
            case list():
                return self._made(value, value, list)
            case tuple() if type(value) is tuple:
                return self._made(value, value, tuple)
            case _:
                return value

    def _made(self, value: Any, held: Iterable[Any], make: Callable[[list[Any]], Any]) -> Any:
        parts = [self(part) for part in held]
        return value if all(a is b for a, b in zip(parts, held, strict=True)) else make(parts)


def contents(cell: CellType) -> tuple[Any, ...]:
    """What a function holds in the variable `cell` of the code around it; empty where it has no value yet."""
    try:
        return (cell.cell_contents,)
    except ValueError:
        return ()


def _function(function: FunctionType, closure: Any, defaults: Any, by_name: Any) -> FunctionType:
    made = FunctionType(function.__code__, function.__globals__, function.__name__, defaults, closure)
    made.__kwdefaults__, made.__qualname__ = by_name, function.__qualname__
    made.__dict__.update(function.__dict__)
    return made
