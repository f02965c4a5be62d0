"""Weights whose tensors are called otherwise than a network's, as timm's are: matched by order and sizes alone.

Both list their tensors in the order in which layers are registered, which is as a rule the order in which they compute.
Where each tensor of the file has the size of the network's at its place, the file's names need not be known. It is
refused where neighbours could be exchanged without any size telling: two branches, say, one of which is a shortcut.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from engine.compute.pretrained.shapes import stem_and_head
from engine.compute.pretrained.state_dict import COUNTER

LEAVES = frozenset({"weight", "bias", "running_mean", "running_var"})
"""What everybody calls a layer's tensors; a parameter of another name may be called anything."""
_NUMBERED = re.compile(r"(\D*)(\d+)")


@dataclass(frozen=True)
class _Layer:
    """A layer's tensors, by the last part of their names, in their order."""

    name: str
    tensors: dict[str, Tensor]

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(_size(tensor) for tensor in self.tensors.values())


def renamed(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor] | None:
    """`state` under the names that `model` has for its tensors; None where order and sizes do not tell which is which.

    Sizes of one may be left out or added (a linear layer is a 1×1 convolution); the classes may be others, and the
    channels of the images.
    """
    ours, theirs = list(_layers(model.state_dict())), list(_layers(state))
    if len(ours) != len(theirs) or _exchangeable(ours) or _exchangeable(theirs):
        return None
    stem, head = stem_and_head(model)
    renamed_state: dict[str, Tensor] = {}
    for own, given in zip(ours, theirs, strict=True):
        if len(own.tensors) != len(given.tensors):
            return None
        for (leaf, wanted), (called, tensor) in zip(own.tensors.items(), given.tensors.items(), strict=True):
            shape = _shape(tensor, wanted, free=0 if own.name == head else 1 if own.name == stem else None)
            if shape is None or (leaf != called and LEAVES & {leaf, called}):
                return None
            renamed_state[f"{own.name}.{leaf}" if own.name else leaf] = tensor.reshape(shape)
    return renamed_state


def _layers(state: dict[str, Tensor]) -> Iterator[_Layer]:
    """The layers in the order of their tensors; a parameter of a module that has layers of its own is one too."""
    current: dict[str, Tensor] = {}
    last = ""
    for full, tensor in state.items():
        name, _, leaf = full.rpartition(".")
        if leaf == COUNTER:
            continue
        if current and (name != last or leaf not in LEAVES or not LEAVES & current.keys()):
            yield _Layer(last, current)
            current = {}
        current[leaf], last = tensor, name
    if current:
        yield _Layer(last, current)


def _shape(tensor: Tensor, wanted: Tensor, free: int | None) -> tuple[int, ...] | None:
    """The shape that `tensor` has in the network, whose own has that of `wanted` but for the dimension `free`."""
    shape = list(wanted.shape)
    if free is not None and tensor.ndim == wanted.ndim and free < wanted.ndim:
        shape[free] = tensor.shape[free]
    return tuple(shape) if _size(tensor) == tuple(n for n in shape if n != 1) else None


def _size(tensor: Tensor) -> tuple[int, ...]:
    return tuple(n for n in tensor.shape if n != 1)


def _exchangeable(layers: list[_Layer]) -> bool:
    """Whether two neighbouring units, each a weighted layer with the normalizations behind it, are of the same sizes
    and nothing but their order says which is which: no numbers that they are called by."""
    units: list[list[_Layer]] = []
    for layer in layers:
        if not units or any(tensor.ndim > 1 for tensor in layer.tensors.values()):
            units.append([])
        units[-1].append(layer)
    return any(
        [one.sizes for one in before] == [one.sizes for one in after]
        and not _counted(before[0].name, after[0].name)
        for before, after in pairwise(units)
    )


def _counted(one: str, other: str) -> bool:
    """Whether two names first differ in a number that counts up.

    >>> _counted("blocks.1.conv", "blocks.2.conv"), _counted("layer1.0.conv3", "layer1.0.downsample.0")
    (True, False)
    """
    for first, second in zip(one.split("."), other.split("."), strict=False):
        if first != second:
            a, b = _NUMBERED.fullmatch(first), _NUMBERED.fullmatch(second)
            return a is not None and b is not None and a[1] == b[1] and int(a[2]) < int(b[2])
    return False
