"""The knob's dials: each setting is the network that its steps make, counted and sized as that is measured."""

from collections.abc import Callable
from contextlib import nullcontext

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from engine.compute.context import Context, validate
from engine.compute.latency.layer_times import LatencyModel, grid
from engine.compute.latency.layers import chained, layer_configs
from engine.compute.latency.network_times import NetworkTimes
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.sizes import of_model
from engine.compute.steps.apply import apply
from engine.compute.training.loop import fit
from engine.compute.worker.knob.bits import Bits
from engine.compute.worker.knob.channels import Channels
from engine.compute.worker.knob.dials import Dial
from engine.compute.worker.knob.held import Held, held
from engine.compute.worker.knob.rank import Rank
from engine.compute.worker.knob.scoring import Scoring, paired
from engine.compute.worker.knob.weights import Weights
from engine.params import STEPS
from engine.params.pruning import PruneWeights
from engine.params.quantize_weights import QuantizeWeights
from engine.params.sensitivity import Sensitivity
from engine.params.training import Train
from tests.engine.compute.compute_help import context_for, small_model

SIZES = 0.06
"""How far the estimate of a packed file may be from the file, as a share."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], nn.Module]:
    folder = tmp_path_factory.mktemp("trained")
    checkpoint.save(fit(small_model(), Train(epochs=4, batch=32), context_for()), folder)
    return lambda: checkpoint.load(folder, ("resnet20",))


def at(position: int) -> Context:
    context = context_for()
    context.position = position
    return context


def knob(model: nn.Module, size_packed: int | None = None) -> tuple[Held, Scoring]:
    context = at(1)
    known = validate(model, context).predictions == context.data.validation.labels
    of = held(model, context, known, {}, frozenset(), size_packed=size_packed)
    return of, Scoring(of.plain, known, context, 1)


def as_its_steps(model: nn.Module, steps: dict[str, dict[str, object]], scoring: Scoring) -> nn.Module:
    for place, (kind, params) in enumerate(steps.items()):
        model = apply(STEPS[kind].model_validate(params), model, at(1 + place))
    return apply(scoring.calibrate, model, at(1 + len(steps)))


@pytest.mark.parametrize(
    ("make", "value", "pruned"),
    [
        (Weights, 0.0, False),
        (Weights, 0.83, True),
        (Channels, 1.0, False),
        (Channels, 2.5, False),
        (Channels, 2.5, True),
        (Rank, 0.6, False),
        (Bits, 3, True),
        (Bits, 8, False),
    ],
)
def test_a_setting_is_what_its_steps_make(
    trained: Callable[[], nn.Module], make: Callable[[Held], Dial], value: float, pruned: bool
) -> None:
    def model() -> nn.Module:
        one = trained()
        return apply(PruneWeights(sparsity=0.5), one, at(0)) if pruned else one

    of, scoring = knob(model())
    dial = make(of)
    dial.set(dial.technique.most)  # another setting before leaves nothing behind
    setting = dial.set(value)
    last = list(scoring.found(setting.model, nullcontext))[-1]
    expected = as_its_steps(model(), setting.steps, scoring) if setting.steps else model()
    score = validate(expected, at(9))
    if setting.steps:
        assert scoring.known + last.difference == pytest.approx(score.quality)
    counts = count(expected, of.shape)
    assert (setting.costs.parameters, setting.costs.nonzero_parameters) == (counts.parameters, counts.nonzero)
    assert (setting.costs.macs, setting.costs.effective_macs) == (counts.macs, counts.effective_macs)
    sizes = of_model(expected)
    assert setting.costs.size_plain == sizes["plain"]
    assert setting.costs.size_packed == pytest.approx(sizes["packed"], rel=SIZES)


@pytest.mark.parametrize("value", [0.0, 0.6])
def test_the_size_of_rounded_weights_is_that_of_their_codes(
    trained: Callable[[], nn.Module], value: float
) -> None:
    def model() -> nn.Module:
        return apply(QuantizeWeights.model_validate({"bits": 4, "rounding": "nearest"}), trained(), at(0))

    of, scoring = knob(model())
    setting = Weights(of).set(value)
    expected = as_its_steps(model(), setting.steps, scoring) if setting.steps else model()
    assert setting.costs.size_packed == pytest.approx(of_model(expected)["packed"], rel=SIZES)


@pytest.mark.parametrize("make", [Weights, Channels, Rank])
def test_of_the_trial_as_it_is_the_size_is_that_of_its_file(
    trained: Callable[[], nn.Module], make: Callable[[Held], Dial]
) -> None:
    packed = of_model(trained())["packed"]
    of, _ = knob(trained(), packed + 100)
    dial = make(of)
    assert of.baseline.costs.size_packed == packed + 100
    assert dial.set(dial.technique.start).costs == of.baseline.costs


def test_a_sparse_model_is_turned_from_where_it_is(trained: Callable[[], nn.Module]) -> None:
    of, _ = knob(apply(PruneWeights(sparsity=0.8), trained(), at(0)))
    dial = Weights(of)
    least = dial.technique.least
    assert least == dial.technique.start == 0.8
    unchanged, sparser = dial.set(least), dial.set(0.9)
    assert not unchanged.steps
    assert sparser.steps == {"prune.weights": {"sparsity": 0.9}}
    assert sparser.costs.nonzero_parameters < unchanged.costs.nonzero_parameters


def test_what_is_worked_out_ahead_changes_nothing(trained: Callable[[], nn.Module]) -> None:
    of, _ = knob(trained())
    for make, value in ((Bits, 3.0), (Rank, 0.5)):
        ahead, later = make(of), make(of)
        while ahead.prepare():
            pass
        weights = [
            [parameter.clone() for parameter in dial.set(value).model.parameters()] for dial in (ahead, later)
        ]
        assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))


def test_dials_put_back_what_others_changed(trained: Callable[[], nn.Module]) -> None:
    of, _ = knob(trained())
    before = {name: tensor.clone() for name, tensor in of.plain.state_dict().items()}
    for make, value in ((Weights, 0.9), (Bits, 2.0), (Rank, 0.9), (Channels, 1.0)):
        make(of).set(value)
    assert all(torch.equal(tensor, before[name]) for name, tensor in of.plain.state_dict().items())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_the_paired_difference_is_exact_on_all_and_uncertain_on_some(pairs: list[tuple[bool, bool]]) -> None:
    before, after = (torch.tensor(column) for column in zip(*pairs, strict=True))
    whole, part = paired(before, after, len(pairs)), paired(before, after, 10 * len(pairs))
    exact = float(after.double().mean() - before.double().mean())
    assert whole.difference == part.difference == pytest.approx(exact)
    assert whole.error == 0 < part.error


def test_finer_answers_look_at_more_images(trained: Callable[[], nn.Module]) -> None:
    of, scoring = knob(trained())
    found = list(scoring.found(Weights(of).set(0.5).model, nullcontext))
    images = [one.images for one in found]
    assert images == sorted(images) and images[-1] == scoring.images


@pytest.mark.parametrize("value", [0.6, 0.85])
def test_with_a_table_the_solver_says_what_each_layer_loses(
    trained: Callable[[], nn.Module], value: float
) -> None:
    """As far as the table goes; beyond, weights compete over the whole model."""

    def model() -> nn.Module:
        table = Sensitivity(of="weights", rates=(0.4, 0.8), images=40, skip=("layer1.*", "layer2.*"))
        return apply(table, apply(PruneWeights(sparsity=0.3), trained(), at(0)), at(0))

    of, scoring = knob(model())
    setting = Weights(of).set(value)
    scope = setting.steps["prune.weights"].get("scope", "global")
    assert scope == ("solved" if value < 0.7 else "global")
    expected = as_its_steps(model(), setting.steps, scoring)
    counts = count(expected, of.shape)
    assert (setting.costs.nonzero_parameters, setting.costs.effective_macs) == (
        counts.nonzero,
        counts.effective_macs,
    )
    last = list(scoring.found(setting.model, nullcontext))[-1]
    assert scoring.known + last.difference == pytest.approx(validate(expected, at(9)).quality)


def test_few_images_take_nothing_from_a_model_that_is_not_changed(trained: Callable[[], nn.Module]) -> None:
    of, scoring = knob(trained())
    before = {name: tensor.clone() for name, tensor in of.plain.state_dict().items()}
    slow = Scoring(of.plain, of.right, of.context, 1, speed=60.0)
    assert all(torch.equal(tensor, before[name]) for name, tensor in of.plain.state_dict().items())
    first = next(iter(slow.found(of.plain, nullcontext)))
    assert first.difference == 0 < first.error and first.images < scoring.images and not first.final


def timed(model: nn.Module) -> NetworkTimes:
    """Made-up times: a tenth of a millisecond beside all layers, and more of wide ones."""
    configs = [one for calls in layer_configs(model, (1, 8, 8)).values() for one in calls]
    also = [chained(one, one.outputs)[1] for one in configs]
    layers = LatencyModel({one: 1e-4 * one.inputs * one.outputs for one in grid([*configs, *also])})
    return NetworkTimes("latency.onnxruntime.1", layers, 0.1, 0.5)


def test_latency_is_that_of_the_layers_which_are_left(trained: Callable[[], nn.Module]) -> None:
    model, context = trained(), at(1)
    known = validate(model, context).predictions == context.data.validation.labels
    row = {"runtime": "onnxruntime", "batch": 1, "median_ms": 4.0}
    times = timed(model)
    of = held(model, context, known, row, frozenset(), times)
    assert of.baseline.costs.latency_ms == 4.0
    for make, value in ((Channels, 2.5), (Rank, 0.6)):
        dial = make(of)
        setting = dial.set(value)
        network = setting.model
        if make is Rank:
            network = apply(STEPS["factorize"].model_validate(setting.steps["factorize"]), trained(), at(1))
        expected = 4.0 * times.of(network) / times.of(of.plain)
        assert setting.costs.latency_ms == pytest.approx(expected) and expected < 4.0
        assert dial.set(dial.technique.start).costs.latency_ms == 4.0
    assert held(trained(), context, known, {}, frozenset(), times).baseline.latency == "onnxruntime.1"
    for make in (Channels, Rank):
        assert make(knob(trained())[0]).set(2.5 if make is Channels else 0.6).costs.latency_ms is None
