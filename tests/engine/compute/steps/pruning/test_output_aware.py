"""Weights chosen by what outputs lose: exact refits, better choices than magnitude, masks that stay."""

import copy

import pytest
import torch
from torch import nn

from engine.compute.context import validate
from engine.compute.layers.masks import masked
from engine.compute.layers.select import weight_of
from engine.compute.measures.counts import count
from engine.compute.steps.calibration.output_error import OutputError
from engine.compute.steps.pruning.output_aware import chosen, refitted
from engine.compute.steps.pruning.rounds import keep_largest
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.training.loop import fit
from engine.params.pruning import PruneWeights
from engine.params.training import Finetune
from tests.engine.compute.compute_help import context_for, small_model


def form(correlation: float = 1.0) -> OutputError:
    chance = torch.Generator().manual_seed(0)
    inputs = torch.randn(2, 300, 24, generator=chance, dtype=torch.float64)
    inputs += correlation * torch.randn(2, 300, 1, generator=chance, dtype=torch.float64)
    hessian = inputs.mT @ inputs
    if not correlation:
        hessian = torch.diag_embed(hessian.diagonal(dim1=1, dim2=2))
    best = torch.randn(2, 5, 24, generator=chance, dtype=torch.float64)
    return OutputError(best, hessian, best.new_zeros(2, 24), best.new_zeros(2, 5))


def test_refitted_weights_are_the_least_squares_of_those_that_stay() -> None:
    error = form()
    mask = torch.rand(2, 5, 24, generator=torch.Generator().manual_seed(1)) > 0.6
    found = refitted(error, mask)
    assert (found[~mask] == 0).all()
    for group in range(2):
        for row in range(5):
            kept = mask[group, row]
            hessian, wanted = error.hessian[group], error.hessian[group] @ error.best[group, row]
            expected = torch.linalg.solve(hessian[kept][:, kept], wanted[kept])
            torch.testing.assert_close(found[group, row, kept], expected, rtol=1e-4, atol=1e-6)


def test_where_nothing_can_make_up_those_stay_whose_own_contribution_is_largest() -> None:
    error = form(correlation=0)
    mask = chosen(error, lambda scores, share: keep_largest(scores, 0.5 * share))
    own = error.best.square() * error.hessian.diagonal(dim1=1, dim2=2)[:, None, :]
    assert torch.equal(mask, keep_largest(own, 0.5))


def test_of_correlated_inputs_outputs_lose_less_than_by_magnitude() -> None:
    error = form(correlation=2)
    mask = chosen(error, lambda scores, share: keep_largest(scores, 0.7 * share))
    by_size = keep_largest(error.best.abs(), 0.7)
    assert int(mask.sum()) == int(by_size.sum())
    assert error.of(refitted(error, mask)).sum() < 0.95 * error.of(refitted(error, by_size)).sum()


def test_pruning_without_training_keeps_more_of_the_network() -> None:
    model = fit(small_model(), Finetune(epochs=6, learning_rate=0.1, batch=64), context_for())
    losses = {}
    for criterion, repair in (("l1", False), ("l1", True), ("obs", True)):
        params = PruneWeights.model_validate({"sparsity": 0.8, "criterion": criterion, "repair": repair})
        pruned = prune_weights(copy.deepcopy(model), params, context_for())
        assert count(pruned, (1, 8, 8)).sparsity == pytest.approx(0.8, abs=2e-3)
        assert all(
            (weight_of(pruned.get_submodule(n))[~m.mask] == 0).all() for n, m in masked(pruned).items()
        )
        losses[criterion, repair] = validate(pruned, context_for()).loss
    assert losses["obs", True] < losses["l1", True] < losses["l1", False]


def test_what_was_masked_stays_masked_and_patterns_hold() -> None:
    model = small_model()
    before = prune_weights(copy.deepcopy(model), PruneWeights(sparsity=0.3), context_for())
    early = {name: mask.mask.clone() for name, mask in masked(before).items()}
    after = prune_weights(before, PruneWeights(sparsity=0.6, criterion="obs", repair=True), context_for())
    assert not any((mask.mask & ~early[name]).any() for name, mask in masked(after).items())
    paired = prune_weights(model, PruneWeights(pattern="2:4", criterion="obs", repair=True), context_for())
    for name in masked(paired):
        weight = weight_of(paired.get_submodule(name)).movedim(1, -1).reshape(-1, 4)
        assert ((weight != 0).sum(1) <= 2).all()
    assert isinstance(paired, nn.Module)
