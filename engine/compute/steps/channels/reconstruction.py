"""Makes up for channels that went: the layers that took them are refitted by least squares on training images."""

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.layers.copies import copied
from engine.compute.layers.select import weight_of
from engine.compute.steps.calibration.activations import can_refit
from engine.compute.steps.calibration.output_error import OutputErrors
from engine.compute.steps.channels.groups import Gone, Group, positions_gone

IMAGES = 512
"""Training images to refit on: some hundred output positions for each weight of an output, and a few seconds."""
RIDGE = 1e-3
"""Penalty on the change of the weights, over the mean square of the inputs: keeps it from fitting noise."""


class Reconstruction:
    """A network as it was before channels went, and which of them are left."""

    def __init__(self, model: nn.Module) -> None:
        self._original = copied(model)
        self._left: dict[tuple[str, int], Tensor] = {}
        """Positions in the original's weight, by layer and dimension."""

    def note(self, groups: list[Group], gone: Gone) -> None:
        """Tell that `gone` is about to be removed from `groups`."""
        for (layer, tensor, dim), positions in positions_gone(groups, gone).items():
            if tensor == "weight":
                self._note(layer, dim, positions)

    def _note(self, layer: str, dim: int, positions: Tensor) -> None:
        left = self._left.get((layer, dim))
        if left is None:
            left = torch.arange(weight_of(self._original.get_submodule(layer)).shape[dim])
        keep = torch.ones(len(left), dtype=torch.bool)
        keep[positions] = False
        self._left[layer, dim] = left[keep]

    def apply(self, model: nn.Module, context: Context) -> bool:
        """Refit the layers of `model` that lost inputs, from the first to the last, in place.

        Their outputs come nearest to what they were (He et al. 2017, "Channel Pruning for Accelerating Very Deep
        Neural Networks"), positions weighed by how much the original's prediction depends on them. Attention's own
        projections are left: what they are multiplied with has changed too. Whether all that lost inputs are refitted.
        """
        to_device(model, context.device).eval()
        lost = {name: module for name, module in model.named_modules() if (name, 1) in self._left}
        layers = {name: module for name, module in lost.items() if can_refit(module)}
        if not layers:
            return False
        kept = {name: self._left[name, 0] for name in layers if (name, 0) in self._left}
        with OutputErrors(
            model,
            layers,
            context,
            count=IMAGES,
            damping=RIDGE,
            norms=True,
            original=self._original,
            kept=kept,
            informed=True,
        ) as errors:
            for name, error, _ in errors.each("refitting "):
                weight = weight_of(layers[name])
                with torch.no_grad():
                    weight.copy_(error.best.reshape(weight.shape))
                errors.keep_means(name, error)
            return len(errors.order) == len(lost)
