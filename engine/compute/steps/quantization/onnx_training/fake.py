"""Fake quantization: rounding to integer steps in float, with gradients for values and steps.

Values pass their gradient straight through where they are not clipped; steps are learned as in LSQ (Esser et al. 2020,
"Learned Step Size Quantization", equations 2 to 5). A step is a calibrated step times a *factor* that is trained, one
at first: updates of SGD are those of LSQ times `PACE`, and those of Adam are relative to the step.
"""

import math
from typing import Any

import torch
from torch import Tensor

LEAST_FACTOR, MOST_FACTOR = 0.5, 2.0
"""Of a calibrated step, between which it can be learned: in 8 bits more is no gain, and a step that ran away could not
come back."""
PACE = 0.01
"""How fast steps learn beside LSQ's rate. That is for few bits: in 8 bits a calibrated step is near the best one from
the start, what it clips weighs 127 times what it rounds, and at the full rate ResNet20 diverges on digits."""


def activation(values: Tensor, factor: Tensor, step: float, calibrated: float, low: int, high: int) -> Tensor:
    """Activations rounded to multiples of a step between `low` and `high` steps, of the same shape, float32.

    Args:
        values: Any shape (N, …).
        factor: The step over its calibrated value, a scalar; it gets a gradient if it takes one.
        step: The step itself, as a number: no value has to be read from the device.
        calibrated: What `factor` multiplies.
        low: The smallest integer less the zero point.
        high: The largest integer less the zero point.
    """
    return _Activation.apply(values.float(), factor, step, calibrated, low, high)  # type: ignore[no-any-return]


def weight(values: Tensor, steps: Tensor, calibrated: Tensor, factor: Tensor | None, levels: int) -> Tensor:
    """Weights rounded to multiples of their steps, at most `levels` of them either way; zero stays zero.

    `steps`, `calibrated` and `factor` are as `values` in the dimension of channels and 1 in the others; without
    `factor` the steps are not learned.
    """
    return _Weight.apply(values, factor, steps, calibrated, levels)  # type: ignore[no-any-return]


def straight(values: Tensor, replaced: Tensor) -> Tensor:
    """`replaced`, with the gradient of `values`."""
    return values + (replaced - values).detach()


def _gradient_scale(features: int, levels: int) -> float:
    """What LSQ multiplies a step's gradient with, so that steps learn as fast as weights; times our pace."""
    return PACE / math.sqrt(features * levels)


class _Activation(torch.autograd.Function):
    """In few passes over memory: on a CPU these cost more than the arithmetic (torch's own fused operators take 4× as
    long forward and 10× backward)."""

    @staticmethod
    def forward(
        context: Any, values: Tensor, factor: Tensor, step: float, calibrated: float, low: int, high: int
    ) -> Tensor:
        output = torch.div(values, step).round_().clamp_(low, high).mul_(step)
        context.save_for_backward(values, output)
        context.step, context.calibrated, context.low, context.high = step, calibrated, low, high
        return output

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, output = context.saved_tensors
        step = context.step
        lower, upper = (context.low - 0.5) * step, (context.high + 0.5) * step
        inside = torch.ops.aten.hardtanh_backward(gradient, values, lower, upper)
        if not context.needs_input_grad[1]:
            return inside, None, None, None, None, None
        # Inside the range the output changes by (output - values) / step, outside by output / step.
        total = _dot(gradient, output) - _dot(inside, values)
        scale = _gradient_scale(values[0].numel(), context.high - context.low)
        return inside, total * (scale / step / context.calibrated), None, None, None, None


def _dot(one: Tensor, two: Tensor) -> Tensor:
    """Σ one · two; without a copy where both have the same layout."""
    if one.dim() == 4 and one.is_contiguous(memory_format=torch.channels_last):
        one, two = one.permute(0, 2, 3, 1), two.permute(0, 2, 3, 1)
    return torch.dot(one.reshape(-1), two.reshape(-1))


class _Weight(torch.autograd.Function):
    @staticmethod
    def forward(
        context: Any, values: Tensor, factor: Tensor, steps: Tensor, calibrated: Tensor, levels: int
    ) -> Tensor:
        output = torch.div(values, steps).round_().clamp_(-levels, levels).mul_(steps)
        context.save_for_backward(values, output, steps, calibrated)
        context.levels = levels
        return output

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, output, steps, calibrated = context.saved_tensors
        inside = torch.where(values.abs() <= (context.levels + 0.5) * steps, gradient, 0.0)
        if not context.needs_input_grad[1]:
            return inside, None, None, None, None
        others = [axis for axis in range(values.dim()) if steps.shape[axis] == 1]
        total = (gradient * output - inside * values).sum(others, keepdim=True)
        scale = _gradient_scale(values.numel() // steps.numel(), context.levels)
        return inside, total * (scale / steps / calibrated), None, None, None
