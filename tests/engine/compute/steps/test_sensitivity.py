"""Pruning one layer at a time: what is found, that the model is left alone, and that a kill loses a row."""

import copy
import json
from pathlib import Path
from typing import Literal

import pytest
import torch
from torch import Tensor, nn

from engine.compute.context import validate
from engine.compute.latency.network_times import NetworkTimes
from engine.compute.layers.masks import masked
from engine.compute.layers.select import prunable_layers, weight_of
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint, edits
from engine.compute.models.sizes import of_model
from engine.compute.steps.apply import apply
from engine.compute.steps.channels.narrower import shrinkable
from engine.compute.steps.channels.shrink import shrink
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.sensitivity import BESIDE, CALIBRATION, COMPARED, ROWS, _affordable, sensitivity
from engine.compute.tasks import task_of
from engine.compute.tasks.evaluate import outputs
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params import STEPS
from engine.params.channels import PruneChannels
from engine.params.pruning import Cubic, PruneWeights
from engine.params.sensitivity import Sensitivity
from engine.params.training import Train
from engine.search.proposals import Table
from engine.search.widths import WIDTHS, Widths
from tests.engine.compute.compute_help import context_for, digits, small_model

PARAMS = Sensitivity(of="weights", rates=(0.3, 0.9), images=60)


@pytest.fixture(scope="module")
def trained() -> dict[str, Tensor]:
    model = fit(small_model(width=4), Train(epochs=3, batch=32), context_for())
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


@pytest.fixture
def model(trained: dict[str, Tensor]) -> nn.Module:
    network = small_model(width=4)
    network.load_state_dict(trained)
    return network.eval()


def test_every_layer_at_every_rate_and_the_model_bit_for_bit(
    model: nn.Module, trained: dict[str, Tensor]
) -> None:
    context = context_for()
    assert sensitivity(model, PARAMS, context) is model
    found = context.observations["sensitivity"]
    layers = prunable_layers(model, ())
    assert [(row["layer"], row["rate"]) for row in found["rows"]] == [
        (name, rate) for name in layers for rate in PARAMS.rates
    ]
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained[name]), name
    assert found["of"] == "weights" and found["criterion"] == "l1"
    assert found == json.loads(json.dumps(found)), "plain JSON"
    assert edits.notes(model)["sensitivity"]["weights"] == found


def test_a_row_is_what_pruning_that_layer_alone_gives(model: nn.Module) -> None:
    context = context_for()
    params = Sensitivity(of="weights", rates=(0.5,), images=10_000, calibrate=False, skip=("layer[23].*",))
    sensitivity(model, params, context)
    found = context.observations["sensitivity"]
    plain = validate(model, context)
    assert found["reference"]["validation_accuracy"] == plain.accuracy
    row = next(row for row in found["rows"] if row["layer"] == "layer1.0.conv1")
    others = tuple(name for name in prunable_layers(model, ()) if name != "layer1.0.conv1")
    prune_weights(model, PruneWeights(scope="local", sparsity=0.5, skip=others), context)
    alone = validate(model, context)
    assert (row["validation_accuracy"], row["validation_loss"]) == (alone.accuracy, alone.loss)
    assert row["loss_increase"] == alone.loss - plain.loss
    weights = weight_of(model.get_submodule("layer1.0.conv1")).numel()
    assert row["parameters"] == found["reference"]["parameters"] - round(0.5 * weights)
    assert row["macs"] < found["reference"]["macs"]


def test_only_so_many_validation_images_are_looked_at(model: nn.Module) -> None:
    context = context_for(data=digits(None))
    params = Sensitivity(of="weights", rates=(0.5,), images=50, skip=("layer*",))
    sensitivity(model, params, context)
    for row in context.observations["sensitivity"]["rows"]:
        assert (row["validation_accuracy"] * 50).is_integer()


def test_taylor_removes_other_weights_than_magnitude(model: nn.Module) -> None:
    found = []
    for criterion in ("l1", "l2", "taylor"):
        context = context_for()
        params = PARAMS.model_copy(update={"criterion": criterion, "skip": ("layer[12]*",)})
        sensitivity(model, params, context)
        found.append([row["validation_loss"] for row in context.observations["sensitivity"]["rows"]])
    assert found[0] == found[1] != found[2]


class _Killed(Exception):
    pass


def test_an_interrupted_scan_goes_on_with_the_same_numbers(
    model: nn.Module, trained: dict[str, Tensor], tmp_path: Path
) -> None:
    params = PARAMS.model_copy(update={"skip": ("layer[12]*",)})
    whole = context_for()
    sensitivity(model, params, whole)
    context = context_for(partial=tmp_path / "partial")
    stop = model.get_submodule("fc").register_forward_hook(_after(20))
    with pytest.raises(_Killed):
        sensitivity(model, params, context)
    stop.remove()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained[name]), "even then the model is whole"
    kept = json.loads((context.partial / ROWS).read_text())["rows"]
    assert 0 < len(kept) < len(whole.observations["sensitivity"]["rows"])
    calls: list[object] = []
    model.get_submodule("fc").register_forward_hook(lambda *_: calls.append(0))
    sensitivity(model, params, context)
    assert context.observations == whole.observations
    again = len(calls)
    calls.clear()
    sensitivity(model, params, context_for())
    assert again < len(calls), "finished rows are not computed again"


def _after(calls: int):  # type: ignore[no-untyped-def]
    left = [calls]

    def hook(*_: object) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise _Killed

    return hook


@pytest.mark.parametrize("scope", ["sensitivity", "solved"])
def test_pruning_at_rates_from_it_meets_the_sparsity_and_spares_the_frail(
    model: nn.Module, scope: Literal["sensitivity", "solved"]
) -> None:
    context = context_for()
    sensitivity(model, PARAMS, context)
    prune_weights(model, PruneWeights(scope=scope, sparsity=0.6), context)
    masks = {name: mask.mask for name, mask in masked(model).items()}
    elements = sum(mask.numel() for mask in masks.values())
    gone = sum(int((~mask).sum()) for mask in masks.values())
    assert gone / elements == pytest.approx(0.6, abs=len(masks) / elements)
    shares = [float((~mask).float().mean()) for mask in masks.values()]
    assert max(shares) - min(shares) > 0.1


def test_rates_travel_in_the_checkpoint_and_serve_a_schedule(model: nn.Module, tmp_path: Path) -> None:
    context = context_for()
    sensitivity(model, PARAMS, context)
    checkpoint.save(model, tmp_path)
    loaded = checkpoint.load(tmp_path)
    schedule = Cubic(rounds=2, epochs=0)
    prune_weights(loaded, PruneWeights(scope="sensitivity", sparsity=0.8, schedule=schedule), context)
    zeros = torch.cat([weight_of(m).flatten() == 0 for m in prunable_layers(loaded, ()).values()])
    assert float(zeros.float().mean()) == pytest.approx(0.8, abs=2e-3)


def test_without_the_step_it_is_an_error(model: nn.Module) -> None:
    with pytest.raises(SecateurError, match=r"sensitivity: \{of: weights\}"):
        prune_weights(model, PruneWeights(scope="sensitivity"), context_for())


def test_channels_go_with_all_that_is_coupled_to_them(model: nn.Module, trained: dict[str, Tensor]) -> None:
    context = context_for()
    params = Sensitivity(of="channels", criterion="l2", rates=(0.25, 0.9), images=60)
    assert sensitivity(model, params, context) is model
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained[name]), name
    found = context.observations["sensitivity"]
    told = {name: value for name, value in found.items() if name != WIDTHS}
    assert edits.notes(model)["sensitivity"]["channels"] == told
    layers = {row["layer"] for row in found["rows"]}
    assert {"conv1", "layer1.0.conv1"} <= layers and "fc" not in layers
    assert "layer1.0.conv2" not in layers, "it adds to what conv1 makes"
    few, many = (row for row in found["rows"] if row["layer"] == "layer1.0.conv1")
    # One of the 4 channels of width 4: 9 weights for each of 4 inputs and outputs, and BatchNorm's two.
    assert few["parameters"] == found["reference"]["parameters"] - (2 * 4 * 9 + 2)
    assert many["macs"] < few["macs"] < found["reference"]["macs"]
    assert many["parameters"] > 0, "one channel always stays"


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_every_criterion_ranks_channels(model: nn.Module, criterion: str) -> None:
    context = context_for()
    params = Sensitivity.model_validate(
        {"of": "channels", "criterion": criterion, "rates": [0.5], "images": 60}
    )
    sensitivity(model, params, context)
    assert all(0 <= row["validation_accuracy"] <= 1 for row in context.observations["sensitivity"]["rows"])


def test_channels_go_at_rates_from_it(model: nn.Module) -> None:
    context = context_for()
    params = Sensitivity(of="channels", criterion="l2", rates=(0.25, 0.75), images=60)
    sensitivity(model, params, context)
    before = weight_of(model.get_submodule("layer3.0.conv1")).shape
    prune_channels(model, PruneChannels(scope="sensitivity", criterion="l2", ratio=0.4, round_to=1), context)
    sizes = {row["layer"]: row["after"] / row["before"] for row in context.observations["channels"]}
    assert len(set(sizes.values())) > 1, "layers differ in what they lose"
    removed = sum(row["before"] - row["after"] for row in context.observations["channels"])
    assert removed / sum(row["before"] for row in context.observations["channels"]) == pytest.approx(
        0.4, abs=0.05
    )
    assert weight_of(model.get_submodule("layer3.0.conv1")).shape[0] <= before[0]


@pytest.mark.parametrize(
    ("of", "level", "step"),
    [
        ("bits", 3, {"bits": 3, "rounding": {"kind": "nearest"}, "calibrate": False}),
        ("rank", 0.6, {"scheme": "channel", "rank": {"kind": "ratio", "ratio": 0.6}, "calibrate": False}),
    ],
)
def test_a_row_of_bits_or_rank_is_what_that_step_does_to_the_layer_alone(
    model: nn.Module, trained: dict[str, Tensor], of: str, level: float, step: dict[str, object]
) -> None:
    context, layer = context_for(), "layer2.0.conv2"
    levels = {"bits": [level]} if of == "bits" else {"rates": [level], "scheme": "channel"}
    given = {"of": of, **levels, "calibrate": False, "images": 10_000, "skip": ["layer3.*"]}
    sensitivity(model, Sensitivity.model_validate(given), context)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, trained[name]), name
    found = edits.notes(model)["sensitivity"][of]
    row = next(one for one in found["rows"] if one["layer"] == layer)
    others = [name for name in prunable_layers(model, ()) if name != layer]
    kind = "quantize.weights" if of == "bits" else "factorize"
    alone = apply(STEPS[kind].model_validate(step | {"skip": others}), model, context)
    assert row["validation_loss"] == pytest.approx(validate(alone, context).loss, rel=1e-6)
    assert row["size.packed"] < found["reference"]["size.packed"]
    assert row["size.packed"] == pytest.approx(of_model(alone)["packed"], rel=0.02)
    assert (row["rate"], row.get("bits")) == ((1 - 3 / 32, 3) if of == "bits" else (0.6, None))


def test_channels_go_where_the_solver_says(model: nn.Module) -> None:
    context = context_for()
    rates = (0.25, 0.5, 0.75)
    sensitivity(model, Sensitivity(of="channels", criterion="l2", rates=rates, images=60), context)
    params = PruneChannels(scope="solved", criterion="l2", speedup=1.7, round_to=1, repair=False)
    pruned = prune_channels(copy.deepcopy(model), params, context)
    # Whole channels of layers of four: the least that reaches it is not far beyond.
    assert 1.7 <= count(model, (1, 8, 8)).macs / count(pruned, (1, 8, 8)).macs < 1.95
    with pytest.raises(SecateurError, match="measured too little"):
        prune_channels(model, PruneChannels(scope="solved", speedup=20, floor=0, round_to=1), context)


@pytest.mark.parametrize("of", ["bits", "rank"])
def test_bits_and_ranks_are_given_where_they_count(model: nn.Module, of: str) -> None:
    context = context_for()
    table = Sensitivity.model_validate({"of": of, "bits": [2, 4, 8], "rates": [0.3, 0.6, 0.8], "images": 60})
    sensitivity(model, table, context)
    if of == "bits":
        given = {"bits": 5, "scope": "solved", "rounding": {"kind": "nearest"}}
        quantized = apply(STEPS["quantize.weights"].model_validate(given), model, context)
        rows = {row["name"]: row["bits"] for row in context.observations["rounding"]}
        sizes = {name: weight_of(m).numel() for name, m in prunable_layers(quantized, ()).items()}
        assert len(set(rows.values())) > 1
        assert sum(sizes[name] * bits for name, bits in rows.items()) <= 5 * sum(sizes.values())
        return
    whole = sum(weight_of(m).numel() for m in prunable_layers(model, ()).values())
    given = {"scope": "solved", "scheme": "channel", "rank": {"kind": "ratio", "ratio": 0.4}}
    with pytest.raises(SecateurError, match="scheme tucker, not channel"):
        apply(STEPS["factorize"].model_validate(given), copy.deepcopy(model), context)
    factorized = apply(STEPS["factorize"].model_validate(given | {"scheme": "tucker"}), model, context)
    left = sum(weight_of(m).numel() for m in prunable_layers(factorized, ()).values())
    assert 1 - left / whole == pytest.approx(0.4, abs=0.1), "ranks are whole numbers"


@pytest.mark.usefixtures("briefly")
def test_with_a_runtime_a_table_tells_the_time_of_any_widths_and_by_record(
    model: nn.Module, tmp_path: Path
) -> None:
    asked = Sensitivity.model_validate(
        {"of": "channels", "rates": [0.5], "images": 40, "latency": {"runtime": "onnxruntime"}}
    )
    context = context_for(partial=tmp_path)
    sensitivity(model, asked, context)
    found = context.observations["sensitivity"]
    name = "latency.onnxruntime.1"
    table = Table(found)
    assert table.latency == name and 0 < table.before[name] < 1000
    widths = Widths(found[WIDTHS], found["times"])
    for row in found["rows"]:
        units = widths.units[row["layer"]]
        alone = widths.amounts({row["layer"]: units - round(0.5 * units)})
        assert {key: row[key] for key in alone} == pytest.approx(alone)
    prepared, groups = shrinkable(model, ())
    left = {group.name: max(group.units // 2, 1) for group in groups}
    gone = {group.name: torch.arange(left[group.name], group.units) for group in groups}
    shrink(prepared, groups, gone)
    counts, amounts = count(prepared, (1, 8, 8)), widths.amounts(left)
    assert (amounts["macs"], amounts["parameters"]) == pytest.approx((counts.macs, counts.parameters))
    assert amounts[name] == pytest.approx(NetworkTimes.told(found["times"]).of(prepared))
    assert amounts[name] < table.before[name]
    again = context_for(partial=tmp_path)
    sensitivity(model, asked, again)
    assert again.observations["sensitivity"] == found, "times are taken from the record"


@pytest.mark.parametrize("passes", [0.5, 20.0, 60.0, 200.0, 1000.0])
@pytest.mark.parametrize("layers", [1, 12, 60])
def test_a_table_takes_no_more_than_it_may(passes: float, layers: int) -> None:
    context, params = context_for(), Sensitivity(passes=passes, images=150)
    levels, images, calibration = _affordable(params, context, layers)
    rows = layers * len(levels)
    assert set(levels) <= set(params.rates) and 100 <= images <= 150 and calibration.images >= 64
    compared = min(images, COMPARED)
    each = images + compared + calibration.images
    assert not rows or (rows + 1) * (each + BESIDE) <= passes * len(context.data.train) + 4 * rows
    whole = _affordable(Sensitivity(), context, layers)
    assert whole == (list(params.rates), 2000, CALIBRATION)


def test_where_not_one_level_of_each_layer_can_be_paid_for_nothing_is_measured(model: nn.Module) -> None:
    context = context_for()
    sensitivity(model, Sensitivity(of="weights", passes=1), context)
    found = context.observations["sensitivity"]
    assert found["rows"] == [] and "validation_accuracy" in found["reference"]


def test_outputs_deviate_ever_more_and_never_less_than_not_at_all(model: nn.Module) -> None:
    context = context_for()
    sensitivity(model, Sensitivity(of="weights", rates=(0.2, 0.6, 0.95), images=80), context)
    deviations: dict[str, list[float]] = {}
    for row in context.observations["sensitivity"]["rows"]:
        deviations.setdefault(row["layer"], []).append(row["deviation"])
    for layer, each in deviations.items():
        assert 0 < each[0] < each[-1], layer
    # Weights of a layer at zero are what the step's rows say, so the outputs are what they compare.
    params = Sensitivity(of="weights", rates=(0.6,), images=10_000, calibrate=False, skip=("layer*", "fc"))
    context = context_for()
    sensitivity(model, params, context)
    (row,) = context.observations["sensitivity"]["rows"]
    images = torch.arange(len(context.data.validation))
    before = outputs(model, context.data, context.data.validation, images, context.device)
    others = tuple(name for name in prunable_layers(model, ()) if name != row["layer"])
    prune_weights(model, PruneWeights(scope="local", sparsity=0.6, skip=others), context)
    after = outputs(model, context.data, context.data.validation, images, context.device)
    assert row["deviation"] == pytest.approx(task_of(context.data).deviation([(before, after)]))
