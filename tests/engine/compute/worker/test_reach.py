"""What techniques can reach is found out on networks that nobody has trained."""

import itertools
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import nn

from engine.compute.context import Context
from engine.compute.data import Dataset
from engine.compute.worker import reach
from engine.params import Step
from engine.studies.job import JobRequest
from engine.studies.plan import Node


def test_a_time_that_a_step_measured_counts_for_no_other_step_and_no_other_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search may choose among scopes and runtimes, and narrow what another technique has made."""
    times = itertools.count()

    def applied(step: Step, model: nn.Module, context: Context) -> nn.Module:
        taken.append(context.measured("whole model, 3 removals, measurement 1", lambda: next(times)))
        return model

    def measured(*steps: dict[str, Any]) -> int:
        found._changed(steps)
        return taken[-1]

    def faster(speedup: float, **more: Any) -> dict[str, Any]:
        target = {"speedup": speedup, "runtime": more.pop("runtime", "torch")}
        return {"kind": "prune.channels", "latency": target, **more}

    taken: list[int] = []
    monkeypatch.setattr(reach, "apply", applied)
    request = JobRequest("", "", None, "cpu", 1, 1, "", {}, {}, [])
    node = Node("k", "reach", "reach", {}, None, -1)
    found = reach._Reach(request, cast(Dataset, None), node, tmp_path, tmp_path)
    found.network, found.seed, found.device = nn.Linear(2, 2), 0, torch.device("cpu")
    found._searched = {"prune.channels": [["latency", "speedup"]]}

    first = measured(faster(2.0))
    assert measured(faster(3.0)) == first, "however far it goes, networks of so many removals are the same"
    others = [
        measured(faster(2.0, scope="local")),
        measured(faster(2.0, runtime="onnxruntime")),
        measured({"kind": "factorize", "rank": {"kind": "ratio", "ratio": 0.5}}, faster(2.0)),
        measured({"kind": "factorize", "rank": {"kind": "ratio", "ratio": 0.8}}, faster(2.0)),
    ]
    assert len({first, *others}) == 1 + len(others)
