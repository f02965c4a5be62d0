"""A packed model: the file that the study's size is of, and a loader that gives the trial's weights bit for bit."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.compute.export.formats import write_model
from engine.compute.layers.grids import grids
from engine.compute.layers.masks import folded
from engine.compute.measures.sizes import sizes
from engine.compute.models import checkpoint
from engine.compute.steps.clustering.kernels import cluster_kernels
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.quantization.weights import quantize_weights
from engine.params import ClusterKernels, ClusterWeights, PruneWeights
from engine.params.quantize_weights import QuantizeWeights
from tests import lone
from tests.engine.compute.compute_help import context_for, digits, small_model
from tests.engine.compute.export.test_export_shared import network as shared_filters

LOAD = """
import sys
sys.modules.update(dict.fromkeys(["engine", "safetensors", "torchvision"]))  # none of these can be imported
sys.path.insert(0, sys.argv[1])
import load, torch
torch.save([load.state_dict(), load.load().state_dict()], sys.argv[2])
"""


class Tied(nn.Module):
    """Two layers that share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.last = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        outputs: Tensor = self.last(self.second(self.first(images.flatten(1))))
        return outputs


def pruned() -> nn.Module:
    return prune_weights(small_model(), PruneWeights(sparsity=0.8), context_for())


def with_dictionaries() -> nn.Module:
    settings = ClusterKernels(entries=4, restarts=1, calibrate=False)
    return cluster_kernels(small_model(), settings, context_for())


MODELS: dict[str, Callable[[], nn.Module]] = {
    "dense": small_model,
    "pruned": pruned,
    "codebooks": lambda: cluster_weights(pruned(), ClusterWeights(centroids=16), context_for()),
    "grids": lambda: quantize_weights(pruned(), QuantizeWeights(bits=4), context_for()),
    "dictionaries": with_dictionaries,
    "pruned dictionaries": lambda: prune_weights(
        with_dictionaries(), PruneWeights(sparsity=0.5), context_for()
    ),
    "shared filters": shared_filters,
    "tied": Tied,
}


@pytest.mark.parametrize("kind", MODELS)
def test_it_has_the_size_that_is_measured_and_gives_the_weights_bit_for_bit(
    kind: str, tmp_path: Path
) -> None:
    model = MODELS[kind]().eval().to(memory_format=torch.contiguous_format)
    out = tmp_path / "out"
    out.mkdir()
    write_model(out, "packed", model, digits(), lambda _: None)
    measured = sizes(checkpoint.folded_state(model), grids=grids(model))["packed"]
    assert (out / "model.packed").stat().st_size == measured
    (tmp_path / "program.py").write_text(LOAD)
    done = lone.run(tmp_path / "program.py", str(out), str(tmp_path / "state"), folder=tmp_path)
    assert not done.returncode, done.stderr
    expected = folded(model).state_dict()
    for state in torch.load(tmp_path / "state"):
        assert state.keys() == expected.keys()
        for name, tensor in expected.items():
            given = state[name]
            assert given.dtype == tensor.dtype and given.shape == tensor.shape
            bits = [one.contiguous().reshape(-1).view(torch.uint8) for one in (given, tensor)]
            assert torch.equal(*bits), name
