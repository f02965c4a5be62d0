"""Takes units of channels out of a network."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.nn.utils import parametrize

from engine.compute.steps.channels.attention import refit
from engine.compute.steps.channels.groups import Gone, Group, positions_gone, without


def shrink(model: nn.Module, groups: list[Group], gone: Gone) -> list[Group]:
    """Remove the units `gone` from `model` in place, masks with their weights; the groups that are left."""
    touched = set()
    depthwise = {c.module for group in groups for c in group.cuts if c.name == "weight" and c.role == "scale"}
    for (name, tensor, dim), positions in positions_gone(groups, gone).items():
        module = model.get_submodule(name)
        _take_out(module, tensor, dim, positions)
        touched.add(name)
    for name in touched:
        _refit(model.get_submodule(name), name in depthwise)
    refit(model, gone)
    return without(groups, gone)


def _take_out(module: nn.Module, name: str, dim: int, positions: Tensor) -> None:
    """Remove `positions` along `dim` of the module's tensor, and of its mask."""
    if parametrize.is_parametrized(module, name):
        held = module.get_submodule(f"parametrizations.{name}")
        _take_out(held, "original", dim, positions)
        for parametrization in held.children():
            for buffer in list(parametrization._buffers):
                _take_out(parametrization, buffer, dim, positions)
        return
    parameter = module._parameters.get(name)
    if parameter is not None:
        kept = _kept(parameter.detach(), dim, positions)
        module._parameters[name] = nn.Parameter(kept, requires_grad=parameter.requires_grad)
        return
    buffer_ = module._buffers[name]
    assert buffer_ is not None
    module._buffers[name] = _kept(buffer_, dim, positions)


def _kept(tensor: Tensor, dim: int, positions: Tensor) -> Tensor:
    mask = torch.ones(tensor.shape[dim], dtype=torch.bool)
    mask[positions] = False
    return tensor.index_select(dim, mask.nonzero().flatten().to(tensor.device))


def _refit(module: nn.Module, depthwise: bool) -> None:
    """Set the sizes that a layer keeps beside its tensors."""
    if isinstance(module, _ConvNd):
        _refit_convolution(module, depthwise)
    elif isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _BatchNorm | _InstanceNorm):
        module.num_features = len(module.running_mean if module.running_mean is not None else module.weight)
    elif isinstance(module, nn.LayerNorm | nn.RMSNorm):
        module.normalized_shape = tuple(module.weight.shape)
    elif isinstance(module, nn.GroupNorm):
        module.num_channels = len(module.weight)
    elif isinstance(module, nn.PReLU):
        module.num_parameters = len(module.weight)


def _refit_convolution(module: _ConvNd, depthwise: bool) -> None:
    o, i = (1, 0) if module.transposed else (0, 1)
    outputs, inputs = module.weight.shape[o], module.weight.shape[i]
    if depthwise:  # groups go with their channels
        module.groups = module.groups * outputs // module.out_channels
    module.out_channels = outputs
    module.in_channels = inputs if module.transposed else inputs * module.groups
