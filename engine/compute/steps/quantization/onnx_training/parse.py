"""A Q/DQ file as a list of what to compute, one after the other: what `trainable` runs.

Pairs of Q and DQ become a rounding each, constants behind a DQ the float weights that they were made from.
"""

from collections.abc import Set
from dataclasses import dataclass, field

import onnx
from onnx import helper, numpy_helper
from torch import Tensor

from engine.compute.numerics.aligned import from_array
from engine.compute.onnx.graph import COPY, Array, Graph, layer_of
from engine.compute.steps.quantization import choose
from engine.compute.steps.quantization.onnx_training.layout_ops import DATA_MOVEMENT
from engine.compute.steps.quantization.onnx_training.operators import COMPUTING, Attributes
from engine.errors import SecateurError

OPERATORS = COMPUTING | DATA_MOVEMENT
SEVERAL = ("Split",)
"""Those of them that give all results that ONNX has them give."""


@dataclass(frozen=True)
class Operation:
    """A node that computes what ONNX says."""

    op: str
    layer: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Attributes


@dataclass(frozen=True)
class Rounding:
    """A tensor that is rounded to integer steps `low` … `high`, which are less the zero point."""

    source: str
    output: str
    slot: int
    low: int
    high: int


@dataclass(frozen=True)
class Weight:
    """A constant in integers, by its initializer's name without suffix; `values` names the float parameter.

    `axis`: along which each channel has its step; None: one step for all.
    """

    integers: str
    scale: str
    values: str
    output: str
    axis: int | None


@dataclass(frozen=True)
class Bias:
    """A bias in steps of the layer's input (`slot`) times those of its weight (the DQ's output)."""

    integers: str
    scale: str
    values: str
    output: str
    slot: int
    weight: str


Instruction = Operation | Rounding | Weight | Bias


@dataclass
class Program:
    """What to compute, in order, and what it needs.

    Attributes:
        scales: For each slot, the scale initializers that hold its step.
        steps: The step of each slot in the file.
        parameters: Float values that are trained, by name.
        constants: All others, by name.
        last: For each instruction, tensors that nothing takes any more.
    """

    input: str
    output: str
    instructions: list[Instruction] = field(default_factory=list)
    scales: list[list[str]] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    parameters: dict[str, Tensor] = field(default_factory=dict)
    constants: dict[str, Tensor] = field(default_factory=dict)
    last: list[list[str]] = field(default_factory=list)


def read(file: onnx.ModelProto, floats: onnx.ModelProto, trained: Set[str] = frozenset()) -> Program:
    """The program of a Q/DQ `file` that was written from the float graph `floats`.

    Args:
        file: The Q/DQ file.
        floats: A graph with nodes of the same names, which hold the weights before rounding.
        trained: Names of parameters that are to be trained too where they are not rounded.

    Raises SecateurError for an operator that is not known here.
    """
    return _Reader(Graph(file), Graph(floats), trained).program


class _Reader:
    def __init__(self, graph: Graph, floats: Graph, trained: Set[str]) -> None:
        self.graph, self.floats, self.trained = graph, floats, trained
        self.nodes = {node.name: node for node in floats.nodes}
        self.program = Program(graph.model.graph.input[0].name, graph.model.graph.output[0].name)
        self.alias: dict[str, str] = {}
        self.slots: dict[str, int] = {}  # by scale initializer
        self.rounded: dict[str, Rounding] = {}  # by output
        self.weights: dict[str, Weight] = {}  # by the integers' name
        for node in graph.nodes:
            self._take(node)
        self._release()

    def _take(self, node: onnx.NodeProto) -> None:
        if node.op_type == "QuantizeLinear":
            self._round(node)
        elif node.op_type == "DequantizeLinear" and node.input[0] in self.graph.constants:
            self._constant(node)
        elif node.op_type == "DequantizeLinear" or self._is_needless(node):
            self.alias[node.output[0]] = self._name(node.input[0])
        else:
            self._operation(node)

    def _name(self, name: str) -> str:
        return self.alias.get(name, name)

    def _is_needless(self, node: onnx.NodeProto) -> bool:
        """Whether it is a ReLU that only a rounding takes whose least integer is zero: that has no negatives itself."""
        after = self.graph.only_consumer(node.output[0])
        return (
            node.op_type == "Relu"
            and after is not None
            and after.op_type == "QuantizeLinear"
            and int(self.graph.array(after.input[2])) == _range(self.graph.array(after.input[2]))[0]
        )

    def _round(self, node: onnx.NodeProto) -> None:
        source, (scale, zero) = self._name(node.input[0]), node.input[1:3]
        point = self.graph.array(zero)
        low, high = (bound - int(point) for bound in _range(point))
        if (before := self._moved(source, scale, low)) is not None:
            slot = before.slot
            self.alias[node.output[0]] = source
            self.rounded[source] = before
        else:
            slot = self.slots.get(scale, len(self.program.steps))
            made = Rounding(source, node.output[0], slot, low, high)
            self.program.instructions.append(made)
            self.rounded[node.output[0]] = made
        if slot == len(self.program.steps):
            self.program.steps.append(float(self.graph.array(scale)))
            self.program.scales.append([])
        if scale not in self.slots:
            self.slots[scale] = slot
            self.program.scales[slot].append(scale)

    def _moved(self, source: str, scale: str, low: int) -> Rounding | None:
        """The rounding whose values this tensor holds already, with the same step and zero point."""
        node = self.graph.producers.get(source)
        before = self.rounded.get(source)
        while before is None and node is not None and node.op_type in choose.DATA_MOVEMENT_OPS:
            source = self._name(node.input[0])
            before, node = self.rounded.get(source), self.graph.producers.get(source)
        if before is None or before.low != low:
            return None
        # A scale of the file that another slot holds must not be learned twice: it has one value.
        same = self.program.steps[before.slot] == float(self.graph.array(scale))
        return before if same and self.slots.get(scale, before.slot) == before.slot else None

    def _constant(self, node: onnx.NodeProto) -> None:
        """A weight or bias, whose float values the node of the same name holds in the float graph."""
        name, scale, output = node.input[0], node.input[1], node.output[0]
        if name in self.weights:  # held once, taken by several
            self.alias[output] = self.weights[name].output
            return
        taker = self.graph.consumers[output][0]
        position = list(taker.input).index(output)
        values = self.nodes[taker.name].input[position]
        self.program.parameters[values] = self._tensor(self.floats.array(values))
        if self.graph.array(name).dtype.itemsize == 1:
            axis = next((a.i for a in node.attribute if a.name == "axis"), None)
            axis = axis if self.graph.array(scale).size > 1 else None
            self.weights[name] = Weight(name, scale, values, output, axis)
            self.program.instructions.append(self.weights[name])
        else:
            slot = self.rounded[self._name(taker.input[0])].slot
            made = Bias(name, scale, values, output, slot, self._name(taker.input[1]))
            self.program.instructions.append(made)

    def _operation(self, node: onnx.NodeProto) -> None:
        layer = node.name if node.name in self.nodes else layer_of(node, self.graph) or node.output[0]
        if node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
            raise SecateurError(
                f"{node.op_type} cannot be trained with fake quantization",
                f"Layer {layer} is exported as this ONNX operator, which has no counterpart in torch here.",
                "Use quantize.static, which needs no training, for this network.",
            )
        if node.op_type not in SEVERAL and any(map(self.graph.consumers.get, node.output[1:])):
            raise SecateurError(
                f"{node.op_type} with several results cannot be trained with fake quantization",
                f"Layer {layer} gives more than one, as a pooling does that gives indices too.",
                "Use quantize.static, which needs no training, for this network.",
            )
        inputs = tuple(self._name(name) for name in node.input)
        for name in inputs:
            if name in self.graph.constants:
                self._hold(name)
        attributes = {one.name: _value(one) for one in node.attribute}
        made = Operation(node.op_type, layer, inputs, tuple(node.output), attributes)
        self.program.instructions.append(made)

    def _hold(self, name: str) -> None:
        """Keep a constant: to be trained if it is a parameter of the network's."""
        values = self._tensor(self.graph.array(name))
        trained = name.split(COPY)[0] in self.trained and values.is_floating_point()
        (self.program.parameters if trained else self.program.constants)[name] = values

    @staticmethod
    def _tensor(values: Array) -> Tensor:
        return from_array(values.copy())

    def _release(self) -> None:
        """Note after which instruction each tensor is taken no more."""
        program = self.program
        program.output = self._name(program.output)
        seen = {program.output}
        for instruction in reversed(program.instructions):
            taken = set(sources(instruction)) - seen - {""}
            seen |= taken
            program.last.insert(0, sorted(taken - program.constants.keys() - program.parameters.keys()))


def sources(instruction: Instruction) -> tuple[str, ...]:
    """The tensors that an instruction takes."""
    match instruction:
        case Operation():
            return instruction.inputs
        case Rounding():
            return (instruction.source,)
        case Weight() | Bias():
            return ()


def _range(zero_point: Array) -> tuple[int, int]:
    """The integers that the zero point's type holds."""
    signed = zero_point.dtype.kind == "i"
    bits = 8 * zero_point.dtype.itemsize - signed
    return (-(2**bits) if signed else 0), 2**bits - 1


def _value(attribute: onnx.AttributeProto) -> object:
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return from_array(numpy_helper.to_array(value))
    return value
