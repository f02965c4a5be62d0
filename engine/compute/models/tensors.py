"""Every tensor that a network holds, by name, each memory once; which are one; and which are not trained."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn

from engine.compute.models.attributes import loose_tensors
from engine.compute.numerics.aligned import bits

STATISTICS = ("running_mean", "running_var")
"""Buffers of normalization, which follow the weights."""


def saved(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and buffers by name, as a state_dict has them: each name of a shared one too, no unsaved buffers."""
    named: dict[str, Tensor] = {}
    for prefix, module in model.named_modules(remove_duplicate=False):
        transient = module._non_persistent_buffers_set
        buffers = ((n, t) for n, t in module._buffers.items() if n not in transient)
        for name, tensor in (*module._parameters.items(), *buffers):
            if tensor is not None:
                named[f"{prefix}.{name}" if prefix else name] = tensor
    return named


def transient(model: nn.Module) -> dict[str, Tensor]:
    """Buffers that no state_dict has, because they were registered with ``persistent=False``."""
    return {
        f"{prefix}.{name}" if prefix else name: tensor
        for prefix, module in model.named_modules()
        for name in sorted(module._non_persistent_buffers_set)
        if (tensor := module._buffers.get(name)) is not None
    }


def unsaved(model: nn.Module) -> dict[str, Tensor]:
    """What no state_dict has: transient buffers, and tensors in plain attributes."""
    return transient(model) | loose_tensors(model)


def fill_(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Write the values of `state` into the model's tensors, which stay the same objects; it has all that are saved."""
    with torch.no_grad():
        # First, as they may be views of parameters. What has the right bits already may be a view of few numbers, which
        # can't be written to.
        for name, tensor in unsaved(model).items():
            if name in state and not equal(tensor, state[name]):
                tensor.copy_(state[name])
        for name, tensor in saved(model).items():
            tensor.copy_(state[name])


def every_name(state: Mapping[str, Tensor], shared: Mapping[str, str]) -> dict[str, Tensor]:
    """`state`, where each tensor has one name, with the others too; `shared` gives for each of these the one it has."""
    return {**state, **{name: state[other] for name, other in shared.items()}}


def frozen(model: nn.Module) -> list[str]:
    """Names of the parameters that training leaves as they are (`requires_grad=False`)."""
    return [name for name, parameter in model.named_parameters() if not parameter.requires_grad]


def ties(model: nn.Module) -> list[list[str]]:
    """Names of parameters (and buffers) that are one tensor, for each that has several; no names of shared modules."""
    return _several(_own(model))


def aliases(model: nn.Module) -> list[list[str]]:
    """All names that a state_dict has for one tensor, for each that has several: tied ones, and of shared modules."""
    return _several(saved(model).items())


def _several(named: Iterable[tuple[str, Tensor]]) -> list[list[str]]:
    groups = defaultdict(list)
    for name, tensor in named:
        groups[id(tensor)].append(name)
    return [names for names in groups.values() if len(names) > 1]


def _own(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for prefix, module in model.named_modules():
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                yield f"{prefix}.{name}" if prefix else name, tensor


def tie(model: nn.Module, names: list[str]) -> None:
    """Make the tensors of these names the first one, in place."""
    first, *others = (_holder(model, name) for name in names)
    for held, name in others:
        held[name] = first[0][first[1]]


def _holder(model: nn.Module, name: str) -> tuple[dict[str, Tensor | None], str]:
    prefix, _, last = name.rpartition(".")
    module = model.get_submodule(prefix)
    held: dict[str, Tensor | None] = (
        module._parameters if last in module._parameters else module._buffers  # type: ignore[assignment]
    )
    return held, last


def overlapping(model: nn.Module) -> tuple[str, str] | None:
    """Two tensors that share memory without being one; None if there are none.

    What is changed in one changes in the other, which neither an optimizer nor a file can know.
    """
    spans = sorted(
        (tensor.untyped_storage().data_ptr(), tensor.data_ptr(), name, tensor)
        for name, tensor in _own(model)
        if tensor.numel()
    )
    seen: dict[int, tuple[str, Tensor]] = {}
    for storage, _, name, tensor in spans:
        before = seen.setdefault(storage, (name, tensor))
        if before[1] is not tensor:
            return before[0], name
    return None


def equal(one: Tensor, two: Tensor) -> bool:
    """Whether two tensors have the same type, shape and bits."""
    return one.dtype == two.dtype and one.shape == two.shape and torch.equal(bits(one), bits(two))
