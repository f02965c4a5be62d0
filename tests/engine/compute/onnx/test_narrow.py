"""Narrow convolutions that compute four pixels at once give what the plain ones do."""

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from engine.compute.latency.layers import LayerConfig
from engine.compute.latency.onnx_layer import graph
from engine.compute.onnx import narrow
from engine.compute.onnx.export import export
from engine.compute.onnx.graph import name_nodes
from engine.compute.onnx.onnxruntime import OnnxModel
from tests.engine.compute.compute_help import TEMPLATES

AVX512, AVX2 = 16, 8


def network(
    outputs: int = 3, *, inputs: int = 16, kernel: int = 3, bias: bool = False, after: nn.Module | None = None
):
    """A narrow convolution of 28 × 28 pixels between two others, its BatchNorm with statistics."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(outputs)
    nn.init.normal_(norm.running_mean, std=0.3)
    nn.init.uniform_(norm.running_var, 0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return nn.Sequential(
        nn.Conv2d(3, inputs, 3, padding=1),
        nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias),
        norm,
        after or nn.ReLU(),
        nn.Conv2d(outputs, 16, 3, padding=1),
    ).eval()


def exported(model: nn.Module, folder: Path, size: tuple[int, int] = (28, 28)) -> onnx.ModelProto:
    kept = TEMPLATES / "narrow"  # of these networks, which compute the same at any width
    file = export(model, (3, *size), folder / "plain.onnx", templates=kept, any_width=True, pack=False)
    return onnx.load_model(file)


def operators(file: onnx.ModelProto) -> Counter[str]:
    return Counter(node.op_type for node in file.graph.node)


def outputs(file: onnx.ModelProto, images: Tensor) -> Tensor:
    return OnnxModel(file.SerializeToString(), 1)(images)


class Several(nn.Module):
    """Networks beside each other on the same images, their outputs one after the other."""

    def __init__(self, *networks: nn.Module) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([network(images) for network in self.networks], 1)


@pytest.mark.parametrize("after", [nn.ReLU(), nn.Hardswish(), nn.SiLU(), nn.ReLU6(), nn.Identity()])
def test_four_pixels_at_once_are_the_same_pixels(after, tmp_path):
    """With kernels of either size and with a bias or without: each in a network of its own in one file."""
    kinds = list(itertools.product((3, 5), (False, True)))
    model = Several(*(network(kernel=kernel, bias=bias, after=after) for kernel, bias in kinds))
    file = exported(model.eval(), tmp_path)
    images = torch.randn(3, 3, 28, 28)
    expected = outputs(file, images)
    assert narrow.packed_for(file) == 0
    assert narrow.pack(file, AVX512) == len(kinds)
    assert narrow.packed_for(file) == AVX512
    assert operators(file)["DepthToSpace"] == len(kinds)
    for kind, packed, plain in zip(
        kinds, outputs(file, images).split(16, 1), expected.split(16, 1), strict=True
    ):
        torch.testing.assert_close(
            packed, plain, rtol=1e-5, atol=1e-5, msg=lambda text, k=kind: f"{k}: {text}"
        )


def test_the_plain_weights_are_not_kept_beside(tmp_path):
    file = exported(network(), tmp_path)
    narrow.pack(file, AVX512)
    kept = {tensor.name: list(tensor.dims) for tensor in file.graph.initializer}
    assert [12, 16, 4, 4] in kept.values()
    assert [3, 16, 3, 3] not in kept.values()
    onnx.checker.check_model(file, full_check=True)


@pytest.mark.parametrize(
    ("model", "size", "lanes"),
    [
        (network(5), (28, 28), AVX512),
        (network(3), (28, 28), AVX2),
        (network(1), (28, 28), 0),
        (network(3, inputs=4), (28, 28), AVX512),
        (network(3, kernel=1), (28, 28), AVX512),
        (network(3), (28, 27), AVX512),
        (network(3), (12, 12), AVX512),
    ],
    ids=["too wide", "too wide for AVX2", "no vectors", "few inputs", "one pixel", "odd", "few pixels"],
)
def test_a_convolution_stays_plain_where_it_would_not_gain(model, size, lanes, tmp_path):
    file = exported(model, tmp_path, size)
    before = file.SerializeToString()
    assert narrow.pack(file, lanes) == 0
    assert file.SerializeToString() == before


def test_a_result_that_two_take_is_rearranged_before_both(tmp_path):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.narrow, self.last = network()[0], network()[1], network()[4]

        def forward(self, images: Tensor) -> Tensor:
            found = self.narrow(self.first(images))
            return self.last(found.relu()) + self.last(found.sigmoid())

    file = exported(Two().eval(), tmp_path)
    images = torch.randn(2, 3, 28, 28)
    expected = outputs(file, images)
    assert narrow.pack(file, AVX512) == 1
    torch.testing.assert_close(outputs(file, images), expected, rtol=1e-5, atol=1e-5)


def test_what_is_exported_is_packed_for_the_processor(tmp_path):
    file = onnx.load_model(export(network(2), (3, 28, 28), tmp_path / "model.onnx"))
    assert operators(file)["DepthToSpace"] == (1 if narrow.lanes() >= AVX2 else 0)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("channels", range(1, 6))
def test_copies_of_a_layer_have_nodes_and_tensors_of_their_own(channels, named, tmp_path):
    """Whatever a graph is built from, with names or without, packing gives one that runtimes open."""
    config = LayerConfig("conv", 16, channels, 28, 28, (3, 3), padding=(1, 1))
    weights = [(np.ones((channels, 16, 3, 3), np.float32), np.ones(channels, np.float32))] * 3
    file = onnx.load_model_from_string(graph(config, weights, (2, 16, 28, 28), lanes=0))
    for number, node in enumerate(file.graph.node):
        node.name = f"conv{number}" if named else ""
    images = torch.randn(2, 16, 28, 28)
    expected = outputs(file, images)
    assert narrow.pack(file, AVX512) == (3 if channels <= 4 else 0)
    names = [node.name for node in file.graph.node]
    if channels <= 4:
        assert len({*names}) == len(names) and all(names)
    given = [name for node in file.graph.node for name in node.output]
    assert len({*given}) == len(given)
    torch.testing.assert_close(outputs(file, images), expected, rtol=1e-5, atol=1e-5)


def test_nodes_that_bring_one_name_get_different_ones():
    nodes = [
        onnx.helper.make_node("Relu", ["x"], [f"y{n}"], name=name)
        for n, name in enumerate(["a", "a", "", "a::2"])
    ]
    name_nodes(nodes)
    assert [node.name for node in nodes] == ["a", "a::3", "Relu_y2", "a::2"]
