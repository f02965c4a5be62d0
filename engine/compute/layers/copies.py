"""Copies of networks that are on their own, whatever functions their modules keep."""

import copy
from collections.abc import Iterator, Sequence
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
        held = holdings(value)
        parts = [self(part) for part in held]
        return value if all(a is b for a, b in zip(parts, held, strict=True)) else _with(value, parts)


def holdings(value: Any) -> Sequence[Any]:
    """What a function, a method or a container holds, one level deep; nothing of any other value.

    Of a function that is what it keeps of the code around it, and its defaults.
    """
    match value:
        case FunctionType():
            return value.__closure__, value.__defaults__, value.__kwdefaults__
        case MethodType():
            return value.__func__, value.__self__
        case CellType():  # a variable of the code around a function
            try:
                return (value.cell_contents,)
            except ValueError:  # it has no value yet
                return ()
        case dict():
            return list(value.values())
        case list() | tuple():
            return value
        case _:
            return ()


def layers_in(value: Any) -> Iterator[nn.Module]:
    """The layers that a value holds which is none, at any depth but within one another."""
    known: set[int] = set()
    waiting = [*holdings(value)]
    while waiting:
        one = waiting.pop()
        if isinstance(one, nn.Module):
            yield one
        elif id(one) not in known:
            known.add(id(one))
            waiting += holdings(one)


def _with(value: Any, parts: list[Any]) -> Any:
    """The value with other `parts` in the place of its `holdings`."""
    match value:
        case FunctionType():
            return _function(value, *parts)
        case MethodType():
            return MethodType(*parts)
        case CellType():
            return CellType(*parts)
        case dict():
            return dict(zip(value, parts, strict=True))
        case list():
            return parts
        case tuple() if type(value) is tuple:
            return tuple(parts)
        case _:  # a tuple with names, which takes its parts in some way of its own
            return value


def _function(function: FunctionType, closure: Any, defaults: Any, by_name: Any) -> FunctionType:
    made = FunctionType(function.__code__, function.__globals__, function.__name__, defaults, closure)
    made.__kwdefaults__, made.__qualname__ = by_name, function.__qualname__
    made.__dict__.update(function.__dict__)
    return made
