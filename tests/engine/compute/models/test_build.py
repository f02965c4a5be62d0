"""Networks from presets: every torchvision classifier, fitted to data, with weights or a clear refusal."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.compute.layers import masks
from engine.compute.layers.masks import masked, set_mask
from engine.compute.models import checkpoint
from engine.compute.models.adapt import fit_head, fit_stem
from engine.compute.models.architecture import Architecture, architecture
from engine.compute.models.build import build
from engine.compute.models.differences import recorded_attributes
from engine.compute.models.resnet import CifarResNet
from engine.compute.pretrained.create import create
from engine.compute.pretrained.shapes import skeleton
from engine.errors import SecateurError
from engine.params import catalog
from engine.params.preset import Model
from engine.store.keys import file_hash

LARGER = {"inception_v3": 299}
TORCHVISION = [name for name in catalog.MODELS if name.startswith("torchvision/")]


def make(name: str, **more: object) -> nn.Module:
    params = Model(name=name, **more)  # type: ignore[arg-type]
    model, _ = create(params, channels=1, classes=10, size=(32, 32), seed=0)
    return model


@pytest.mark.parametrize("name", ["resnet8", "torchvision/mobilenet_v3_small", "torchvision/swin_t"])
def test_a_network_whose_weights_are_put_in_place_is_the_same_with_zeros_for_what_is_drawn(name: str) -> None:
    arch = Architecture(name, 1, 10, (32, 32))
    drawn, zeros = build(arch), build(arch, drawn=False)
    theirs = zeros.state_dict()
    assert [(n, t.shape) for n, t in drawn.state_dict().items()] == [(n, t.shape) for n, t in theirs.items()]
    other = [n for n, tensor in drawn.state_dict().items() if not torch.equal(tensor, theirs[n])]
    assert other and not any(theirs[name].any() for name in other)
    assert recorded_attributes(drawn, zeros)[0] == {}


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_torchvision_classifier_fits_grey_images_and_ten_classes(name: str) -> None:
    """On the meta device: shapes only, so that the largest take no memory and no time."""
    size = LARGER.get(name.removeprefix("torchvision/"), 224)
    arch = Architecture(name, 1, 10, (size, size))
    assert skeleton(arch)(torch.empty(2, 1, size, size, device="meta")).shape == (2, 10)


def test_resnet20_is_that_of_the_paper_up_to_its_shortcuts() -> None:
    model = CifarResNet(20, channels=3, classes=10)
    shortcuts = sum(p.numel() for n, p in model.named_parameters() if "shortcut" in n)
    assert sum(p.numel() for p in model.parameters()) - shortcuts == 269_722
    assert sum(isinstance(m, nn.Conv2d | nn.Linear) for m in model.modules()) - 2 == 20
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def test_resnet20_takes_any_channels_and_width() -> None:
    model = make("resnet20", arguments={"width": 5})
    assert isinstance(model, CifarResNet)
    assert model.conv1.weight.shape == (5, 1, 3, 3)
    assert model.fc.in_features == 20


def test_the_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        model, _ = create(Model(name="resnet20"), channels=1, classes=10, size=(8, 8), seed=seed)
        assert isinstance(model, CifarResNet)
        return model.conv1.weight

    assert torch.equal(weights(0), weights(0))
    assert not torch.equal(weights(0), weights(1))


@pytest.mark.parametrize("channels", [1, 4])
def test_a_fitted_stem_answers_grey_images_as_the_colour_stem_did(channels: int) -> None:
    colour = nn.Sequential(nn.Conv2d(3, 8, 3, bias=True))
    grey = torch.rand(2, 1, 8, 8)
    expected = colour(grey.expand(-1, 3, -1, -1))
    fit_stem(colour, channels)
    torch.testing.assert_close(colour(grey.expand(-1, channels, -1, -1)), expected)


def test_a_head_of_the_right_size_keeps_its_weights() -> None:
    model = nn.Sequential(nn.Linear(4, 10))
    before = model[0].weight
    fit_head(model, 10)
    assert model[0].weight is before
    fit_head(model, 7)
    assert model(torch.zeros(1, 4)).shape == (1, 7)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_state_dict(tmp_path: Path, suffix: str) -> None:
    state = make("resnet20", arguments={"width": 4}).state_dict()
    path = tmp_path / f"weights{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    again = make("resnet20", arguments={"width": 4}, weights=str(path)).state_dict()
    assert all(torch.equal(again[name], state[name]) for name in state)


def hostile(path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, ...]:
            return (path.with_name("ran").touch, ())

    torch.save({"state": Runs()}, path)


def whole_model(path: Path) -> None:
    torch.save(make("resnet20"), path)


def other_width(path: Path) -> None:
    torch.save(make("resnet20", arguments={"width": 20}).state_dict(), path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda p: None, "No weights at"),
        (lambda p: p.write_bytes(b"junk"), "can't be read"),
        (hostile, "can't be read"),
        (whole_model, "can't be read"),
        (lambda p: torch.save([1, 2], p), "hold no state_dict"),
        (other_width, "do not fit the model"),
    ],
)
def test_unfit_weights_are_refused_and_run_nothing(tmp_path: Path, write, said: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "weights.pth"
    write(path)
    with pytest.raises(SecateurError, match=said) as caught:
        make("resnet20", weights=str(path))
    assert caught.value.remedy
    assert not (tmp_path / "ran").exists()


def test_an_unfit_state_dict_is_described_by_name_and_shape(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    state = make("resnet20").state_dict()
    del state["fc.bias"]
    state["extra"] = torch.zeros(1)
    state["conv1.weight"] = torch.zeros(16, 1, 1, 1)
    torch.save(state, path)
    with pytest.raises(SecateurError) as caught:
        make("resnet20", weights=str(path))
    for part in (
        "missing fc.bias",
        "unexpected extra",
        "conv1.weight is (16, 1, 1, 1), the model has (16, 1, 3, 3)",
    ):
        assert part in caught.value.detail


def test_pretrained_weights_that_are_not_on_disk_are_not_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SecateurError, match="not on this machine") as caught:
        make("torchvision/resnet18", weights="pretrained")
    assert "allow_download" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


class Published:
    """Stands for torchvision's weights of SqueezeNet: a file whose name has the hash of what is written into it."""

    def __init__(self, hub: Path, content: dict[str, torch.Tensor] | nn.Module) -> None:
        from torchvision.models import SqueezeNet1_1_Weights

        folder = hub / "hub" / "checkpoints"
        folder.mkdir(parents=True)
        torch.save(content, folder / "made")
        self.file = folder / f"squeezenet1_1-{file_hash(folder / 'made')[:8]}.pth"
        (folder / "made").rename(self.file)
        self.url = f"https://example.org/{self.file.name}"
        self.meta = SqueezeNet1_1_Weights.DEFAULT.meta

    @property
    def DEFAULT(self) -> "Published":
        return self


def published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, torch.Tensor] | nn.Module
) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = Published(tmp_path, content)
    monkeypatch.setattr("torchvision.models.get_model_weights", lambda name: weights)
    return weights.file


def test_pretrained_weights_on_disk_are_fitted_to_channels_and_classes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision.models import squeezenet1_1

    native = squeezenet1_1()
    published(tmp_path, monkeypatch, native.state_dict())
    model = make("torchvision/squeezenet1_1", weights="pretrained")
    state = model.state_dict()
    expected = native.features[0].weight.sum(1, keepdim=True)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(state["features.0.weight"], expected)
    assert torch.equal(state["features.3.squeeze.weight"], native.state_dict()["features.3.squeeze.weight"])
    assert state["classifier.1.weight"].shape[0] == 10


def test_what_lies_in_the_hub_s_folder_is_read_as_any_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Users share that folder, and torchvision itself would unpickle whatever has the right name."""
    file = published(tmp_path, monkeypatch, nn.Linear(1, 1))
    with pytest.raises(SecateurError, match="so it was not run"):
        make("torchvision/squeezenet1_1", weights="pretrained", trust_pickle=True)
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(SecateurError, match="not what torchvision published"):
        make("torchvision/squeezenet1_1", weights="pretrained")


USERS = """
from torch import nn
def build(channels, classes, hidden=4):
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 32 * 32, hidden), nn.Linear(hidden, classes))
def fails(classes):
    return 1 / 0
def text():
    return "a model"
def wrong():
    return nn.Flatten()
"""


def test_a_users_own_model_gets_what_it_names(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(USERS)
    model = make(f"{tmp_path}/net.py:build", arguments={"hidden": 6})
    assert model[1].out_features == 6  # type: ignore[index]
    checkpoint.save(model, tmp_path)
    assert architecture(checkpoint.load(tmp_path, [f"{tmp_path}/net.py:build"])).name.endswith("net.py:build")


def test_an_argument_that_a_users_own_model_does_not_take_is_the_presets_mistake(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(USERS)
    with pytest.raises(SecateurError, match="takes no argument hiden") as refused:
        make(f"{tmp_path}/net.py:build", arguments={"hiden": 6})
    assert "model.arguments.hiden" in refused.value.detail and refused.value.remedy == "Did you mean hidden?"


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("fails", r"Your own code failed[\s\S]*ZeroDivisionError[\s\S]*net.py, line 6"),
        ("text", "did not return a model"),
        ("wrong", "does not classify into 10 classes"),
        ("missing", "has no function missing"),
    ],
)
def test_a_users_mistake_is_said_with_its_place(tmp_path: Path, function: str, said: str) -> None:
    (tmp_path / "net.py").write_text(USERS)
    with pytest.raises(SecateurError, match=said):
        make(f"{tmp_path}/net.py:{function}")


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("torchvision/alexnet", {}, "can't take images of 1×32×32"),
        ("resnet20", {"depth": 3}, "can't be built"),
        ("torchvision/resnet18", {"colour": 1}, "can't be built"),
    ],
)
def test_a_model_that_does_not_go_with_the_data_is_refused(
    name: str, arguments: dict[str, int], said: str
) -> None:
    with pytest.raises(SecateurError, match=said):
        make(name, arguments=arguments)


@pytest.mark.parametrize(
    "name",
    [
        "resnet20",
        "torchvision/mobilenet_v3_small",
        "torchvision/swin_t",
        "torchvision/regnet_y_400mf",
    ],
)
def test_a_checkpoint_loads_back_bit_equal_masks_included(tmp_path: Path, name: str) -> None:
    model = make(name).eval()
    layer = next(m for m in model.modules() if isinstance(m, nn.Conv2d))
    set_mask(layer, torch.rand_like(layer.weight) > 0.5)
    checkpoint.save(model, tmp_path)
    again = checkpoint.load(tmp_path)
    assert masked(again).keys() == masked(model).keys()
    images = torch.rand(2, 1, 32, 32)
    with torch.inference_mode():
        assert torch.equal(again(images), model(images))


def test_folding_a_copy_leaves_the_model_as_it_was(tmp_path: Path) -> None:
    model = make("resnet20", arguments={"width": 4})
    layer = model.get_submodule("conv1")
    set_mask(layer, torch.rand(4, 1, 3, 3) > 0.5)
    plain = masks.folded(model)
    assert list(masked(model)) == ["conv1"]
    assert masked(plain) == {}
    assert torch.equal(plain.get_submodule("conv1").weight, layer.weight)
