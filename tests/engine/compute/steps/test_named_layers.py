"""Layers that `layers` names get what it gives them, and no other layer changes."""

import copy
from typing import Any

import pytest
import torch
from torch import nn

from engine.compute.layers.grids import grids
from engine.compute.layers.masks import mask_of
from engine.compute.layers.select import prunable_layers, weight_of
from engine.compute.models.architecture import Architecture, attached
from engine.compute.steps.apply import apply
from engine.compute.steps.fits import Fits
from engine.errors import SecateurError
from engine.params import STEPS
from engine.params.pruning import PruneWeights
from engine.params.sensitivity import Sensitivity
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.channels import channels_help as networks

CHEAP = {"repair": False, "calibrate": False}


def made(kind: str, **given: Any) -> Any:
    known = {name: value for name, value in CHEAP.items() if name in STEPS[kind].model_fields}
    return STEPS[kind].model_validate(known | given)


def sparsities(model: nn.Module) -> dict[str, float]:
    masks = {name: mask_of(layer) for name, layer in prunable_layers(model, ()).items()}
    return {name: 1 - float(mask.mask.double().mean()) for name, mask in masks.items() if mask is not None}


@pytest.mark.parametrize("schedule", ["one-shot", {"kind": "linear", "rounds": 3, "epochs": 0}])
@pytest.mark.parametrize("criterion", ["l1", "obs"])
def test_weights_of_named_layers_alone_become_zero(schedule: Any, criterion: str) -> None:
    asked = {"conv1": 0.25, "layer2.0.conv1": 0.9}
    params = made("prune.weights", layers=asked, schedule=schedule, criterion=criterion)
    assert sparsities(apply(params, small_model(), context_for())) == pytest.approx(asked, abs=0.01)


def test_named_layers_alone_are_rounded_each_to_its_bits() -> None:
    params = made("quantize.weights", layers={"conv1": 8, "layer2.0.conv1": 3}, rounding="nearest")
    found = grids(apply(params, small_model(), context_for()))
    assert {name: one.form.bits for name, one in found.items()} == {
        "conv1.weight": 8,
        "layer2.0.conv1.weight": 3,
    }


def test_named_layers_alone_are_factorized() -> None:
    whole = small_model()
    model = apply(made("factorize", layers={"layer2.0.conv2": 0.6}), copy.deepcopy(whole), context_for())
    (conv,) = prunable_layers(whole, ()).keys() - prunable_layers(model, ()).keys()
    kept = sum(p.numel() for p in model.get_submodule(conv).parameters())
    assert conv == "layer2.0.conv2" and kept <= 0.4 * whole.get_submodule(conv).weight.numel()  # type: ignore[operator]


@pytest.mark.parametrize("schedule", ["one-shot", {"kind": "linear", "rounds": 2, "epochs": 0}])
def test_a_named_layer_loses_its_ratio_of_channels_with_what_they_are_coupled_to(schedule: Any) -> None:
    model: nn.Module = small_model()
    # The second convolution of a block adds to what the first layer of its stage makes.
    params = made("prune.channels", layers={"layer2.0.conv1": 0.3, "layer1.0.conv2": 0.5}, schedule=schedule)
    before = {name: weight_of(layer).shape for name, layer in prunable_layers(model, ()).items()}
    model = apply(params, model, context_for())
    after = {name: weight_of(layer).shape for name, layer in prunable_layers(model, ()).items()}
    assert after["layer2.0.conv1"][0] == before["layer2.0.conv1"][0] - round(
        0.3 * before["layer2.0.conv1"][0]
    )
    assert after["conv1"][0] == after["layer1.0.conv2"][0] == before["conv1"][0] // 2
    assert after["layer2.0.conv2"][0] == before["layer2.0.conv2"][0]


@pytest.mark.parametrize(
    "kind, layers, said",
    [
        (
            "prune.weights",
            {"layer2.0.conv9": 0.5},
            r"names no layer: layer2\.0\.conv9.*mean layer2\.0\.conv.\?",
        ),
        ("quantize.weights", {"nothing": 4}, "names no layer: nothing"),
        ("factorize", {"nothing": 0.5}, "names no layer: nothing"),
        ("prune.channels", {"nothing": 0.5}, "names no layer whose channels can go: nothing"),
        ("prune.channels", {"fc": 0.5}, "names no layer whose channels can go: fc"),
        (
            "prune.channels",
            {"conv1": 0.5, "layer1.0.conv2": 0.25},
            r"gives conv1 0\.5 and layer1\.0\.conv2 0\.25, whose channels go together",
        ),
    ],
)
def test_names_that_cannot_be_are_refused(kind: str, layers: dict[str, float], said: str) -> None:
    params, model = made(kind, layers=layers), small_model()
    with pytest.raises(SecateurError, match=f"(?s){said}"):
        apply(params, model, context_for())
    if kind == "prune.channels":
        with pytest.raises(SecateurError, match=said):
            Fits(lambda: model, torch.rand(4, 1, 8, 8), context_for()).check(params)


def test_a_layer_of_several_groups_is_named_by_its_group() -> None:
    model = networks.own(networks.vit)
    fits = Fits(lambda: model, torch.rand(4, 3, networks.SIZE, networks.SIZE), context_for())
    groups = [group.name for group in fits.prepared(())[1].groups]
    several = next(name for name in groups if "#" in name).partition("#")[0]
    fits.check(made("prune.channels", layers=dict.fromkeys(groups, 0.5)))
    assert several in groups


def test_what_was_measured_of_another_network_is_refused() -> None:
    model = small_model()
    for of in ("weights", "channels"):
        apply(Sensitivity(of=of, rates=(0.5,), images=20, calibrate=False), model, context_for())
    solved = made("prune.weights", scope="solved", sparsity=0.3)
    apply(solved, copy.deepcopy(model), context_for())
    narrower = apply(made("prune.channels", layers={"conv1": 0.5}), model, context_for())
    for params in (solved, made("prune.channels", scope="solved", ratio=0.3)):
        with pytest.raises(SecateurError, match=r"(?s)measured on another network.*conv1"):
            apply(params, narrower, context_for())
    sparse = apply(PruneWeights(layers={"conv1": 0.5}), small_model(), context_for())
    assert sparsities(sparse) == {"conv1": pytest.approx(0.5, abs=0.01)}


class Tied(nn.Module):
    """Two convolutions of one weight, a depthwise one, and one of which even a split at rank one is no smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.mix1, self.mix2 = nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1)
        self.mix2.weight = self.mix1.weight
        self.wide, self.depthwise = nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4)
        self.head = nn.Linear(4, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.depthwise(self.wide(self.mix2(self.mix1(x))))
        outputs: torch.Tensor = self.head(features.mean((2, 3)))
        return outputs


TIED = r"mix1 \(one weight with mix2\)"


@pytest.mark.parametrize(
    "kind, layers, said",
    [
        ("prune.weights", {"mix1": 0.5}, TIED),
        ("prune.weights", {"mix1": 0.5, "head": 0.1}, TIED),
        ("quantize.weights", {"head": 8, "mix1": 4}, TIED),
        ("factorize", {"mix1": 0.3}, TIED),
        ("factorize", {"head": 0.5, "depthwise": 0.3}, r"depthwise \(grouped or depthwise\)"),
        ("factorize", {"wide": 0.3}, r"wide \(would not save weights\)"),
    ],
)
def test_a_named_layer_that_cannot_be_changed_is_refused_before_and_in_the_step(
    kind: str, layers: dict[str, float], said: str
) -> None:
    params, context = made(kind, layers=layers), context_for()
    model = attached(Tied().eval(), Architecture("tied.py:Tied", 1, 10, (8, 8)))
    message = rf"(?s){kind}\.layers names what {kind} can't change: .*{said}"
    with pytest.raises(SecateurError, match=message):
        Fits(lambda: model, torch.rand(4, 1, 8, 8), context).check(params)
    with pytest.raises(SecateurError, match=message):
        apply(params, model, context)


def warnings(events: list[ev.Event]) -> list[str]:
    return [one.text for one in events if isinstance(one, ev.Notice) and one.level == "warning"]


def test_where_no_channel_goes_nothing_changes_and_it_is_told() -> None:
    model, events = small_model(), list[ev.Event]()
    before = copy.deepcopy(model.state_dict())
    params = STEPS["prune.channels"].model_validate({"layers": {"layer2.0.conv1": 0.01}})
    model = apply(params, model, context_for(events=events))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert any("layer2.0.conv1 asked 0.01, reached 0.00" in text for text in warnings(events))


def test_a_layer_that_keeps_its_last_channel_is_told() -> None:
    events = list[ev.Event]()
    params = made("prune.channels", layers={"layer2.0.conv1": 0.99})
    model = apply(params, small_model(), context_for(events=events))
    assert len(weight_of(model.get_submodule("layer2.0.conv1"))) == 1
    assert any("asked 0.99" in text and "(1 of " in text for text in warnings(events))
