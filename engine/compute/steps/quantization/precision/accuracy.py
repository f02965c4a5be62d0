"""Decides which layers of a network stay in float: by what the file scores, and by how fast it runs."""

from collections.abc import Set
from functools import cached_property, partial

import torch
from torch import nn

from engine.compute.context import Context, validate
from engine.compute.latency.bench import Bench
from engine.compute.models.architecture import architecture
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.onnx.graph import Graph
from engine.compute.steps.quantization.precision.latency import Costs, Predicted, left_in_float
from engine.compute.steps.quantization.precision.profile import node_times
from engine.compute.steps.quantization.precision.result import fewest_in_float, layers, sensitivities
from engine.compute.steps.quantization.precision.search import Drawn
from engine.compute.steps.quantization.recipe import Recipe
from engine.machine import private
from engine.measures.latency import NOISY_LOAD
from engine.params.channels import LatencyTarget
from engine.params.quantization import Mixed
from engine.params.runtimes import KIND, ProfiledRuntime

DOUBTS = (1.0, 1.25, 1.6, 2.0)
"""Factors on the predicted cost of integers that are tried in turn until a file is measured to be faster."""
FASTER = 1.02
"""Measured speed-up from which a file counts as not slower: repeated measurements differ by 1 or 2 %."""


class Mixing:
    """A network, the recipe of its INT8 file, and what either is scored and timed with."""

    def __init__(self, model: nn.Module, recipe: Recipe, drawn: Drawn, context: Context) -> None:
        self._model = model
        self._recipe = recipe
        self._drawn = drawn
        self._context = context

    def network(self, skip: Set[str]) -> QuantizedNetwork:
        """The network with these nodes in float."""
        file = self._recipe.write(skip).SerializeToString(deterministic=True)
        return QuantizedNetwork(self._model, file)

    def accurate(self, params: Mixed, skip: frozenset[str]) -> tuple[frozenset[str], dict[str, float]]:
        """`skip` and the fewest layers more with which the loss stays within `params.max_loss`; for every layer what
        quantizing it alone costs (see `sensitivities`)."""
        context = self._context
        losses = sensitivities(self._recipe, skip, self._drawn, context)
        mix = fewest_in_float(losses, skip, self._quality, self._reference - params.max_loss / 100)
        lost = 100 * (self._reference - mix.quality)
        reached = "" if mix.reached else f", more than the {params.max_loss:g} allowed"
        text = (
            f"quantize.static leaves {len(mix.left)} of {len(losses)} layers in float: it loses {lost:.2f} points "
            f"on validation images{reached}"
        )
        context.notice("info" if mix.reached else "warning", text)
        return skip | mix.left, losses

    def check(self, params: Mixed, skip: frozenset[str]) -> None:
        """Warn where the file loses more than allowed: also with more layers in float it may, though it seldom does."""
        lost = 100 * (self._reference - self._quality(skip))
        if lost > params.max_loss:
            text = f"With the layers that are faster in float the file loses {lost:.2f} points on validation images"
            self._context.notice("warning", f"{text}, more than the {params.max_loss:g} allowed")

    @cached_property
    def _reference(self) -> float:
        """What the float network scores on validation images, 0 … 1."""
        return validate(self._model, self._context).quality

    def _quality(self, left: Set[str]) -> float:
        """What the file with these nodes in float scores on validation images, 0 … 1."""
        self._context.progress(0.5, f"scoring the file with {len(left)} layers in float")
        return validate(self.network(left), self._context).quality

    def fast(self, skip: frozenset[str], runtime: ProfiledRuntime) -> tuple[frozenset[str], float]:
        """`skip` and the layers that are faster in float, and how many times as fast as the float network the file is
        measured to be in the runtime; at worst every layer, and 1."""
        names = layers(self._recipe.graph, skip)
        graph = Graph(self._recipe.graph)
        costs = self._costs(skip, graph, runtime)
        tried: dict[frozenset[str], float] = {}
        with private.scratch() as folder:
            target = LatencyTarget(runtime=runtime)
            bench = Bench(target, self._model, folder, self._context)
            for doubt in DOUBTS:
                doubted = {name: time * doubt for name, time in costs.integers.items()}
                predicted = Predicted(graph, Costs(costs.floats, doubted, costs.crossing * doubt))
                left = left_in_float(predicted, names, skip)
                if len(left) == len(names):
                    break
                if left not in tried:
                    tried[left] = self._speedup(bench, skip | left, len(tried))
                if tried[left] >= FASTER:
                    break
        if bench.disturbance > NOISY_LOAD:
            text = (
                f"Files were timed while other programs took {bench.disturbance:.0%} of the processors' time"
            )
            self._context.notice("warning", f"{text}: on a quiet machine other layers may stay in float")
        return self._fastest(tried, names, skip, runtime)

    def _costs(self, skip: Set[str], graph: Graph, runtime: ProfiledRuntime) -> Costs:
        arch, threads = architecture(self._model), torch.get_num_threads()
        shape = (arch.channels, *arch.size)
        integers = self._recipe.write(skip)
        first, second = (
            self._context.measured(f"{name} nodes", partial(node_times, file, shape, threads, runtime))
            for name, file in (("float", self._recipe.graph), ("integer", integers))
        )
        return Costs.measured(first, second, graph)

    def _speedup(self, bench: Bench, skip: frozenset[str], number: int) -> float:
        row = self._context.measured(
            f"speedup {number}", lambda: bench.row(number, lambda: self.network(skip))
        )
        return float(row["speedup"])

    def _fastest(
        self,
        tried: dict[frozenset[str], float],
        names: list[str],
        skip: frozenset[str],
        runtime: ProfiledRuntime,
    ) -> tuple[frozenset[str], float]:
        left = max(tried, key=lambda one: tried[one], default=frozenset(names))
        speedup = tried.get(left, 1.0)
        if speedup < FASTER:
            text = "quantize.static leaves every layer in float: no INT8 file was measured to be faster than that"
            self._context.notice("warning", f"{text} in {KIND[runtime].label}")
            return skip | frozenset(names), 1.0
        text = (
            f"quantize.static leaves {len(left)} of {len(names)} layers in float, where 8 bits cost time: the file is "
            f"measured to be {speedup:.2f}× as fast as the float network in {KIND[runtime].label}"
        )
        self._context.notice("info", text)
        return skip | left, speedup
