"""Fit a ready-made network to other input channels and another number of classes."""

import torch
from torch import nn

RGB = 3


def fit_stem(model: nn.Module, channels: int, given: int = RGB) -> None:
    """Give the first convolution, if it has `given` inputs, `channels` of them, in place.

    Its colour filters are summed and spread evenly, so that a grey image (the same values in every
    channel) gives the activations that it gave in colour.
    """
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            if module.in_channels == given and channels != given and module.groups == 1:
                _replace(model, name, _stem(module, channels))
            return


def _stem(conv: nn.Conv2d, channels: int) -> nn.Conv2d:
    new = _like(conv, channels, conv.out_channels)
    with torch.no_grad():
        total = conv.weight.sum(dim=1, keepdim=True)
        new.weight.copy_((total / channels).expand_as(new.weight))
        if conv.bias is not None and new.bias is not None:
            new.bias.copy_(conv.bias)
    return new


def fit_head(model: nn.Module, classes: int) -> None:
    """Give the last linear layer (or 1×1 convolution, as in SqueezeNet) `classes` outputs, in place.

    A head of the right size is left as it is; otherwise the new one starts at random.
    """
    heads = [(n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not heads:
        return
    name, head = heads[-1]
    if isinstance(head, nn.Linear) and head.out_features != classes:
        _replace(model, name, nn.Linear(head.in_features, classes, bias=head.bias is not None))
    elif isinstance(head, nn.Conv2d) and head.kernel_size == (1, 1) and head.out_channels != classes:
        _replace(model, name, _like(head, head.in_channels, classes))


def _like(conv: nn.Conv2d, inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(
        inputs,
        outputs,
        conv.kernel_size,  # type: ignore[arg-type]
        conv.stride,  # type: ignore[arg-type]
        conv.padding,  # type: ignore[arg-type]
        conv.dilation,  # type: ignore[arg-type]
        bias=conv.bias is not None,
        padding_mode=conv.padding_mode,
    )


def _replace(model: nn.Module, name: str, new: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, new)
