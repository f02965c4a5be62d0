"""cluster.weights: few values in each layer, that stay few in training, and load back."""

import numpy as np
import pytest
import torch
from torch import nn

from engine.compute.context import validate
from engine.compute.layers.codebooks import clustered, codebook_of, step_factors
from engine.compute.layers.masks import masked, set_mask
from engine.compute.layers.select import prunable_layers, weight_of
from engine.compute.measures import packed
from engine.compute.measures.counts import count
from engine.compute.measures.sizes import sizes
from engine.compute.models import checkpoint
from engine.compute.onnx.export import export
from engine.compute.onnx.onnxruntime import OnnxSession
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.clustering import kmeans
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.sensitivity import sensitivity
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params.channels import PruneChannels
from engine.params.cluster_weights import ClusterWeights, Product, Scalar
from engine.params.pruning import PruneWeights
from engine.params.sensitivity import Sensitivity
from engine.params.training import Finetune, Train
from engine.studies import events as ev
from tests.engine.compute.compute_help import TEMPLATES, context_for, small_model
from tests.engine.compute.measures.packed_help import entropy, unpacked

RATE = 0.1
METHODS = [
    Scalar(),
    Scalar(per="channel"),
    Scalar(start="density"),
    Scalar(start="k-means++"),
    Product(length=3),
]


def most_values(method: Scalar | Product, centroids: int, weight: torch.Tensor) -> int:
    """How many different values a layer may have, zero not counted."""
    match method:
        case Scalar(per="channel"):
            return centroids * len(weight)
        case Product(length=length):
            return centroids * length
        case _:
            return centroids


def made(method: Scalar | Product = METHODS[0], centroids: int = 8, sparsity: float = 0.0) -> nn.Module:
    model = small_model()
    if sparsity:
        prune_weights(model, PruneWeights(sparsity=sparsity), context_for())
    return cluster_weights(model, ClusterWeights(centroids=centroids, method=method), context_for())


def test_each_layer_reports_its_book_the_entropy_of_its_indices_and_what_was_lost() -> None:
    model, context = small_model(), context_for()
    with torch.no_grad():  # four values, one of them in half of the weights
        values = torch.tensor([1.0, 1.0, 1.0, 1.0, 2.0, 2.0, -1.0, -2.0])
        model.fc.weight.copy_(values.repeat(40).view_as(model.fc.weight))
    before = {name: weight_of(layer).detach().clone() for name, layer in prunable_layers(model, ()).items()}
    cluster_weights(model, ClusterWeights(centroids=4), context)
    rows = {row["name"]: row for row in context.observations["codebooks"]}
    assert rows.keys() == before.keys()
    assert rows["fc"] == {"name": "fc", "centroids": 4, "width": 1, "bits": 1.75, "distortion": 0.0}
    now = weight_of(model.conv1).detach()
    lost = (now - before["conv1"]).square().sum() / before["conv1"].square().sum()
    assert rows["conv1"]["distortion"] == pytest.approx(float(lost), rel=1e-5)


def test_what_a_mask_holds_at_zero_has_no_entropy() -> None:
    context = context_for()
    model = prune_weights(small_model(depth=20), PruneWeights(sparsity=0.9), context_for())
    cluster_weights(model, ClusterWeights(centroids=2), context)
    assert all(0.5 < row["bits"] <= 1 for row in context.observations["codebooks"] if row["centroids"] == 2)


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_values_stay_few_and_zeros_stay_zero_in_training(method: Scalar | Product, sparsity: float) -> None:
    model = made(method, sparsity=sparsity)
    masks = {name: mask.mask.clone() for name, mask in masked(model).items()}
    before = {name: weight_of(model.get_submodule(name)).detach().clone() for name in clustered(model)}
    assert len(before) >= 7
    fit(model, Finetune(epochs=1, learning_rate=0.01, weight_decay=0.1), context_for())
    for name in before:
        weight = weight_of(model.get_submodule(name)).detach()
        values = weight.unique()
        assert (values != 0).sum() <= most_values(method, 8, weight)
        assert not torch.equal(weight, before[name]), "the centroids were trained"
        if sparsity:
            assert (weight[~masks[name]] == 0).all()


@pytest.mark.parametrize("masked_share", [0.0, 0.5])
def test_a_centroid_moves_by_the_mean_of_what_its_weights_would(masked_share) -> None:
    layer = nn.Linear(6, 4, bias=False)
    model = nn.Sequential(layer)
    kept = torch.rand(4, 6) >= masked_share
    set_mask(layer, kept)
    cluster_weights(model, ClusterWeights(centroids=3), context_for())
    book = codebook_of(layer)
    assert book is not None
    given = torch.randn(4, 6)
    (layer.weight * given).sum().backward()
    ((table, share),) = step_factors(model)
    expected = [given[kept & (book.indices.view(4, 6) == k)].mean() for k in range(3)]
    torch.testing.assert_close(table.grad * share, torch.stack(expected))


def test_a_rate_that_suits_the_weights_suits_their_centroids() -> None:
    """By the sum over hundreds of weights, a centroid would leap, and the accuracy be that of a guess."""
    model = fit(small_model(), Train(epochs=6, learning_rate=RATE), context_for())
    trained = validate(model, context_for()).accuracy
    cluster_weights(model, ClusterWeights(centroids=6), context_for())
    fit(model, Finetune(epochs=2, learning_rate=RATE), context_for())
    assert validate(model, context_for()).accuracy > trained - 0.1


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("method", METHODS, ids=str)
def test_a_checkpoint_loads_back_bit_equal_and_trains_on(
    tmp_path, method: Scalar | Product, sparsity
) -> None:
    model = made(method, sparsity=sparsity)
    checkpoint.save(model, tmp_path)
    again = checkpoint.load(tmp_path)
    assert clustered(again).keys() == clustered(model).keys()
    assert masked(again).keys() == masked(model).keys()
    one, two = (fit(m, Finetune(epochs=1), context_for()) for m in (model, again))
    first, second = checkpoint.folded_state(one), checkpoint.folded_state(two)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any("parametrizations" in name for name in first)


def test_the_packed_file_is_as_small_as_places_values_and_tables_allow() -> None:
    pruned = prune_weights(small_model(width=16), PruneWeights(sparsity=0.8), context_for())
    before = sizes(checkpoint.folded_state(pruned))
    state = checkpoint.folded_state(cluster_weights(pruned, ClusterWeights(centroids=16), context_for()))
    after = sizes(state)
    weights = [tensor for tensor in state.values() if tensor.dim() > 1]
    rest = len(packed.dump({name: tensor for name, tensor in state.items() if tensor.dim() <= 1}))
    least = sum(entropy(w != 0) + entropy(w[w != 0]) + 4 * len(w[w != 0].unique()) for w in weights)
    assert after["packed"] - rest < 1.05 * least + 20 * len(weights)
    assert after["packed"] < before["packed"] / 3
    assert after["plain"] == before["plain"]
    again = unpacked(packed.dump(state))
    assert all(torch.equal(again[name], state[name]) for name in state)


def test_counts_see_the_weights_not_the_codebook() -> None:
    plain, book = count(small_model(), (1, 8, 8)), count(made(sparsity=0.5), (1, 8, 8))
    assert (book.parameters, book.macs) == (plain.parameters, plain.macs)
    assert book.sparsity == pytest.approx(0.5, abs=1e-3)


def test_the_onnx_file_computes_what_the_model_does(tmp_path) -> None:
    model = made(sparsity=0.5).eval()
    images = torch.rand(3, 1, 8, 8)
    path = export(model, (1, 8, 8), tmp_path / "model.onnx", templates=TEMPLATES)
    with torch.inference_mode():
        torch.testing.assert_close(
            OnnxSession(path, images, 1, "cpu").run(images), model(images), rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_pruning_after_clustering_keeps_the_codebooks(criterion) -> None:
    model = made()
    prune_weights(model, PruneWeights(sparsity=0.6, criterion=criterion), context_for())
    for name, book in clustered(model).items():
        weight = weight_of(model.get_submodule(name))
        assert (weight.unique() != 0).sum() <= 8 and book.form.shape == tuple(weight.shape)
    assert count(model, (1, 8, 8)).sparsity == pytest.approx(0.6, abs=1e-3)


def test_channels_are_removed_after_the_codebooks_were_folded_and_the_user_is_told(tmp_path) -> None:
    events: list[ev.Event] = []
    model = made(sparsity=0.5)
    model = prune_channels(model, PruneChannels(ratio=0.3, calibrate=False), context_for(events=events))
    assert not clustered(model) and masked(model)
    assert any(isinstance(e, ev.Notice) and "codebooks of 10 layers" in e.text for e in events)
    checkpoint.save(model, tmp_path)


@pytest.mark.parametrize("of", ["weights", "channels"])
def test_sensitivity_of_clustered_weights_is_refused_clearly(of) -> None:
    with pytest.raises(SecateurError, match=r"before cluster\.weights"):
        sensitivity(made(), Sensitivity(of=of), context_for())


def test_clustering_again_makes_fewer_values() -> None:
    model = cluster_weights(made(centroids=32), ClusterWeights(centroids=4), context_for())
    assert all(len(weight_of(m).unique()) <= 4 for m in prunable_layers(model, ()).values())


def test_layers_that_share_a_weight_are_left_alone_and_named() -> None:
    one, two, three = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 5)
    two.weight = one.weight
    events: list[ev.Event] = []
    model = nn.ModuleList([one, two, three])
    cluster_weights(model, ClusterWeights(centroids=4), context_for(events=events))
    assert two.weight is one.weight
    assert list(clustered(model)) == ["2"]
    assert any(isinstance(e, ev.Notice) and "0 (one weight with 1)" in e.text for e in events)


def test_vectors_that_do_not_divide_a_filter_leave_it_and_say_so() -> None:
    events: list[ev.Event] = []
    model = small_model()
    params = ClusterWeights(centroids=8, method=Product(length=4))
    cluster_weights(model, params, context_for(events=events))
    assert "conv1" not in clustered(model) and "layer1.0.conv1" in clustered(model)
    assert any(isinstance(e, ev.Notice) and "conv1" in e.text for e in events)
    with pytest.raises(SecateurError, match="No layer can be clustered"):
        cluster_weights(
            small_model(),
            ClusterWeights(method=Product(length=64), skip=("layer3*", "fc")),
            context_for(),
        )


@pytest.mark.parametrize("start", ["linear", "density", "k-means++"])
def test_lloyd_ends_where_no_value_is_nearer_to_another_mean(start) -> None:
    values = np.random.default_rng(1).normal(size=5000)
    centroids, indices = kmeans.scalar(values, 7, start, np.random.default_rng(0))
    assert (np.abs(values[:, None] - centroids).argmin(1) == indices).all()
    for index, centroid in enumerate(centroids):
        assert values[indices == index].mean() == pytest.approx(centroid)


def test_well_apart_values_are_found_and_few_values_are_kept_exactly() -> None:
    random = np.random.default_rng(0)
    planted = np.array([-3.0, -1.0, 0.5, 4.0])
    values = random.choice(planted, 1000)
    centroids, indices = kmeans.scalar(values, 8, "linear", random)
    assert (centroids == planted).all() and (centroids[indices] == values).all()
    for start in ("density", "k-means++"):
        centroids, _ = kmeans.scalar(values + random.normal(0, 0.01, 1000), 4, start, random)  # type: ignore[arg-type]
        assert centroids == pytest.approx(planted, abs=0.01)


def test_linear_start_keeps_the_large_weights_best() -> None:
    """Deep Compression's reason for it: few large weights matter more than many small ones (section 3.2)."""
    values = np.random.default_rng(0).normal(size=20_000)
    worst = {}
    for start in ("linear", "density"):
        centroids, indices = kmeans.scalar(values, 16, start, np.random.default_rng(0))  # type: ignore[arg-type]
        worst[start] = np.abs(centroids[indices] - values)[np.abs(values) > 3].mean()
    assert worst["linear"] <= worst["density"]
