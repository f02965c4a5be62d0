"""Facts of mixed precision: the fewest layers in float, and only layers that gain time in integers."""

import copy
from collections.abc import Set
from dataclasses import replace
from pathlib import Path
from typing import get_args

import onnx
import pytest
import torch

from engine.compute.context import validate
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.numerics.seeds import seed_everything
from engine.compute.onnx.graph import Graph
from engine.compute.steps.apply import apply
from engine.compute.steps.quantization.graph import float_graph
from engine.compute.steps.quantization.precision.accuracy import Mixing
from engine.compute.steps.quantization.precision.latency import Costs, Predicted, left_in_float
from engine.compute.steps.quantization.precision.profile import by_node, crossing_rate, node_times
from engine.compute.steps.quantization.precision.result import fewest_in_float, layers, sensitivities
from engine.compute.steps.quantization.precision.search import Drawn, best_recipe
from engine.compute.steps.quantization.recipe import Recipe
from engine.params import QuantizeStatic
from engine.params.quantization import Mixed
from engine.params.runtimes import ProfiledRuntime
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, digits
from tests.engine.compute.steps.quantization import tiny_residual

PARAMS = QuantizeStatic(images=64, equalize="off", bias_correction="off")


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    seed_everything(0, "test")
    model = build(Architecture(f"{Path(tiny_residual.__file__)}:model", 1, 10, (8, 8)))
    state = model.state_dict()
    # Weights of a dead channel that drown all others where they have one scale.
    state["bn1.bias"][0] = -100
    state["conv2.weight"][:, 0] *= 100
    return model.eval()


@pytest.fixture(scope="module")
def recipe(network: torch.nn.Module) -> Recipe:
    params = PARAMS.model_copy(update={"per_channel": False})
    graph = float_graph(network, (1, 8, 8))
    return best_recipe(graph, params, Drawn(network, params, context_for()), frozenset()).recipe


@pytest.mark.parametrize(
    ("needed", "expected"), [(set(), set()), ({"b"}, {"b"}), ({"a", "c"}, {"a", "c"}), ({"d"}, {"d"})]
)
def test_no_layer_stays_in_float_that_the_score_does_not_need(needed: set[str], expected: set[str]) -> None:
    losses = {"a": 4.0, "b": 3.0, "c": 2.0, "d": 1.0}

    def quality(left: Set[str]) -> float:
        return 0.9 if needed <= left else 0.5

    found = fewest_in_float(losses, frozenset(), quality, 0.8)
    assert found.left == expected
    assert found.reached


def test_nothing_stays_in_float_where_that_is_good_enough_though_some_in_float_is_worse() -> None:
    found = fewest_in_float(
        {"a": 2.0, "b": 1.0}, frozenset(), lambda left: 0.5 if left == {"a"} else 0.9, 0.8
    )
    assert found.left == frozenset()


def test_a_loss_that_no_choice_meets_is_told_and_leaves_all_in_float(
    network: torch.nn.Module, recipe: Recipe
) -> None:
    found = fewest_in_float({"a": 1.0, "b": 2.0}, frozenset(), lambda _: 0.5, 0.8)
    assert not found.reached
    assert found.left == {"a", "b"}


def test_the_most_sensitive_layer_is_the_one_whose_weights_differ_most(
    network: torch.nn.Module, recipe: Recipe
) -> None:
    context = context_for()
    found = sensitivities(recipe, frozenset(), Drawn(network, PARAMS, context), context)
    assert list(found) == ["conv1", "conv2", "fc"]
    assert max(found, key=lambda name: found[name]) == "conv2"


def test_mixed_precision_meets_its_loss_and_says_which_layers_it_left(
    network: torch.nn.Module, recipe: Recipe
) -> None:
    events: list[ev.Event] = []
    context = context_for(events=events)
    work = Mixing(copy.deepcopy(network), recipe, Drawn(network, PARAMS, context), context)
    left, losses = work.accurate(Mixed(max_loss=0), frozenset())
    assert left <= set(losses) == {"conv1", "conv2", "fc"}
    lost = validate(network, context).quality - validate(work.network(left), context).quality
    assert lost <= 0
    assert any(isinstance(event, ev.Notice) and "layers in float" in event.text for event in events)


def test_a_file_that_loses_more_than_allowed_after_all_is_told(
    network: torch.nn.Module, recipe: Recipe
) -> None:
    events: list[ev.Event] = []
    answers = validate(network, context_for()).predictions
    data = digits()
    # The float network is right by definition, so whatever the file answers otherwise is lost.
    data = replace(data, validation=replace(data.validation, labels=answers))
    context = context_for(events=events, data=data)
    work = Mixing(copy.deepcopy(network), recipe, Drawn(network, PARAMS, context), context)
    lost = 100 * (1 - validate(work.network(set()), context).quality)
    assert lost > 0
    work.check(Mixed(max_loss=lost), frozenset())
    assert not [event for event in events if isinstance(event, ev.Notice)]
    work.check(Mixed(max_loss=lost / 2), frozenset())
    (notice,) = [event for event in events if isinstance(event, ev.Notice)]
    assert notice.level == "warning"
    assert f"loses {lost:.2f} points" in notice.text


def test_only_what_gains_more_than_it_costs_to_get_in_and_out_is_quantized(recipe: Recipe) -> None:
    graph = Graph(recipe.graph)
    names = layers(recipe.graph)
    floats = dict.fromkeys(names, 10.0)

    def left(integers: dict[str, float], crossing: float) -> frozenset[str]:
        return left_in_float(Predicted(graph, Costs(floats, integers, crossing)), names, frozenset())

    assert left(dict.fromkeys(names, 5.0), 0.0) == frozenset()
    assert left(dict.fromkeys(names, 12.0), 0.0) == set(names)
    assert left({"conv1": 5.0, "conv2": 12.0, "fc": 5.0}, 0.0) == {"conv2"}
    # 8×8 pixels of 16 channels at 1 ms a value: nothing is worth going through integers.
    assert left(dict.fromkeys(names, 5.0), 1000.0) == set(names)


@pytest.mark.parametrize("runtime", get_args(ProfiledRuntime))
def test_measured_times_are_told_by_the_layers_of_the_float_graph(
    recipe: Recipe, runtime: ProfiledRuntime
) -> None:
    graph = Graph(recipe.graph)
    for file in (recipe.graph, recipe.write()):
        times = node_times(file, (1, 8, 8), 1, runtime)
        found = by_node(times, graph)
        assert {"conv1", "conv2", "fc"} <= set(found)
        assert all(time > 0 for name, time in found.items() if name.startswith("conv"))
    assert crossing_rate(times, graph) > 0


def test_a_file_with_every_layer_in_float_is_the_float_network(recipe: Recipe) -> None:
    file = recipe.write(frozenset(layers(recipe.graph)))
    assert {node.op_type for node in file.graph.node} & {"QuantizeLinear", "DequantizeLinear"} == set()


@pytest.mark.usefixtures("briefly")
@pytest.mark.parametrize("runtime", get_args(ProfiledRuntime))
def test_a_search_by_time_belongs_to_this_host_and_goes_the_same_way_again(
    network: torch.nn.Module, tmp_path: Path, runtime: ProfiledRuntime
) -> None:
    params = PARAMS.model_copy(update={"faster": True, "faster_in": runtime})
    assert params.timed_in == runtime
    assert not PARAMS.measures_time
    partial = tmp_path / "partial"
    files = []
    for _ in range(2):  # the second run finds the first one's measurements
        context = context_for(partial=partial)
        model = apply(params, copy.deepcopy(network), context)
        assert isinstance(model, QuantizedNetwork)
        onnx.checker.check_model(onnx.load_model_from_string(model.file))
        files.append(model.file)
        held = onnx.load_model_from_string(model.file).graph.initializer
        floats = {t.name.removesuffix(".weight") for t in held if t.data_type == onnx.TensorProto.FLOAT}
        description = {row["name"] for row in context.observations["precision"] if row["precision"] == "fp32"}
        assert description == floats & {"conv1", "conv2", "fc"}, "what is told is what the file holds"
    assert files[0] == files[1]
