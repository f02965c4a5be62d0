"""Mixed precision: how much each layer loses by 8 bits, and the fewest layers that have to stay in float."""

from collections.abc import Callable, Set
from dataclasses import dataclass

import onnx

from engine.compute.context import Context
from engine.compute.onnx.graph import Graph
from engine.compute.steps.quantization.choose import is_weighted
from engine.compute.steps.quantization.precision.search import Drawn, deviation
from engine.compute.steps.quantization.recipe import Recipe

Quality = Callable[[Set[str]], float]
"""What a file scores on validation images, 0 … 1, with these nodes in float."""


@dataclass(frozen=True)
class Fewest:
    """Nodes that stay in float, what the file scores so, and whether that is good enough."""

    left: frozenset[str]
    quality: float
    reached: bool


def layers(model: onnx.ModelProto, skip: Set[str] = frozenset()) -> list[str]:
    """Names of the nodes with a layer's weight that can be quantized, without those in `skip`."""
    graph = Graph(model)
    return [node.name for node in graph.nodes if is_weighted(node, graph) and node.name not in skip]


def sensitivities(recipe: Recipe, skip: Set[str], drawn: Drawn, context: Context) -> dict[str, float]:
    """For every layer the deviation of the outputs, on held-out training images, when it alone is quantized."""
    names = layers(recipe.graph, skip)
    deviations = {}
    for done, name in enumerate(names):
        context.progress(done / len(names), f"quantizing {name} alone")
        file = recipe.write({*skip, *names} - {name})
        deviations[name] = deviation(recipe.graph, file, drawn)
    return deviations


def fewest_in_float(losses: dict[str, float], skip: Set[str], quality: Quality, wanted: float) -> Fewest:
    """The fewest layers in float, beside `skip`, with which the file scores `wanted` at least.

    The most sensitive ones go first: how many is found by bisection, as if each more could only help. Then every
    one of them, the least sensitive first, is quantized again where the score allows it.
    """
    order = sorted(losses, key=lambda name: -losses[name])
    known: dict[frozenset[str], float] = {}

    def scored(left: Set[str]) -> float:
        key = frozenset(left)
        if key not in known:
            known[key] = quality({*skip, *left})
        return known[key]

    if scored(set()) >= wanted:  # asked first, because more layers in float do not always help
        return Fewest(frozenset(), scored(set()), True)
    low, high = 0, len(order)
    if scored(set(order)) < wanted:
        return Fewest(frozenset(order), scored(set(order)), False)
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if scored(set(order[:middle])) >= wanted else (middle + 1, high)
    left = set(order[:low])
    for name in reversed(order[:low]):
        if scored(left - {name}) >= wanted:
            left -= {name}
    return Fewest(frozenset(left), scored(left), True)
