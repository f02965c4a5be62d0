"""Compressing steps one after the other, in every order: each pair works, or is refused with a way out."""

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.compute.layers.shared import shared_layers
from engine.compute.models import checkpoint
from engine.compute.onnx.export import export
from engine.compute.onnx.shape import example
from engine.compute.pretrained.create import create
from engine.compute.runtimes.base import session
from engine.compute.steps.apply import apply
from engine.errors import PresetInvalid, SecateurError
from engine.params import STEPS, Step
from engine.params.preset import Model
from engine.presets import spec
from engine.studies import events as ev
from tests.engine.compute.compute_help import TEMPLATES, context_for

SHAPE = (1, 8, 8)
TINY = """\
from torch import nn
from torch.nn import functional as F

class Tiny(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, 8, 3, 1, 1, bias=False), nn.BatchNorm2d(8)
        self.conv2, self.bn2 = nn.Conv2d(8, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16)
        self.conv3, self.bn3 = nn.Conv2d(16, 16, 3, 1, 1), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, classes)

    def forward(self, x):
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        x = F.relu(x + self.bn3(self.conv3(x)))
        return self.fc(x.mean((2, 3)))

def tiny(channels, classes):
    return Tiny(channels, classes)
"""
PARAMETERS: dict[str, dict[str, object]] = {
    "prune.weights": {"sparsity": 0.5},
    "prune.channels": {"ratio": 0.3, "calibrate": False},
    "cluster.filters shared": {"method": "shared", "restarts": 1, "calibrate": False},
    "cluster.filters merged": {"method": "merged", "restarts": 1, "calibrate": False},
    "cluster.kernels": {"entries": 4, "restarts": 1, "calibrate": False},
    "cluster.weights": {"centroids": 8},
    "factorize": {"calibrate": False},
    "quantize.weights": {"calibrate": False, "rounding": {"kind": "gptq", "images": 8}},
}
FILTERS = ("cluster.filters shared", "cluster.filters merged")
PAIRS = list(product(PARAMETERS, PARAMETERS))


def params_of(name: str) -> Step:
    return STEPS[name.partition(" ")[0]].model_validate(PARAMETERS[name])


def remedy(first: str, second: str) -> str:
    """What is to be done where the second step would undo what the first made, by their own declarations."""
    one, two = params_of(first), params_of(second)
    if one.makes is None or one.makes not in two.undoes:
        return ""
    order = f"Put {two.kind} before {one.kind}"
    either = "Use one of the two steps" if one.makes in two.never_with else order
    return f"{either}, or name these layers in skip."


DECLARED = {pair: text for pair in PAIRS if (text := remedy(*pair))}
EARLY = {pair for pair in DECLARED if params_of(pair[0]).makes not in params_of(pair[1]).may_avoid}
"""Pairs that no network can take: the preset is refused already."""
REFUSED = DECLARED | {FILTERS: "Put method: merged before method: shared, or leave it out."}
"""With those of which it depends on the network whether they work."""
PLAIN = {
    "cluster.filters shared": "cluster.filters",
    "cluster.kernels": "cluster.kernels",
    "cluster.weights": "cluster.weights",
    "quantize.weights": "quantize.weights",
}
"""What channels cannot be taken out of: it becomes plain weights, with a notice that names the step."""
WORKING = [pair for pair in PAIRS if pair not in REFUSED]


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("own") / "tiny.py"
    file.write_text(TINY)
    return f"{file}:tiny"


def after(own: str, *steps: str, told: list[str] | None = None) -> nn.Module:
    """The network after these steps, with the notices of the last one."""
    model, _ = create(Model(name=own), channels=1, classes=10, size=SHAPE[1:], seed=0)
    for name in steps:
        events: list[ev.Event] = []
        model = apply(params_of(name), model, context_for(events=events))
        if told is not None:
            told[:] = [event.text for event in events if isinstance(event, ev.Notice)]
    return model.eval().to(memory_format=torch.contiguous_format)


@pytest.mark.parametrize(("first", "second"), WORKING)
def test_what_two_steps_make_reloads_to_the_same_bits_and_exports(
    first: str, second: str, own: str, tmp_path: Path
) -> None:
    model = after(own, first, second)
    images = example(2, SHAPE)
    checkpoint.save(model, tmp_path)
    path = export(model, SHAPE, tmp_path / "model.onnx", templates=TEMPLATES)
    with torch.inference_mode():
        expected = model(images)
        assert torch.equal(checkpoint.load(tmp_path, (own,))(images), expected)
    given = session("onnxruntime", path, batch=2, shape=SHAPE, threads=1).run(images)
    assert torch.allclose(given, expected, atol=1e-4)


@pytest.mark.parametrize(("first", "second"), REFUSED)
def test_what_the_second_step_would_undo_is_refused_with_a_way_out(first: str, second: str, own: str) -> None:
    with pytest.raises(SecateurError) as refused:
        after(own, first, second)
    assert refused.value.remedy == REFUSED[first, second]
    if (first, second) in EARLY:
        assert first in refused.value.detail, "the earlier step is named"


@pytest.mark.parametrize("first", PLAIN)
def test_channels_go_from_what_shared_values_and_users_are_told_the_better_order(
    first: str, own: str
) -> None:
    told: list[str] = []
    model = after(own, first, "prune.channels", told=told)
    better = [text for text in told if text.endswith(f"put {PLAIN[first]} after prune.channels")]
    others = ("ratio: asked", "All channels stay in")
    assert better and all(text in better or text.startswith(others) for text in told)
    assert len(better) == 1
    assert not shared_layers(model)
    assert model.get_submodule("conv2").weight.shape[0] < 16


def preset(first: str, second: str, **second_too: object) -> str:
    steps = [{"train": {}}]
    for number, (name, more) in enumerate(((first, {}), (second, second_too))):
        steps.append({name.partition(" ")[0]: PARAMETERS[name] | {"id": f"s{number}"} | more})
    return f"model: {{name: resnet20}}\ndata: {{name: digits}}\nsteps: {spec.to_yaml({'steps': steps})[6:]}"


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_preset_with_a_pair_that_no_network_takes_is_refused_at_once(first: str, second: str) -> None:
    if (first, second) not in EARLY:
        assert spec.parse(preset(first, second), "p")
        return
    with pytest.raises(PresetInvalid) as refused:
        spec.parse(preset(first, second), "p")
    (problem,) = refused.value.problems
    assert problem.path == f"steps[2].{second.partition(' ')[0]}"
    assert f"to which {first.partition(' ')[0]} before it gave" in problem.given
    assert spec.parse(preset(first, second, skip=["conv1"]), "p"), "other layers may still work"
    assert spec.parse(preset(first, second, enabled=False), "p")
