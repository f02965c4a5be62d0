"""Rounding with compensation: what GPTQ defines, never a larger error by what follows it, masks that stay."""

import itertools

import pytest
import torch
from torch import Tensor

from engine.compute.steps.calibration.output_error import OutputError
from engine.compute.steps.quantization.compensated import Grid, compensated, descended, fitted, gptq


def form(groups: int = 1, filters: int = 4, weights: int = 20, *, correlated: bool = True) -> OutputError:
    chance = torch.Generator().manual_seed(0)
    inputs = torch.randn(groups, 400, weights, generator=chance, dtype=torch.float64)
    if correlated:
        inputs = inputs + 2 * torch.randn(groups, 400, 1, generator=chance, dtype=torch.float64)
    hessian = inputs.mT @ inputs
    if not correlated:
        hessian = torch.diag_embed(hessian.diagonal(dim1=1, dim2=2))
    best = torch.randn(groups, filters, weights, generator=chance, dtype=torch.float64)
    return OutputError(best, hessian, best.new_zeros(groups, weights), best.new_zeros(groups, filters))


def grid_for(error: OutputError, step: float = 0.5, top: int = 3, width: int | None = None) -> Grid:
    ones = torch.ones_like(error.best)
    return Grid(step * ones, -top * ones, top * ones, width or error.best.shape[-1])


def error_of(error: OutputError, codes: Tensor, grid: Grid) -> float:
    return float(error.of(codes * grid.step).sum())


def test_inputs_that_are_not_correlated_leave_nothing_to_make_up_for() -> None:
    error = form(correlated=False)
    grid = grid_for(error)
    codes, _ = compensated(error, grid, fit_steps=False)
    assert torch.equal(codes, grid.nearest(error.best))


def test_codes_are_those_of_optimal_brain_quantization_in_the_same_order() -> None:
    """Frantar & Alistarh 2022 (OBQ), equation 7, with the inverse of what is left computed anew for every weight."""
    error = form(groups=2)
    grid = grid_for(error)
    expected = torch.empty_like(error.best)
    for group, filters in enumerate(error.best):
        hessian = error.hessian[group]
        order = torch.argsort(hessian.diagonal(), descending=True, stable=True).tolist()
        for row, weight in enumerate(filters.clone()):
            for number, place in enumerate(order):
                left = order[number:]
                inverse = torch.linalg.inv(hessian[left][:, left])
                code = torch.clamp(torch.round(weight[place] / 0.5), -3, 3)
                expected[group, row, place] = code
                weight[left] -= (weight[place] - 0.5 * code) / inverse[0, 0] * inverse[0]
    assert torch.equal(gptq(error, grid), expected)


@pytest.mark.parametrize("width", [None, 7])
def test_no_sweep_and_no_step_makes_the_error_larger(width: int | None) -> None:
    error = form(groups=3, weights=70)
    grid = grid_for(error, step=1.0, top=1, width=width)
    codes = gptq(error, grid)
    errors = [error_of(error, codes, grid)]
    for _ in range(3):
        codes = descended(error, codes, grid)
        errors.append(error_of(error, codes, grid))
        grid = fitted(error, codes, grid)
        errors.append(error_of(error, codes, grid))
    assert all(after <= before * (1 + 1e-12) for before, after in itertools.pairwise(errors))
    assert errors[-1] < errors[0] < error_of(error, grid.nearest(error.best), grid)
    assert (grid.step > 0).all()
    groups = torch.split(grid.step, width or 70, dim=2)
    assert all((part == part[..., :1]).all() for part in groups), "one step for the neighbours of a group"


def test_of_few_weights_most_filters_get_the_best_codes_of_all() -> None:
    error = form(filters=6, weights=4)
    grid = grid_for(error, step=0.8, top=1)
    found = error.of(compensated(error, grid, fit_steps=False)[0] * grid.step)
    every = torch.tensor(list(itertools.product((-1, 0, 1), repeat=4)), dtype=torch.float64)
    least = torch.stack([error.of((codes * grid.step[0, 0]).expand_as(error.best)) for codes in every])
    assert int((found <= least.amin(0) * (1 + 1e-9)).sum()) >= 5


def test_weights_that_have_to_be_zero_are_and_others_make_up_for_them() -> None:
    error = form()
    used = torch.rand(error.best.shape, generator=torch.Generator().manual_seed(1)) > 0.5
    grid = grid_for(error, step=0.3, top=7)
    grid = Grid(grid.step, torch.where(used, grid.bottom, 0.0), torch.where(used, grid.top, 0.0), grid.width)
    codes, found = compensated(error, grid, fit_steps=True)
    assert (codes[~used] == 0).all() and (codes[used] != 0).any()
    alone = grid.nearest(error.best)
    assert error_of(error, codes, found) < error_of(error, alone, grid)
