"""`quantize.half`: float16 numbers, and two vectors of BatchNorm's four."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.compute.context import Context, to_device
from engine.compute.layers.grids import rounded
from engine.compute.layers.select import leaf_of
from engine.compute.steps.calibration.understood import VALUES, computed_by_class, reasons_against, tell
from engine.params.quantize_half import QuantizeHalf
from engine.text.phrases import counted, listed


def quantize_half(model: nn.Module, params: QuantizeHalf, context: Context) -> nn.Module:
    """Fold BatchNorm's statistics and round every float32 number of the network to float16, in place.

    A tensor with a number that float16 cannot hold (beyond 65504) stays as it is, with a notice, as does a BatchNorm
    whose forward is not torch's own. Codes, masks and the dtype stay.
    """
    to_device(model, context.device).eval()
    norms = {name: m for name, m in model.named_modules() if isinstance(m, _BatchNorm) and _folds(m)}
    against = reasons_against(model, norms, context, computed_by_class, lost=VALUES.__contains__)
    tell(against, params.kind, context)
    folding = [norm for name, norm in norms.items() if name not in against]
    for norm in folding:
        fold(norm)
    held = dict([*model.named_parameters(), *model.named_buffers()])
    # What lies below a grid is not stored: codes and steps are.
    below = {id(leaf_of(model.get_submodule(name))) for name in rounded(model)}
    numbers = {n: t for n, t in held.items() if t.dtype == torch.float32 and id(t) not in below}
    beyond = [name for name, tensor in numbers.items() if not round_(tensor)]
    context.notice(
        "info",
        f"{counted(len(numbers) - len(beyond), 'tensor')} in 16 bits, statistics of "
        f"{counted(len(folding), 'BatchNorm layer')} folded"
        + (f"; with numbers beyond float16, left as they are: {listed(beyond)}" if beyond else ""),
    )
    return model


def _folds(norm: _BatchNorm) -> bool:
    return norm.affine and norm.running_mean is not None and norm.running_var is not None


@torch.no_grad()
def fold(norm: _BatchNorm) -> None:
    """Put the running statistics of `norm` into its scale and shift, in place: mean 0 and variance 1 are left."""
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None and variance is not None
    # Variance 1 and not 1 - eps, because float16 has no such number; the root of 1 + eps goes into the scale.
    scale = norm.weight.double() * ((1 + norm.eps) / (variance.double() + norm.eps)).sqrt()
    shift = norm.bias.double() - mean.double() * scale / (1 + norm.eps) ** 0.5
    norm.weight.copy_(scale)
    norm.bias.copy_(shift)
    mean.zero_()
    variance.fill_(1.0)


@torch.no_grad()
def round_(tensor: Tensor) -> bool:
    """Round to numbers of float16 in place, unless one is too large for it; whether it was done."""
    halves = tensor.half()
    if not bool(torch.isfinite(halves).all()):
        return False
    tensor.copy_(halves)
    return True
