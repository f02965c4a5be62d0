"""quantize.half: every number in 16 bits, two vectors of BatchNorm, the same outputs to rounding, a smaller file."""

import copy

import pytest
import torch
from torch import nn

from engine.compute.layers.grids import grids, rounded
from engine.compute.layers.masks import masked
from engine.compute.measures.sizes import sizes
from engine.compute.models import checkpoint
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.quantization.half import fold, quantize_half
from engine.compute.steps.quantization.weights import quantize_weights
from engine.params.cluster_weights import ClusterWeights
from engine.params.pruning import PruneWeights
from engine.params.quantize_half import QuantizeHalf
from engine.params.quantize_weights import Nearest, QuantizeWeights
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, small_model


def lived_in(width: int = 8) -> nn.Module:
    """A network whose BatchNorms have statistics, scales and shifts of their own."""
    model = small_model(width=width)
    chance = torch.Generator().manual_seed(0)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        for tensor, low in (
            (norm.weight, 0.5),
            (norm.bias, -0.5),
            (norm.running_mean, -1),
            (norm.running_var, 0.3),
        ):
            tensor.data = torch.rand(len(tensor), generator=chance) * 2 + low  # type: ignore[union-attr, arg-type]
    return model.eval()


def test_a_folded_norm_computes_the_same_from_two_vectors() -> None:
    norm = nn.BatchNorm1d(3, eps=1e-3).eval()
    norm.weight.data, norm.bias.data = torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.0, 1.0, 2.0])
    norm.running_mean, norm.running_var = torch.tensor([3.0, 0.0, -1.0]), torch.tensor([4.0, 0.01, 0.0])
    x = torch.randn(20, 3)
    expected = norm(x)
    fold(norm)
    torch.testing.assert_close(norm(x), expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(norm.running_mean, torch.zeros(3)) and torch.equal(norm.running_var, torch.ones(3))


@pytest.mark.parametrize("coded", ["plain", "codebooks", "grids"])
def test_every_number_is_one_of_float16_and_outputs_stay(coded: str, tmp_path) -> None:
    model = lived_in(width=16)
    prune_weights(model, PruneWeights(sparsity=0.9), context_for())
    if coded == "codebooks":
        cluster_weights(model, ClusterWeights(centroids=16), context_for())
    if coded == "grids":
        quantize_weights(model, QuantizeWeights(rounding=Nearest(), calibrate=False), context_for())
    before = copy.deepcopy(model)
    quantize_half(model, QuantizeHalf(), context_for())
    state, found = checkpoint.folded_state(model), grids(model)
    floats = {n: t for n, t in state.items() if t.dtype == torch.float32 and n not in found}
    assert all(torch.equal(t, t.half().float()) for t in floats.values())
    assert all(torch.equal(g.steps, g.steps.half().float()) for g in found.values())
    images = torch.rand(8, 1, 8, 8)
    with torch.no_grad():
        wanted = before(images)
        assert (model(images) - wanted).abs().max() < 2e-2 * wanted.abs().max()
    assert masked(model).keys() == masked(before).keys() and rounded(model).keys() == rounded(before).keys()
    sized = (
        sizes(checkpoint.folded_state(before), grids=grids(before))["packed"],
        sizes(state, grids=found)["packed"],
    )
    vectors = sum(len(m.weight) for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    assert sized[0] - sized[1] > 0.6 * vectors * 16 - vectors * 4
    checkpoint.save(model, tmp_path)
    again = checkpoint.folded_state(checkpoint.load(tmp_path))
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())


def test_numbers_that_float16_cannot_hold_stay_and_are_named() -> None:
    model = lived_in()
    model.fc.bias.data[0] = 1e6  # type: ignore[union-attr, index]
    events: list[ev.Event] = []
    quantize_half(model, QuantizeHalf(), context_for(events=events))
    assert model.fc.bias[0] == 1e6  # type: ignore[union-attr, index]
    assert any(isinstance(e, ev.Notice) and "left as they are: fc.bias" in e.text for e in events)
