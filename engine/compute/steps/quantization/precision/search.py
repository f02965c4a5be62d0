"""Which repairs of a graph are worth it, judged on training images that calibration does not see."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from typing import Any, Protocol

import onnx
import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.steps.calibration.activations import shuffled, these
from engine.compute.steps.quantization.bias_correction import input_means
from engine.compute.steps.quantization.calibrate import ranges
from engine.compute.steps.quantization.equalization import equalized
from engine.compute.steps.quantization.recipe import Recipe
from engine.compute.tasks import task_of
from engine.compute.tasks.base import Outputs
from engine.params.quantization import QuantizeStatic, Switch

HELD_OUT = 128
"""Training images on which repairs are judged, and layers ranked; at most a quarter of all."""


class Images(Protocol):
    """Images to make a file with."""

    def calibration(self) -> Iterator[Tensor]:
        """The images to calibrate on, in batches (N, C, H, W): the same ones every time."""

    def held_out(self) -> Iterator[Tensor]:
        """Images that calibration does not see, in batches."""

    def deviation(self, outputs: Outputs) -> float:
        """How far the outputs of a file for such images are from those of its float graph (`Task.deviation`)."""


class Drawn:
    """Training images drawn by the seed: some to calibrate on, others held out."""

    def __init__(self, model: nn.Module, params: QuantizeStatic, context: Context) -> None:
        self._context = context
        self._batch = context.at_once(model, params.batch, kept=True)
        order = shuffled(context, "quantize")
        held = min(HELD_OUT, len(order) // 4)
        self._held_out, self._calibration = order[:held], order[held : held + params.images]

    def calibration(self) -> Iterator[Tensor]:
        return these(self._context, self._calibration, self._batch)

    def held_out(self) -> Iterator[Tensor]:
        return these(self._context, self._held_out, self._batch)

    def deviation(self, outputs: Outputs) -> float:
        return task_of(self._context.data).deviation(outputs)


@dataclass(frozen=True)
class Found:
    """A recipe, the repairs in it, and the deviation of its outputs with each choice that was tried."""

    recipe: Recipe
    equalized: bool
    corrected: bool
    deviations: dict[str, float]

    @property
    def description(self) -> str:
        """What was chosen, in words."""
        repairs = [
            name for name, on in (("equalization", self.equalized), ("bias correction", self.corrected)) if on
        ]
        tried = ", ".join(f"{value:.3g} with {name}" for name, value in self.deviations.items())
        chosen = " and ".join(repairs) or "neither equalization nor bias correction"
        return f"uses {chosen}" + (
            f" (deviation of the outputs on held-out images: {tried})" if tried else ""
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"equalize": self.equalized, "bias_correction": self.corrected, "deviations": self.deviations}


def best_recipe(graph: onnx.ModelProto, params: QuantizeStatic, drawn: Images, skip: Set[str]) -> Found:
    """The recipe with the repairs that are on, or that lessen the deviation where they are on `auto`.

    Equalization is settled first, because it changes what biases have to make up for.
    """
    deviations: dict[str, float] = {}
    recipes: dict[tuple[bool, bool], Recipe] = {}

    def recipe(even: bool, correct: bool) -> Recipe:
        if (even, correct) not in recipes:
            recipes[even, correct] = _recipe(graph, params, drawn, even, correct, recipes.get((even, False)))
        return recipes[even, correct]

    def deviates(even: bool, correct: bool) -> float:
        name = " and ".join(n for n, on in (("equalization", even), ("bias correction", correct)) if on)
        if (name or "neither") not in deviations:
            file = recipe(even, correct).write(skip)
            deviations[name or "neither"] = deviation(graph, file, drawn)
        return deviations[name or "neither"]

    even = _decided(params.equalize, lambda: deviates(True, False) < deviates(False, False))
    correct = _decided(params.bias_correction, lambda: deviates(even, True) < deviates(even, False))
    return Found(recipe(even, correct), even, correct, deviations)


def _decided(switch: Switch, helps: Callable[[], bool]) -> bool:
    return helps() if switch == "auto" else switch == "on"


def _recipe(
    graph: onnx.ModelProto,
    params: QuantizeStatic,
    drawn: Images,
    even: bool,
    correct: bool,
    known: Recipe | None,
) -> Recipe:
    """`known` is the same recipe without correction, where there is one: its ranges are these."""
    base = known.graph if known else equalized(graph) if even else graph
    bounds = known.ranges if known else ranges(base, drawn.calibration, params.method)
    means = input_means(base, drawn.calibration()) if correct else None
    return Recipe(base, bounds, means, params.per_channel)


def deviation(graph: onnx.ModelProto, file: onnx.ModelProto, drawn: Images) -> float:
    """How far the outputs of a file are from those of its float `graph` on the held-out images."""
    threads = torch.get_num_threads()
    one, two = (OnnxModel(each.SerializeToString(), threads) for each in (graph, file))
    return drawn.deviation((one(images), two(images)) for images in drawn.held_out())
