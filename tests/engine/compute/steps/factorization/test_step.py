"""factorize: chains that compute what the layer did, at ranks that rules choose."""

import itertools

import pytest
import torch
from torch import nn

from engine.compute.layers import factors
from engine.compute.layers.factors import Ranks, Scheme
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint, edits
from engine.compute.onnx.export import export
from engine.compute.onnx.onnxruntime import OnnxSession
from engine.compute.pretrained.create import create
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.factorization import vbmf
from engine.compute.steps.factorization.step import factorize, ranks_of
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.training.loop import fit
from engine.params.cluster_weights import ClusterWeights
from engine.params.factorization import Energy, Factorize, Ratio, Vbmf
from engine.params.preset import Model
from engine.params.pruning import PruneWeights
from engine.params.training import Finetune
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, small_model

SCHEMES = ["spatial", "channel", "tucker"]


def notices(events: list[ev.Event]) -> str:
    return "\n".join(event.text for event in events if isinstance(event, ev.Notice))


@pytest.mark.parametrize("scheme", ["svd", "spatial", "tucker"])
@pytest.mark.parametrize(
    "settings",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": (3, 5), "stride": (2, 1), "padding": (0, 2), "bias": False},
        {"kernel_size": 3, "dilation": (1, 2), "padding": "same"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "reflect"},
    ],
    ids=str,
)
def test_at_full_rank_a_chain_computes_what_the_convolution_did(scheme: Scheme, settings) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(6, 10, **settings).double()
    images = torch.randn(2, 6, 9, 11, dtype=torch.float64)
    ranks = tuple(min(m.shape) for m in factors.matrices(conv.weight, scheme))
    chain = factors.factorized(conv, scheme, ranks)
    with torch.inference_mode():
        expected, given = conv(images), chain(images)
    assert float((given - expected).norm() / expected.norm()) < 1e-10
    assert all(type(part) is nn.Conv2d for part in chain)


def test_at_full_rank_two_linear_layers_compute_what_one_did() -> None:
    for shape in ((7, 12), (12, 7)):
        layer = nn.Linear(*shape).double()
        values = torch.randn(4, shape[0], dtype=torch.float64)
        given = factors.factorized(layer, "svd", (7,))(values)
        torch.testing.assert_close(given, layer(values), rtol=1e-10, atol=1e-10)


def test_a_lower_rank_is_the_best_approximation_of_that_rank() -> None:
    layer = nn.Linear(20, 30, bias=False).double()
    one, two = factors.factorized(layer, "svd", (5,))
    error = (two.weight @ one.weight - layer.weight).norm().square()
    tail = torch.linalg.svdvals(layer.weight.detach())[5:].square().sum()
    assert float(error.detach()) == pytest.approx(float(tail), rel=1e-10)


def computed(made: nn.Sequential, inputs: int, size: int) -> torch.Tensor:
    """The one kernel that a chain of convolutions without bias is: its answer to every impulse, (O, I, size, size)."""
    pulses = torch.zeros(inputs, inputs, 2 * size - 1, 2 * size - 1).double()
    pulses[torch.arange(inputs), torch.arange(inputs), size - 1, size - 1] = 1
    return made(pulses).transpose(0, 1).flip(2, 3)


@pytest.mark.parametrize(("scheme", "ranks"), [("svd", (5,)), ("spatial", (4,)), ("tucker", (3, 6))])
def test_the_energy_lost_is_that_of_the_difference(scheme: Scheme, ranks: Ranks) -> None:
    conv = nn.Conv2d(8, 12, 3, bias=False).double()
    made = factors.factorized(conv, scheme, ranks)
    difference = computed(made, 8, 3) - conv.weight
    expected = float((difference.square().sum() / conv.weight.square().sum()).detach())
    assert 0.1 < expected < 0.9
    assert factors.lost(conv.weight, made, scheme) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("ratio", [0.3, 0.6, 0.9])
def test_the_ratio_is_met_in_every_layer_and_counted(scheme, ratio: float) -> None:
    model = small_model(width=16)
    before = count(model, (1, 8, 8))
    params = Factorize(scheme=scheme, rank=Ratio(ratio=ratio), skip=("conv1",), calibrate=False)
    factorize(model, params, context_for())
    after = count(model, (1, 8, 8))
    whole = {layer.name.removesuffix(".weight"): layer for layer in before.layers}
    for edit in edits.recorded(model):
        parts = [p for n, p in model.named_parameters() if n.startswith(f"{edit['layer']}.") and p.dim() > 1]
        left = sum(p.numel() for p in parts)
        original = torch.Size(whole[edit["layer"]].shape).numel()
        assert left <= max((1 - ratio) * original, original - 1)
    assert after.parameters < (1 - ratio + 0.12) * before.parameters
    assert after.macs < before.macs
    assert after.parameters == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("scheme", ["svd", "spatial", "tucker"])
def test_ranks_rise_with_energy_and_fall_with_ratio(scheme: Scheme) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(12, 20, 3)
    by_energy = [ranks_of(conv, conv.weight, scheme, Energy(energy=e)) for e in (0.1, 0.5, 0.9, 1.0)]
    by_ratio = [ranks_of(conv, conv.weight, scheme, Ratio(ratio=r)) for r in (0.99, 0.7, 0.4, 0.1)]
    for found in (by_energy, by_ratio):
        for less, more in itertools.pairwise(found):
            assert all(a <= b for a, b in zip(less, more, strict=True)), found
        assert found[0] != found[-1]
    assert by_energy[-1] == tuple(min(m.shape) for m in factors.matrices(conv.weight, scheme))


@pytest.mark.parametrize(
    ("rows", "columns", "planted"), [(100, 300, 8), (60, 60, 5), (200, 100, 20), (64, 576, 0)]
)
def test_vbmf_finds_the_planted_rank_of_a_noisy_matrix(rows: int, columns: int, planted: int) -> None:
    generator = torch.Generator().manual_seed(rows)
    low = torch.randn(rows, planted, generator=generator) @ torch.randn(planted, columns, generator=generator)
    for noise in (0.1, 0.5):
        matrix = low + noise * torch.randn(rows, columns, generator=generator)
        assert vbmf.rank(factors.singular_values(matrix.double()), rows, columns) == planted


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_factorized_model_trains_reloads_and_exports(tmp_path, scheme) -> None:
    params = Factorize(scheme=scheme, rank=Ratio(ratio=0.3), skip=("layer1.*", "layer2.*"))
    model = factorize(small_model(), params, context_for())
    fit(model, Finetune(epochs=1), context_for())
    checkpoint.save(model, tmp_path)
    again = checkpoint.load(tmp_path)
    assert edits.recorded(again) == edits.recorded(model)
    first, second = model.state_dict(), again.state_dict()
    assert first.keys() == second.keys() and all(torch.equal(first[n], second[n]) for n in first)
    images = torch.rand(3, 1, 8, 8)
    session = OnnxSession(export(again, (1, 8, 8), tmp_path / "model.onnx"), images, 1, "cpu")
    with torch.inference_mode():
        torch.testing.assert_close(session.run(images), again(images), rtol=1e-3, atol=1e-4)


def test_later_steps_take_the_parts_as_plain_layers(tmp_path) -> None:
    model = factorize(small_model(), Factorize(rank=Vbmf(), skip=("layer3.*",)), context_for())
    prune_weights(model, PruneWeights(sparsity=0.5), context_for())
    cluster_weights(model, ClusterWeights(centroids=16), context_for())
    checkpoint.save(model, tmp_path)
    assert count(checkpoint.load(tmp_path), (1, 8, 8)).sparsity == pytest.approx(0.5, abs=1e-3)


def test_masks_of_factorized_layers_are_folded_and_the_user_is_told() -> None:
    events: list[ev.Event] = []
    model = prune_weights(small_model(), PruneWeights(sparsity=0.5), context_for())
    factorize(model, Factorize(skip=("layer1.*",)), context_for(events=events))
    assert not any("parametrizations" in name for name in model.state_dict() if not name.startswith("layer1"))
    assert any("parametrizations" in name for name in model.state_dict() if name.startswith("layer1"))
    assert "folded" in notices(events)


def test_grouped_convolutions_stay_and_the_user_is_told() -> None:
    events: list[ev.Event] = []
    model, _ = create(
        Model(name="torchvision/mobilenet_v3_small"), channels=3, classes=10, size=(32, 32), seed=0
    )
    depthwise = sum(isinstance(m, nn.Conv2d) and m.groups > 1 for m in model.modules())
    factorize(model, Factorize(scheme="channel", calibrate=False), context_for(events=events))
    assert depthwise and f"{depthwise} grouped or depthwise" in notices(events)


def test_layers_that_are_not_called_stay(tmp_path) -> None:
    """Attention multiplies with its projections' weights itself: a chain in their place would break it."""
    model, _ = create(Model(name="torchvision/swin_t"), channels=3, classes=10, size=(32, 32), seed=0)
    events: list[ev.Event] = []
    params = Factorize(rank=Ratio(ratio=0.9), skip=("features.[3-9]*",), calibrate=False)
    factorize(model, params, context_for(events=events))
    assert "not called as a layer" in notices(events)
    assert edits.recorded(model)
    assert model(torch.zeros(1, 3, 32, 32)).shape == (1, 10)


def test_what_would_not_save_weights_stays() -> None:
    events: list[ev.Event] = []
    model = factorize(small_model(depth=20), Factorize(rank=Energy(energy=1.0)), context_for(events=events))
    assert not edits.recorded(model)
    assert "22 would not save weights" in notices(events)
