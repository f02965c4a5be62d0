"""Attention modules whose width is more than their tensors' shapes say."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torchvision.models.maxvit import RelativePositionalMultiHeadAttention
from torchvision.models.swin_transformer import ShiftedWindowAttention
from torchvision.models.vision_transformer import VisionTransformer

from engine.compute.steps.channels.coupling import CouplingGraph

PROJECTIONS = ("in_proj_weight", "qkv.weight", "to_qkv.weight")
"""Names of the weights that make queries, keys and values, in this order along their outputs."""


def ties(model: nn.Module, links: CouplingGraph) -> Iterator[tuple[Tensor, Tensor]]:
    """Ties that no pass shows: modules that take the width of the heads from the width of their input."""
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            first, last = f"{name}.in_proj_weight", f"{name}.out_proj.weight"
        elif isinstance(module, ShiftedWindowAttention):
            first, last = f"{name}.qkv.weight", f"{name}.proj.weight"
        elif isinstance(module, RelativePositionalMultiHeadAttention):
            first, last = f"{name}.to_qkv.weight", f"{name}.merge.weight"
        else:
            continue
        if (first, 0) not in links.dims or (last, 0) not in links.dims:
            continue
        width = links.dims[first, 1]
        yield links.dims[first, 0].view(3, -1), width
        yield links.dims[last, 1], width
        yield links.dims[last, 0], width


def refit(model: nn.Module) -> None:
    """Set the numbers that attention modules and vision transformers keep beside their tensors, in place."""
    if isinstance(model, VisionTransformer):
        model.hidden_dim = model.class_token.shape[-1]
    for module in model.modules():
        if isinstance(module, nn.MultiheadAttention):
            _refit_multihead(module)
        elif isinstance(module, RelativePositionalMultiHeadAttention):
            module.head_dim = module.to_qkv.out_features // 3 // module.n_heads


def _refit_multihead(module: nn.MultiheadAttention) -> None:
    width = module.out_proj.out_features
    if width == module.embed_dim:
        return
    if module.in_proj_weight is not None:
        rescale(module.in_proj_weight, module.in_proj_bias, width, module.embed_dim)
    module.embed_dim = module.kdim = module.vdim = width
    module.head_dim = width // module.num_heads


def rescale(weight: Tensor, bias: Tensor | None, now: int, before: int) -> None:
    """Keep the temperature of softmax: queries are divided by √(width of a head), which has shrunk."""
    with torch.no_grad():
        factor = (now / before) ** 0.5
        weight[:now] *= factor
        if bias is not None:
            bias[:now] *= factor
