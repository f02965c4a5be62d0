"""Activations of layers on calibration images: their energies, and least squares for a layer's weights."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from engine.compute.context import Context
from engine.compute.layers.operands import product_of
from engine.compute.layers.select import weight_of
from engine.compute.layers.shared import SharedConv2d
from engine.compute.memory import halving_batch
from engine.compute.numerics.seeds import generator

BATCH = 64
"""Most images of a pass."""
IN_FLOAT64 = 4
"""Memory of a pass with layers' inputs and outputs squared in float64, over that of a plain pass."""
ROWS = 16_384
"""Most output positions of a full batch that least squares uses, drawn at random."""
ROUNDING = 1e-13
"""Of the sum of all mean squares in float64, as sums of many products round it: a smaller variance tells nothing."""
UNFOLDED = 2**26
"""Numbers that a batch's inputs may unfold to (256 MiB in float32); of large images fewer go at a time."""
MOST_INPUTS = 4_700
"""Most weights of one output for a refit: a 3×3 convolution of 512 channels has 4608. More take minutes to solve,
gigabytes to hold, and more images than are used."""


def images(context: Context, count: int, purpose: str, batch: int = BATCH) -> Iterator[Tensor]:
    """`count` training images in batches, drawn by the seed."""
    return these(context, shuffled(context, purpose)[:count], batch)


def shuffled(context: Context, purpose: str) -> Tensor:
    """The places of all training images, in an order drawn by the seed."""
    random = generator(context.seed, purpose, context.position)
    return torch.randperm(len(context.data.train.labels), generator=random)


def these(context: Context, order: Tensor, batch: int) -> Iterator[Tensor]:
    """The training images of these places in batches, as they are scored: nothing is augmented."""
    for pixels, _ in context.data.batches(context.data.train, batch, order=order, device=context.device):
        yield pixels


Passed = tuple[Tensor, Tensor]
"""A layer's input now, and its output before the network was changed."""
Energies = dict[str, tuple[Tensor, Tensor]]
"""Mean square of each input channel and of each output channel, float64 on the CPU, by the layer's name."""


def energies(model: nn.Module, outputs: dict[str, str], context: Context, count: int) -> Energies:
    """Energies of layers on `count` calibration images.

    `outputs` maps each layer to the one whose output counts: itself, or the BatchNorm behind it.
    """
    most = largest_batch(model, context)
    return halving_batch(lambda batch: _energies(model, outputs, context, count, batch), most)


def largest_batch(model: nn.Module, context: Context) -> int:
    """BATCH images, or fewer where the layers' inputs in float64 would take too much memory."""
    return max(1, context.at_once(model, BATCH * IN_FLOAT64) // IN_FLOAT64)


def _energies(
    model: nn.Module, outputs: dict[str, str], context: Context, count: int, batch: int
) -> Energies:
    sums: dict[tuple[str, str], Tensor] = {}

    def add(key: tuple[str, str], activations: Tensor) -> None:
        # Times the batch's images: the last batch may be smaller, and counts by its images.
        channels = activations.detach().double().square().mean((0, 2, 3)) * len(activations)
        sums[key] = sums.get(key, torch.zeros_like(channels)) + channels

    def before(name: str) -> Callable[..., None]:
        return lambda _module, inputs: add((name, "in"), inputs[0])

    def after(name: str) -> Callable[..., None]:
        return lambda _module, _inputs, output: add((name, "out"), output)

    model.eval()
    with ExitStack() as hooks, torch.no_grad():
        for name, last in outputs.items():
            hooks.callback(model.get_submodule(name).register_forward_pre_hook(before(name)).remove)
            hooks.callback(model.get_submodule(last).register_forward_hook(after(name)).remove)
        for pixels in images(context, count, "energy", batch):
            model(pixels)
    return {name: (sums[name, "in"].cpu(), sums[name, "out"].cpu()) for name in outputs}


def sums_its_weights(layer: nn.Module) -> bool:
    """Whether each output of the layer is, by its class, a sum of its weights times inputs that `normal_equations`
    knows."""
    if not isinstance(layer, nn.Conv2d | nn.Linear) or weight_of(layer)[0].numel() > MOST_INPUTS:
        return False
    return not isinstance(layer, SharedConv2d) and not isinstance(getattr(layer, "padding", 0), str)


def can_refit(layer: nn.Module) -> bool:
    """Whether `refit` works on the layer: its weights are plain, trainable and each its own."""
    if parametrize.is_parametrized(layer) or getattr(layer, "groups", 1) > 1:
        return False
    if any(not parameter.requires_grad for parameter in layer.parameters(recurse=False)):
        return False  # frozen by the network's own code
    return sums_its_weights(layer)


def refit(
    layer: nn.Module,
    passed: Iterable[Passed],
    random: torch.Generator,
    *,
    ridge: float,
) -> None:
    """Change the weights of `layer` so that what it gives comes nearest to what it gave before, in place.

    `passed`: batch by batch what it is given now, and what it gave before. `random` draws positions.

    Ridge regression of the difference of the two outputs on the layer's present inputs, in float64: minimises
    ``|Y - X(W + D)|² + ridge · mean(diag XᵀX) · |D|²`` over D (as He et al. 2017, "Channel Pruning for Accelerating
    Very Deep Neural Networks", equation 5, refit weights after pruning).
    """
    assert isinstance(layer, nn.Conv2d | nn.Linear)
    (gram,), (moment,) = normal_equations(layer, passed, random, constant=layer.bias is not None)
    # (outputs, inputs [+ 1]), as weights lie; the last column is the bias'.
    present = layer.weight.detach().double().flatten(1)
    if layer.bias is not None:
        present = torch.cat([present, layer.bias.detach().double()[:, None]], dim=1)
    left = moment - gram @ present.T
    gram.diagonal().add_(ridge_of(gram, ridge))
    change = torch.linalg.solve(gram, left).T
    with torch.no_grad():
        if layer.bias is not None:
            layer.bias.add_(change[:, -1].to(layer.bias))
            change = change[:, :-1]
        layer.weight.add_(change.reshape(layer.weight.shape).to(layer.weight))


def ridge_of(moments: Tensor, share: float, whole: Tensor | None = None) -> Tensor:
    """The ridge (…) that makes second moments (…, n, n) invertible when it is added to their diagonals: `share` of a
    diagonal's mean.

    Relative to the inputs' own size, so that one ridge serves all layers. Of moments about the mean, `whole` are those
    that the means were taken out of.
    """
    # Never zero, because an input that is always zero (a dead channel) makes them singular. Of inputs that never vary
    # the rounding of the means is left, which need not be positive.
    ridge = share * moments.diagonal(dim1=-2, dim2=-1).mean(-1)
    if whole is not None:
        ridge = torch.maximum(ridge, ROUNDING * whole.diagonal(dim1=-2, dim2=-1).sum(-1))
    return ridge.clamp_min(torch.finfo(moments.dtype).tiny)


def position_generator(name: str, context: Context) -> torch.Generator:
    """Draws positions of what layer `name` is given, where there are more than `ROWS`."""
    return generator(context.seed, "rows", context.position, name)


def normal_equations(
    layer: nn.Module,
    passed: Iterable[Passed],
    random: torch.Generator,
    *,
    constant: bool,
    kept: Tensor | None = None,
    weights: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """XᵀX (groups, inputs, inputs) and XᵀY (groups, inputs, filters) of a layer, in float64.

    Summed over positions of all images `passed`: X is what the layer is given, unfolded, with a column of ones at the
    end if `constant`, Y what it gave before, of the channels `kept`. `weights` (images, positions) is what each
    position counts, in the order of what is `passed`; all the same by default.
    """
    seen = 0
    gram: Tensor | None = None
    moment = torch.zeros(())
    for given, wanted in passed:
        if kept is not None:
            wanted = wanted.index_select(1 if isinstance(layer, nn.Conv2d) else -1, kept.to(wanted.device))
        at_once = _at_once(layer, wanted)
        for part, aim in zip(torch.split(given, at_once), torch.split(wanted, at_once), strict=True):
            rows, outputs = _rows(layer, part, constant), _outputs(layer, aim)
            counts = None if weights is None else weights[seen : seen + len(part)].flatten()
            seen += len(part)
            most = max(ROWS * len(part) // BATCH, 1)
            if rows.shape[1] > most:
                chosen = torch.randperm(rows.shape[1], generator=random)[:most].to(rows.device)
                rows, outputs = rows[:, chosen], outputs[:, chosen]
                counts = counts if counts is None else counts[chosen.cpu()]
            # XᵀX squares the condition number, and float32 has seven digits to lose.
            rows, outputs = rows.double(), outputs.double()
            weighted = rows.mT if counts is None else rows.mT * counts.to(rows)
            if gram is None:
                gram, moment = weighted @ rows, weighted @ outputs
            else:
                gram, moment = gram + weighted @ rows, moment + weighted @ outputs
    assert gram is not None
    return gram, moment


def _at_once(layer: nn.Module, output: Tensor) -> int:
    """Images whose inputs to the layer, unfolded, fit into memory together; at least one."""
    groups, positions, _ = _outputs(layer, output[:1]).shape
    return max(1, UNFOLDED // (groups * positions * weight_of(layer)[0].numel()))


def _rows(layer: nn.Module, given: Tensor, constant: bool) -> Tensor:
    """The layer's inputs so that its outputs are these rows times its weights: (groups, positions, weights).

    Groups are those of a convolution, weights those of a filter; with a last column of ones if `constant`.
    """
    product = product_of(layer, given)
    assert product is not None
    if isinstance(layer, nn.Conv2d):
        images, _, _, stride, padding, dilation, _ = product
        shape = (layer.kernel_size, dilation, padding, stride)
        unfolded = functional.unfold(images.contiguous(), *shape)  # (N, groups · weights, positions)
        rows = _grouped(unfolded, layer.groups)
    else:
        rows = product[0].flatten(0, -2)[None]
    return torch.cat([rows, torch.ones_like(rows[:, :, :1])], dim=2) if constant else rows


def _outputs(layer: nn.Module, output: Tensor) -> Tensor:
    """As rows (groups, positions, filters), in the order of `_rows`; a linear layer's channels come last, whatever the
    dimensions."""
    if isinstance(layer, nn.Conv2d):
        return _grouped(output.flatten(2), layer.groups)
    return output.flatten(0, -2)[None]


def _grouped(activations: Tensor, groups: int) -> Tensor:
    """(N, groups · n, positions) → (groups, N · positions, n)."""
    count, channels, positions = activations.shape
    parts = activations.reshape(count, groups, channels // groups, positions)
    return parts.permute(1, 0, 3, 2).flatten(1, 2)


class _Passed(Exception):
    """Ends a pass behind the layer that was asked for."""


def passing(model: nn.Module, name: str, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Input and output of layer `name`, in eval mode; the pass ends there."""
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        seen.append((inputs[0], output))
        raise _Passed

    model.eval()
    with ExitStack() as hooks, torch.no_grad():
        hooks.callback(model.get_submodule(name).register_forward_hook(keep).remove)
        with suppress(_Passed):
            model(pixels)
    return seen[0]
