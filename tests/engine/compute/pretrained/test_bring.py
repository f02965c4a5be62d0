"""Files of weights in every form that training scripts leave them in: read, or refused in one clear sentence."""

import argparse
import io
import json
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.compute.models import checkpoint, edits
from engine.compute.models.adapt import fit_stem
from engine.compute.models.architecture import Architecture, architecture
from engine.compute.models.build import build
from engine.compute.pretrained.state_dict import load_into
from engine.errors import SecateurError
from tests.engine.compute.pretrained.brought_help import State, bring, prefixed, same_weights, small

HYPER = argparse.Namespace(lr=0.1, out=Path("runs"))
OPTIMIZER = {"state": {0: {"step": 3}}, "param_groups": [{"lr": 0.1}]}


def other(state: State) -> State:
    return {name: tensor + 1 for name, tensor in state.items()}


FORMS: dict[str, Callable[[State], Any]] = {
    "plain": lambda s: s,
    "ordered": OrderedDict,
    "DataParallel": lambda s: prefixed(s, "module."),
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "compiled, distributed, in Lightning": lambda s: prefixed(s, "model._orig_mod.module."),
    "state_dict": lambda s: {"epoch": 3, "state_dict": prefixed(s, "module."), "best": 0.9},
    "model": lambda s: {"model": s, "optimizer": OPTIMIZER, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "loss": torch.tensor(0.5)},
    "net": lambda s: {"net": prefixed(s, "module."), "acc": 91.2, "epoch": 3},
    "params": lambda s: {"params": s},
    "a key of their own": lambda s: {"resnet_weights": s, "optimizer": OPTIMIZER},
    "wrapped twice": lambda s: {"model": {"state_dict": s}, "step": 1},
    "average beside": lambda s: {
        "model": other(s),
        "model_ema": {"n_averaged": torch.tensor(3), **prefixed(s, "module.")},
    },
    "timm's average": lambda s: {"state_dict": other(s), "state_dict_ema": s},
    "BasicSR's average": lambda s: {"params": other(s), "params_ema": s},
    "average of other names": lambda s: {"model": other(s), "swa_state_dict": prefixed(s, "module.")},
    "average among the names": lambda s: {**prefixed(other(s), "model."), **prefixed(s, "ema_model.")},
    "no average made": lambda s: {"model": s, "model_ema": None, "ema": {}},
    "arguments beside": lambda s: {"model": s, "args": HYPER},
    "defaultdict beside": lambda s: {"model": s, "log": defaultdict(list, {"loss": [1.0]})},
    "Lightning": lambda s: {
        "state_dict": prefixed(s, "model."),
        "callbacks": {"early": {"wait": 1}},
        "hyper_parameters": HYPER,
        "pytorch-lightning_version": "2.0.0",
    },
    "parameters": lambda s: {n: nn.Parameter(t) if t.is_floating_point() else t for n, t in s.items()},
    "numbers between": lambda s: {**s, "epoch": 3, "arch": "resnet8"},
}


@pytest.mark.parametrize("suffix", [".pth", ".ckpt"])
@pytest.mark.parametrize("form", FORMS)
def test_a_state_dict_is_found_in_every_wrapper(tmp_path: Path, form: str, suffix: str) -> None:
    state = small().state_dict()
    path = tmp_path / f"net{suffix}"
    torch.save(FORMS[form](state), path, _use_new_zipfile_serialization=suffix == ".pth")
    model, notices = bring(path)
    assert same_weights(model, state)
    assert "recognized as resnet8 of width 2" in notices


def test_what_was_taken_is_told_and_kept_in_the_checkpoint(tmp_path: Path) -> None:
    torch.save(FORMS["average beside"](small().state_dict()), tmp_path / "net.pt")
    model, notices = bring(tmp_path / "net.pt")
    assert "average of the weights, 'model_ema'; the file has others too, 'model'" in notices
    assert "took 'module.' off the names" in notices
    checkpoint.save(model, tmp_path)
    recipe = json.loads((tmp_path / "model.json").read_text())
    assert recipe["architecture"]["name"] == "resnet8"
    assert any("recognized as resnet8" in text for text in recipe["notes"]["brought"]["told"])


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    torch.save({"model": small().state_dict(), "args": HYPER}, tmp_path / "net.pth")
    assert "left out of net.pth, and not run: argparse.Namespace" in bring(tmp_path / "net.pth")[1]
    state = small().state_dict()
    torch.save(
        {"model": state, "best_state_dict": state, "ema": {"shadow_params": [*state.values()]}},
        tmp_path / "two.pth",
    )
    notices = bring(tmp_path / "two.pth")[1]
    assert "took the weights under 'model', and left out 'best_state_dict'" in notices
    assert "left out the average of the weights, 'ema': it has no names" in notices


def test_a_name_does_not_decide_how_a_file_is_read(tmp_path: Path) -> None:
    state = small().state_dict()
    save_file(state, tmp_path / "net.pth")
    torch.save(state, tmp_path / "net.safetensors")
    assert same_weights(bring(tmp_path / "net.pth")[0], state)
    assert same_weights(bring(tmp_path / "net.safetensors")[0], state)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_that_is_told(tmp_path: Path, dtype: torch.dtype) -> None:
    save_file(small().to(dtype).state_dict(), tmp_path / "net.safetensors")
    model, notices = bring(tmp_path / "net.safetensors")
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert f"weights in {str(dtype)[6:]} were converted to float32" in notices


def test_files_older_than_batch_counters_are_read(tmp_path: Path) -> None:
    state = {n: t for n, t in small().state_dict().items() if "num_batches" not in n}
    torch.save(state, tmp_path / "net.pth")
    assert int(bring(tmp_path / "net.pth")[0].bn1.num_batches_tracked) == 0  # type: ignore[union-attr, arg-type]


def test_another_head_and_stem_are_fitted_to_the_data(tmp_path: Path) -> None:
    brought = small(channels=3, classes=7)
    torch.save(brought.state_dict(), tmp_path / "net.pth")
    model, notices = bring(tmp_path / "net.pth")
    assert "for 7 classes, was replaced by a random one for the data's 10" in notices
    assert "from 3 to 1 channels" in notices
    fit_stem(brought, 1)
    expected = brought.state_dict()
    assert all(torch.equal(t, expected[n]) for n, t in model.state_dict().items() if not n.startswith("fc"))
    checkpoint.save(model, tmp_path)


def test_a_grey_stem_is_fitted_to_colour(tmp_path: Path) -> None:
    grey = small()
    torch.save(grey.state_dict(), tmp_path / "net.pth")
    from engine.compute.pretrained.create import create
    from engine.params.preset import Model

    params = Model(name="resnet8", arguments={"width": 2}, weights=str(tmp_path / "net.pth"))
    model, _ = create(params, channels=3, classes=10, size=(8, 8), seed=0)
    image = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(model(image.expand(-1, 3, -1, -1)), grey.eval()(image))


USERS = """
from torch import nn
def net(channels, classes):
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(nn.Conv2d(channels, 6, 3), nn.ReLU(), *pooled, nn.Linear(6, classes))
"""


@pytest.mark.parametrize("prefix", ["", "model."])
def test_weights_go_into_a_users_own_function(tmp_path: Path, prefix: str) -> None:
    (tmp_path / "net.py").write_text(USERS)
    given = nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )
    torch.save(prefixed(given.state_dict(), prefix), tmp_path / "net.pth")
    model, notices = bring(tmp_path / "net.pth", f"{tmp_path}/net.py:net")
    assert torch.equal(model[0].weight, given[0].weight)  # type: ignore[index]
    assert "for 4 classes, was replaced" in notices


def test_a_checkpoint_of_ours_is_known_by_its_folder_edits_and_all(tmp_path: Path) -> None:
    model = build(Architecture("resnet20", 1, 10, (8, 8), {"width": 2}))
    with edits.resized(model):
        block = model.get_submodule("layer1.0")
        block.conv1 = _replaced(block.conv1, 1)  # type: ignore[arg-type, assignment]
        block.bn1 = nn.BatchNorm2d(1)
        block.conv2 = nn.Conv2d(1, 2, 3, 1, 1, bias=False)
    checkpoint.save(model.eval(), tmp_path)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        again, notices = bring(path)
        assert same_weights(again, model.state_dict())
        assert "is a checkpoint of resnet20" in notices
    with pytest.raises(SecateurError, match="of another network"):
        bring(tmp_path, "resnet32")


def _replaced(conv: nn.Conv2d, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(conv.in_channels, outputs, 3, 1, 1, bias=False)


def test_code_that_only_a_checkpoint_names_is_not_run(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(USERS + f"\nopen({str(tmp_path / 'ran')!r}, 'w').close()\n")
    name = f"{tmp_path}/net.py:net"
    checkpoint.save(build(Architecture(name, 1, 10, (8, 8))).eval(), tmp_path)
    (tmp_path / "ran").unlink()
    with pytest.raises(SecateurError, match="built by your own code") as caught:
        bring(tmp_path)
    assert name in caught.value.remedy
    assert not (tmp_path / "ran").exists()
    (tmp_path / "net.py").rename(tmp_path / "moved.py")
    assert architecture(bring(tmp_path, f"{tmp_path}/moved.py:net")[0]).name.endswith("moved.py:net")


def zipped(*names: str) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in names:
            archive.writestr(name, b"\x80\x02.")
    return held.getvalue()


def saved(value: Any, cut: int = 0) -> bytes:
    held = io.BytesIO()
    torch.save(value, held)
    return held.getvalue()[: -cut or None]


def scripted() -> bytes:
    held = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), held)
    return held.getvalue()


def exported() -> bytes:
    held = io.BytesIO()
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), held)
    return held.getvalue()


def legacy(value: Any, cut: int = 0) -> bytes:
    held = io.BytesIO()
    torch.save(value, held, _use_new_zipfile_serialization=False)
    return held.getvalue()[: -cut or None]


REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "text": (lambda: b"epoch 1 loss 0.5", "has no format that is known"),
    "index of shards": (
        lambda: b'{"metadata": {"total_size": 8}, "weight_map": {"a": "b"}}',
        "kept in several files",
    ),
    "config": (lambda: b'{"architectures": ["X"]}', "is a JSON file"),
    "web page": (lambda: b"\n<!DOCTYPE html><html>404</html>", "is a web page"),
    "LFS": (lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "pointer of Git LFS"),
    "ONNX": (lambda: b"\x08\x08\x12\x07pytorch\x1a\x03", "is an ONNX graph"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n", "is an HDF5 file, as Keras"),
    "Keras": (lambda: zipped("metadata.json", "config.json", "model.weights.h5"), "is a Keras model"),
    "TFLite": (lambda: b"\x1c\x00\x00\x00TFL3", "TensorFlow Lite"),
    "npz": (lambda: zipped("arr_0.npy"), "NumPy arrays"),
    "npy": (lambda: b"\x93NUMPY\x01\x00", "NumPy array"),
    "gzip": (lambda: b"\x1f\x8b\x08\x00", "compressed with gzip"),
    "other zip": (lambda: zipped("readme.txt"), "zip archive of other files"),
    "TorchScript": (scripted, "program of TorchScript"),
    "torch.export": (exported, "program of torch.export"),
    "cut short": (lambda: saved(small().state_dict(), cut=1000), "is cut short"),
    "cut short, old": (lambda: legacy(small().state_dict(), cut=1000), "is damaged"),
    "safetensors cut short": (lambda: b'\x40\x00\x00\x00\x00\x00\x00\x00{"a":', "incomplete safetensors"),
    "no tensors": (lambda: saved({"epoch": 3, "loss": 0.1}), "hold no state_dict"),
    "optimizer": (lambda: saved({"optimizer": OPTIMIZER}), "hold no state_dict"),
    "a tensor": (lambda: saved(torch.zeros(3)), "hold no state_dict"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_another_file_is_refused_in_one_sentence_with_a_remedy(tmp_path: Path, form: str) -> None:
    make, said = REFUSED[form]
    path = tmp_path / "net.pth"
    path.write_bytes(make())
    with pytest.raises(SecateurError, match=said) as caught:
        bring(path)
    assert caught.value.remedy
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize("form", ["TorchScript", "torch.export"])
@pytest.mark.filterwarnings("ignore")
def test_the_remedy_for_a_program_gives_weights(tmp_path: Path, form: str) -> None:
    path = tmp_path / "net.pth"
    path.write_bytes(REFUSED[form][0]())
    with pytest.raises(SecateurError) as caught:
        bring(path)
    code = caught.value.remedy.partition(": ")[2].removesuffix(".")
    code = code.replace("'net.pth'", repr(str(path))).replace("'weights.pth'", repr(str(tmp_path / "w.pth")))
    exec(code, {"torch": torch})
    assert torch.load(tmp_path / "w.pth").keys() == {"weight", "bias"}


ODD: dict[str, tuple[str, Callable[[torch.Tensor], torch.Tensor], str]] = {
    "NaN": ("layer1.0.conv1.weight", lambda t: t * float("nan"), "values that are no numbers"),
    "infinite statistics": ("bn1.running_mean", lambda t: t + float("inf"), "values that are no numbers"),
    "variances below 0": ("bn1.running_var", lambda t: -t, "variances below 0"),
    "integers": ("conv1.weight", lambda t: (t * 100).to(torch.int8), "int8, the model has float32"),
    "complex": ("conv1.weight", lambda t: t.to(torch.complex64), "complex64, the model has float32"),
    "transposed": ("fc.weight", lambda t: t.t(), "do not fit the model"),
    "a bias cut": ("fc.bias", lambda t: t[:5], "fc.bias is (5,), the model has (10,)"),
}


@pytest.mark.parametrize("way", ODD)
def test_weights_that_can_t_be_computed_with_are_refused_as_such(tmp_path: Path, way: str) -> None:
    """Not as images that the network can't take, and not in silence."""
    name, change, said = ODD[way]
    state = small().state_dict()
    torch.save(state | {name: change(state[name])}, tmp_path / "net.pth")
    with pytest.raises(SecateurError) as caught:
        bring(tmp_path / "net.pth", "resnet8", arguments={"width": 2})
    assert said in f"{caught.value.title} {caught.value.detail}"
    assert "data.size" not in caught.value.remedy


def test_a_mask_may_hold_infinity() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    load_into(model, dict(model.state_dict()), "w.pth")


@pytest.mark.filterwarnings("ignore")
def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    weight = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    torch.save({"fc.weight": weight}, tmp_path / "net.pth")
    with pytest.raises(SecateurError, match="quantized already"):
        bring(tmp_path / "net.pth")


def test_a_folder_without_weights_says_what_it_lacks(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match="No weights in the folder"):
        bring(tmp_path)
    torch.save(small().state_dict(), tmp_path / "pytorch_model.bin")
    assert same_weights(bring(tmp_path)[0], small().state_dict())
