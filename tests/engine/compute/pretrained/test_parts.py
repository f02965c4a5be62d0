"""Files with more than a network, pruned ones, other heads: read, or refused with a remedy that works."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import save_model
from torch import nn
from torch.nn.utils import prune

from engine.compute.layers.masks import masked
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.errors import SecateurError
from tests.engine.compute.pretrained.brought_help import bring, prefixed, same_weights, small

NET = """
from torch import nn
class Net(nn.Module):
    def __init__(self, channels, classes, width):
        super().__init__()
        self.head = nn.Linear(width, classes)  # the last layer, registered first
        self.conv, self.aside = nn.Conv2d(channels, width, 3), nn.Linear(width, width)
    def forward(self, x):
        x = self.conv(x).relu().mean((2, 3))
        return self.head(x + self.aside(x))
def build(channels, classes, width=6):
    return Net(channels, classes, width)
"""


def mine(tmp_path: Path, **more: Any) -> tuple[str, nn.Module]:
    """A network of the user's own by name, and one of it that was trained elsewhere."""
    (tmp_path / "net.py").write_text(NET)
    name = f"{tmp_path}/net.py:build"
    torch.manual_seed(1)
    arguments = {"width": more.pop("width")} if "width" in more else {}
    given = {"channels": 1, "classes": 10} | more
    return name, build(Architecture(name, given["channels"], given["classes"], (8, 8), arguments))


def test_masks_of_torch_prune_are_kept(tmp_path: Path) -> None:
    model = small()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            prune.l1_unstructured(module, "weight", 0.5)
    expected = model.eval()(torch.ones(1, 1, 8, 8))
    torch.save({"state_dict": prefixed(model.state_dict(), "module.")}, tmp_path / "net.pth")
    brought, told = bring(tmp_path / "net.pth")
    assert torch.equal(brought(torch.ones(1, 1, 8, 8)), expected)
    convolutions = sum(isinstance(module, nn.Conv2d) for module in model.modules())
    assert len(masked(brought)) == convolutions and f"{convolutions} masks are kept" in told
    checkpoint.save(brought, tmp_path)


def test_a_trainer_with_other_parts_gives_its_model(tmp_path: Path) -> None:
    state, teacher = small().state_dict(), small(width=3).state_dict()
    file = {
        **prefixed(teacher, "teacher."),
        **prefixed(state, "model."),
        "criterion.weight": torch.ones(4),
        "val_acc.tp": torch.zeros(4),
    }
    torch.save({"state_dict": file, "best": np.float64(1.5), "epoch": np.int64(3)}, tmp_path / "lit.ckpt")
    for name in ("auto", "resnet8"):
        more = {} if name == "auto" else {"arguments": {"width": 2}}
        model, told = bring(tmp_path / "lit.ckpt", name, **more)
        assert same_weights(model, state)
        assert "left out of lit.ckpt: teacher.*, criterion.*, val_acc.*" in told
    model, _ = bring(tmp_path / "lit.ckpt", part="teacher")
    assert same_weights(model, teacher)
    with pytest.raises(SecateurError, match="no part techer"):
        bring(tmp_path / "lit.ckpt", part="techer")


def remedied(caught: "pytest.ExceptionInfo[SecateurError]") -> dict[str, Any]:
    """What the remedy says to write below `model`."""
    found = re.search(r"model(\.\w+)?: (\{.*\}|\[.*?\]|[\w./]+)", caught.value.remedy)
    assert found, caught.value.remedy
    value = yaml.safe_load(found[2])
    return {found[1][1:]: value} if found[1] else value


def test_which_of_several_networks_is_meant_is_asked_and_answered(tmp_path: Path) -> None:
    states = {name: small(width=2, classes=10).state_dict() for name in ("generator", "critic")}
    states["critic"] = {name: tensor + 1 for name, tensor in states["critic"].items()}
    torch.save({f"{p}.{n}": t for p, s in states.items() for n, t in s.items()}, tmp_path / "gan.pth")
    with pytest.raises(SecateurError, match="several networks") as caught:
        bring(tmp_path / "gan.pth")
    model, _ = bring(tmp_path / "gan.pth", **remedied(caught))
    assert same_weights(model, states["generator"])


def test_weights_of_another_network_name_the_one_they_fit(tmp_path: Path) -> None:
    torch.save(small(width=3).state_dict(), tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="do not fit") as caught:
        bring(tmp_path / "net.pth", "resnet20", arguments={"width": 3})
    model, _ = bring(tmp_path / "net.pth", **remedied(caught))
    assert same_weights(model, small(width=3).state_dict())


def test_ones_own_network_is_never_rewritten_and_its_last_layer_is_told(tmp_path: Path) -> None:
    name, given = mine(tmp_path, classes=4)
    torch.save(given.state_dict(), tmp_path / "net.pth")
    model, told = bring(tmp_path / "net.pth", name)
    assert "the last layer of net.pth (head), for 4 classes, was replaced by a random one" in told
    own, state = model.state_dict(), given.state_dict()
    assert all(torch.equal(own[n], state[n]) for n in state if not n.startswith("head."))
    assert own["head.weight"].shape == (10, 6)
    checkpoint.save(model, tmp_path)


def test_channels_of_ones_own_network_are_set_by_the_remedy(tmp_path: Path) -> None:
    name, given = mine(tmp_path, channels=3)
    torch.save(given.state_dict(), tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="for images of 3 channels") as caught:
        bring(tmp_path / "net.pth", name)
    assert caught.value.remedy == "Set data.channels: 3"


def test_layers_that_do_not_fit_start_at_random_when_asked(tmp_path: Path) -> None:
    name, given = mine(tmp_path)
    state = given.state_dict() | {"aside.weight": torch.ones(9, 6), "aside.bias": torch.ones(9)}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="do not fit") as caught:
        bring(tmp_path / "net.pth", name)
    model, told = bring(tmp_path / "net.pth", name, **remedied(caught))
    assert "aside of net.pth was replaced by a random one" in told
    assert torch.equal(model.state_dict()["head.weight"], state["head.weight"])
    with pytest.raises(SecateurError, match="There is no layer asides"):
        bring(tmp_path / "net.pth", name, new_layers=["asides"])


def test_weights_of_another_network_do_not_start_at_random(tmp_path: Path) -> None:
    name, _ = mine(tmp_path)
    torch.save(small().state_dict(), tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="do not fit") as caught:
        bring(tmp_path / "net.pth", name)
    assert "new_layers" not in caught.value.remedy


def test_narrower_layers_that_no_pruning_leaves_are_told_by_name_and_size(tmp_path: Path) -> None:
    """The layer that is registered first has fewer inputs, which are taken for the images' channels."""
    code = NET.replace("self.head = ", "self.inner = nn.Conv2d(width, width, 1)\n        self.head = ")
    code = code.replace("self.conv(x).relu()", "self.inner(self.conv(x).relu())")
    (tmp_path / "net.py").write_text(code)
    name = f"{tmp_path}/net.py:Net"
    narrow = build(Architecture(name, 1, 10, (8, 8), {"width": 4}))
    torch.save(narrow.state_dict(), tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="do not fit") as caught:
        bring(tmp_path / "net.pth", name, arguments={"width": 6})
    assert "head.weight is (10, 4), the model has (10, 6)" in caught.value.detail


TIED = """
from torch import nn
class Net(nn.Module):
    def __init__(self, channels, classes):
        super().__init__()
        self.conv = nn.Conv2d(channels, 6, 3)
        self.mix1, self.mix2 = nn.Linear(6, 6), nn.Linear(6, 6)
        self.mix2.weight = self.mix1.weight
        self.norm1 = nn.BatchNorm1d(6)
        self.norm2, self.head = self.norm1, nn.Linear(6, classes)
    def forward(self, x):
        x = self.norm1(self.mix1(self.conv(x).relu().mean((2, 3))))
        return self.head(self.norm2(self.mix2(x)))
"""


def tied(tmp_path: Path) -> tuple[str, nn.Module]:
    """A network in which two layers share a weight, and one layer has two names; and one of it, trained elsewhere."""
    (tmp_path / "tied.py").write_text(TIED)
    name = f"{tmp_path}/tied.py:Net"
    torch.manual_seed(1)
    given = build(Architecture(name, 1, 10, (8, 8)))
    with torch.no_grad():
        for parameter in given.parameters():
            parameter.uniform_()
    return name, given


def test_what_a_network_shares_is_there_under_one_of_its_names(tmp_path: Path) -> None:
    """`safetensors.torch.save_model` writes each tensor once."""
    name, given = tied(tmp_path)
    save_model(given, str(tmp_path / "net.safetensors"))
    state = {n: t for n, t in given.state_dict().items() if n != "mix1.weight" and not n.startswith("norm1.")}
    torch.save(prefixed(state, "module."), tmp_path / "net.pth")
    for file in ("net.safetensors", "net.pth"):
        model, _ = bring(tmp_path / file, name)
        assert same_weights(model, given.state_dict())
        assert model.get_parameter("mix1.weight") is model.get_parameter("mix2.weight")


def test_new_layers_leave_what_other_layers_share_with_them(tmp_path: Path) -> None:
    name, given = tied(tmp_path)
    state = given.state_dict()
    torch.save({n: t for n, t in state.items() if n != "mix2.bias"}, tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="do not fit") as caught:
        bring(tmp_path / "net.pth", name)
    assert remedied(caught) == {"new_layers": ["mix2"]}
    model, told = bring(tmp_path / "net.pth", name, new_layers=["mix2", "norm2"])
    own = model.state_dict()
    assert all(torch.equal(own[n], state[n]) for n in state if n != "mix2.bias")
    assert "mix2.bias of net.pth was replaced by a random one" in told
    assert "mix2.weight (which is mix1.weight)" in told
    model, told = bring(tmp_path / "net.pth", name, new_layers=["mix1", "mix2"])
    assert not torch.equal(model.state_dict()["mix1.weight"], state["mix1.weight"])
    assert "mix1, mix2 of net.pth was replaced" in told


def test_a_layer_that_starts_at_random_is_said_to_lose_what_the_file_has_of_it(tmp_path: Path) -> None:
    name, given = mine(tmp_path)
    state = {n: t for n, t in given.state_dict().items() if n != "aside.weight"}
    torch.save(state, tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="do not fit") as caught:
        bring(tmp_path / "net.pth", name)
    assert "aside.bias of the file would not be taken either" in caught.value.remedy
    with pytest.raises(SecateurError, match="do not fit") as caught:
        bring(tmp_path / "net.pth", name, new_layers=["head"])
    assert remedied(caught) == {"new_layers": ["head", "aside"]}


@pytest.mark.parametrize("changed", ["mix2.weight", "norm2.running_mean"])
def test_two_values_for_what_a_network_shares_are_refused(tmp_path: Path, changed: str) -> None:
    name, given = tied(tmp_path)
    state = {n: t.clone() for n, t in given.state_dict().items()}
    torch.save(state, tmp_path / "net.pth")
    assert same_weights(bring(tmp_path / "net.pth", name)[0], state)
    torch.save(state | {changed: state[changed] + 1}, tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="contradict what the model shares") as caught:
        bring(tmp_path / "net.pth", name)
    assert f"{changed.replace('2.', '1.')} and {changed}" in caught.value.detail
