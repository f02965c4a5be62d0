"""What a step would refuse a network's layers for is refused before anything is trained: the same, and no more."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from engine.compute import usercode
from engine.compute.pretrained.create import create
from engine.compute.steps.apply import apply
from engine.compute.steps.fits import Fits
from engine.errors import SecateurError
from engine.params import STEPS, step_of
from engine.params.cheap import cheap
from engine.params.preset import Model
from engine.sources import collect
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.channels import channels_help as networks

PLAIN = """\
from torch import nn


def linear(channels, classes, size):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * size[0] * size[1], 20), nn.ReLU(), nn.Linear(20, classes))


def unnormed(channels, classes, size):
    body = nn.Conv2d(channels, 6, 3), nn.ReLU(), nn.Conv2d(6, 7, 3), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(7, classes))


class Scaled(nn.Conv2d):
    def forward(self, x):
        return nn.functional.conv2d(x, self.weight * 2, self.bias)


def scaled(channels, classes, size):
    body = Scaled(channels, 16, 3), nn.ReLU(), Scaled(16, 16, 3), nn.ReLU()
    return nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, classes))
"""
CHANNELS = {"repair": False, "calibrate": False}
steps = st.one_of(
    st.sampled_from([1.2, 2.0, 6.0, 40.0, 900.0]).map(
        lambda v: ("prune.channels", CHANNELS | {"speedup": v})
    ),
    st.tuples(
        st.sampled_from([0.3, 0.8, 0.97]), st.sampled_from([0.0, 0.1, 0.5]), st.sampled_from([1, 4])
    ).map(lambda v: ("prune.channels", CHANNELS | {"ratio": v[0], "floor": v[1], "round_to": v[2]})),
    st.sampled_from(["l1", "bn-scale"]).map(lambda v: ("prune.channels", CHANNELS | {"criterion": v})),
    st.sampled_from(["2:4", "1:3", "8:16"]).map(lambda v: ("prune.weights", {"pattern": v})),
    st.sampled_from([1, 16, 4096]).map(lambda v: ("cluster.kernels", {"entries": v, "calibrate": False})),
    st.integers(2, 9).map(lambda v: ("cluster.weights", {"method": {"kind": "product", "length": v}})),
    st.sampled_from(["merged", "shared"]).map(
        lambda v: ("cluster.filters", {"method": v, "restarts": 1, "calibrate": False})
    ),
    st.sampled_from([1, 4, 5, 900]).map(lambda v: ("prune.blocks", {"count": v, "calibrate": False})),
    st.sampled_from([1.2, 2.0, 900.0]).map(lambda v: ("prune.blocks", {"speedup": v, "calibrate": False})),
    st.just(("sensitivity", {"of": "channels", "rates": [0.5], "images": 16, "calibrate": False})),
)


@pytest.fixture(scope="module", params=["vit", "mobile", "linear", "unnormed", "scaled"])
def network(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> nn.Module:
    name = request.param
    if name in ("vit", "mobile"):
        return networks.own(getattr(networks, name))
    file = tmp_path_factory.mktemp("plain") / "plain.py"
    file.write_text(PLAIN)
    model = Model(name=f"{file}:{name}")
    usercode.use(collect([model.title], file.parent))
    size = (networks.SIZE, networks.SIZE)
    built, _ = create(model, channels=3, classes=10, size=size, seed=0)
    usercode.use(None)
    return built


def refusal(do: Any) -> str:
    try:
        do()
    except SecateurError as refused:
        return str(refused)
    return ""


@settings(max_examples=8)
@given(step=steps)
def test_a_step_is_refused_beforehand_where_it_would_refuse_the_network(
    network: nn.Module, step: tuple[str, dict[str, Any]]
) -> None:
    params = STEPS[step[0]].model_validate(step[1], strict=False)
    images = torch.rand(4, 3, networks.SIZE, networks.SIZE)
    fits = Fits(lambda: copy.deepcopy(network), images, context_for(data=networks.digits()))
    beforehand = refusal(lambda: fits.check(params))
    run = refusal(lambda: apply(params, copy.deepcopy(network), context_for(data=networks.digits())))
    assert beforehand == run


@pytest.mark.parametrize("kind", ["prune.weights", "cluster.weights", "quantize.weights", "factorize"])
def test_weights_that_no_step_on_layers_changes_are_told_beforehand(kind: str) -> None:
    model = networks.own(networks.vit)
    fits = Fits(
        lambda: model, torch.rand(4, 3, networks.SIZE, networks.SIZE), context_for(data=networks.digits())
    )
    assert fits.out_of_reach() == []
    fits.check(STEPS[kind]())
    (note,) = fits.out_of_reach()
    assert kind in note and "in_proj_weight" in note and "%" in note


CHANGES: dict[str, dict[str, Any]] = {
    "prune.channels": {"scope": "local", "ratio": 0.4},
    "cluster.filters": {"ratio": 0.7},
    "factorize": {"scheme": "spatial"},
}


@pytest.mark.parametrize("kind", CHANGES)
def test_layers_that_follow_from_those_before_have_one_size_whatever_weights_are(kind: str) -> None:
    step, shapes = STEPS[kind].model_validate(CHANGES[kind]), []
    assert step.layers_foreseen == "surely"
    for seed, params in ((0, step), (1, step), (2, step_of(cheap(step)))):
        model = apply(params, small_model(seed), context_for(seed))
        shapes.append({name: tuple(one.shape) for name, one in model.state_dict().items()})
    assert shapes[0] == shapes[1] == shapes[2]


@pytest.mark.parametrize("kind", [kind for kind, cls in STEPS.items() if cls.compresses])
def test_what_is_cheap_to_try_is_the_same_step(kind: str) -> None:
    given = {"method": {"kind": "shared"}, "ratio": 0.3} if kind == "cluster.filters" else {}
    cheaper = step_of(cheap(STEPS[kind].model_validate(given)))
    assert cheaper.model_dump(include=set(given)) == STEPS[kind].model_validate(given).model_dump(
        include=set(given)
    )
