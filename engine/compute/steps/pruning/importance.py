"""How much a weight matters: one score per weight, larger is more important."""

from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.context import Context
from engine.compute.layers.passes import differentiable
from engine.compute.layers.select import weight_of
from engine.compute.numerics.seeds import generator
from engine.compute.tasks import task_of
from engine.params.pruning import Criterion

TAYLOR_IMAGES = 1024
"""Training images on which gradients are taken."""
TAYLOR_BATCH = 128
"""Most images of a pass."""


def importance(
    criterion: Criterion,
    model: nn.Module,
    layers: dict[str, nn.Module],
    context: Context,
    number: int,
) -> dict[str, Tensor]:
    """Scores ≥ 0 in the shape of each layer's weight, by layer name; `number` counts pruning rounds.

    With `obs` magnitude tells how many weights of each layer stay; which, its outputs tell.
    """
    match criterion:
        case "l1" | "obs":
            return {name: weight_of(m).detach().abs() for name, m in layers.items()}
        case "taylor":
            # Cached, the effective weights are the same tensors in every pass, so that there are gradients by them.
            with differentiable(model), parametrize.cached():
                return _taylor(model, layers, context)
        case "random":
            return {name: _chance(weight_of(m), name, context, number) for name, m in layers.items()}
        case _:
            assert_never(criterion)


def _chance(weight: Tensor, name: str, context: Context, number: int) -> Tensor:
    random = generator(context.seed, "importance", context.position, number, name)
    return torch.rand(weight.shape, generator=random).to(weight.device)


def _taylor(model: nn.Module, layers: dict[str, nn.Module], context: Context) -> dict[str, Tensor]:
    """(g · w)², g the mean gradient of the loss (Molchanov et al. 2019, equation 8), in eval mode."""
    order = torch.randperm(
        len(context.data.train.labels), generator=generator(context.seed, "taylor", context.position)
    )[:TAYLOR_IMAGES]
    weights = {name: weight_of(m) for name, m in layers.items()}
    sums = {name: torch.zeros_like(w) for name, w in weights.items()}
    task = task_of(context.data)
    model.eval()
    batch = context.at_once(model, TAYLOR_BATCH, kept=True)
    for images, labels in context.data.batches(context.data.train, batch, order=order, device=context.device):
        loss = task.loss(model, images, labels, reduction="sum")
        gradients = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for name, gradient in zip(weights, gradients, strict=True):
            if gradient is not None:  # of a layer that no pass comes to
                sums[name] += gradient
    return {name: (sums[name] / len(order) * w.detach()).square() for name, w in weights.items()}
