"""Uniform grids that live inside the model: a layer computes with rounded weights, and trains the ones below them."""

import math
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn.utils import parametrize

from engine.compute.layers.masks import Folding, fold_module, mask_of, part_of, parts, set_mask
from engine.compute.layers.select import leaf_of, weight_of
from engine.compute.numerics.aligned import bits

WITHIN = 0.499
"""Of a step: how far from its point a weight may lie that is to round to it, whatever float32 makes of the quotient."""


@dataclass(frozen=True)
class GridForm:
    """How the steps of a grid are spread over a weight: its rows (filters) are cut in groups with a step each.

    A code takes `bits`, 2 to 8; a `symmetric` grid is as long on both sides of zero and leaves one of the codes out.
    `group` is the number of neighbouring weights of a row with one step, the last of a
    row's groups may have fewer; None: the whole row. `learned`: training moves the steps too.
    """

    bits: int
    symmetric: bool = True
    group: int | None = None
    learned: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def levels(self) -> int:
        """Steps between the lowest and the highest point."""
        return (1 << self.bits) - (2 if self.symmetric else 1)

    def groups(self, shape: tuple[int, ...]) -> tuple[int, int]:
        """Rows, and groups in each, of a weight of `shape`."""
        row = math.prod(shape[1:])
        return shape[0], math.ceil(row / (self.group or max(row, 1)))

    def cut(self, weight: Tensor) -> Tensor:
        """`weight` as (groups of all rows, weights in each), zeros at the end of a group that has fewer."""
        rows, groups = self.groups(tuple(weight.shape))
        flat = weight.reshape(rows, -1)
        width = flat.shape[1] if groups == 1 else self.group or 1
        return nn.functional.pad(flat, (0, groups * width - flat.shape[1])).view(rows * groups, width)

    def spread(self, each: Tensor, shape: tuple[int, ...]) -> Tensor:
        """One value for each group (rows · groups) as a tensor that multiplies with a weight of `shape`."""
        rows, groups = self.groups(shape)
        if groups == 1:
            return each.view(rows, *[1] * (len(shape) - 1))
        assert self.group is not None
        wide = each.view(rows, groups, 1).expand(-1, -1, self.group).reshape(rows, groups * self.group)
        return wide[:, : math.prod(shape[1:])].reshape(shape)


class UniformGrid(Folding):
    """Parametrization of a weight by the nearest point of a uniform grid that holds zero.

    A weight w of a group with the step s and `low` points below zero becomes ``s · clamp(round(w / s), -low,
    levels - low)``, +0.0 where that is zero. The gradient goes straight through to the weights that are not clipped
    (Bengio et al. 2013), and to a learned step as in Esser et al. 2020 ("Learned Step Size Quantization",
    equation 3, with the gradient's scale of their section 2.2).
    """

    step: Tensor
    low: Tensor

    def __init__(self, step: Tensor, low: Tensor, form: GridForm) -> None:
        """`step` (rows · groups), positive; `low` (rows · groups), uint8, the points below zero."""
        super().__init__()
        self.form = form
        if form.learned:
            self.step = nn.Parameter(step.detach().clone())
        else:
            self.register_buffer("step", step)
        self.register_buffer("low", low)

    @property
    def steps(self) -> Tensor:
        """The steps as they are used: training may have taken one through zero."""
        return self.step.abs().clamp_min(torch.finfo(self.step.dtype).tiny)

    def forward(self, weight: Tensor) -> Tensor:
        shape = tuple(weight.shape)
        step = self.form.spread(self.steps, shape)
        low = self.form.spread(self.low, shape).to(weight.dtype)
        per_step = weight.numel() / max(self.step.numel(), 1)
        gradient_scale = 1 / math.sqrt(max(per_step * self.form.levels / 2, 1))
        rounded: Tensor = _Rounding.apply(weight, step, low, self.form.levels - low, gradient_scale)
        return rounded


class _Rounding(torch.autograd.Function):
    """Not by detaching the difference: adding it again would miss the grid by the last bit."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, weight: Tensor, step: Tensor, low: Tensor, top: Tensor, gradient_scale: float
    ) -> Tensor:
        position = weight / step
        nearest = torch.round(position)
        # Adding zero makes -0.0 of a small negative weight +0.0, which files and counts take for a zero.
        code = torch.clamp(nearest, -low, top) + 0.0
        ctx.save_for_backward(position, code, nearest == code)
        ctx.gradient_scale = gradient_scale  # type: ignore[attr-defined]
        return code * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (gradient,) = gradients
        position, code, inside = ctx.saved_tensors
        of_step = None
        if ctx.needs_input_grad[1]:
            of_step = gradient * torch.where(inside, code - position, code) * ctx.gradient_scale
        return torch.where(inside, gradient, 0.0), of_step, None, None, None


@dataclass(frozen=True)
class Grid:
    """A grid apart from its weight: what is stored beside the codes. `steps` and `low` (uint8) as in UniformGrid."""

    form: GridForm
    steps: Tensor
    low: Tensor

    def codes(self, weight: Tensor) -> Tensor | None:
        """The code of every weight, uint8 below ``2 ** bits``, 0 for zero; None when one is not a point of the grid."""
        shape = tuple(weight.shape)
        signed = torch.round(weight / self.form.spread(self.steps, shape))
        low = self.form.spread(self.low, shape)
        if not bool(((signed >= -low.int()) & (signed <= self.form.levels - low.int())).all()):
            return None
        codes = signed.to(torch.int16).remainder(2**self.form.bits).to(torch.uint8)
        return codes if _equal(self.weight(codes), weight) else None

    def weight(self, codes: Tensor) -> Tensor:
        """The weight of which `codes` gave the codes, bit for bit."""
        shape = tuple(codes.shape)
        low = self.form.spread(self.low, shape).to(torch.int16)
        signed = (codes.to(torch.int16) + low).remainder(2**self.form.bits) - low
        return signed.to(self.steps.dtype) * self.form.spread(self.steps, shape)


def _equal(one: Tensor, two: Tensor) -> bool:
    """Whether they are bit-equal, which tells -0.0 from 0.0."""
    return one.dtype == two.dtype and torch.equal(bits(one), bits(two))


def grids(model: nn.Module) -> dict[str, Grid]:
    """The grid of every rounded weight by its name in the folded state_dict, on the CPU."""
    return {
        f"{name}.weight" if name else "weight": Grid(grid.form, grid.steps.detach().cpu(), grid.low.cpu())
        for name, grid in rounded(model).items()
    }


def grid_of(module: nn.Module) -> UniformGrid | None:
    """The grid of `module`'s weight, if it has one."""
    return part_of(module, UniformGrid)


def rounded(model: nn.Module) -> dict[str, UniformGrid]:
    """Every grid of the model by the name of its layer."""
    return parts(model, UniformGrid)


def unrounded(module: nn.Module) -> Tensor:
    """The weight before any rounding, masks applied, detached."""
    if grid_of(module) is None:
        return weight_of(module).detach()
    mask = mask_of(module)
    below = leaf_of(module).detach()
    return below if mask is None else torch.where(mask.mask, below, 0.0)


def without_grid(module: nn.Module) -> None:
    """Take the grid off `module`'s weight, in place: the weights below it are plain again; a mask stays."""
    if grid_of(module) is not None:
        weight, mask = unrounded(module).clone(), mask_of(module)
        trained = leaf_of(module).requires_grad
        fold_module(module)
        module.register_parameter("weight", nn.Parameter(weight, requires_grad=trained))
        if mask is not None:
            set_mask(module, mask.mask)


def inside(weight: Tensor, codes: Tensor, step: Tensor, low: Tensor, form: GridForm) -> Tensor:
    """`weight` moved no further than is needed for these codes (signed, in its shape) to be its nearest ones.

    `step` and `low` as in UniformGrid.
    """
    shape = tuple(weight.shape)
    spread, low = form.spread(step, shape), form.spread(low, shape)
    # The code at either end is that of all that lies beyond.
    bottom = torch.where(codes > -low.int(), codes - WITHIN, -math.inf)
    top = torch.where(codes < form.levels - low.int(), codes + WITHIN, math.inf)
    moved: Tensor = torch.clamp(weight / spread, bottom, top) * spread
    return moved


def set_grid(module: nn.Module, step: Tensor, low: Tensor, form: GridForm) -> None:
    """Round `module`'s weight to a grid, in place; a mask on it stays, over the grid.

    `step` and `low` (uint8) have a value for each group of `form`. A grid that it had before is replaced, and the
    weights below it are rounded anew.
    """
    weight, mask = unrounded(module).clone(), mask_of(module)
    fold_module(module)
    trained = leaf_of(module).requires_grad
    # A parameter of its own: the old one may be another layer's too.
    module.register_parameter("weight", nn.Parameter(weight, requires_grad=trained))
    parametrize.register_parametrization(module, "weight", UniformGrid(step, low, form), unsafe=True)
    if mask is not None:
        set_mask(module, mask.mask)
