"""Every kind of step on a GPU: it runs, its result is kept and loads back equal."""

from pathlib import Path
from typing import Any

import pytest
import torch

from engine.compute.context import to_device, validate
from engine.compute.models import checkpoint
from engine.compute.steps.apply import apply
from engine.compute.training.loop import fit
from engine.params import STEPS
from engine.params.training import Train
from tests.engine.compute.compute_help import context_for, small_model

CUDA = torch.device("cuda")
GIVEN: dict[str, dict[str, Any]] = {
    "train": {"epochs": 1},
    "finetune": {"epochs": 1, "precision": "bf16"},
    "prune.weights": {"sparsity": 0.5, "criterion": "taylor"},
    "prune.channels": {"ratio": 0.3},
    "prune.blocks": {"count": 1},
    "cluster.filters": {"restarts": 1},
    "cluster.kernels": {"entries": 4, "restarts": 1},
    "cluster.weights": {"centroids": 8},
    "factorize": {},
    "quantize.weights": {},
    "quantize.half": {},
    "quantize.static": {},
    "quantize.dynamic": {},
    "quantize.qat": {"epochs": 1},
    "calibrate": {},
    "distill": {"epochs": 1, "teacher": {"kind": "baseline"}},
}


@pytest.mark.parametrize("kind", GIVEN)
def test_a_step_runs_on_the_gpu(kind: str, tmp_path: Path) -> None:
    if kind.startswith("cluster."):
        pytest.importorskip("sklearn.cluster", exc_type=ImportError)
    context = context_for()
    context.device = CUDA
    model = fit(small_model(depth=20), Train(epochs=2, learning_rate=0.05), context)
    context.teacher = to_device(small_model(depth=20, seed=1), CUDA).eval()
    changed = to_device(apply(STEPS[kind].model_validate(GIVEN[kind]), model, context), CUDA).eval()
    before = validate(changed, context)
    again = to_device(checkpoint.save(changed, tmp_path), CUDA)
    assert torch.equal(validate(again, context).predictions, before.predictions)


def test_every_kind_is_here() -> None:
    assert set(STEPS) - set(GIVEN) == {"sensitivity"}, "that one prunes, which prune.weights shows"
