"""A Q/DQ file as a torch network that can be trained: what the file computes in integers is rounded in float.

Its weights are the float ones, under their names; what is rounded, how and where is read from the file. `written` gives
the file with the trained weights and steps in it: the same nodes, other constants. So the file agrees with the network
up to the rounding of sums, and is as fast as before.
"""

from collections.abc import Set
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from engine.compute.layers.masks import set_mask
from engine.compute.numerics.aligned import from_array, to_array
from engine.compute.onnx.graph import COPY, Graph
from engine.compute.steps.quantization.onnx_training import fake
from engine.compute.steps.quantization.onnx_training.parse import (
    OPERATORS,
    Bias,
    Operation,
    Program,
    Rounding,
    Weight,
    read,
)
from engine.compute.steps.quantization.onnx_training.scales import ActivationSteps, WeightSteps
from engine.compute.steps.quantization.write import LARGEST_BIAS
from engine.errors import SecateurError

STEPS = "_steps"
"""Behind the name of a weight's integers: the module of its steps."""


class TrainableGraph(nn.Module):
    """A Q/DQ file, interpreted in torch with fake quantization.

    Its parameters are the float weights, in modules that are called as the network's layers; and, where steps are
    learned, factors of the steps: `activations.factors`, and one tensor for each weight. Zero points stay as they are.

    Attributes:
        activations: The steps of activations.
    """

    def __init__(
        self,
        file: onnx.ModelProto,
        floats: onnx.ModelProto,
        *,
        levels: int,
        learned: bool = True,
        trained: Set[str] = frozenset(),
        masked: Set[str] = frozenset(),
        frozen: Set[str] = frozenset(),
    ) -> None:
        """
        Args:
            file: The Q/DQ file; copied.
            floats: The float graph that it was written from.
            levels: The largest integer of a weight.
            learned: Whether steps are learned; otherwise those of weights follow the largest value, and those of
                activations what is observed.
            trained: Names of parameters that are trained although they are not rounded.
            masked: Layers whose zero weights stay zero.
            frozen: Names of parameters that stay as they are.

        Raises SecateurError for an operator that is not known here.
        """
        super().__init__()
        self._file = file.SerializeToString(deterministic=True)
        self._program = read(file, floats, trained)
        self.activations = ActivationSteps(self._program.steps, learned=learned)
        self._tensors: dict[str, tuple[nn.Module, str]] = {}
        self._hold(self._program, masked, frozen)
        self._weights = {made.output: made for made in self._program.instructions if isinstance(made, Weight)}
        graph = Graph(file)
        for made in self._weights.values():
            steps = from_array(graph.array(made.scale))
            dimensions = self._program.parameters[made.values].dim()
            module, attribute = self._place(made.integers + STEPS)
            module.add_module(attribute, WeightSteps(steps, dimensions, made.axis, levels, learned=learned))

    def _hold(self, program: Program, masked: Set[str], frozen: Set[str]) -> None:
        """Register parameters and float constants; other constants are shapes and indices, which stay on the CPU."""
        for name, values in program.parameters.items():
            module, attribute = self._tensors[name] = self._place(name)
            trained = name.split(COPY)[0] not in frozen
            module.register_parameter(attribute, nn.Parameter(values.clone(), requires_grad=trained))
            if name.split(COPY)[0].removesuffix(".weight") in masked:
                set_mask(module, values != 0, attribute)
        for number, (name, values) in enumerate(program.constants.items()):
            if values.is_floating_point():
                self.register_buffer(f"constant{number}", values, persistent=False)
                self._tensors[name] = self, f"constant{number}"

    def _place(self, name: str) -> tuple[nn.Module, str]:
        """The module for a tensor or module of this name, made if need be, and the name in it."""
        module: nn.Module = self
        *path, attribute = name.split(".")
        for part in path:
            if part not in module._modules:
                module.add_module(part, nn.Module())
            module = module.get_submodule(part)
        return module, attribute

    def forward(self, images: Tensor) -> Tensor:
        """The network's output for `images` (N, C, H, W), float32."""
        self.activations.start()
        values: dict[str, Any] = {**self._program.constants, "": None, self._program.input: images}
        values |= {name: getattr(module, attribute) for name, (module, attribute) in self._tensors.items()}
        # Constants, parameters and activations in one table by name; what nothing takes any more is dropped at once, so
        # that only what autograd holds stays in memory.
        for instruction, done in zip(self._program.instructions, self._program.last, strict=True):
            match instruction:
                case Operation():
                    values.update(_operated(instruction, values))
                case Rounding(source, result, slot, low, high):
                    values[result] = self.activations(values[source], slot, low, high)
                case Weight():
                    values[instruction.output] = self._rounding(instruction)(values[instruction.values])
                case Bias():
                    bias = values[instruction.values]
                    integers, steps = self._bias(instruction, self.activations.current(instruction.slot))
                    values[instruction.output] = fake.straight(bias, integers.float() * steps)
            for name in done:
                del values[name]
        self.activations.end()
        output: Tensor = values[self._program.output]
        return output.float()

    def _rounding(self, made: Weight) -> WeightSteps:
        module = self.get_submodule(made.integers + STEPS)
        assert isinstance(module, WeightSteps)
        return module

    @torch.no_grad()
    def _bias(self, made: Bias, step: float) -> tuple[Tensor, Tensor]:
        """A bias in steps (whole float64 numbers), and these steps: those of its layer's input times its weight's."""
        bias, weight = self._value(made.values), self._weights[made.weight]
        steps = self._rounding(weight).of(self._value(weight.values)).reshape(-1) * step
        # In float64: a bias has up to 2³⁰ steps, float32 tells 2²⁴ apart. Both factors are float32, as in the file.
        return torch.div(bias.double(), steps.double()).round_().clamp_(-LARGEST_BIAS, LARGEST_BIAS), steps

    def _value(self, name: str) -> Tensor:
        module, attribute = self._tensors[name]
        tensor: Tensor = getattr(module, attribute)
        return tensor

    @torch.no_grad()
    def written(self) -> onnx.ModelProto:
        """The file with the present weights and steps in it."""
        graph = Graph(onnx.ModelProto.FromString(self._file))
        steps = self.activations.now()
        for names, step in zip(self._program.scales, steps, strict=True):
            for name in names:
                graph.put(name, to_array(step))
        for made in self._program.instructions:
            if isinstance(made, Weight):
                rounding, values = self._rounding(made), self._value(made.values)
                self._put(graph, made, rounding.integers(values), rounding.of(values))
            elif isinstance(made, Bias):
                integers, of_bias = self._bias(made, float(steps[made.slot]))
                self._put(graph, made, integers.to(torch.int32), of_bias)
        for name in self._program.parameters:
            if name in graph.constants:
                graph.put(name, to_array(self._value(name)))
        return graph.model

    @staticmethod
    def _put(graph: Graph, made: Weight | Bias, integers: Tensor, steps: Tensor) -> None:
        shape = tuple(graph.constants[made.scale].dims)
        graph.put(made.integers, to_array(integers))
        graph.put(made.scale, to_array(steps.reshape(shape)))

    def weights(self) -> dict[str, Tensor]:
        """The float weights as they are now, by their names in the float graph, on the CPU."""
        return {name: self._value(name).detach().cpu() for name in self._program.parameters}


def _operated(made: Operation, values: dict[str, Any]) -> dict[str, Any]:
    try:
        result = OPERATORS[made.op]([values[name] for name in made.inputs], made.attributes)
    except NotImplementedError as error:
        raise SecateurError(
            f"{error} cannot be trained with fake quantization",
            f"Layer {made.layer} is exported as this form of {made.op}.",
            "Use quantize.static, which needs no training, for this network.",
        ) from error
    return dict(zip(made.outputs, result if isinstance(result, tuple) else (result,), strict=False))
