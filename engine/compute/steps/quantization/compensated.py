"""Rounding in which weights make up for each other's errors: a layer's outputs, not its weights, come nearest.

The error is the quadratic form of `engine.compute.steps.calibration.output_error`. All filters go at once, in the shape
of its `best`: (groups of the convolution, filters, weights), float64.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from engine.compute.context import Tell, untold, within
from engine.compute.steps.calibration.output_error import OutputError

BLOCK = 64
"""Weights of a filter after which all later ones learn of the errors, in one product of matrices."""
SHARES = tuple(round(1 - 0.06 * number, 2) for number in range(12))
"""Of the steps with least squared error of the weights: those that are tried, down to a third."""
STACKED = 1 << 23
"""Weights of filters times shares that are tried at once: what bounds the memory."""
TURNS = 6
"""Times that codes and steps are improved in turns; the third changes little."""


@dataclass(frozen=True)
class Grid:
    """The grid of each weight: its step, the codes at its ends (both 0 for a weight that has to stay zero), and the
    number of neighbouring weights with one step."""

    step: Tensor
    bottom: Tensor
    top: Tensor
    width: int

    def nearest(self, values: Tensor, places: slice | int = slice(None)) -> Tensor:
        """The codes of the weights at `places` nearest to `values`."""
        codes = torch.round(values / self.step[..., places])
        return torch.minimum(torch.maximum(codes, self.bottom[..., places]), self.top[..., places])


def compensated(
    error: OutputError, grid: Grid, *, fit_steps: bool, tell: Tell = untold
) -> tuple[Tensor, Grid]:
    """Codes of small error, and their grid; with `fit_steps` its steps are chosen too, starting from those of `grid`.

    GPTQ (Frantar et al. 2023, algorithm 1, in the order of the hessian's diagonal), for which the best of some steps
    are taken, filter by filter; then in turns coordinate descent over the codes (each weight at its best while the
    others stay) and least squares of the steps, neither of which can make the error larger.
    """
    first, *turns, last = (within(tell, number, TURNS + 2) for number in range(TURNS + 2))
    if fit_steps:
        codes, grid = _of_best_steps(error, grid, first)
    else:
        codes = gptq(error, grid, first)
    for turn in turns:
        codes = descended(error, codes, grid, turn)
        if fit_steps:
            grid = fitted(error, codes, grid)
    return descended(error, codes, grid, last), grid


def _of_best_steps(error: OutputError, grid: Grid, tell: Tell) -> tuple[Tensor, Grid]:
    """For each filter the best of its steps and shorter ones, and the codes that GPTQ finds on them."""
    groups, _, weights = error.best.shape
    at_once = max(STACKED // (groups * weights * len(SHARES)), 1)
    parts = list(
        zip(
            *(torch.split(of, at_once, dim=1) for of in (error.best, grid.step, grid.bottom, grid.top)),
            strict=True,
        )
    )
    found = [
        _of_best_share(
            replace(error, best=best),
            Grid(step, bottom, top, grid.width),
            within(tell, number, len(parts)),
        )
        for number, (best, step, bottom, top) in enumerate(parts)
    ]
    codes, steps = (torch.cat(of, dim=1) for of in zip(*found, strict=True))
    return codes, replace(grid, step=steps)


def _of_best_share(error: OutputError, grid: Grid, tell: Tell) -> tuple[Tensor, Tensor]:
    """Codes and steps of a few filters: all shares are tried at once, as if there were so many more filters."""

    def stacked(of: Tensor) -> Tensor:
        return of.repeat_interleave(len(SHARES), dim=1)

    shares = grid.step.new_tensor(SHARES).repeat(grid.step.shape[1])[:, None]
    tried = Grid(stacked(grid.step) * shares, stacked(grid.bottom), stacked(grid.top), grid.width)
    every = replace(error, best=stacked(error.best))
    codes = gptq(every, tried, tell)
    steps = fitted(every, codes, tried).step
    errors = every.of(codes * steps).reshape(*error.best.shape[:2], len(SHARES))
    first = torch.arange(error.best.shape[1], device=errors.device) * len(SHARES)
    chosen = (errors.argmin(2) + first)[..., None].expand_as(error.best)
    return codes.gather(1, chosen), steps.gather(1, chosen)


def gptq(error: OutputError, grid: Grid, tell: Tell = untold) -> Tensor:
    """Rounds one weight of all filters after the other; those not yet rounded move to make up for its error."""
    order = torch.argsort(error.hessian.diagonal(dim1=1, dim2=2), dim=1, descending=True, stable=True)
    across = order[:, None, :].expand_as(error.best)
    hessian = error.hessian.gather(1, order[:, :, None].expand_as(error.hessian))
    hessian = hessian.gather(2, order[:, None, :].expand_as(hessian))
    weights = error.best.gather(2, across)
    step, bottom, top = (of.gather(2, across) for of in (grid.step, grid.bottom, grid.top))
    ordered = Grid(step, bottom, top, grid.width)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
    factor = torch.linalg.cholesky(inverse, upper=True)
    codes = torch.empty_like(weights)
    for start in range(0, weights.shape[2], BLOCK):
        tell(start / weights.shape[2])
        end = min(start + BLOCK, weights.shape[2])
        errors = torch.empty_like(weights[..., start:end])
        for place in range(start, end):
            codes[..., place] = ordered.nearest(weights[..., place], place)
            wrong = weights[..., place] - codes[..., place] * ordered.step[..., place]
            errors[..., place - start] = wrong / factor[:, place, place, None]
            change = errors[..., place - start, None] * factor[:, None, place, place:end]
            weights[..., place:end] -= change
        weights[..., end:] -= errors @ factor[:, start:end, end:]
    return torch.empty_like(codes).scatter_(2, across, codes)


def descended(error: OutputError, codes: Tensor, grid: Grid, tell: Tell = untold) -> Tensor:
    """One sweep of coordinate descent: each weight goes where the error is least while all others stay."""
    codes = codes.clone()
    slope = (codes * grid.step - error.best) @ error.hessian
    curvature = error.hessian.diagonal(dim1=1, dim2=2)
    for start in range(0, codes.shape[2], BLOCK):
        tell(start / codes.shape[2])
        end = min(start + BLOCK, codes.shape[2])
        within, step = slope[..., start:end].clone(), grid.step[..., start:end]
        before = codes[..., start:end].clone()
        for place in range(start, end):
            here = codes[..., place] * grid.step[..., place]
            wanted = here - within[..., place - start] / curvature[:, place, None]
            codes[..., place] = grid.nearest(wanted, place)
            moved = codes[..., place] * grid.step[..., place] - here
            within += moved[..., None] * error.hessian[:, None, place, start:end]
        slope += ((codes[..., start:end] - before) * step) @ error.hessian[:, start:end]
    return codes


def fitted(error: OutputError, codes: Tensor, grid: Grid) -> Grid:
    """The grid with steps of least error for these codes, one group of neighbours after the other."""
    step = grid.step.clone()
    slope = (codes * step - error.best) @ error.hessian
    for start in range(0, codes.shape[2], grid.width):
        part = slice(start, start + grid.width)
        own = codes[..., part]
        across = own @ error.hessian[:, part]  # (groups, filters, weights)
        curvature = (across[..., part] * own).sum(-1)
        change = -(slope[..., part] * own).sum(-1) / curvature.clamp_min(torch.finfo(step.dtype).tiny)
        # A step of zero, or through it, would lose the filter: the earlier one stays.
        change = torch.where((curvature > 0) & (step[..., start] + change > 0), change, 0.0)[..., None]
        step[..., part] += change
        slope += change * across
    return replace(grid, step=step)
