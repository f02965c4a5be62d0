"""Where the points of a uniform grid lie: over the whole range of the weights, or where the squared error is least."""

from typing import Literal, assert_never

import torch
from torch import Tensor

from engine.compute.layers.grids import GridForm

Clip = Literal["minmax", "mse"]
SHRINKS = tuple(round(1.0 - 0.03 * number, 2) for number in range(31))
"""Shares of the range that are tried, 1 down to 0.1: three points for normal weights cover a third of it (the best
step is 1.22 deviations, Max 1960), and the search for each step ends with least squares."""
REFINEMENTS = 10
"""Rounds of least squares at most; they converge in a few."""
BLOCK = 1 << 20
"""Weights that are looked at together: what bounds the memory."""


def fit_grid(weight: Tensor, form: GridForm, clip: Clip) -> tuple[Tensor, Tensor]:
    """Step and points below zero (uint8) of every group of `weight`, each (rows · groups), on the CPU."""
    values = form.cut(weight.detach().cpu().contiguous())
    parts = torch.split(values, max(BLOCK // max(values.shape[1], 1), 1))
    fitted = [_fit(part.double(), form, clip) for part in parts]
    step = torch.cat([step for step, _ in fitted]).to(weight.dtype)
    low = torch.cat([low for _, low in fitted]).to(torch.uint8)
    return step, low


def _fit(values: Tensor, form: GridForm, clip: Clip) -> tuple[Tensor, Tensor]:
    """Step and low of each row of `values` (groups, weights)."""
    match clip:
        case "minmax":
            return _over(values, form, 1.0)
        case "mse":
            return _least_squares(values, form)
        case _:
            assert_never(clip)


def _over(values: Tensor, form: GridForm, share: float) -> tuple[Tensor, Tensor]:
    """The grid over this share of each row's range, which always holds zero."""
    below = -values.amin(1).clamp_max(0)
    above = values.amax(1).clamp_min(0)
    if form.symmetric:
        below = above = torch.maximum(below, above)
    step = (below + above) * share / form.levels
    # All at zero: any step will do.
    step = torch.where(step > 0, step, 1.0)
    return step, torch.round(below * share / step).clamp(0, form.levels)


def _codes(values: Tensor, step: Tensor, low: Tensor, form: GridForm) -> Tensor:
    codes = torch.round(values / step[:, None])
    return torch.clamp(codes, -low[:, None], form.levels - low[:, None])


def _least_squares(values: Tensor, form: GridForm) -> tuple[Tensor, Tensor]:
    """The best of the shrunken ranges, then in turns the best codes for a step and the best step for the codes."""
    best_step, best_low = _over(values, form, 1.0)
    least = _error(values, best_step, best_low, form)
    for share in SHRINKS[1:]:
        step, low = _over(values, form, share)
        best_step, best_low, least = _better(values, form, (step, low), (best_step, best_low, least))
    for _ in range(REFINEMENTS):
        codes = _codes(values, best_step, best_low, form)
        step = (values * codes).sum(1) / codes.square().sum(1).clamp_min(1)
        step = torch.where(step > 0, step, best_step)
        before = least
        best_step, best_low, least = _better(values, form, (step, best_low), (best_step, best_low, least))
        if torch.equal(before, least):
            break
    return best_step, best_low


def _better(
    values: Tensor, form: GridForm, new: tuple[Tensor, Tensor], best: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, Tensor, Tensor]:
    """For each row the one of two grids with the smaller error; `best` comes with its errors."""
    (step, low), (best_step, best_low, least) = new, best
    error = _error(values, step, low, form)
    wins = error < least
    return (
        torch.where(wins, step, best_step),
        torch.where(wins, low, best_low),
        torch.where(wins, error, least),
    )


def _error(values: Tensor, step: Tensor, low: Tensor, form: GridForm) -> Tensor:
    """Squared error of each row."""
    return (_codes(values, step, low, form) * step[:, None] - values).square().sum(1)
