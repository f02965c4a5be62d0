"""Fisher information of layers' outputs, without labels: how much the network's prediction depends on each of them.

An error of a layer's output matters only where the prediction depends on it: little for an image whose class is
certain, little at positions that show nothing. The squared gradient of the log-likelihood by an output, for labels
drawn from the network's own probabilities, is the diagonal of the Fisher information (BRECQ, Li et al. 2021, equation
10, weighs errors of blocks by it).
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.context import Context
from engine.compute.layers.passes import differentiable
from engine.compute.numerics.seeds import generator
from engine.compute.steps.calibration.activations import images, shuffled
from engine.compute.tasks import task_of
from engine.compute.tasks.output import main_output

BATCH = 64
"""Most images of a pass."""
DRAWN = 4
"""Labels drawn for each image."""
FLOOR = 0.25
"""Least weight of a position, over the mean: few drawn labels may miss that a position matters."""
CEILING = 50.0
"""Largest weight of a position, over the mean, so that no single image decides."""


@dataclass(frozen=True)
class Information:
    """Fisher information of the outputs of one layer.

    Attributes:
        channels: (outputs,): summed over positions, mean over images; squared nats per squared unit of the output.
        positions: (images, positions), float32 on the CPU: summed over channels, in the order of `images`; None where
            the images are not the first dimension, as of sequences whose steps come first.
    """

    channels: Tensor
    positions: Tensor | None

    @property
    def weights(self) -> Tensor | None:
        """Weights (images, positions), 1 on average: FLOOR for all, the rest in proportion to their information."""
        if self.positions is None:
            return None
        mean = self.positions.mean()
        if not mean > 0:
            return torch.ones_like(self.positions)
        relative = (self.positions / mean).clamp_max(CEILING)
        return FLOOR + (1 - FLOOR) * relative / relative.mean()


def information(
    model: nn.Module, layers: Mapping[str, nn.Module], context: Context, count: int, purpose: str
) -> dict[str, Information]:
    """The information of each layer's outputs on the `count` training images that `images` draws for `purpose`.

    Of a detector, by the boxes of these images; each of `layers` is called once in a pass.
    """
    if not layers:
        return {}
    outputs: dict[str, Tensor] = {}
    channels: dict[str, Tensor] = {}
    positions: dict[str, list[Tensor]] = {}
    random = generator(context.seed, "information", context.position)
    order = shuffled(context, purpose)[:count]
    batch = context.at_once(model, BATCH, kept=True)
    batches = context.data.batches(context.data.train, batch, order=order, device=context.device)

    def keep(name: str) -> Callable[..., Tensor]:
        def hook(_layer: nn.Module, _inputs: object, output: Tensor) -> Tensor:
            outputs[name] = output
            return output.clone()  # a ReLU behind it may write over what it is given

        return hook

    model.eval()
    by_images = images_first(model, layers, next(images(context, 2, purpose)))
    with ExitStack() as hooks, differentiable(model):
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(keep(name)).remove)
        for number, (pixels, targets) in enumerate(batches):
            context.progress(0.0, f"Fisher information ({number * batch} of {len(order)} images)")
            losses = _log_likelihoods(model, pixels, targets, context, random)
            by = [outputs[name] for name in layers]
            squared: dict[str, Tensor] = {}
            for drawn, loss in enumerate(losses, 1):
                gradients = torch.autograd.grad(
                    loss, by, retain_graph=drawn < len(losses), materialize_grads=True
                )
                for name, gradient in zip(layers, gradients, strict=True):
                    squares = _rows(layers[name], gradient).square() / len(losses)
                    squared[name] = squared[name] + squares if name in squared else squares
            for name, squares in squared.items():  # (images, positions, channels)
                own = squares.double().sum((0, 1)) / len(order)
                channels[name] = channels[name] + own if name in channels else own
                if name in by_images:
                    positions.setdefault(name, []).append(squares.sum(2).cpu())
    return {
        name: Information(channels[name], torch.cat(positions[name]) if name in positions else None)
        for name in layers
    }


def images_first(model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor) -> set[str]:
    """Those of `layers` whose outputs have the images as their first dimension: `pixels` (2, C, H, W) give twice the
    rows of one image."""
    rows: dict[str, list[int]] = {name: [] for name in layers}
    with ExitStack() as hooks, torch.no_grad():
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(lambda *of, n=name: rows[n].append(len(of[2]))).remove)
        for some in (pixels, pixels[:1]):
            model(some)
    return {name for name, (both, one) in rows.items() if both == 2 * one}


def _rows(layer: nn.Module, output: Tensor) -> Tensor:
    """The output of a convolution or a linear layer as (images, positions, channels)."""
    if isinstance(layer, nn.Conv2d):
        return output.detach().flatten(2).mT
    return output.detach().reshape(len(output), -1, output.shape[-1])


def _log_likelihoods(
    model: nn.Module, pixels: Tensor, targets: Tensor, context: Context, random: torch.Generator
) -> list[Tensor]:
    """Negative log-likelihoods, summed over the images and differentiable: one for each drawn label."""
    if context.data.task == "detection":
        return [task_of(context.data).loss(model, pixels, targets, reduction="sum")]
    logits = main_output(model(pixels)).float()
    probabilities = logits.detach().softmax(1).cpu()
    drawn = torch.multinomial(probabilities, DRAWN, replacement=True, generator=random).to(logits.device)
    return [functional.cross_entropy(logits, labels, reduction="sum") for labels in drawn.T]
