"""Sizes on disk are those of real files."""

import subprocess

import torch
from safetensors.torch import save_file
from torch import nn

from engine.compute.measures.sizes import sizes


def pruned(sparsity: float) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    weights = torch.randn(256, 256, generator=generator)
    weights[torch.rand(256, 256, generator=generator) < sparsity] = 0
    return {"fc.weight": weights, "fc.bias": torch.randn(256, generator=generator)}


def test_plain_and_gzip_are_the_sizes_of_the_files(tmp_path):
    tensors = pruned(0.5)
    save_file(tensors, tmp_path / "model.safetensors")
    found = sizes(tensors)
    assert found["plain"] == (tmp_path / "model.safetensors").stat().st_size
    command = ["gzip", "-6", "-n", "-k", str(tmp_path / "model.safetensors")]
    subprocess.run(command, check=True)
    real = (tmp_path / "model.safetensors.gz").stat().st_size
    assert abs(found["gzip"] - real) < 0.01 * real


def test_pruning_moves_the_packed_size_and_not_the_plain_one():
    dense, half, tenth = (sizes(pruned(sparsity)) for sparsity in (0.0, 0.5, 0.9))
    assert dense["plain"] == half["plain"] == tenth["plain"]
    assert tenth["packed"] < tenth["gzip"] < tenth["plain"]
    assert tenth["packed"] < 0.13 * dense["plain"]
    assert half["packed"] < 0.53 * dense["plain"]


def test_shared_and_strided_weights_are_sized_and_counted_once():
    layer = nn.Linear(64, 64, bias=False)
    alone = sizes({"a": layer.weight})
    tied = sizes({"a": layer.weight, "b": layer.weight})
    assert tied == alone
    view = sizes({"a": layer.weight, "half": layer.weight.detach()[:32]})
    assert view["plain"] > alone["plain"] + 32 * 64 * 4
    assert sizes({"t": layer.weight.detach().t()})["plain"] > 64 * 64 * 4


def test_sizes_repeat_exactly():
    assert sizes(pruned(0.7)) == sizes(pruned(0.7))
