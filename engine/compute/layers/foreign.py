"""Weights that a network's own code computes from other parameters: parametrizations, and the hooks before them."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from engine.compute.layers.masks import Folding, unparametrize


def normalizing_hooks(module: nn.Module) -> list[WeightNorm | SpectralNorm]:
    """Those of torch's first `weight_norm` and `spectral_norm`, which leave the weight as a plain attribute."""
    return [h for h in module._forward_pre_hooks.values() if isinstance(h, WeightNorm | SpectralNorm)]


def is_foreign(module: nn.Module) -> bool:
    """Whether a tensor of the module itself is computed by a parametrization that is not ours, or by such a hook."""
    if normalizing_hooks(module):
        return True
    lists: Any = getattr(module, "parametrizations", {}) if parametrize.is_parametrized(module) else {}
    return any(not isinstance(one, Folding) for of in lists.values() for one in of)


def make_plain(module: nn.Module) -> None:
    """Make plain parameters of the values that they have in eval mode, in place."""
    training, module.training = module.training, False
    with torch.no_grad():
        for hook in normalizing_hooks(module):
            remove = remove_weight_norm if isinstance(hook, WeightNorm) else remove_spectral_norm
            remove(module, hook.name)
        if is_foreign(module):
            unparametrize(module)
    module.training = training


def plain_(model: nn.Module) -> list[str]:
    """`make_plain` for every module, in place; the names of those that it changes."""
    made = [name for name, module in model.named_modules() if is_foreign(module)]
    for name in made:
        make_plain(model.get_submodule(name))
    return made
