"""What modules keep beside parameters and buffers: numbers, texts, containers, tensors, generators of random numbers.

A constructor makes most of it anew. What it makes otherwise the next time (it drew from a generator, or a forward pass
changed it) is recorded with a checkpoint: tensors by name, everything else as plain JSON.
"""

import enum
import random
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.compute.layers.foreign import normalizing_hooks
from engine.compute.numerics.aligned import view_of

Plain = Any
"""JSON: what `Description.value` is."""

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
"""Dictionaries of hooks, whose keys are numbers that no two processes share."""
INTERNAL = frozenset(vars(nn.Module())) - {*HOOKS}
OURS = "secateur_"
"""How the attributes begin that this program puts on modules."""
DEEPEST = 12
"""Containers and objects within each other that are looked into."""

TENSOR, ARRAY = "tensor", "array"
TUPLE, SET, DEQUE, DICT, OBJECT, SCALAR = "tuple", "set", "deque", "dict", "object", "scalar"
NUMPY, PYTHON, TORCH = "numpy generator", "python generator", "torch generator"
BIT_GENERATORS = {kind.__name__: kind for kind in (np.random.PCG64, np.random.PCG64DXSM, np.random.MT19937)}
OPAQUE, MODULE, SEEN = "opaque", "module", "seen"


@dataclass
class Description:
    """A value as plain JSON, in which tensors and arrays stand by their type and shape; and these, in order."""

    value: Plain
    tensors: list[Tensor] = field(default_factory=list)

    @property
    def recordable(self) -> bool:
        """Whether `restored` gives the value back from the JSON alone."""
        return not self.tensors and _plain(self.value)


def attributes(module: nn.Module) -> dict[str, Any]:
    """The module's own attributes by name, in order: no parameters, buffers or submodules, nothing of torch's, and no
    weight that a hook computes anew before each pass."""
    computed = {hook.name for hook in normalizing_hooks(module)}
    return {
        name: [*value.values()] if name in HOOKS else value
        for name, value in vars(module).items()
        if name not in INTERNAL and name not in computed and not name.startswith(OURS)
    }


def compute_weights_(model: nn.Module) -> None:
    """Let `normalizing_hooks` compute weights from the parameters that the model has now, as in eval mode, in place."""
    for module in model.modules():
        for hook in normalizing_hooks(module):
            with torch.no_grad():
                hook(module, ())


def describe(value: Any, registered: dict[int, str]) -> Description:
    """`value` as plain JSON; `registered` has the names of the network's modules by their `id`."""
    tensors: list[Tensor] = []
    return Description(_described(value, registered, tensors, {}, 0), tensors)


def _described(
    value: Any, registered: dict[int, str], tensors: list[Tensor], seen: dict[int, int], depth: int
) -> Plain:
    if value is None or isinstance(value, bool | str) or type(value) in (int, float):
        return value
    if isinstance(value, np.generic):
        return {SCALAR: [str(value.dtype), value.item()]}
    if id(value) in registered:
        return {MODULE: registered[id(value)]}
    if id(value) in seen:
        return {SEEN: seen[id(value)]}
    seen[id(value)] = len(seen)
    if isinstance(value, Tensor):
        tensors.append(value)
        return {TENSOR: [str(value.dtype), *value.shape]}
    if isinstance(value, np.ndarray) and value.dtype.kind in "biufc" and value.dtype.isnative:
        tensors.append(view_of(value))
        return {ARRAY: [str(value.dtype), *value.shape]}

    def inner(part: Any) -> Plain:
        return _described(part, registered, tensors, seen, depth + 1)

    if depth < DEEPEST:
        for kind, taken_apart in _TAKEN_APART:
            if isinstance(value, kind):
                return taken_apart(value, inner)
        if _has_state(value):
            return {OBJECT: [_name(value), {name: inner(part) for name, part in vars(value).items()}]}
    return {OPAQUE: _name(value)}


def _has_state(value: Any) -> bool:
    """Whether what an object is stands in its attributes: not so of classes, functions and modules of Python."""
    return hasattr(value, "__dict__") and not isinstance(value, _WHOLE)


_WHOLE = type | enum.Enum | FunctionType | BuiltinFunctionType | MethodType | ModuleType
_TELLING = complex | bytes | range | slice | torch.dtype | torch.device
"""Values whose `repr` is all that there is to them."""


def _name(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    if isinstance(value, _TELLING):
        return repr(value)
    return str(getattr(value, "__qualname__", type(value).__qualname__))


Inner = Callable[[Any], Plain]

_TAKEN_APART: tuple[tuple[Any, Callable[[Any, Inner], Plain]], ...] = (
    (list, lambda v, inner: [inner(part) for part in v]),
    (tuple, lambda v, inner: {TUPLE: [inner(part) for part in v]}),
    (set | frozenset, lambda v, inner: {SET: [inner(part) for part in sorted(v, key=repr)]}),
    (deque, lambda v, inner: {DEQUE: [v.maxlen, *(inner(part) for part in v)]}),
    (dict, lambda v, inner: {DICT: [[inner(key), inner(part)] for key, part in v.items()]}),
    (np.random.Generator, lambda v, inner: {NUMPY: inner(v.bit_generator.state)}),
    (random.Random, lambda v, inner: {PYTHON: inner(v.getstate())}),
    (torch.Generator, lambda v, inner: {TORCH: v.get_state().tolist()}),
    (nn.Module, lambda v, inner: {OBJECT: [_name(v), {name: inner(part) for name, part in _whole(v)}]}),
)


def _whole(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """All of a module that the network holds without having registered it, in a list for instance."""
    yield from attributes(module).items()
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)
    yield from module.named_children()


def _plain(value: Plain) -> bool:
    if isinstance(value, list):
        return all(map(_plain, value))
    if not isinstance(value, dict):
        return True
    ((kind, held),) = value.items()
    if kind in (TENSOR, ARRAY, OPAQUE, MODULE, SEEN):
        return False
    return all(map(_plain, held[1].values())) if kind == OBJECT else _plain(held)


def restored(value: Plain, current: Any) -> Any:
    """What was described as `value`; generators and objects that `current` holds at that place are set, not replaced.

    Raises TypeError where an object is to be set and `current` has none of that class.
    """
    if isinstance(value, list):
        return [restored(part, other) for part, other in _beside(value, current)]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    match kind:
        case "tuple":
            parts = [restored(part, other) for part, other in _beside(held, current)]
            named = isinstance(current, tuple) and hasattr(current, "_fields") and len(current) == len(parts)
            return type(current)(*parts) if named else tuple(parts)
        case "set":
            return (frozenset if isinstance(current, frozenset) else set)(restored(p, None) for p in held)
        case "deque":
            return deque((restored(part, None) for part in held[1:]), maxlen=held[0])
        case "dict":
            now = current if isinstance(current, dict) else {}
            pairs = ((restored(key, None), part) for key, part in held)
            made = {key: restored(part, now.get(key)) for key, part in pairs}
            return type(current)(made) if type(current).__name__ == "OrderedDict" else made
        case "scalar":
            return np.dtype(held[0]).type(held[1])
        case "object":
            if _name(current) != held[0]:
                raise TypeError(f"an object of {held[0]}")
            vars(current).update({n: restored(part, vars(current).get(n)) for n, part in held[1].items()})
            return current
        case _:
            return _generator(kind, held, current)


def _beside(parts: list[Plain], current: Any) -> list[tuple[Plain, Any]]:
    now = current if isinstance(current, list | tuple) and len(current) == len(parts) else [None] * len(parts)
    return list(zip(parts, now, strict=True))


def _generator(kind: str, state: Plain, current: Any) -> Any:
    """A generator of random numbers where it was; the one that is there, so that those who share it still do."""
    if kind == NUMPY:
        bits = restored(state, None)
        if not isinstance(current, np.random.Generator):
            current = np.random.Generator(BIT_GENERATORS[bits["bit_generator"]]())
        current.bit_generator.state = bits
    elif kind == PYTHON:
        current = current if isinstance(current, random.Random) else random.Random()
        current.setstate(restored(state, None))
    elif kind == TORCH:
        current = current if isinstance(current, torch.Generator) else torch.Generator()
        current.set_state(torch.tensor(state, dtype=torch.uint8))
    else:
        raise TypeError(f"a value of an unknown kind: {kind}")
    return current


def registered(model: nn.Module) -> dict[int, str]:
    """The names of the network's modules by their `id`, as `describe` takes them."""
    return {id(module): name for name, module in model.named_modules()}


def described(model: nn.Module) -> dict[tuple[str, str], Description]:
    """Every attribute of every module, by (module, attribute)."""
    known = registered(model)
    return {
        (name, attribute): describe(value, known)
        for name, module in model.named_modules()
        for attribute, value in attributes(module).items()
    }


def loose_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Tensors (and NumPy arrays, in place) that modules hold as plain attributes or in containers, by a name of ours:
    ``module:attribute`` or ``module:attribute:number``."""
    return {
        name: tensor
        for (module, attribute), description in described(model).items()
        for name, tensor in named(module, attribute, description)
    }


def named(module: str, attribute: str, description: Description) -> list[tuple[str, Tensor]]:
    """The tensors of one attribute with the names that a checkpoint gives them."""
    base = f"{module}:{attribute}"
    if len(description.tensors) == 1:
        return [(base, description.tensors[0])]
    return [(f"{base}:{number}", tensor) for number, tensor in enumerate(description.tensors)]


def move_(model: nn.Module, device: torch.device) -> None:
    """Bring tensors in plain attributes to `device`, in place, which torch leaves where they are."""
    _change_(model, lambda tensor: tensor.to(device))


def detach_(model: nn.Module) -> None:
    """Cut tensors in plain attributes off the pass that computed them, in place: such ones can't be copied or kept."""
    _change_(model, lambda tensor: tensor if tensor.grad_fn is None else tensor.detach())


def _change_(model: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
    """Change the tensors in plain attributes, in place."""
    for module in model.modules():
        for name, value in vars(module).items():
            if name not in INTERNAL and name not in HOOKS:
                vars(module)[name] = _changed(value, change)


def _changed(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """`value` with its tensors changed, those in lists, tuples and dictionaries too; the same object if none is."""
    if isinstance(value, Tensor):
        return value if isinstance(value, nn.Parameter) else change(value)
    if type(value) is list:
        value[:] = [_changed(part, change) for part in value]
    elif type(value) is dict:
        value.update({key: _changed(part, change) for key, part in value.items()})
    elif type(value) is tuple:
        parts = tuple(_changed(part, change) for part in value)
        return value if all(a is b for a, b in zip(parts, value, strict=True)) else parts
    return value


def restore_(model: nn.Module, recorded: "Attributes") -> None:
    """Give attributes of modules the values that were recorded, in place: by module, by attribute, as described."""
    for module, values in recorded.items():
        own = vars(model.get_submodule(module))
        for name, value in values.items():
            if name in INTERNAL or name.startswith(OURS):
                raise TypeError(f"{name} of {module or 'the network'} is no attribute to be set")
            if name in HOOKS:  # hooks that are objects: what they keep, in place
                restored(value, [*own[name].values()])
            else:
                own[name] = restored(value, own.get(name))


Attributes = dict[str, dict[str, Plain]]
"""By module, by attribute: what `restore_` takes."""


def recordable(model: nn.Module) -> Attributes:
    """All attributes that can be written without tensors."""
    attributes: Attributes = {}
    for (module, attribute), description in described(model).items():
        if description.recordable:
            attributes.setdefault(module, {})[attribute] = description.value
    return attributes
