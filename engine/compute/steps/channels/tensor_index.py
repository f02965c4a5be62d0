"""A network's parameters and buffers, found again by where they lie in memory."""

import bisect
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in a named one: `start` elements after its first, in memory order of `stride`."""

    name: str
    shape: torch.Size
    stride: tuple[int, ...]
    start: int

    def is_whole(self, operand: Tensor) -> bool:
        """Whether an operand is all of the tensor as it is: no part, no repetition, nothing turned."""
        return (operand.shape, operand.stride()) == (self.shape, self.stride)

    def axes(self, operand: Tensor) -> list[tuple[int, slice]] | None:
        """For both dimensions of an operand the dimension of the weight and the part of it; None if unclear."""
        if len(self.shape) != 2 or operand.ndim != 2 or self.stride != (self.shape[1], 1):
            return None
        width = self.shape[1]
        starts = divmod(self.start, width)
        dims = [0 if stride == width and width > 1 else 1 for stride in operand.stride()]
        if width == 1 or set(dims) != {0, 1}:  # a weight of one input or one output
            dims = [1, 0] if operand.shape[0] == width else [0, 1]
        return [(d, slice(starts[d], starts[d] + n)) for d, n in zip(dims, operand.shape, strict=True)]


class TensorIndex:
    """The tensors of a model as its forward pass uses them (masks applied: call it under `parametrize.cached`)."""

    def __init__(self, model: nn.Module) -> None:
        by_address: dict[int, tuple[str, Tensor]] = {}
        for name, tensor in used_tensors(model):
            if tensor.is_floating_point() and tensor.numel():
                by_address.setdefault(tensor.data_ptr(), (name, tensor))
        self._starts = sorted(by_address)
        self._by_address = by_address

    def find(self, tensor: Tensor) -> Place | None:
        """The named tensor that `tensor` is, or is a view of."""
        if not tensor.is_floating_point() or not tensor.numel():
            return None
        address = tensor.data_ptr()
        index = bisect.bisect_right(self._starts, address) - 1
        if index < 0:
            return None
        name, whole = self._by_address[self._starts[index]]
        start = (address - self._starts[index]) // whole.element_size()
        if start >= whole.numel():
            return None
        return Place(name, whole.shape, whole.stride(), start)


def used_tensors(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Every parameter and buffer by name, a parametrized one as it is used and under its plain name."""
    named: list[tuple[str, Tensor]] = []
    for prefix, module in model.named_modules():
        if ".parametrizations" in f".{prefix}":
            continue
        at = f"{prefix}." if prefix else ""
        if parametrize.is_parametrized(module):
            assert isinstance(module.parametrizations, nn.ModuleDict)
            named += [(at + name, getattr(module, name)) for name in module.parametrizations]
        named += [(at + name, t) for name, t in module.named_parameters(recurse=False)]
        named += [(at + name, t) for name, t in module.named_buffers(recurse=False)]
    return named
