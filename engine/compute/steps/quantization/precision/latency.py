"""Which layers gain time by 8 bits in a runtime, beside what it takes to get into and out of integers."""

from collections.abc import Set
from dataclasses import dataclass

from engine.compute.onnx.graph import Graph
from engine.compute.steps.quantization.choose import choose
from engine.compute.steps.quantization.precision.profile import Times, by_node, crossing_rate, elements

LONGEST_RUN = 6
"""Neighbouring layers that the search changes together: one alone between others pays its borders twice."""
SWEEPS = 10
"""Passes of the search; it settles within a few."""


@dataclass
class Costs:
    """Microseconds of every node in float and in integers, and for each value that crosses between the two."""

    floats: dict[str, float]
    integers: dict[str, float]
    crossing: float

    @staticmethod
    def measured(floats: Times, integers: Times, graph: Graph) -> "Costs":
        """From the times of the float file's nodes and of the INT8 file's."""
        return Costs(by_node(floats, graph), by_node(integers, graph), crossing_rate(integers, graph))


class Predicted:
    """The time of a file, predicted for any layers in float."""

    def __init__(self, graph: Graph, costs: Costs) -> None:
        self._graph = graph
        self._costs = costs
        self._elements = elements(graph)
        self._known: dict[frozenset[str], float] = {}

    def time(self, skip: Set[str]) -> float:
        """Microseconds with the nodes of `skip` in float."""
        key = frozenset(skip)
        if key not in self._known:
            self._known[key] = self._time(key)
        return self._known[key]

    def _time(self, skip: Set[str]) -> float:
        choice = choose(self._graph, skip)
        inside = set(choice.nodes)
        costs = self._costs
        nodes = sum(
            (costs.integers if node.name in inside else costs.floats).get(node.name, 0.0)
            for node in self._graph.nodes
        )
        leaving = [
            name
            for name in choice.outputs
            if name in self._graph.outputs
            or any(node.name not in inside for node in self._graph.consumers.get(name, []))
        ]
        crossed = sum(self._elements.get(name, 0) for name in (*choice.inputs, *leaving))
        return nodes + costs.crossing * crossed


def left_in_float(predicted: Predicted, layers: list[str], skip: Set[str]) -> frozenset[str]:
    """The layers that are better left in float: the fastest choice that a local search finds.

    From all in integers, and from all in float, it changes runs of neighbouring layers while that saves time.
    """
    starts: tuple[frozenset[str], ...] = (frozenset(), frozenset(layers))
    fixed = [_fixed_point(predicted, layers, skip, start) for start in starts]
    return min(fixed, key=lambda left: (predicted.time({*skip, *left}), len(left)))


def _fixed_point(
    predicted: Predicted, layers: list[str], skip: Set[str], left: frozenset[str]
) -> frozenset[str]:
    for _ in range(SWEEPS):
        before = left
        for length in range(1, min(LONGEST_RUN, len(layers)) + 1):
            for first in range(len(layers) - length + 1):
                run = frozenset(layers[first : first + length])
                changed = min((left | run, left - run), key=lambda one: predicted.time({*skip, *one}))
                if predicted.time({*skip, *changed}) < predicted.time({*skip, *left}):
                    left = changed
        if left == before:
            break
    return left
