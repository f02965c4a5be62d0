"""`prune.channels` to a latency, with timers that are made up: what it leaves, remarks and refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from engine.compute.latency import bench, network_times
from engine.compute.latency.pair import Side
from engine.compute.measures.counts import count
from engine.compute.onnx.shape import Shape
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.clustering.filters import cluster_filters
from engine.compute.steps.sensitivity import sensitivity
from engine.errors import SecateurError
from engine.params.channels import PruneChannels
from engine.params.clustering import ClusterFilters, Shared
from engine.params.runtimes import Runtime
from engine.params.sensitivity import Sensitivity
from engine.results.latency_targets import MEASURE, within
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.channels import channels_help as networks

SHAPE = (1, 8, 8)


@pytest.fixture
def timed_by(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[float], float]], None]:
    """Lets the time of a network be a function of the share of its bytes that is left; nothing is exported."""

    def set_timer(time: Callable[[float], float]) -> None:
        def pair(before: Side, after: Side, **_: Any) -> list[dict[str, Any]]:
            sizes = [side.artefacts["onnxruntime"].stat().st_size for side in (before, after)]
            return [{"speedup": time(1.0) / time(sizes[1] / sizes[0]), "foreign_load": 0.0}]

        def written(runtime: Runtime, model: nn.Module, shape: Shape, folder: Path, **_: Any) -> Path:
            file = folder / "tensors"
            file.write_bytes(bytes(sum(tensor.nbytes for tensor in model.state_dict().values())))
            return file

        monkeypatch.setattr(bench, "measure_pair", pair)
        monkeypatch.setattr(bench, "artefact", written)

    return set_timer


def params(speedup: float, **changes: Any) -> PruneChannels:
    values = {"latency": {"speedup": speedup}, "criterion": "l1", "repair": False, "round_to": 1, **changes}
    return PruneChannels.model_validate(values, strict=False)


@pytest.mark.parametrize("speedup", [1.3, 1.5, 2.0])
def test_what_is_measured_decides_and_not_what_was_predicted(speedup: float, timed_by: Any) -> None:
    """With an overhead as large as half of the network, MACs must fall by far more than the time."""
    timed_by(lambda share: 0.5 + share)
    context, original = context_for(), small_model()
    model = prune_channels(small_model(), params(speedup, floor=0.0), context)
    found = context.observations[MEASURE]
    assert (found["asked"], found["runtime"], found["batch"]) == (speedup, "onnxruntime", 1)
    assert within(found["measured"], speedup)
    assert count(original, SHAPE).macs / count(model, SHAPE).macs > 1.2 * speedup


def test_a_target_that_cannot_be_met_is_refused_with_the_most_that_can(timed_by: Any) -> None:
    timed_by(lambda share: 1.0 + share)
    with pytest.raises(
        SecateurError, match=r"^3× in onnxruntime at batch 1 can't be met: at most 1\.\d+×"
    ) as caught:
        prune_channels(small_model(), params(3.0, floor=0.25, round_to=4, skip=("layer3.*",)), context_for())
    assert "floor 0.25, round_to 4, skip layer3.*" in caught.value.title


def test_the_most_that_a_refusal_names_can_be_asked_for(timed_by: Any) -> None:
    timed_by(lambda share: 0.6 + share)
    with pytest.raises(SecateurError) as caught:
        prune_channels(small_model(), params(3.0), context_for())
    most = float(caught.value.title.partition("at most ")[2].partition("×")[0])
    context = context_for()
    prune_channels(small_model(), params(most), context)
    assert within(context.observations[MEASURE]["measured"], most)


def test_steps_too_coarse_for_the_target_give_a_faster_network_and_a_warning(timed_by: Any) -> None:
    timed_by(lambda share: share**3)
    events: list[ev.Event] = []
    context = context_for(events=events)
    prune_channels(small_model(), params(1.2, round_to=16), context)
    assert context.observations[MEASURE]["measured"] > 1.2 * 1.1
    assert any(isinstance(event, ev.Notice) and "Asked for 1.2×" in event.text for event in events)


def test_networks_that_the_solver_proposes_are_measured_too(
    timed_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed_by(lambda share: 0.1 + share)
    monkeypatch.setattr(
        network_times,
        "layer_times",
        lambda configs, **_: {one: 1e-3 * one.inputs * one.outputs for one in configs},
    )
    context, model = context_for(), small_model()
    sensitivity(
        model, Sensitivity(of="channels", criterion="l2", rates=(0.25, 0.5, 0.75), images=60), context
    )
    prune_channels(model, params(1.5, scope="solved", criterion="l2"), context)
    assert within(context.observations[MEASURE]["measured"], 1.5)


def test_a_latency_is_asked_against_the_network_as_it_was_given(
    timed_by: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not against the one that was made ready, whose attention may be faster or slower."""
    timed_by(lambda share: share)
    written: list[nn.Module] = []
    write = bench.artefact

    def noted(runtime: Runtime, model: nn.Module, shape: Shape, folder: Path, **_: Any) -> Path:
        written.append(model)
        return write(runtime, model, shape, folder)

    monkeypatch.setattr(bench, "artefact", noted)
    model = networks.own(networks.vit)
    prune_channels(model, params(1.2), context_for())
    original, *candidates = ({type(module) for module in one.modules()} for one in written)
    assert nn.MultiheadAttention in original
    assert all(nn.MultiheadAttention not in types for types in candidates)


def test_parameters_are_counted_against_the_network_as_it_was_given() -> None:
    """Filters that are shared take fewer parameters than those that channels are taken out of."""
    context, model = context_for(), small_model()
    cluster_filters(model, ClusterFilters(method=Shared(), ratio=0.5), context)
    before = count(model, SHAPE).parameters
    prune_channels(model, PruneChannels(compression=2.0, round_to=1, repair=False), context)
    assert before / count(model, SHAPE).parameters == pytest.approx(2.0, rel=0.05)
