"""An ONNX model with what is looked up in it."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

Array = NDArray[Any]
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""Operators that may hold a layer's weight, as their second input."""
COPY = "::"
"""Between a weight's name and a number, where the weight is held more than once in different forms."""


class Graph:
    """An ONNX model with what is looked up in it; the model may be changed through it.

    Every node gets a name of its own where it has none: runtimes refuse two of one name, and what is added for a node
    is called after it.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        name_nodes(model.graph.node)
        self.refresh()

    def refresh(self) -> None:
        """Look everything up anew, after nodes were added, taken away or connected otherwise."""
        graph = self.model.graph
        self.nodes: list[onnx.NodeProto] = list(graph.node)
        self.constants: dict[str, onnx.TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self.outputs = {value.name for value in graph.output}
        self.producers = {name: node for node in self.nodes for name in node.output}
        self.consumers: dict[str, list[onnx.NodeProto]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(node.input):
                self.consumers.setdefault(name, []).append(node)

    def array(self, name: str) -> Array:
        """The values of a constant."""
        return np.asarray(numpy_helper.to_array(self.constants[name]))

    def put(self, name: str, values: Array) -> None:
        """Set a constant's values, which may be a new one."""
        tensor = numpy_helper.from_array(np.asarray(values, order="C"), name)
        if name in self.constants:
            self.constants[name].CopyFrom(tensor)
        else:
            self.model.graph.initializer.append(tensor)
            self.constants[name] = self.model.graph.initializer[-1]

    def unused(self, name: str) -> str:
        """`name`, or with a number behind it the first that no tensor has."""
        taken, number = name, 1
        while taken in self.constants or taken in self.producers:
            number += 1
            taken = f"{name.split(COPY)[0]}{COPY}{number}"
        return taken

    def put_behind(self, node: onnx.NodeProto, made: onnx.NodeProto) -> None:
        """Put the node `made` right behind `node`, under a name of its own."""
        nodes = self.model.graph.node
        nodes.insert(next(i for i, one in enumerate(nodes) if one.output[:] == node.output[:]) + 1, made)
        name_nodes(nodes)
        self.refresh()

    def only_consumer(self, name: str) -> onnx.NodeProto | None:
        """The one node that takes this tensor, if nothing else does."""
        consumers = self.consumers.get(name, [])
        return consumers[0] if len(consumers) == 1 and name not in self.outputs else None

    def remove(self, gone: list[onnx.NodeProto]) -> None:
        """Take nodes away, and constants that nothing takes any more."""
        graph = self.model.graph
        ids = {id(node) for node in gone}
        kept = [node for node in self.nodes if id(node) not in ids]
        del graph.node[:]
        graph.node.extend(kept)
        used = {name for node in graph.node for name in node.input} | self.outputs
        held = [tensor for tensor in graph.initializer if tensor.name in used]
        del graph.initializer[:]
        graph.initializer.extend(held)
        self.refresh()

    def weighted(self) -> Iterator[onnx.NodeProto]:
        """The nodes that hold a layer's weight, in the order of the graph."""
        return (node for node in self.nodes if layer_of(node, self) is not None)


def name_nodes(nodes: Sequence[onnx.NodeProto]) -> None:
    """Rename, in place, nodes that have no name, or that of one before them."""
    taken = Counter(node.name for node in nodes)
    seen: set[str] = set()
    for node in nodes:
        if not node.name or node.name in seen:
            base = node.name or f"{node.op_type}_{node.output[0]}"
            numbered = (f"{base}{COPY}{number}" for number in itertools.count(2))
            node.name = next(name for name in itertools.chain([base], numbered) if name not in taken)
            taken[node.name] += 1
        seen.add(node.name)


def layer_of(node: onnx.NodeProto, graph: Graph) -> str | None:
    """The name of the layer whose weight `node` holds: the weight's in the state_dict less `.weight`."""
    if node.op_type not in WEIGHTED or len(node.input) < 2 or node.input[1] not in graph.constants:
        return None
    return str(node.input[1]).split(COPY)[0].removesuffix(".weight")


def attribute(node: onnx.NodeProto, name: str, default: Any) -> Any:
    """An attribute's value, or what the operator takes it for where it is not written."""
    value = next((one for one in node.attribute if one.name == name), None)
    return default if value is None else helper.get_attribute_value(value)
