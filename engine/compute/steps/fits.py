"""Whether a network has what a step works on: the step's own checks, made before anything is trained."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property, partial

import torch
from torch import nn

from engine.compute.context import Context, to_device
from engine.compute.data import Split, Subset
from engine.compute.layers.copies import copied
from engine.compute.layers.passes import evaluating
from engine.compute.layers.select import prunable_layers
from engine.compute.measures.counts import count
from engine.compute.steps.apply import apply
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.channels.graph import Graph
from engine.compute.steps.channels.narrower import with_graph
from engine.compute.steps.channels.outcome import MUCH, out_of_reach
from engine.compute.steps.channels.step import check_channels
from engine.compute.steps.clustering.filters import check_filters
from engine.compute.steps.clustering.kernels import worth_it
from engine.compute.steps.clustering.weights import check_length
from engine.compute.steps.distillation import features
from engine.compute.steps.factorization.step import able_layers
from engine.compute.steps.pruning.blocks import check_blocks
from engine.compute.steps.pruning.step import patterned
from engine.params import (
    ClusterFilters,
    ClusterKernels,
    ClusterWeights,
    Distill,
    Factorize,
    PruneBlocks,
    PruneChannels,
    PruneWeights,
    Sensitivity,
    Step,
)
from engine.params.cluster_weights import Product
from engine.params.distillation import Inside, NoTeacher, Relational
from engine.text.numbers import percent
from engine.text.phrases import listed

LISTED = 4
"""Weights that a note names."""
FEW = 16
"""Training images by which steps are tried whose layers later steps work on: what these compute does not count."""

Prepared = tuple[nn.Module, Graph]
"""A network that is ready for channels to be taken out of it, and which can be."""


class Fits:
    """Checks steps against one network, which is made when it is first needed, on the device of its context."""

    def __init__(self, made: Callable[[], nn.Module], images: torch.Tensor, context: Context) -> None:
        self._made, self._images, self._context = made, images, context
        self._ready: dict[tuple[str, ...], Prepared] = {}
        self._behind: tuple[Step, Fits] | None = None
        self._of_layers: dict[str, None] = {}  # kinds of steps that change weights of layers of torch's alone

    @cached_property
    def _model(self) -> nn.Module:
        return self._made()

    def behind(self, step: Step) -> "Fits":
        """Checks against the network that the step leaves of this one, tried on a few images. That of the last step
        asked for is kept: trials ask for one after the other, and networks are large."""
        if self._behind is None or self._behind[0] != step:
            self._behind = step, Fits(partial(self._changed, step), self._images, self._context)
        return self._behind[1]

    def _changed(self, step: Step) -> nn.Module:
        data = self._context.data
        order = data.train.spread(FEW)
        few = Split(Subset(data.train.images, order), data.train.labels[order])
        context = replace(self._context, data=replace(data, train=few))
        return to_device(apply(step, copied(self._model), context), context.device)

    def check(self, step: Step) -> None:
        """Raises SecateurError where the shapes of the network's layers leave the step nothing to do, or less than it
        is asked for."""
        if step.makes is not None or isinstance(step, Factorize):
            self._of_layers[step.kind] = None
        match step:
            case PruneChannels():
                model, graph = self.prepared(step.skip)
                check_channels(model, graph.groups, step, self._context)
            case Sensitivity(of="channels"):
                self.prepared(step.skip)
            case PruneWeights(pattern=str(pattern)):
                patterned(self._changeable(step, prunable_layers(self._model, step.skip)), pattern)
            case PruneBlocks():
                with evaluating(self._model):
                    check_blocks(self._model, [self._images], step)
            case ClusterFilters():
                with evaluating(self._model):
                    check_filters(self._model, step, self._context)
            case ClusterKernels():
                self._changeable(step, worth_it(self._model, step))
            case ClusterWeights(method=Product(length=length)):
                check_length(self._changeable(step, prunable_layers(self._model, step.skip)), step, length)
            case Distill(method=Inside() | Relational()) if not isinstance(step.teacher, NoTeacher):
                features.check_maps(features.outputs(self._model, self._images[:1]), ())
            case _ if step.named:
                self._check_named(step)
            case _:
                pass

    def _check_named(self, step: Step) -> None:
        """Check the layers that the step names; those that there are only once pruning channels has taken modules apart
        are left to the step."""
        own = {name: layer for name, layer in self._model.named_modules() if name in step.named}
        if own and isinstance(step, Factorize):
            layers = {name: ratio for name, ratio in step.layers.items() if name in own}
            able_layers(self._model, step.model_copy(update={"layers": layers}), self._context)
        elif own:
            changeable(self._model, own, self._context, step.kind, own)

    def _changeable(self, step: Step, layers: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
        return changeable(self._model, layers, self._context, step.kind)

    def prepared(self, skip: tuple[str, ...]) -> Prepared:
        """Raises SecateurError where no channel can be taken out, or `skip` names no layer."""
        if skip not in self._ready:
            self._ready[skip] = with_graph(self._model, skip)
        return self._ready[skip]

    def out_of_reach(self) -> list[str]:
        """A note on the part of the network that no channel can be taken from, for each way of taking channels out that
        was checked, and one on the weights that other steps leave as they are; none where that part is small."""
        shape = (self._context.data.channels, *self._context.data.size)
        notes = [out_of_reach(model, graph, skip, shape) for skip, (model, graph) in self._ready.items()]
        if self._of_layers:
            notes.append(self._no_layers(shape))
        return [note for note in dict.fromkeys(notes) if note]

    def _no_layers(self, shape: tuple[int, int, int]) -> str:
        counts = count(self._model, shape)
        layers = {f"{name}.weight" for name in prunable_layers(self._model, ())}
        others = [one for one in counts.layers if one.shape and one.name not in layers]
        share = sum(math.prod(one.shape) for one in others) / max(counts.parameters, 1)
        if share < MUCH:
            return ""
        return (
            f"{listed(list(self._of_layers))}: no weights change but those of convolutions and linear layers, so that "
            f"{percent(share, 0)} of the parameters stay as they are ({listed([one.name for one in others], LISTED)})"
        )
