"""Tensors of several names, taken away: one in the loaded network and when it is trained, and once in the file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.compute import usercode
from engine.compute.export.formats import write_model
from engine.compute.measures.sizes import once
from engine.compute.models import checkpoint, tensors
from engine.compute.models.sizes import of_model
from engine.compute.numerics.aligned import write_tensors
from engine.compute.pretrained.create import create
from engine.compute.steps.apply import apply
from engine.params import ClusterKernels, ClusterWeights, PruneChannels, PruneWeights
from engine.params.preset import Model
from engine.params.quantize_weights import Nearest, QuantizeWeights
from engine.results.exports import Format
from engine.sources import collect
from tests import lone
from tests.engine.compute.compute_help import context_for, digits

HERE = Path(__file__).with_name("tied.py")
STEPS = {
    "dense": (),
    "masks": (PruneWeights(sparsity=0.5),),
    "codebooks": (ClusterWeights(centroids=16),),
    "dictionaries": (ClusterKernels(entries=4, restarts=1, calibrate=False),),
    "grids": (PruneWeights(sparsity=0.5), QuantizeWeights(rounding=Nearest(), calibrate=False)),
    "channels": (PruneChannels(ratio=0.4),),
}
FILES: dict[Format, str] = {"safetensors": "model.safetensors", "packed": "model.packed"}
LOAD = """
import json, sys
sys.path.insert(0, sys.argv[1])
import load, torch

def named(model):
    return model.state_dict(keep_vars=True)

def ties(model):
    groups = {}
    for name, tensor in named(model).items():
        groups.setdefault(id(tensor), []).append(name)
    return sorted(names for names in groups.values() if len(names) > 1)

model = load.load()
told = {"before": ties(model), "parameters": sum(p.numel() for p in model.parameters())}
before = {name: tensor.detach().clone() for name, tensor in named(model).items()}
model.train()(torch.rand(4, 1, 8, 8)).square().mean().backward()
with torch.no_grad():  # SGD: torch's own imports its compiler, which takes longer than all else here
    for parameter in model.parameters():
        parameter -= 0.1 * parameter.grad
told["after"] = ties(model)
told["moved"] = sorted(name for name, tensor in named(model).items() if not torch.equal(tensor, before[name]))
print(json.dumps(told))
"""


@pytest.fixture(autouse=True, scope="module")
def _code() -> Iterator[None]:
    usercode.use(collect([f"{HERE}:tied"], HERE.parent))
    yield
    usercode.use(None)


def network(name: str = "tied") -> nn.Module:
    model, _ = create(Model(name=f"{HERE}:{name}"), channels=1, classes=10, size=(8, 8), seed=0)
    return model.eval().to(memory_format=torch.contiguous_format)


def names(model: nn.Module) -> list[list[str]]:
    """The names of each tensor that has several."""
    groups: dict[int, list[str]] = {}
    for name, tensor in tensors.saved(model).items():
        groups.setdefault(id(tensor), []).append(name)
    return sorted(group for group in groups.values() if len(group) > 1)


def loaded(folder: Path, place: Path) -> dict[str, Any]:
    (place / "program.py").write_text(LOAD)
    done = lone.run(place / "program.py", str(folder), folder=place)
    assert not done.returncode, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("form", FILES)
@pytest.mark.parametrize("kind", STEPS)
def test_what_is_one_stays_one(kind: str, form: Format, tmp_path: Path) -> None:
    model = network()
    for step in STEPS[kind]:
        model = apply(step, model, context_for()).eval().to(memory_format=torch.contiguous_format)
    out = tmp_path / "out"
    out.mkdir()
    written = write_model(out, form, model, digits(), lambda _: None)
    assert written.trainable
    told = loaded(out, tmp_path)
    assert (len(model.get_submodule("wide").weight) < 12) == (kind == "channels")
    expected = names(network())
    assert len(expected) == 8 and ["mix1.weight", "mix2.weight"] in expected
    assert told["before"] == told["after"] == expected
    assert {"mix1.weight", "mix2.weight", "one.weight", "two.weight"} <= set(told["moved"])
    size = of_model(model)["packed" if form == "packed" else "plain"]
    assert (out / FILES[form]).stat().st_size == size


def test_a_dictionary_of_a_module_of_two_names_is_stored_once() -> None:
    (step,) = STEPS["dictionaries"]
    own, shared = once(checkpoint.folded_state(apply(step, network(), context_for()).eval()))
    parts = ("entries", "scales", "index")
    assert {f"blocks.0.weight.{part}" for part in parts} <= own.keys()
    assert {f"again.weight.{part}" for part in parts} <= shared.keys()
    assert not any(name.startswith("again.") for name in own)


def test_source_by_operators_keeps_them_too(tmp_path: Path) -> None:
    model = network("flipped")
    assert not write_model(tmp_path, "safetensors", model, digits(), lambda _: None).trainable
    assert loaded(tmp_path, tmp_path)["before"] == names(model)


def test_a_program_holds_each_once(tmp_path: Path) -> None:
    write_model(tmp_path, "pt2", network(), digits(), lambda _: None)
    program = torch.export.load(tmp_path / "model.pt2")
    held = {tensor.untyped_storage().data_ptr() for tensor in program.state_dict.values()}
    assert len(held) == len(set(map(id, tensors.saved(network()).values())))


@pytest.mark.parametrize("weights", ["", "model.safetensors"])
def test_what_was_taken_away_is_brought_again(weights: str, tmp_path: Path) -> None:
    """As the folder, and as its file of weights."""
    model = network()
    checkpoint.save(model, tmp_path)
    params = Model(name=f"{HERE}:tied", weights=str(tmp_path / weights))
    again, _ = create(params, channels=1, classes=10, size=(8, 8), seed=1)
    assert names(again) == names(model)
    assert all(map(tensors.equal, tensors.saved(model).values(), tensors.saved(again).values()))


def test_a_checkpoint_with_a_copy_for_each_name_is_read(tmp_path: Path) -> None:
    """As format 2 wrote them."""
    model = network()
    checkpoint.save(model, tmp_path)
    recipe = json.loads((tmp_path / checkpoint.RECIPE).read_text())
    recipe["format"] = 2
    del recipe["shared"]
    (tmp_path / checkpoint.RECIPE).write_text(json.dumps(recipe))
    copies = {name: tensor.detach().clone() for name, tensor in tensors.saved(model).items()}
    write_tensors(copies, tmp_path / checkpoint.TENSORS)
    assert names(checkpoint.load(tmp_path, [f"{HERE}:tied"])) == names(model)
