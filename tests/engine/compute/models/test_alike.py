"""A graph that was kept for networks built alike is, bit for bit, the one that each of them would be exported as."""

import copy
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.compute.models.alike import folder_for
from engine.compute.models.architecture import Architecture, attached
from engine.compute.models.build import build
from engine.compute.onnx import export as exporting
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.quantization.graph import float_graph
from engine.params import PruneWeights
from tests.engine.compute.compute_help import context_for

SHAPE = (3, 32, 32)


def network(name: str, seed: int = 0, **arguments: object) -> nn.Module:
    torch.manual_seed(seed)
    return build(Architecture(name, *SHAPE[:1], 10, SHAPE[1:], arguments, seed)).eval()


def test_a_kept_graph_is_the_one_that_an_export_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a network as it is built, which the check-up exports, for one that was trained and pruned later."""
    first, other = network("resnet8", 0, width=4), network("resnet8", 1, width=4)
    other = prune_weights(other, PruneWeights(sparsity=0.5), context_for())
    float_graph(first, SHAPE, tmp_path)
    alone = float_graph(copy.deepcopy(other), SHAPE)
    monkeypatch.setattr(exporting, "_traced", None)  # not exported again
    kept = float_graph(other, SHAPE, tmp_path)
    assert kept.SerializeToString(deterministic=True) == alone.SerializeToString(deterministic=True)


def test_what_else_decides_what_a_network_computes_has_a_folder_of_its_own(tmp_path: Path) -> None:
    def folder(change: str = "", **arguments: object) -> Path | None:
        model = network("resnet8", width=4, **arguments)
        layer = model.get_submodule("layer1.0")
        if change == "tensor":
            layer.table = torch.ones(3)
        elif change:
            layer.scale = float(change)
        return folder_for(tmp_path, model)

    given = [
        folder(),
        folder("2"),
        folder("3"),
        folder("tensor"),
        folder_for(tmp_path, network("resnet8", width=8)),
    ]
    assert None not in given
    assert len(set(given)) == 5
    assert folder() == folder_for(tmp_path, network("resnet8", 5, width=4)), "seed and weights do not matter"


def test_of_somebody_s_own_code_nothing_is_kept(tmp_path: Path) -> None:
    own = attached(nn.Conv2d(3, 4, 3), Architecture("mine.py:net", 3, 10, (32, 32)))
    assert folder_for(tmp_path, own) is folder_for(tmp_path, nn.Conv2d(3, 4, 3)) is None
