"""A network's modules, parameters and buffers as the statements that make them anew, under the same names.

Modules of torch.nn are made by their constructors with the sizes that they have now, so that a pruned network
needs nothing special. All others only hold what is below them.
"""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.export.code import Unwritable, attribute, literal
from engine.compute.models.tensors import saved

MOST_CONSTANTS = 4096
"""Numbers of a tensor outside the state_dict that are written out; more would make the file unreadable."""
_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict, nn.Module)
_IGNORED = ("self", "device", "dtype")


def is_torchs(module: nn.Module) -> bool:
    """Whether the module is one of torch.nn's that computes; containers only hold others."""
    return type(module).__module__.startswith("torch.nn.modules.") and type(module) not in _CONTAINERS


class Tree:
    """Where each module and tensor of the generated class is, and the statements that make them.

    `used` are the names that the forward pass reads; what it does not read is only made where the state_dict
    has it. With `layers`, modules of torch.nn are made as such; without, every module only holds its tensors.
    `constants` are further tensors of the graph, by name.
    """

    def __init__(
        self, model: nn.Module, used: frozenset[str], constants: dict[str, Tensor], *, layers: bool
    ) -> None:
        self.statements: list[str] = []
        self._places = {"": "self"}
        self._made: dict[int, str] = {}
        self._used = used
        self._layers = layers
        for name, tensor in constants.items():
            self._constant("self", name, tensor)
        self._inside(model, "")

    def place(self, name: str) -> str:
        """The expression for a module or tensor."""
        if name not in self._places:
            owner, _, last = name.rpartition(".")
            self._places[name] = attribute(self.place(owner), last)
        return self._places[name]

    def _inside(self, module: nn.Module, prefix: str) -> None:
        """Make what a module holds: its own tensors, then its children."""
        self._tensors(module, prefix)
        owner = self.place(prefix)
        listed = _is_list(module) and bool(prefix)  # the class that is written is no list itself
        for index, (last, child) in enumerate(module._modules.items()):
            name = _join(prefix, last)
            if listed:
                self._places[name] = f"{owner}[{index}]"
            if child is not None and (self._is_needed(child, name) or listed):
                self._child(child, name, owner, "" if listed else last)

    def _child(self, child: nn.Module, name: str, owner: str, last: str) -> None:
        """Make a module; `last` is its name within its owner, "" in a list."""
        known = self._made.get(id(child))
        layer = self._layers and is_torchs(child)
        if known:
            self._add(owner, last, known)
        elif not self._is_needed(child, name):
            self._add(owner, last, "nn.Identity()")
        elif layer:
            self._add(owner, last, constructor(child))
            self._tie(child, name)
        else:
            self._add(owner, last, "nn.ModuleList()" if _is_list(child) else "nn.Module()")
        self._made[id(child)] = self.place(name)
        if not layer and not known and self._is_needed(child, name):
            self._inside(child, name)

    def _add(self, owner: str, last: str, value: str) -> None:
        if not last:
            self.statements.append(f"{owner}.append({value})")
        elif attribute(owner, last).startswith("getattr("):
            self.statements.append(f"{owner}.add_module({last!r}, {value})")
        else:
            self.statements.append(f"{owner}.{last} = {value}")

    def _is_needed(self, module: nn.Module, name: str) -> bool:
        below = any(used == name or used.startswith(f"{name}.") for used in self._used)
        return below or bool(module.state_dict())

    def _tie(self, layer: nn.Module, name: str) -> None:
        """Let a layer have the tensors that it shares with modules made before."""
        for last, tensor in saved(layer).items():
            place = self.place(_join(name, last))
            first = self._made.setdefault(id(tensor), place)
            if first != place:
                self.statements.append(f"{place} = {first}")

    def _tensors(self, module: nn.Module, prefix: str) -> None:
        owner = self.place(prefix)
        for last, parameter in module._parameters.items():
            if parameter is None:
                continue
            fixed = "" if parameter.is_floating_point() else ", requires_grad=False"
            value = self._value(parameter, _join(prefix, last), f"nn.Parameter({_empty(parameter)}{fixed})")
            self.statements.append(f"{owner}.register_parameter({last!r}, {value})")
        for last, buffer in module._buffers.items():
            if buffer is None:
                continue
            if last not in module._non_persistent_buffers_set:
                value = self._value(buffer, _join(prefix, last), _empty(buffer))
                self.statements.append(f"{owner}.register_buffer({last!r}, {value})")
            elif _join(prefix, last) in self._used:
                self._constant(owner, last, buffer)

    def _value(self, tensor: Tensor, name: str, new: str) -> str:
        """Where the tensor was made already; else `new`, which makes it under this name."""
        place = self.place(name)
        first = self._made.setdefault(id(tensor), place)
        return new if first == place else first

    def _constant(self, owner: str, last: str, tensor: Tensor) -> None:
        """A tensor that the weights' file does not hold."""
        value = written_out(tensor)
        self.statements.append(f"{owner}.register_buffer({last!r}, {value}, persistent=False)")


def written_out(tensor: Tensor) -> str:
    """A tensor with its numbers. Raises Unwritable for a long one."""
    if tensor.numel() > MOST_CONSTANTS or tensor.is_complex():
        raise Unwritable(f"a tensor of {tensor.numel()} numbers that is not among the weights")
    numbers = literal(tensor.detach().cpu().flatten().tolist())
    return f"torch.tensor({numbers}, dtype={tensor.dtype}).reshape({literal(tuple(tensor.shape))})"


def _empty(tensor: Tensor) -> str:
    kind = "" if tensor.dtype == torch.float32 else f", dtype={tensor.dtype}"
    return f"torch.empty({literal(tuple(tensor.shape))}{kind})"


def _join(prefix: str, last: str) -> str:
    return f"{prefix}.{last}" if prefix else last


def _is_list(module: nn.Module) -> bool:
    """Whether it only holds modules that are called 0, 1, 2, …"""
    own = [*module._parameters, *module._buffers]
    return (
        bool(module._modules)
        and not own
        and list(module._modules) == [*map(str, range(len(module._modules)))]
    )


def constructor(module: nn.Module) -> str:
    """The call that makes such a module of torch.nn. Raises Unwritable where there is none."""
    positional, named = _arguments(module)
    kind = type(module)
    _check(module, positional, named)
    texts = [literal(value) for value in positional]
    texts += [f"{name}={literal(value)}" for name, value in named.items()]
    return f"nn.{kind.__name__}({', '.join(texts)})"


def _arguments(module: nn.Module) -> tuple[list[Any], dict[str, Any]]:
    """What its constructor takes, defaults left out."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for parameter in inspect.signature(type(module).__init__).parameters.values():
        several = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        # With an underscore are values to begin with, such as an Embedding's.
        if several or parameter.name in _IGNORED or parameter.name.startswith("_"):
            continue
        value = _given(module, parameter.name)
        if parameter.default is parameter.empty:
            positional.append(value)
        elif value != parameter.default or type(value) is not type(parameter.default):
            named[parameter.name] = value
    return positional, named


def _given(module: nn.Module, name: str) -> Any:
    if isinstance(module, nn.MultiheadAttention) and name in ("bias", "add_bias_kv"):
        return (module.in_proj_bias if name == "bias" else module.bias_k) is not None
    if not hasattr(module, name):
        raise Unwritable(f"a {type(module).__name__} whose {name} is not known")
    value = getattr(module, name)
    if name == "bias":
        return value is not None
    conv = isinstance(module, nn.modules.conv._ConvNd)
    if conv and isinstance(value, tuple) and len(set(value)) == 1:
        return value[0]
    return value


def _check(module: nn.Module, positional: list[Any], named: dict[str, Any]) -> None:
    kind = type(module)
    try:
        with torch.device("meta"):
            again = kind(*positional, **named)
    except (TypeError, ValueError, RuntimeError) as error:
        raise Unwritable(f"a {kind.__name__} that its constructor can't make: {error}") from error
    shapes = [{name: t.shape for name, t in saved(one).items()} for one in (module, again)]
    if repr(module) != repr(again) or shapes[0] != shapes[1] or getattr(nn, kind.__name__, None) is not kind:
        raise Unwritable(f"a {kind.__name__} that its constructor makes differently")
