"""How far a layer's output is from the uncompressed network's, for any weights of it: a quadratic form.

What rounds or removes weights of a layer and lets the others make up for it needs of the images this form alone.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

from engine.compute.context import Context, Tell, to_device, untold, within
from engine.compute.layers.copies import copied
from engine.compute.layers.operands import computed_by_product
from engine.compute.layers.passes import calls
from engine.compute.layers.select import weight_of
from engine.compute.steps.calibration.activations import (
    Passed,
    images,
    normal_equations,
    position_generator,
    ridge_of,
    sums_its_weights,
)
from engine.compute.steps.calibration.information import information
from engine.compute.steps.calibration.lockstep import passes
from engine.compute.steps.calibration.norms import norms_behind
from engine.compute.steps.calibration.understood import reasons_against


@dataclass(frozen=True)
class OutputError:
    """``|Y - X V|²`` over calibration images, as a function of a layer's weights V; float64 throughout.

    X is what enters the layer in the network as it is compressed so far, Y what the layer gave before. Up to what no
    weights change, it is the sum over filters of ``(v - best)ᵀ · hessian · (v - best)``; the hessian has the ridge
    that keeps `best` near the present weights.

    Attributes:
        best: (groups, filters of a group, weights of a filter), groups being those of a convolution.
        hessian: (groups, weights, weights), positive definite.
        inputs: (groups, weights): mean of each input where the outputs' means are free, zeros where they are not.
        outputs: (groups, filters): mean of each output in Y, less the layer's present bias, or zeros.
    """

    best: Tensor
    hessian: Tensor
    inputs: Tensor
    outputs: Tensor

    def of(self, weights: Tensor) -> Tensor:
        """The error of each filter (groups, filters) with `weights` in the shape of `best`."""
        change = weights - self.best
        return ((change @ self.hessian) * change).sum(-1)

    def constant(self, weights: Tensor) -> Tensor:
        """What has to be added to each output (groups · filters,) with `weights`, so that its mean is that in Y."""
        return (self.outputs - torch.einsum("gri,gi->gr", weights, self.inputs)).flatten()


class OutputErrors:
    """The forms of a network's layers while it is compressed layer by layer: the network as it was, beside it.

    A context manager: passes are under way as long as it is open.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Mapping[str, nn.Module],
        context: Context,
        *,
        count: int,
        damping: float,
        norms: bool,
        original: nn.Module | None = None,
        kept: Mapping[str, Tensor] | None = None,
        informed: bool = False,
    ) -> None:
        """Of the `layers` of `model` those that have a form are in `order`.

        `count`: training images. `damping`: a ridge, over the mean of a hessian's diagonal. `norms`: whether the
        running means of BatchNorm may change, so that the means of outputs before it are free as those of layers with
        a bias are. `original`: the network as it was, by default `model` as it is now; `kept`: by layer the output
        channels of the original that it still has, if not all. `informed`: whether positions are weighed by their
        Fisher information (`Information`); of classifiers only, a detector's needs its boxes.
        """
        self._layers, self._context, self._damping, self._kept = layers, context, damping, kept or {}
        self._count = count
        original = to_device(copied(model) if original is None else original, context.device).eval()
        pixels = next(images(context, 2, "refit"))
        self.order = with_form(model, layers, pixels, context)
        """Names of layers in the order of the pass, in which they are to be compressed."""
        able = {name: layers[name] for name in self.order}
        self._norms = norms_behind(model, able, pixels, context.seed) if norms else {}
        self._weights: dict[str, Tensor] = {}
        if informed and context.data.task == "classification":
            as_it_was = {name: original.get_submodule(name) for name in self.order}
            known = information(original, as_it_was, context, count, "refit")
            self._weights = {
                name: weights for name, of in known.items() if (weights := of.weights) is not None
            }
        self._passes = passes(model, original, self.order, context, count)

    def __enter__(self) -> Self:
        self._passes.__enter__()
        return self

    def __exit__(self, *of: object) -> None:
        self._passes.__exit__(*of)

    def each(self, doing: str = "") -> Iterator[tuple[str, OutputError, Tell]]:
        """Every layer in `order` with its form and a function to report progress to; ask for the next layer when the
        weights of this one are changed."""
        for number, name in enumerate(self.order):
            tell = self._context.part(number, len(self.order), doing + name)
            yield name, self.of(name, within(tell, 0, 2)), within(tell, 1, 2)

    def of(self, name: str, tell: Tell = untold) -> OutputError:
        """The form of layer `name`, with what enters it now; layers are asked for in their order."""
        free = self._bias(name) is not None or name in self._norms
        return output_error(
            self._layers[name],
            self._told(self._passes.at(name), tell),
            position_generator(name, self._context),
            damping=self._damping,
            free_mean=free,
            kept=self._kept.get(name),
            weights=self._weights.get(name),
        )

    def _told(self, passed: Iterable[Passed], tell: Tell) -> Iterator[Passed]:
        seen = 0
        for one in passed:
            yield one
            seen += len(one[0])  # not images where a sequence's steps come first
            tell(min(seen / self._count, 1.0))

    def keep_means(self, name: str, error: OutputError) -> None:
        """Set the bias of layer `name`, or the running mean behind it, so that its outputs have the means they had.

        To be told when its weights have changed; `error` is its form from before.
        """
        weight = weight_of(self._layers[name]).detach().double()
        missing = error.constant(weight.reshape(error.best.shape))
        bias = self._bias(name)
        with torch.no_grad():
            if bias is not None:
                bias.add_(missing.to(bias))
            elif name in self._norms:
                mean = self._norms[name].running_mean
                assert mean is not None
                mean.sub_(missing.to(mean))

    def _bias(self, name: str) -> Tensor | None:
        bias = self._layers[name].bias
        return bias if isinstance(bias, Tensor) else None


def with_form(
    model: nn.Module, layers: Mapping[str, nn.Module], pixels: Tensor, context: Context
) -> list[str]:
    """Names of those of `layers` that have a form, in the order in which a pass of `pixels` (N, C, H, W) calls them."""
    called = calls(model, layers, pixels)
    able = {n: layers[n] for n in called if called.count(n) == 1 and sums_its_weights(layers[n])}
    refused = reasons_against(model, able, context, computed_by_product)
    return [name for name in able if name not in refused]


def output_error(
    layer: nn.Module,
    passed: Iterable[Passed],
    random: torch.Generator,
    *,
    damping: float,
    free_mean: bool,
    kept: Tensor | None = None,
    weights: Tensor | None = None,
) -> OutputError:
    """The form of a layer with the inputs and former outputs `passed`; `random` draws positions.

    `damping`: the ridge over the mean of the hessian's diagonal. `free_mean`: the mean of each output does not count,
    because a bias makes it what it was. `kept`: the channels of what it gave that it still has. `weights` (images,
    positions): what each position counts. `sums_its_weights` must hold of the layer.
    """
    gram, moment = normal_equations(layer, passed, random, constant=free_mean, kept=kept, weights=weights)
    weight = weight_of(layer).detach().double()
    present = weight.reshape(len(gram), len(weight) // len(gram), -1)
    inputs, outputs = gram.new_zeros(present[:, 0].shape), gram.new_zeros(present[:, :, 0].shape)
    whole = None
    if free_mean:
        # The constant's row and column taken out (a Schur complement): variances in the place of mean squares.
        positions = gram[:, -1:, -1]
        inputs, outputs = gram[:, :-1, -1] / positions, moment[:, -1] / positions
        whole = gram[:, :-1, :-1]
        gram = whole - positions[:, :, None] * inputs[:, :, None] * inputs[:, None, :]
        moment = moment[:, :-1] - positions[:, :, None] * inputs[:, :, None] * outputs[:, None, :]
        bias = layer.bias
        if isinstance(bias, Tensor):
            outputs = outputs - bias.detach().double().reshape(outputs.shape)
    ridge = ridge_of(gram, damping, whole)[:, None, None]
    gram.diagonal(dim1=1, dim2=2).add_(ridge[:, 0])
    return OutputError(torch.linalg.solve(gram, moment + ridge * present.mT).mT, gram, inputs, outputs)
