"""Clustered filters: who may be merged, what merging computes, how filters are grouped, what repair regains."""

import copy
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.compute.context import validate
from engine.compute.layers.masks import set_mask
from engine.compute.layers.shared import shared_layers
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.onnx.export import export
from engine.compute.onnx.shape import example
from engine.compute.runtimes.base import session
from engine.compute.steps.calibration.activations import passing
from engine.compute.steps.clustering.assign import cluster, reduced, ward_costs
from engine.compute.steps.clustering.budget import Candidate, counts
from engine.compute.steps.clustering.chains import chains
from engine.compute.steps.clustering.directions import directions
from engine.compute.steps.clustering.filters import cluster_filters
from engine.compute.steps.clustering.merge import centroids, fold, merge
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params import ClusterFilters, Finetune, Train
from tests.engine.compute.compute_help import context_for, deep_model, digits, output, small_model

SHAPE = (1, 8, 8)
INNER = [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1, 2)]
"""The inner convolutions of ResNet20's residual blocks."""


def params(**settings: object) -> ClusterFilters:
    return ClusterFilters.model_validate({"weighting": "none", "restarts": 1, "calibrate": False, **settings})


def merging(repair: bool = False) -> dict[str, object]:
    return {"kind": "merged", "repair": repair}


@cache
def _trained() -> nn.Module:
    step = Train(epochs=3, learning_rate=0.1, batch=64)
    return fit(small_model(), step, context_for(data=digits(1200)))


def trained() -> nn.Module:
    return copy.deepcopy(_trained())


def with_equal_pairs(model: nn.Module, factor: float = 1.0) -> nn.Module:
    """Inner convolutions whose second half of filters are `factor` times the first, BatchNorm included."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.normal_(module.weight, 1, 0.3)
            nn.init.normal_(module.bias, std=0.2)
    for name in INNER:
        block = model.get_submodule(name.removesuffix(".conv1"))
        half = block.conv1.out_channels // 2
        for tensor in (
            block.conv1.weight,
            *block.bn1.parameters(),
            block.bn1.running_mean,
            block.bn1.running_var,
        ):
            tensor.data[half:] = tensor.data[:half]
        for tensor in block.bn1.parameters():
            tensor.data[half:] *= factor
    return model


def network(name: str, size: int = 32, **arguments: object) -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture(name, 3, 10, (size, size), arguments)).eval()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_merging_equal_filters_changes_nothing_but_the_order_of_summation(dtype, tolerance):
    model = with_equal_pairs(deep_model()).to(dtype)
    images = torch.randn(4, *SHAPE).to(dtype)
    expected = output(model, images)
    cluster_filters(model, params(method=merging(), ratio=0.5), context_for())
    assert model.get_submodule("layer3.0.conv1").out_channels == 16
    assert model.get_submodule("layer3.0.conv2").in_channels == 16
    given = output(model, images)
    assert float((given - expected).abs().max()) < tolerance * float(expected.abs().max())


def test_what_a_merged_channel_carries_is_bit_for_bit_what_its_filters_gave() -> None:
    model = with_equal_pairs(deep_model()).double()
    before = copy.deepcopy(model)
    cluster_filters(model, params(method=merging(), ratio=0.5), context_for())
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
        old, new = (m.get_submodule("layer2.1").state_dict()[name] for m in (before, model))
        assert {tuple(row.flatten().tolist()) for row in old} == {
            tuple(row.flatten().tolist()) for row in new
        }


def test_where_sums_are_exact_merging_equal_filters_is_bit_for_bit() -> None:
    """Small whole numbers add up without rounding, so that their order does not matter."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8, eps=0.0)
    model = (
        nn.Sequential(nn.Conv2d(2, 8, 3), norm, nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 3, 3))
        .double()
        .eval()
    )
    for tensor in (*model.parameters(), norm.running_mean):
        tensor.data = torch.randint(-8, 9, tensor.shape).double()
    norm.running_var.fill_(0.25)
    for tensor in (model[0].weight, model[0].bias, *norm.parameters(), norm.running_mean):
        tensor.data[5:] = tensor.data[:3]
    images = torch.randint(-8, 9, (3, 2, 12, 12)).double()
    expected = output(model, images)
    (chain,) = chains(model, images.float())
    folded = fold(model, chain)
    clusters = cluster(folded.vectors, 5)
    merge(model, chain, clusters, folded, centroids(folded.vectors, clusters, folded.gains))
    assert model[0].out_channels == 5
    assert torch.equal(output(model, images), expected)


def test_filters_are_compared_with_their_batchnorm_folded_in() -> None:
    """A filter of double size behind half the gain is the same filter."""
    model = with_equal_pairs(deep_model()).double()
    block = model.layer2[0]
    half = block.conv1.out_channels // 2
    block.conv1.weight.data[half:] *= 2
    block.bn1.running_mean.data[half:] *= 2
    block.bn1.weight.data[half:] /= 2
    images = torch.randn(4, *SHAPE).double()
    expected = output(model, images)
    cluster_filters(model, params(method=merging(), ratio=0.5), context_for())
    assert float((output(model, images) - expected).abs().max()) < 1e-12 * float(expected.abs().max())


def test_spherical_clusters_merge_positive_multiples_exactly_through_relu() -> None:
    model = with_equal_pairs(deep_model(), factor=4).double()
    images = torch.randn(4, *SHAPE).double()
    expected = output(model, images)
    cluster_filters(
        model, params(method=merging(), ratio=0.5, algorithm="spherical", restarts=8), context_for()
    )
    assert float((output(model, images) - expected).abs().max()) < 1e-10 * float(expected.abs().max())


@pytest.mark.parametrize("ratio", [0.0, 0.3, 0.5, 0.9])
def test_every_layer_keeps_the_same_share_of_its_filters(ratio):
    model = cluster_filters(deep_model(), params(method=merging(), ratio=ratio), context_for())
    for name in INNER:
        width = {"1": 8, "2": 16, "3": 32}[name[5]]
        assert model.get_submodule(name).out_channels == width - round(ratio * width)


def test_globally_the_share_of_all_weights_goes_where_filters_are_most_alike() -> None:
    torch.manual_seed(0)
    alike = torch.randn(4, 20).repeat(4, 1) + 0.01 * torch.randn(16, 20)
    layers = {"varied": Candidate(torch.randn(16, 20), 20), "alike": Candidate(alike, 20)}
    kept = counts(layers, 0.3, "global")
    assert sum(16 - count for count in kept.values()) == round(0.3 * 32)
    assert kept["varied"] == 16
    weighty = {"small": Candidate(torch.randn(16, 20), 20), "large": Candidate(torch.randn(16, 20), 2000)}
    assert counts(weighty, 0.3, "global")["large"] < counts(weighty, 0.3, "global")["small"]


def test_wards_costs_add_up_to_the_distortion_of_the_clusters() -> None:
    vectors = torch.randn(12, 5, generator=torch.Generator().manual_seed(1)).double()
    costs = ward_costs(vectors)
    assert len(costs) == 11
    clusters = cluster(vectors, 4, algorithm="agglomerative")
    lost = centroids(vectors, clusters).distortion * float(vectors.square().sum())
    assert sum(costs[:8]) == pytest.approx(lost)


@pytest.mark.parametrize("algorithm", ["k-means", "agglomerative", "spherical"])
def test_equal_arguments_give_equal_clusters(algorithm):
    vectors = torch.randn(64, 90)
    one, two = (cluster(vectors, 16, algorithm=algorithm, seed=3) for _ in range(2))
    assert torch.equal(one.labels, two.labels)
    assert one.count == 16


@pytest.mark.parametrize("algorithm", ["k-means", "agglomerative", "spherical"])
def test_far_apart_groups_are_found(algorithm):
    torch.manual_seed(0)
    groups = torch.randn(3, 40).repeat_interleave(5, 0)
    found = cluster(groups + 0.05 * torch.randn(15, 40), 3, algorithm=algorithm, pca=2)
    assert found.labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5


def test_no_more_clusters_than_filters_that_differ() -> None:
    assert cluster(torch.eye(3).repeat(4, 1), 8).count == 3


def test_pca_keeps_the_variance_asked_for_and_all_components_keep_distances() -> None:
    torch.manual_seed(0)
    vectors = (torch.randn(20, 50) * torch.linspace(3, 0.01, 50)).double()
    whole = reduced(vectors, None)
    assert whole.shape == (20, 20)
    assert torch.allclose(torch.cdist(whole, whole), torch.cdist(vectors, vectors), atol=1e-6)
    part = reduced(vectors, 0.8)
    share = float(part.square().sum() / whole.square().sum())
    assert 0.8 <= share < 0.9
    assert reduced(vectors, 3).shape == (20, 3)


def test_directions_of_either_sign_are_one_where_signs_are_allowed() -> None:
    lines = torch.eye(3)[[0, 1, 2, 0, 1, 2]].double() * torch.tensor([1, 2, 3, -1, -2, -3])[:, None]
    assert directions(lines, 3, signed=True).distortion == pytest.approx(0, abs=1e-12)
    assert directions(lines, 3).distortion > 1


@pytest.mark.parametrize(
    "settings",
    [
        {"algorithm": "agglomerative"},
        {"algorithm": "spherical"},
        {"pca": 0.9},
        {"pca": 4},
        {"weighting": "input"},
        {"weighting": "output"},
        {"scope": "global"},
        {"method": "shared", "weighting": "output"},
        {"method": "shared", "scope": "global", "weighting": "input"},
        {"method": {"kind": "shared", "fold": True}},
    ],
    ids=str,
)
def test_every_way_of_clustering_reloads_bit_equal(settings, tmp_path):
    model = cluster_filters(
        trained(), params(**{"method": merging(), "images": 64, **settings}), context_for()
    )
    checkpoint.save(model, tmp_path)
    images = example(2, SHAPE)
    again = checkpoint.load(tmp_path)
    assert torch.equal(output(again, images), output(model.to(memory_format=torch.contiguous_format), images))
    assert count(again, SHAPE).macs < 0.85 * count(small_model(), SHAPE).macs


def test_the_same_seed_gives_the_same_model_and_another_another() -> None:
    one, two, other = (
        cluster_filters(trained(), params(images=64, ratio=0.7), context_for(seed=seed)).state_dict()
        for seed in (0, 0, 1)
    )
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert any(
        one[name].shape != other[name].shape or not torch.equal(one[name], other[name]) for name in one
    )


def test_repair_brings_the_next_layers_output_nearer_on_images_it_has_not_seen() -> None:
    data = digits(1200)
    original = trained()
    with_repair, without = (
        cluster_filters(
            trained(), params(method=merging(repair), ratio=0.6, images=400), context_for(data=data)
        )
        for repair in (True, False)
    )
    images = data.normalize(data.validation.images.gather(torch.arange(50)))
    for name in ("layer1.0.conv2", "layer2.0.conv2", "layer3.0.conv2"):
        wanted, repaired, plain = (passing(m, name, images)[1] for m in (original, with_repair, without))
        assert float((repaired - wanted).square().mean()) < 0.8 * float((plain - wanted).square().mean())


def test_repair_regains_accuracy() -> None:
    data = digits(1200)
    accuracies = []
    for repair in (True, False):
        context = context_for(data=data)
        step = params(method=merging(repair), ratio=0.6, images=400, calibrate=True)
        accuracies.append(validate(cluster_filters(trained(), step, context), context).accuracy)
    assert accuracies[0] > accuracies[1]


def test_a_merged_network_trains_on_and_exports(tmp_path: Path) -> None:
    model = cluster_filters(trained(), params(ratio=0.75, images=64), context_for())
    before = model.get_submodule("layer3.0.conv1").weight.detach().clone()
    fit(model, Finetune(epochs=1, learning_rate=0.01), context_for())
    assert not torch.equal(model.get_submodule("layer3.0.conv1").weight, before)
    path = export(model, SHAPE, tmp_path / "model.onnx")
    images = example(3, SHAPE)
    given = session("onnxruntime", path, batch=3, shape=SHAPE, threads=1).run(images)
    assert torch.allclose(given, output(model, images), atol=1e-4)


def test_plain_chains_shrink_one_after_the_other_down_to_a_flattened_linear_layer() -> None:
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 12, 3), nn.ReLU(), nn.Conv2d(12, 16, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
    model = nn.Sequential(*layers, nn.Linear(16 * 4, 10))
    assert [chain.positions for chain in chains(model, torch.rand(2, *SHAPE))] == [1, 4]
    original = copy.deepcopy(model)
    cluster_filters(model, params(ratio=0.25, images=200), context_for())
    assert (model[0].out_channels, model[2].in_channels, model[2].out_channels) == (9, 9, 12)
    assert model[6].in_features == 12 * 4
    images = digits().normalize(digits().validation.images.gather(torch.arange(50)))
    difference = output(model, images) - output(original, images)
    assert float(difference.square().mean()) < 0.2 * float(output(original, images).var())


def test_skipped_layers_stay_as_they_are() -> None:
    context = context_for()
    step = params(method=merging(), skip=("layer1.*", "layer3.0.conv1"))
    model = cluster_filters(deep_model(), step, context)
    assert model.get_submodule("layer1.0.conv1").out_channels == 8
    assert model.get_submodule("layer3.0.conv1").out_channels == 32
    assert model.get_submodule("layer3.1.conv1").out_channels == 16
    assert [row["name"] for row in context.observations["clusters"]] == [*INNER[3:6], *INNER[7:]]
    shared = cluster_filters(deep_model(), params(method="shared", skip=("layer1.*",)), context_for())
    assert not [name for name in shared_layers(shared) if name.startswith("layer1.")]


def test_folding_merges_what_it_can_and_shares_the_rest() -> None:
    model = cluster_filters(deep_model(), params(method={"kind": "shared", "fold": True}), context_for())
    assert not set(INNER) & shared_layers(model).keys()
    assert model.get_submodule("layer3.0.conv1").out_channels == 16
    assert shared_layers(model)["layer3.0.conv2"].weight.shape == (16, 16, 3, 3)


def test_folding_shares_all_where_nothing_can_be_merged() -> None:
    settings = params(method={"kind": "shared", "fold": True}, skip=tuple(INNER))
    assert "layer1.0.conv2" in shared_layers(cluster_filters(deep_model(), settings, context_for()))


def test_masked_layers_and_models_without_chains_are_refused() -> None:
    model = deep_model()
    layer = model.layer2[0].conv2
    set_mask(layer, torch.ones_like(layer.weight, dtype=torch.bool))
    for method in ("merged", "shared"):
        with pytest.raises(SecateurError, match="masks"):
            cluster_filters(model, params(method=method), context_for())
    with pytest.raises(SecateurError, match="nothing to cluster"):
        cluster_filters(deep_model(), params(skip=("layer*",)), context_for())
