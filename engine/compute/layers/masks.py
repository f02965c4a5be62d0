"""Masks that live inside the model, so that training respects them and export folds them."""

from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.layers.copies import copied


class Folding(nn.Module):
    """A parametrization of ours: folding makes what it computes a plain weight."""


F = TypeVar("F", bound=Folding)


class Mask(Folding):
    """Parametrization of a weight: kept where `mask` is true, +0.0 elsewhere."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("mask", mask)

    def forward(self, weight: Tensor) -> Tensor:
        # Selection, not a product: a product would turn negative weights into -0.0 and keep NaN.
        return torch.where(self.mask, weight, 0.0)


def part_of(module: nn.Module, kind: type[F], tensor: str = "weight") -> F | None:
    """The parametrization of this kind on `module`'s tensor, if there is one."""
    if not parametrize.is_parametrized(module, tensor):
        return None
    for part in module.parametrizations[tensor]:  # type: ignore[index]
        if isinstance(part, kind):
            return part
    return None


def parts(model: nn.Module, kind: type[F]) -> dict[str, F]:
    """Every weight's parametrization of this kind by the name of its layer."""
    overlays = ((name, part_of(module, kind)) for name, module in model.named_modules())
    return {name: part for name, part in overlays if part is not None}


def mask_of(module: nn.Module, tensor: str = "weight") -> Mask | None:
    """The mask on `module`'s tensor, if there is one."""
    return part_of(module, Mask, tensor)


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
    return parts(model, Mask)


def fold_(model: nn.Module) -> nn.Module:
    """Make every mask, codebook and grid permanent, in place: plain layers whose weights hold the values."""
    for module in list(model.modules()):
        fold_module(module)
    return model


def fold_module(module: nn.Module) -> None:
    """`fold_` for one layer; a layer without any stays as it is."""
    lists: Any = getattr(module, "parametrizations", {})
    if any(isinstance(one, Folding) for parts in lists.values() for one in parts):
        unparametrize(module)


def fold_below_masks_(model: nn.Module, kind: type[Folding]) -> list[str]:
    """Make plain weights of what every parametrization of this kind computes, in place; masks stay.

    The names of the layers.
    """
    names = list(parts(model, kind))
    for name in names:
        module = model.get_submodule(name)
        mask = mask_of(module)
        fold_module(module)
        if mask is not None:
            set_mask(module, mask.mask)
    return names


def unparametrize(module: nn.Module) -> None:
    """Plain parameters of the effective values, in the plain class.

    Not torch's own `remove_parametrizations`: it takes the properties off the class, which a deep copy
    shares with its original, and so folding a copy would break the original.
    """
    plain = parametrize.type_before_parametrizations(module)
    lists: Any = module.parametrizations
    tensors = {name: getattr(module, name).detach().clone() for name in lists}
    held = {name: list(lists[name].parameters(recurse=False)) for name in lists}
    del module._modules["parametrizations"]
    module.__class__ = plain
    for name, tensor in tensors.items():
        if held[name]:
            trained = any(parameter.requires_grad for parameter in held[name])
            module.register_parameter(name, nn.Parameter(tensor, requires_grad=trained))
        else:
            module.register_buffer(name, tensor)


def folded(model: nn.Module) -> nn.Module:
    """A copy of `model` with every mask, codebook and grid folded into plain weights."""
    return fold_(copied(model))
