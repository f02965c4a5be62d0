"""Masks that live inside the model, so that training respects them and export folds them."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize


class Folding(nn.Module):
    """A parametrization of ours: folding makes what it computes a plain weight."""


class Mask(Folding):
    """Parametrization of a weight: kept where `mask` is true, +0.0 elsewhere."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        # Selection, not a product: a product would turn negative weights into -0.0 and keep NaN.
        return torch.where(self.mask, weight, 0.0)


def mask_of(module: nn.Module, tensor: str = "weight") -> Mask | None:
    """The mask on `module`'s tensor, if there is one."""
    if not parametrize.is_parametrized(module, tensor):
        return None
    for parametrization in module.parametrizations[tensor]:  # type: ignore[index]
        if isinstance(parametrization, Mask):
            return parametrization
    return None


def set_mask(module: nn.Module, mask: Tensor, tensor: str = "weight") -> None:
    """Mask `module`'s tensor, in place; what was masked before stays masked.

    The weights under the mask are set to zero, so that no optimizer moves them. Over a codebook, whose weights
    are shared, they are only masked: no gradient reaches the centroids from there.
    """
    present = mask_of(module, tensor)
    if present is None:
        parametrize.register_parametrization(module, tensor, Mask(mask.clone()), unsafe=True)
    else:
        present.mask &= mask
        mask = present.mask
    parametrizations: Any = module.parametrizations[tensor]  # type: ignore[index]
    if not isinstance(parametrizations[0], Mask):
        return
    original: Tensor = parametrizations.original
    with torch.no_grad():
        original.copy_(torch.where(mask, original, 0.0))


def masked(model: nn.Module) -> dict[str, Mask]:
    """Every mask of the model by the name of its layer."""
    found = ((name, mask_of(module)) for name, module in model.named_modules())
    return {name: mask for name, mask in found if mask is not None}


def fold_(model: nn.Module) -> nn.Module:
    """Make every mask and codebook permanent, in place: plain layers whose weights hold the values."""
    for module in list(model.modules()):
        fold_module(module)
    return model


def fold_module(module: nn.Module) -> None:
    """`fold_` for one layer; a layer without a mask or a codebook stays as it is."""
    lists: Any = getattr(module, "parametrizations", {})
    if any(isinstance(one, Folding) for parts in lists.values() for one in parts):
        unparametrize(module)


def unparametrize(module: nn.Module) -> None:
    """Plain parameters of the effective values, in the plain class.

    Not torch's own `remove_parametrizations`: it takes the properties off the class, which a deep copy
    shares with its original, and so folding a copy would break the original.
    """
    plain = parametrize.type_before_parametrizations(module)
    lists: Any = module.parametrizations
    tensors = {name: getattr(module, name).detach().clone() for name in lists}
    del module._modules["parametrizations"]
    module.__class__ = plain
    for name, tensor in tensors.items():
        module.register_parameter(name, nn.Parameter(tensor))
