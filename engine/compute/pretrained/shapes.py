"""What a network's tensors are called and how large they are, without making them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.models.tensors import aliases, tie, ties
from engine.compute.pretrained.state_dict import COUNTER, other_size
from engine.params.catalog import own_code

FILLED: frozenset[Any] = frozenset(
    (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn)
)
"""What layers make their weights with. Not `arange` or `linspace`: constructors compute with those (RegNet)."""
AUXILIARY = {
    "torchvision/googlenet": ("aux1.", "aux2."),
    "torchvision/inception_v3": ("AuxLogits.",),
}
"""Heads that only training uses, and that the networks are built without."""
HEADS = ("num_heads", "n_heads")
"""Attributes of attention layers whose right value no tensor shows."""


class _Weightless(TorchFunctionMode):
    """Weights are made on the meta device: they have a shape, and take neither memory nor time."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in FILLED and kwargs.get("device") is None:
            kwargs = kwargs | {"device": "meta"}
        return func(*args, **kwargs)


def skeleton(arch: Architecture) -> nn.Module:
    """The network on the meta device, in eval mode; a user's own code may compute with tensors, and is let."""
    if own_code(arch.name):
        model = build(arch)
        tied = ties(model)
        model.to("meta").eval()
        for names in tied:  # torch makes new parameters for another device
            tie(model, names)
        return model
    with _Weightless():
        model = build(arch)
    return model.to("meta").eval()


def stem_and_head(model: nn.Module) -> tuple[str, str]:
    """The first convolution and the last linear layer (or 1×1 convolution), by name; "" where there is none."""
    named = list(model.named_modules())
    stems = [name for name, module in named if isinstance(module, nn.Conv2d)]
    heads = [
        name
        for name, module in named
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
    ]
    return (stems[0] if stems else ""), (heads[-1] if heads else "")


@dataclass(frozen=True)
class Difference:
    """How a state_dict differs from a network: names that it lacks or has more, and sizes."""

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    misfits: tuple[str, ...] = ()
    narrower: tuple[str, ...] = ()
    known: int = field(default=0, compare=False)
    """Names that both have."""

    @property
    def fits(self) -> bool:
        """Whether the weights can be loaded, after layers were made narrower if need be."""
        return not (self.missing or self.unexpected or self.misfits)

    @property
    def exact(self) -> bool:
        return self.fits and not self.narrower

    @property
    def count(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.misfits)

    def lines(self) -> list[str]:
        """What is wrong, one thing a line, sorted."""
        texts = [f"missing {name}" for name in self.missing]
        texts += [f"unexpected {name}" for name in self.unexpected]
        return sorted([*texts, *self.misfits])


def compare(model: nn.Module, state: dict[str, Tensor], *, trusted: bool = False) -> Difference:
    """How `state` differs from what `model` has; fewer channels than the model's are no misfit.

    In attention layers they are, unless `trusted`: how many heads are left, no tensor tells.
    """
    own = model.state_dict()
    misfits, narrower = [], []
    for name in own.keys() & state.keys():
        has, wanted = tuple(state[name].shape), tuple(own[name].shape)
        if own[name].is_floating_point() and not state[name].is_floating_point():
            misfits.append(f"{name} holds {_numbers(state[name])}, the model has {_numbers(own[name])}")
            continue
        if has == wanted:
            continue
        if _smaller(has, wanted) and (trusted or not _of_attention(model, name)):
            narrower.append(name)
        else:
            misfits.append(other_size(name, state[name], own[name]))
    return Difference(
        tuple(sorted(n for n in own.keys() - state.keys() if not n.endswith(COUNTER))),
        tuple(sorted(state.keys() - own.keys())),
        tuple(sorted(misfits)),
        tuple(sorted(narrower)),
        len(own.keys() & state.keys()),
    )


def completed(model: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with every name of each tensor that it has: what the network shares, files may have under one name."""
    own = model.state_dict().keys()
    absent = {
        name: state[held]
        for names in aliases(model)
        if (held := next((one for one in names if one in state), None))
        for name in names
        if name in own and name not in state
    }
    return state | absent


def _numbers(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _smaller(has: tuple[int, ...], wanted: tuple[int, ...]) -> bool:
    """Whether channels are left out: fewer outputs or inputs, and all else (a kernel's size) the same."""
    channels = zip(has[:2], wanted[:2], strict=False)
    return len(has) == len(wanted) and has[2:] == wanted[2:] and all(0 < a <= b for a, b in channels)


def _of_attention(model: nn.Module, name: str) -> bool:
    """Whether a tensor belongs to an attention layer: how many heads are left, its size does not tell."""
    parts = name.split(".")[:-1]
    owners = (model.get_submodule(".".join(parts[:end])) for end in range(1, len(parts) + 1))
    return any(hasattr(owner, attribute) for owner in owners for attribute in HEADS)


def without_auxiliary(arch: Architecture, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` without the heads that the network is built without."""
    left_out = () if arch.arguments.get("aux_logits") else AUXILIARY.get(arch.name, ())
    return {name: t for name, t in state.items() if not name.startswith(left_out)} if left_out else state


def narrow_(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Set the sizes that layers know of themselves to those of their tensors in `state`, in place."""
    for name, module in model.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is not None and weight.shape != module.weight.shape:
            _narrow_layer(module, tuple(weight.shape))


def _narrow_layer(layer: nn.Module, shape: tuple[int, ...]) -> None:
    match layer:
        case nn.ConvTranspose2d():
            layer.in_channels, layer.out_channels = shape[0], shape[1] * layer.groups
        case nn.Conv2d():
            if layer.groups > 1 and layer.groups == layer.in_channels:  # depthwise: a group for each channel
                layer.groups = shape[0] // (layer.out_channels // layer.groups)
            layer.in_channels, layer.out_channels = shape[1] * layer.groups, shape[0]
        case nn.Linear():
            layer.out_features, layer.in_features = shape
        case nn.BatchNorm2d() | nn.BatchNorm1d():
            layer.num_features = shape[0]
        case nn.LayerNorm():
            layer.normalized_shape = shape
        case nn.GroupNorm():
            layer.num_channels = shape[0]
        case _:
            pass  # its parameters have sizes, and it does not know them by itself
