"""Convolutions that share filters, and dictionaries of kernels: what they compute, train, keep and export."""

from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from engine.compute.layers.dictionaries import dictionaries, originals, step_factors
from engine.compute.layers.masks import mask_of, set_mask
from engine.compute.layers.shared import SharedConv2d, expand_, paying_layers, share, shared_layers
from engine.compute.measures.counts import count
from engine.compute.measures.sizes import sizes
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.onnx.export import export
from engine.compute.onnx.shape import example
from engine.compute.runtimes.base import session
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.clustering.filters import cluster_filters
from engine.compute.steps.clustering.kernels import cluster_kernels
from engine.compute.steps.factorization.step import factorize
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params import ClusterFilters, ClusterKernels, Factorize, Finetune, PruneChannels
from engine.params.clustering import Shared
from tests.engine.compute.compute_help import context_for, output, small_model

SHAPE = (1, 8, 8)
LARGE = (1, 32, 32)
CONVOLUTIONS = [
    (1, 16, 28, 3, 1),
    (16, 16, 28, 3, 1),
    (32, 64, 14, 1, 2),
    (3, 64, 32, 7, 2),
    (13, 31, 9, 3, 1),
]
"""Inputs, outputs, image size, kernel size and stride."""


def naive(conv: nn.Conv2d, filters: Tensor, index: Tensor) -> nn.Conv2d:
    """Each filter replaced by its centroid."""
    plain = nn.Conv2d(conv.in_channels, len(index), conv.kernel_size, conv.stride, conv.padding, bias=False)
    plain.weight.data = filters[index].clone()
    return plain


def shares(ratio: float = 0.5, **settings: object) -> nn.Module:
    params = ClusterFilters.model_validate(
        {"method": "shared", "ratio": ratio, "restarts": 1, "calibrate": False, **settings}
    )
    return cluster_filters(small_model(), params, context_for())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize(("inputs", "outputs", "size", "kernel", "stride"), CONVOLUTIONS)
def test_sharing_equals_the_naive_substitution_bit_for_bit(inputs, outputs, size, kernel, stride, layout):
    """In float32 on a CPU, whose kernels compute each output by itself; any number of filters and layout."""
    for filters in (1, outputs // 3, outputs // 2, outputs - 1):
        torch.manual_seed(filters)
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        weight, index = torch.randn(filters, inputs, kernel, kernel), torch.randint(0, filters, (outputs,))
        images = torch.randn(2, inputs, size, size).to(memory_format=layout)
        model = nn.Sequential(conv)
        shared = share(model, "0", weight, index).to(memory_format=layout)
        substituted = naive(conv, weight, index).to(memory_format=layout)
        assert torch.equal(output(shared, images), output(substituted, images))


def test_in_float64_sharing_equals_the_substitution_to_the_order_of_summation() -> None:
    """BLAS, which computes float64 convolutions, adds up in blocks that depend on the number of filters."""
    torch.manual_seed(0)
    conv = nn.Conv2d(16, 32, 3, bias=False).double()
    weight, index = torch.randn(8, 16, 3, 3).double(), torch.randint(0, 8, (32,))
    images = torch.randn(2, 16, 9, 9).double()
    shared = share(nn.Sequential(conv), "0", weight, index)
    difference = output(shared, images) - output(naive(conv, weight, index), images)
    assert float(difference.abs().max()) < 1e-13


def test_each_output_keeps_its_bias_and_its_scale() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    bias = model[0].bias.detach().clone()
    weight, index, scale = (
        torch.randn(2, 3, 3, 3),
        torch.tensor([0, 1, 0, 1]),
        torch.tensor([1.0, 2.0, 3.0, 4.0]),
    )
    share(model, "0", weight, index, scale)
    images = torch.randn(2, 3, 6, 6)
    whole = weight[index] * scale[:, None, None, None]
    assert torch.allclose(output(model, images), nn.functional.conv2d(images, whole, bias), atol=1e-5)


def test_gradients_of_all_its_outputs_reach_a_centroid_and_sharing_lasts_through_training() -> None:
    model = nn.Sequential(nn.Conv2d(1, 3, 1, bias=False))
    share(model, "0", torch.ones(1, 1, 1, 1), torch.tensor([0, 0, 0]))
    model(torch.full((1, 1, 1, 1), 2.0)).sum().backward()
    assert model[0].weight.grad.item() == 3 * 2
    network = shares()
    before = {name: layer.weight.detach().clone() for name, layer in shared_layers(network).items()}
    fit(network, Finetune(epochs=1, learning_rate=0.05), context_for())
    for name, layer in shared_layers(network).items():
        assert not torch.equal(layer.weight, before[name])
        repeated = layer.full_weight()
        assert len(torch.unique(repeated.flatten(1), dim=0)) == layer.out_channels


def test_a_second_sharing_goes_on_from_the_first() -> None:
    model = nn.Sequential(nn.Conv2d(2, 6, 3, bias=False))
    share(model, "0", torch.randn(4, 2, 3, 3), torch.tensor([0, 1, 2, 3, 2, 1]), torch.arange(1.0, 7.0))
    weight = torch.randn(2, 2, 3, 3)
    shared = share(model, "0", weight, torch.tensor([1, 0, 0, 1]))
    assert shared.index.tolist() == [1, 0, 0, 1, 0, 0]
    assert shared.scale.tolist() == [1, 2, 3, 4, 5, 6]


def test_macs_and_parameters_are_those_of_the_filters_and_the_size_has_the_index() -> None:
    network, before = shares(0.5), small_model()
    plain, shared = count(before, SHAPE), count(network, SHAPE)
    convolutions = sum(m.weight.numel() for m in before.modules() if isinstance(m, nn.Conv2d))
    assert plain.parameters - shared.parameters == convolutions / 2
    head = before.fc.weight.numel()
    assert shared.macs - head == (plain.macs - head) / 2
    state = checkpoint.folded_state(network)
    assert state["layer1.0.conv1.index"].dtype == torch.int64
    assert sizes(state)["plain"] < 0.6 * sizes(checkpoint.folded_state(before))["plain"]


@pytest.mark.parametrize("algorithm", ["k-means", "spherical"])
def test_a_checkpoint_brings_shared_filters_back_bit_equal(algorithm, tmp_path):
    network = shares(0.6, algorithm=algorithm)
    checkpoint.save(network, tmp_path)
    again = checkpoint.load(tmp_path)
    assert {n: m.out_channels for n, m in shared_layers(again).items()} == {
        n: m.out_channels for n, m in shared_layers(network).items()
    }
    images = example(2, SHAPE)
    assert torch.equal(
        output(again, images), output(network.to(memory_format=torch.contiguous_format), images)
    )


def test_a_masked_shared_layer_comes_back_too(tmp_path: Path) -> None:
    network = shares()
    layer = network.get_submodule("layer2.0.conv1")
    set_mask(layer, torch.rand_like(layer.weight) < 0.5)
    checkpoint.save(network, tmp_path)
    assert isinstance(checkpoint.load(tmp_path).get_submodule("layer2.0.conv1"), SharedConv2d)


def wide() -> nn.Module:
    """A network some of whose convolutions are large enough, on images as `LARGE`, for sharing to pay."""
    torch.manual_seed(0)
    return build(Architecture("resnet8", 1, 10, LARGE[1:], {"width": 32})).eval()


def test_the_onnx_file_convolves_the_filters_once_and_gathers(tmp_path: Path) -> None:
    network = wide()
    params = ClusterFilters(method=Shared(), ratio=0.75, restarts=1, calibrate=False)
    cluster_filters(network, params, context_for())
    path = export(network, LARGE, tmp_path / "model.onnx")
    graph = onnx.load(path).graph
    paying = [network.get_submodule(name) for name in paying_layers(network, LARGE)]
    assert 0 < len(paying) < len(shared_layers(network))
    assert sum(node.op_type == "Gather" for node in graph.node) == len(paying)
    shapes = [list(tensor.dims) for tensor in graph.initializer]
    assert all(list(layer.weight.shape) in shapes for layer in paying)
    images = example(3, LARGE)
    given = session("onnxruntime", path, batch=3, shape=LARGE, threads=1).run(images)
    assert torch.allclose(given, output(network, images), atol=1e-4)


def test_whether_sharing_pays_depends_on_the_size_of_the_images() -> None:
    network = wide()
    cluster_filters(
        network, ClusterFilters(method=Shared(), ratio=0.5, restarts=1, calibrate=False), context_for()
    )
    paying = [len(paying_layers(network, (1, size, size))) for size in (8, 32, 64)]
    assert paying == sorted(set(paying)), "the larger, the more layers"
    assert paying[0] == 0, "a repeat costs microseconds, however few the images' pixels"


def test_layers_that_share_too_little_to_pay_run_as_plain_ones_with_the_same_bits() -> None:
    network = shares(0.3).to(memory_format=torch.contiguous_format)
    images = example(2, SHAPE)
    before = output(network, images)
    assert not paying_layers(network, SHAPE)
    assert not shared_layers(expand_(network, SHAPE))
    assert torch.equal(output(network, images), before)


def has_dictionaries(entries: int = 8, **settings: object) -> nn.Module:
    params = ClusterKernels.model_validate(
        {"entries": entries, "restarts": 1, "calibrate": False, **settings}
    )
    return cluster_kernels(small_model(), params, context_for())


def test_every_kernel_is_a_multiple_of_one_of_the_entries() -> None:
    network = has_dictionaries(4)
    weight = network.get_submodule("layer3.0.conv2").weight.detach().flatten(2).flatten(0, 1)
    directions = weight / weight.norm(dim=1, keepdim=True)
    alike = (directions @ directions.T).abs() > 1 - 1e-5
    assert len(torch.unique(alike, dim=0)) == 4
    assert "layer2.0.shortcut.0" not in dictionaries(network), "1×1 kernels have nothing to share"


def test_more_entries_come_nearer() -> None:
    losses = []
    for entries in (2, 8, 32):
        context = context_for()
        cluster_kernels(
            small_model(), ClusterKernels(entries=entries, calibrate=False, skip=("conv1",)), context
        )
        losses.append(sum(row["distortion"] for row in context.observations["dictionaries"]))
    assert losses == sorted(losses, reverse=True)


def test_training_moves_entries_and_scales() -> None:
    network = has_dictionaries()
    layer = network.get_submodule("layer1.0.conv1")
    before = [tensor.detach().clone() for tensor in originals(layer)]
    fit(network, Finetune(epochs=1, learning_rate=0.05), context_for())
    assert not any(torch.equal(old, new) for old, new in zip(before, originals(layer), strict=True))


def test_an_entry_steps_no_farther_than_its_kernels_would() -> None:
    network = has_dictionaries(4)
    layer = network.get_submodule("layer3.0.conv2")
    set_mask(layer, torch.rand_like(layer.weight) < 0.5)
    entries, scales = originals(layer)
    with torch.no_grad():
        scales *= 5
    factors = {id(entry): factor for entry, factor in step_factors(network)}[id(entries)]
    dictionary, mask = dictionaries(network)["layer3.0.conv2"], mask_of(layer)
    assert mask is not None
    own = scales.detach().square()[..., None, None] * mask.mask
    for number in range(4):
        total = own[dictionary.index == number].sum(0)
        torch.testing.assert_close(factors[number], 1 / total.clamp_min(1))
    assert (factors < 1).any()


def test_a_dictionary_counts_and_weighs_its_entries_and_scales() -> None:
    network = has_dictionaries(8)
    layers = {layer.name: layer for layer in count(network, SHAPE).layers}
    assert layers["layer1.0.conv1.weight"].parameters == 8 * 9 + 8 * 8
    assert count(network, SHAPE).macs == count(small_model(), SHAPE).macs
    state = checkpoint.folded_state(network)
    assert state["layer1.0.conv1.weight.index"].dtype == torch.uint8
    assert sizes(state)["packed"] < 0.35 * sizes(checkpoint.folded_state(small_model()))["packed"]


def test_dictionaries_reload_bit_equal_and_export(tmp_path: Path) -> None:
    network = has_dictionaries()
    checkpoint.save(network, tmp_path)
    again = checkpoint.load(tmp_path)
    assert dictionaries(again).keys() == dictionaries(network).keys()
    images = example(3, SHAPE)
    expected = output(network.to(memory_format=torch.contiguous_format), images)
    assert torch.equal(output(again, images), expected)
    path = export(network, SHAPE, tmp_path / "model.onnx")
    given = session("onnxruntime", path, batch=3, shape=SHAPE, threads=1).run(images)
    assert torch.allclose(given, expected, atol=1e-4)


def test_a_mask_lies_over_a_dictionary_and_comes_back(tmp_path: Path) -> None:
    network = has_dictionaries()
    layer = network.get_submodule("layer3.0.conv2")
    set_mask(layer, torch.rand_like(layer.weight) < 0.5)
    checkpoint.save(network, tmp_path)
    again = checkpoint.load(tmp_path).get_submodule("layer3.0.conv2")
    assert torch.equal(again.weight, layer.weight)


def test_dictionaries_that_save_nothing_and_masked_layers_are_refused() -> None:
    with pytest.raises(SecateurError, match="no kernels to cluster"):
        has_dictionaries(60_000)
    network = small_model()
    set_mask(network.layer1[0].conv1, torch.ones_like(network.layer1[0].conv1.weight, dtype=torch.bool))
    with pytest.raises(SecateurError, match="masks"):
        cluster_kernels(network, ClusterKernels(entries=4), context_for())


def test_later_steps_take_dictionaries_and_shared_filters_as_they_can(tmp_path: Path) -> None:
    """Channels cannot be taken out of a dictionary, nor shared filters be factorized."""
    pruned = prune_channels(has_dictionaries(), PruneChannels(ratio=0.5, calibrate=False), context_for())
    assert not dictionaries(pruned)
    checkpoint.save(pruned, tmp_path)
    shared = shares()
    before = shared_layers(shared).keys()
    assert shared_layers(factorize(shared, Factorize(calibrate=False), context_for())).keys() == before
