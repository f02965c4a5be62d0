"""Architectures told from tensors: every family of models, pruned ones too, or what comes nearest."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture, architecture
from engine.compute.models.build import build
from engine.compute.models.resnet import CifarResNet
from engine.compute.pretrained.guess import fingerprint, guess, known
from engine.compute.pretrained.shapes import skeleton
from engine.compute.pretrained.tensor_names import FINGERPRINTS
from engine.compute.pretrained.unwrap import variants
from engine.errors import SecateurError
from tests.engine.compute.pretrained.brought_help import bring, prefixed, same_weights, small

OFFERED = Architecture("auto", 1, 10, (32, 32))
FAMILIES = (
    "resnet32",
    "torchvision/alexnet",
    "torchvision/convnext_tiny",
    "torchvision/densenet121",
    "torchvision/efficientnet_b1",
    "torchvision/googlenet",
    "torchvision/mnasnet0_75",
    "torchvision/mobilenet_v3_small",
    "torchvision/regnet_x_400mf",
    "torchvision/resnet18",
    "torchvision/resnext101_64x4d",
    "torchvision/shufflenet_v2_x1_5",
    "torchvision/squeezenet1_1",
    "torchvision/swin_v2_s",
    "torchvision/vgg16_bn",
    "torchvision/vit_b_32",
)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_is_recognized_with_its_own_classes_and_channels(name: str) -> None:
    state = skeleton(Architecture(name, 3, 7, (224, 224))).state_dict()
    found = guess([variants(prefixed(state, "module."))], OFFERED)
    assert (found.arch.name, found.arch.classes, found.arch.channels) == (name, 7, 3)
    assert found.difference.exact


@pytest.mark.parametrize(
    "name", ["torchvision/resnet34", "torchvision/vit_b_16", "torchvision/regnet_y_400mf"]
)
def test_names_of_tensors_are_those_that_the_table_has(name: str) -> None:
    """`python tools/fingerprints.py` writes the table anew, should torchvision rename a layer."""
    assert fingerprint(skeleton(Architecture(name, 3, 10, (224, 224))).state_dict()) == FINGERPRINTS[name][0]
    assert tuple(FINGERPRINTS) == known()


@pytest.mark.parametrize(("depth", "width"), [(8, 3), (14, 16), (20, 5), (110, 2)])
def test_depth_and_width_of_a_cifar_resnet_are_told(depth: int, width: int) -> None:
    state = CifarResNet(depth, channels=1, classes=10, width=width).state_dict()
    arch = guess([variants(state)], OFFERED).arch
    assert (arch.name, arch.arguments) == (f"resnet{depth}", {"width": width})


def test_others_shortcuts_are_ours_by_another_name(tmp_path: Path) -> None:
    state = small().state_dict()
    save_file({n.replace("shortcut", "downsample"): t for n, t in state.items()}, tmp_path / "w.safetensors")
    assert same_weights(bring(tmp_path / "w.safetensors")[0], state)


def test_names_of_older_torchvision_are_todays() -> None:
    state = skeleton(Architecture("torchvision/densenet121", 3, 10, (224, 224))).state_dict()
    old = {n.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): t for n, t in state.items()}
    old = {n: t for n, t in old.items() if "num_batches" not in n}
    assert guess([variants(old)], OFFERED).arch.name == "torchvision/densenet121"


def test_heads_for_training_only_are_left_out() -> None:
    state = skeleton(
        Architecture("torchvision/googlenet", 3, 5, (224, 224), {"aux_logits": True})
    ).state_dict()
    assert any(name.startswith("aux1.") for name in state)
    found = guess([variants(state)], OFFERED)
    assert found.arch.name == "torchvision/googlenet"
    assert not any(name.startswith("aux") for name in found.state)


def pruned(state: dict[str, Tensor], inside: str, keep: int) -> dict[str, Tensor]:
    """With `keep` channels between the two convolutions of the block `inside`."""
    out = dict(state)
    for name in ("conv1.weight", "bn1.weight", "bn1.bias", "bn1.running_mean", "bn1.running_var"):
        out[f"{inside}.{name}"] = out[f"{inside}.{name}"][:keep].clone()
    out[f"{inside}.conv2.weight"] = out[f"{inside}.conv2.weight"][:, :keep].clone()
    return out


def test_a_pruned_state_dict_is_built_narrower_and_kept_so(tmp_path: Path) -> None:
    state = pruned(build(Architecture("torchvision/resnet18", 1, 10, (32, 32))).state_dict(), "layer4.1", 100)
    torch.save({"model": state}, tmp_path / "w.pth")
    model, notices = bring(tmp_path / "w.pth", size=32)
    assert "w.pth is pruned: 3 layers are narrower than those of torchvision/resnet18" in notices
    conv = model.get_submodule("layer4.1.conv1")
    assert isinstance(conv, nn.Conv2d)
    assert conv.out_channels == 100
    checkpoint.save(model, tmp_path)
    assert same_weights(checkpoint.load(tmp_path), state)


def test_a_pruned_cifar_resnet_keeps_the_width_of_its_first_layer(tmp_path: Path) -> None:
    state = pruned(CifarResNet(8, channels=1, classes=10, width=4).state_dict(), "layer2.0", 3)
    torch.save(state, tmp_path / "w.pth")
    model, notices = bring(tmp_path / "w.pth")
    assert architecture(model).arguments == {"width": 4}
    assert "is pruned" in notices
    named, _ = bring(tmp_path / "w.pth", "resnet8", arguments={"width": 4})
    assert same_weights(named, state)


def test_pruned_depthwise_and_grouped_convolutions_have_their_groups(tmp_path: Path) -> None:
    state = build(Architecture("torchvision/mobilenet_v2", 1, 10, (32, 32))).state_dict()
    block = "features.2.conv"
    for name, tensor in list(state.items()):
        if name.startswith((f"{block}.0.", f"{block}.1.")) and tensor.ndim:
            state[name] = tensor[:50].clone()
    state[f"{block}.2.weight"] = state[f"{block}.2.weight"][:, :50].clone()
    torch.save(state, tmp_path / "w.pth")
    model, _ = bring(tmp_path / "w.pth", size=32)
    depthwise = model.get_submodule(f"{block}.1.0")
    assert isinstance(depthwise, nn.Conv2d)
    assert depthwise.groups == depthwise.in_channels == 50
    checkpoint.save(model, tmp_path)


def test_of_several_models_that_a_pruned_one_fits_the_smallest_is_taken() -> None:
    state = skeleton(Architecture("torchvision/resnet50", 3, 10, (224, 224))).state_dict()
    state = pruned(state, "layer1.0", 20)
    found = guess([variants(state)], OFFERED)
    assert found.arch.name == "torchvision/resnet50", "not wide_resnet50_2, nor resnext50"


def test_sizes_that_do_not_go_together_are_refused() -> None:
    state = pruned(CifarResNet(8, channels=1, classes=10, width=4).state_dict(), "layer2.0", 3)
    state["layer2.0.conv2.weight"] = state["layer2.0.conv2.weight"][:, :2]
    with pytest.raises(SecateurError, match="do not go together"):
        guess([variants(state)], OFFERED)


def test_pruned_attention_is_refused_because_no_tensor_tells_its_heads() -> None:
    arch = Architecture("torchvision/swin_t", 3, 10, (224, 224))
    state = dict(skeleton(arch).state_dict())
    for name in ("norm1.weight", "norm1.bias"):
        assert f"features.1.0.{name}" in state
    state["features.1.0.attn.qkv.weight"] = state["features.1.0.attn.qkv.weight"][:144]
    with pytest.raises(SecateurError, match="No known model") as caught:
        guess([variants(state)], OFFERED)
    assert "features.1.0.attn.qkv.weight is (144, 96)" in caught.value.detail


def test_an_unknown_network_is_told_what_comes_nearest_and_what_differs() -> None:
    state = dict(skeleton(Architecture("torchvision/resnet18", 3, 10, (224, 224))).state_dict())
    head = {"fc.1.weight": state.pop("fc.weight"), "fc.1.bias": state.pop("fc.bias")}
    with pytest.raises(SecateurError, match="have the sizes of torchvision/resnet18, under other names"):
        guess([variants(state | head)], OFFERED)
    state = head | state
    with pytest.raises(SecateurError, match="No known model fits") as caught:
        guess([variants(state)], OFFERED)
    nearest = caught.value.detail.splitlines()[1]
    assert nearest.startswith(
        "  torchvision/resnet18: missing fc.bias; missing fc.weight; unexpected fc.1.bias"
    )
    assert "path/file.py:function" in caught.value.remedy


def test_names_of_no_known_model_at_all() -> None:
    with pytest.raises(SecateurError, match="No known model has tensors of such names"):
        guess([variants({"w": torch.zeros(2), "b": torch.zeros(2)})], OFFERED)


def test_a_transformer_says_which_image_size_it_is_bound_to(tmp_path: Path) -> None:
    shapes = skeleton(Architecture("torchvision/vit_b_32", 3, 10, (64, 64))).state_dict()
    halves = torch.zeros((), dtype=torch.float16)
    torch.save({n: halves.expand(t.shape) for n, t in shapes.items()}, tmp_path / "w.pth")
    for name in ("auto", "torchvision/vit_b_32"):
        with pytest.raises(SecateurError, match="for images of 64×64 pixels") as caught:
            bring(tmp_path / "w.pth", name, size=32)
        assert caught.value.remedy == "Set data.size: 64"
