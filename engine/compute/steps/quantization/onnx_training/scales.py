"""The steps of fake quantization as modules: learned, or following what is seen."""

import torch
from torch import Tensor, nn

from engine.compute.steps.quantization.onnx_training import fake

OBSERVED = 0.01
"""Weight of a batch in the running average of a range: as an average over the last hundred."""


def _bounded(factors: Tensor) -> Tensor:
    return factors.clamp(fake.LEAST_FACTOR, fake.MOST_FACTOR)


class ActivationSteps(nn.Module):
    """The step of every quantized activation: its calibrated step times a factor.

    Attributes:
        factors: (activations,): parameters where steps are learned.
        observing: Whether, in training mode, steps follow the batches' ranges.
    """

    factors: Tensor
    _calibrated: Tensor

    def __init__(self, calibrated: list[float], *, learned: bool) -> None:
        super().__init__()
        self.observing = False
        self._initial = calibrated
        self.register_buffer("_calibrated", torch.tensor(calibrated), persistent=False)
        factors = torch.ones(len(calibrated))
        if learned:
            self.factors = nn.Parameter(factors)
        else:
            self.register_buffer("factors", factors)
        self._steps = list(calibrated)
        self._separate: tuple[Tensor, ...] = ()

    def start(self) -> None:
        """Read the steps for a pass, all at once: so a GPU is waited for only once."""
        used = self._now()
        self._separate = used.unbind()
        self._steps = (used.detach() * self._calibrated).tolist()

    def end(self) -> None:
        """Forget what belongs to the pass: its graph."""
        self._separate = ()

    def current(self, slot: int) -> float:
        """The step of a slot in this pass."""
        return self._steps[slot]

    def forward(self, values: Tensor, slot: int, low: int, high: int) -> Tensor:
        """`values` rounded to `low` … `high` times the step of `slot`."""
        if self.observing and self.training:
            self._observe(values.detach(), slot, low, high)
        return fake.activation(
            values, self._separate[slot], self._steps[slot], self._initial[slot], low, high
        )

    @torch.no_grad()
    def _observe(self, values: Tensor, slot: int, low: int, high: int) -> None:
        least, most = values.float().aminmax()
        # The step that makes both ends reach: bounds are less the zero point, low ≤ 0 ≤ high, and one of them may be 0.
        ends = [end / bound for end, bound in ((least, low), (most, high)) if bound]
        wanted = torch.stack(ends).amax() / self._initial[slot]
        self.factors[slot].lerp_(wanted, OBSERVED)

    def now(self) -> Tensor:
        """The present steps, (activations,), on the CPU."""
        return (self._now().detach() * self._calibrated).cpu()

    def _now(self) -> Tensor:
        # Observed ranges may go where they want.
        return _bounded(self.factors) if isinstance(self.factors, nn.Parameter) else self.factors


class WeightSteps(nn.Module):
    """The steps of a weight: one for each channel along `axis`, or one for all where that is None."""

    calibrated: Tensor

    def __init__(
        self, calibrated: Tensor, dimensions: int, axis: int | None, levels: int, *, learned: bool
    ) -> None:
        super().__init__()
        self._axis, self._levels = axis, levels
        shape = [-1 if one == axis else 1 for one in range(dimensions)]
        self.register_buffer("calibrated", calibrated.reshape(shape), persistent=False)
        self.factor = nn.Parameter(torch.ones(calibrated.numel())) if learned else None

    def forward(self, values: Tensor) -> Tensor:
        """The weight, rounded."""
        factor = None if self.factor is None else _bounded(self.factor).reshape(self.calibrated.shape)
        return fake.weight(values, self.of(values), self.calibrated, factor, self._levels)

    @torch.no_grad()
    def of(self, values: Tensor) -> Tensor:
        """The present steps, as the weight in the dimension of channels and 1 in the others."""
        if self.factor is not None:
            return _bounded(self.factor).reshape(self.calibrated.shape) * self.calibrated
        others = [one for one in range(values.dim()) if one != self._axis]
        most = values.abs().amax(others, keepdim=True) / self._levels
        # A channel of zeros keeps its step: one that is not zero.
        return torch.where(most > 0, most, self.calibrated)

    def integers(self, values: Tensor) -> Tensor:
        """The weight in steps, int8: rounded as `forward` does, to the last bit."""
        return torch.div(values, self.of(values)).round_().clamp_(-self._levels, self._levels).to(torch.int8)
