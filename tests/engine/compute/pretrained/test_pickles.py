"""Pickles: hostile ones run nothing, whichever way they come; trusted models become ours, pruned ones too."""

import copy
import pickle
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

from engine.compute.models import checkpoint
from engine.compute.models.architecture import architecture
from engine.errors import SecateurError
from tests.engine.compute.pretrained.brought_help import (
    Evaluates,
    Evil,
    Opens,
    Shell,
    Touches,
    bring,
    same_weights,
    small,
)


def zipped(value: Any, path: Path) -> None:
    torch.save(value, path)


def legacy(value: Any, path: Path) -> None:
    torch.save(value, path, _use_new_zipfile_serialization=False)


def plain(value: Any, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


def newest(value: Any, path: Path) -> None:
    torch.save(value, path, pickle_protocol=5)


def checkpoint_folder(value: Any, path: Path) -> None:
    """A checkpoint of ours whose tensors were replaced by a pickle."""
    path.mkdir()
    (path / "model.json").write_text(RECIPE)
    torch.save(value, path / "model.safetensors")


RECIPE = """{"format": 1, "architecture": {"name": "resnet20", "channels": 1, "classes": 10, "size": [8, 8],
"arguments": {"width": 2}}, "edits": [], "notes": {}}"""

PLACES: dict[str, Callable[[Any], Any]] = {
    "alone": lambda evil: evil,
    "beside weights": lambda evil: {"model": small().state_dict(), "extra": evil},
    "among weights": lambda evil: {**small().state_dict(), "evil.weight": evil},
    "in a model": lambda evil: _with(small(), evil),
    "as a key": lambda evil: {"state_dict": {evil: torch.zeros(1)}},
}


def _with(model: nn.Module, evil: Any) -> nn.Module:
    model.extra = evil
    return model


@pytest.mark.parametrize("evil", [Opens, Touches, Shell, Evaluates])
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("write", "name"),
    [
        (zipped, "w.pth"),
        (legacy, "w.pt"),
        (legacy, "w.pth.tar"),
        (zipped, "w.safetensors"),
        (legacy, "model.safetensors"),
        (plain, "w.bin"),
        (newest, "w.ckpt"),
        (checkpoint_folder, "folder"),
    ],
)
def test_a_hostile_pickle_runs_nothing(
    tmp_path: Path, write: Callable[..., None], name: str, place: str, evil: type[Evil]
) -> None:
    ran = tmp_path / "ran"
    write(PLACES[place](evil(ran)), tmp_path / name)
    try:
        bring(tmp_path / name)
    except SecateurError as error:
        assert error.remedy
    assert not ran.exists()


def test_weights_beside_something_hostile_are_read_without_it(tmp_path: Path) -> None:
    zipped(PLACES["beside weights"](Opens(tmp_path / "ran")), tmp_path / "w.pth")
    model, notices = bring(tmp_path / "w.pth")
    assert same_weights(model, small().state_dict())
    assert "and not run: io.open" in notices
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("write", [zipped, legacy])
@pytest.mark.parametrize("wrap", [lambda m: m, lambda m: {"model": m, "epoch": 3}])
def test_a_pickled_model_is_read_only_if_it_is_trusted(
    tmp_path: Path, write: Callable[..., None], wrap: Callable[..., Any]
) -> None:
    given = small()
    write(wrap(given), tmp_path / "w.pth")
    with pytest.raises(
        SecateurError, match=r"whole pickled model \(engine.compute.models.resnet.CifarResNet\)"
    ) as caught:
        bring(tmp_path / "w.pth")
    assert "trust_pickle" in caught.value.remedy
    model, notices = bring(tmp_path / "w.pth", trust_pickle=True)
    assert same_weights(model, given.state_dict())
    assert "answers as the pickled" in notices
    checkpoint.save(model, tmp_path)


def test_trust_runs_nothing_where_there_are_weights(tmp_path: Path) -> None:
    zipped(PLACES["beside weights"](Opens(tmp_path / "ran")), tmp_path / "w.pth")
    bring(tmp_path / "w.pth", trust_pickle=True)
    assert not (tmp_path / "ran").exists()


def narrowed(block: Any, keep: int) -> None:
    """Take channels out of a residual block as pruning libraries do: layers changed where they are."""
    for layer in (block.conv1, block.bn1):
        for name in ("weight", "bias"):
            if getattr(layer, name) is not None:
                setattr(layer, name, nn.Parameter(getattr(layer, name)[:keep].detach().clone()))
    block.bn1.running_mean, block.bn1.running_var = (
        block.bn1.running_mean[:keep],
        block.bn1.running_var[:keep],
    )
    block.conv1.out_channels = block.bn1.num_features = block.conv2.in_channels = keep
    block.conv2.weight = nn.Parameter(block.conv2.weight[:, :keep].detach().clone())


def test_somebodys_pruned_model_becomes_a_checkpoint(tmp_path: Path) -> None:
    given = torchvision.models.resnet18(num_classes=10).eval()
    narrowed(given.layer3[1], 30)
    torch.save(nn.DataParallel(given), tmp_path / "w.pth")
    model, notices = bring(tmp_path / "w.pth", size=32, trust_pickle=True)
    assert "layers are narrower than those of torchvision/resnet18" in notices
    checkpoint.save(model, tmp_path)
    again = checkpoint.load(tmp_path)
    image = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        torch.testing.assert_close(again(image), given(image.expand(-1, 3, -1, -1)), atol=1e-4, rtol=1e-4)


def test_a_model_that_answers_otherwise_than_its_architecture_is_refused(tmp_path: Path) -> None:
    given = torchvision.models.resnet18(num_classes=10)
    given.maxpool = nn.Identity()
    torch.save(given, tmp_path / "w.pth")
    with pytest.raises(SecateurError, match="answers otherwise than torchvision/resnet18"):
        bring(tmp_path / "w.pth", size=32, trust_pickle=True)


def test_changed_strides_are_taken_over(tmp_path: Path) -> None:
    given = small()
    given.layer2[0].conv1.stride = given.layer2[0].shortcut[0].stride = (1, 1)
    torch.save(given, tmp_path / "w.pth")
    model, _ = bring(tmp_path / "w.pth", trust_pickle=True)
    checkpoint.save(model, tmp_path)
    image = torch.rand(1, 1, 8, 8)
    assert torch.equal(checkpoint.load(tmp_path)(image), given.eval()(image))


@pytest.fixture
def old_mobilenet(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """torchvision.models.mobilenet as it was in 2019: classes that are elsewhere, and called otherwise, today."""
    module = ModuleType("torchvision.models.mobilenet")
    for name in ("MobileNetV2", "InvertedResidual", "ConvBNReLU"):
        held = type(name, (nn.Module,), {"__module__": module.__name__, "__qualname__": name})
        setattr(module, name, held)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    yield module


def test_classes_that_moved_between_torchvision_versions_are_found(
    tmp_path: Path, old_mobilenet: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = torchvision.models.mobilenet_v2(num_classes=10).eval()
    old = copy.deepcopy(given)
    names = {
        "MobileNetV2": "MobileNetV2",
        "InvertedResidual": "InvertedResidual",
        "Conv2dNormActivation": "ConvBNReLU",
    }
    for module in old.modules():
        if type(module).__name__ in names:
            module.__class__ = getattr(old_mobilenet, names[type(module).__name__])
    torch.save(old, tmp_path / "w.pth")
    monkeypatch.delitem(sys.modules, old_mobilenet.__name__)
    model, notices = bring(tmp_path / "w.pth", size=32, trust_pickle=True)
    assert architecture(model).name == "torchvision/mobilenet_v2"
    assert "answers as the pickled torchvision.models.mobilenetv2.MobileNetV2" in notices


USERS = """
from torch import nn
class Net(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(1, 4, 3), nn.Linear(4, classes)
    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))
def net(classes):
    return Net(classes)
"""


def test_a_class_that_is_not_here_is_named_and_found_in_the_users_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script: dict[str, Any] = {"__name__": "__main__"}
    exec(USERS, script)
    monkeypatch.setattr(sys.modules["__main__"], "Net", script["Net"], raising=False)
    given = script["Net"]()
    torch.save(given, tmp_path / "w.pth")
    monkeypatch.delattr(sys.modules["__main__"], "Net")
    with pytest.raises(SecateurError, match=r"classes that are not here: __main__\.Net") as caught:
        bring(tmp_path / "w.pth", trust_pickle=True)
    assert "state_dict" in caught.value.remedy
    assert "path/file.py:function" in caught.value.remedy
    (tmp_path / "net.py").write_text(USERS)
    model, _ = bring(tmp_path / "w.pth", f"{tmp_path}/net.py:net", trust_pickle=True)
    assert same_weights(model, given.state_dict())


def test_every_old_name_leads_to_a_class_of_today() -> None:
    from engine.compute.pretrained.pickles import MOVED, _finder

    find = _finder({})
    assert all(callable(find(*old)) for old in MOVED)


def test_nothing_runs_of_a_trusted_file_that_lacks_a_class(tmp_path: Path) -> None:
    legacy(_with(small(), Opens(tmp_path / "ran")), tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    (tmp_path / "w.pth").write_bytes(content.replace(b"models.resnet", b"models.resnex"))
    with pytest.raises(SecateurError, match=r"not here: engine\.compute\.models\.resnex"):
        bring(tmp_path / "w.pth", trust_pickle=True)
    assert not (tmp_path / "ran").exists()


def test_a_trusted_file_whose_code_fails_says_so(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    torch.save(_with(small(), Opens(tmp_path / "folder")), tmp_path / "w.pth")
    with pytest.raises(SecateurError, match="fails when it is loaded: IsADirectoryError"):
        bring(tmp_path / "w.pth", trust_pickle=True)
