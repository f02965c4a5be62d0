"""Preprocessing as training recipes have it: against torchvision's own transforms, and through the presets."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.transforms import functional as F
from torchvision.transforms.v2 import functional as v2

from engine.compute.data import Dataset, load
from engine.compute.data.pixels import Fit, decode, fit_pixels
from engine.datasets import fingerprint, locate
from engine.datasets.preprocess import resolve, unsaid
from engine.datasets.recipes import RECIPES
from engine.errors import UsageError
from engine.params.preset import Data, Model
from engine.presets.spec import parse

SIZES = [(40, 28), (28, 40), (33, 33), (300, 7), (31, 64)]


def noise(width: int, height: int, channels: int = 3) -> Image.Image:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return Image.fromarray(np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8))


def test_recipes_are_torchvisions() -> None:
    for name, recipe in RECIPES.items():
        if name == "imagenet":
            continue
        theirs = torchvision.models.get_model_weights(name.removeprefix("torchvision/")).DEFAULT.transforms()
        ours = (recipe.resize, recipe.crop, recipe.interpolation)
        assert ours == (theirs.resize_size[0], theirs.crop_size[0], theirs.interpolation.value), name
        channels = 3 // len(recipe.statistics[0])
        assert recipe.statistics[0] * channels == tuple(theirs.mean), name
        assert recipe.statistics[1] * channels == tuple(theirs.std), name


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
@pytest.mark.parametrize("size", SIZES)
def test_resize_and_crop_give_torchvisions_bits(size: tuple[int, int], interpolation: Any) -> None:
    image = noise(*size)
    mode = torchvision.transforms.InterpolationMode(interpolation)
    for resize, crop in ((32, (28, 28)), (21, (20, 16)), (24, (32, 24))):
        ours = decode(image.copy(), Fit(crop, 3, resize, interpolation))
        theirs = F.pil_to_tensor(F.center_crop(F.resize(image, [resize], mode), list(crop)))
        assert torch.equal(ours, theirs), (resize, crop)


@pytest.mark.parametrize("size", SIZES)
def test_arrays_are_cut_where_images_are(size: tuple[int, int]) -> None:
    """Arrays are resized by torch, which rounds otherwise than Pillow; the part cut out is the same."""
    pixels = F.pil_to_tensor(noise(*size)).unsqueeze(0)
    for resize, crop in ((32, (28, 28)), (21, (20, 16))):
        fit = Fit(crop, None, resize)
        theirs = v2.center_crop(v2.resize(pixels, [resize], antialias=True), list(crop))
        assert torch.equal(fit_pixels(pixels, fit), theirs)


def folder(root: Path, size: tuple[int, int] = (40, 28)) -> Path:
    for split in ("train", "test"):
        for name in ("a", "b"):
            (root / split / name).mkdir(parents=True)
            for number in range(4):
                noise(*size).save(root / split / name / f"{number}.png")
    return root


def read(root: Path, **parameters: Any) -> Dataset:
    params = Data.model_validate({"name": "imagefolder", "root": str(root), **parameters})
    return load(params, locate(params, root))


def test_a_named_preprocessing_is_what_the_weights_were_trained_with(tmp_path: Path) -> None:
    root = folder(tmp_path, (320, 280))
    weights = torchvision.models.ResNet50_Weights.DEFAULT
    data = read(root, preprocess="torchvision/resnet50")
    with Image.open(root / "test" / "a" / "0.png") as image:
        theirs = weights.transforms()(image)
    ours = next(data.batches(data.test, 1))[0][0]
    assert data.size == (224, 224)
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_a_recipe_at_another_size_keeps_its_proportion() -> None:
    chosen = resolve(Data(name="x", preprocess="imagenet", size=64))
    assert (chosen.size, chosen.resize) == ((64, 64), 73)
    own = resolve(Data(name="x", preprocess="imagenet", size=64, resize=64, mean="data"))
    assert (own.resize, own.mean, own.std) == (64, "data", "data")


def test_sizes_need_not_be_square_and_statistics_can_be_given(tmp_path: Path) -> None:
    root = folder(tmp_path)
    data = read(root, size=20, width=36, mean="half")
    batch = next(data.batches(data.test, 2))[0]
    assert batch.shape == (2, 3, 20, 36)
    pixels = data.test.images.gather(torch.arange(2))
    assert torch.allclose(batch, (pixels / 255 - 0.5) / 0.5, atol=1e-6)
    with pytest.raises(UsageError, match="mean has 2 numbers, and the images 3 channels"):
        read(root, mean=[0, 0], std=[1])


def key(root: Path, **parameters: Any) -> str | None:
    params = Data.model_validate({"name": "imagefolder", "root": str(root), **parameters})
    return fingerprint(params, locate(params, root), None)


def test_what_changes_images_changes_the_fingerprint_and_nothing_else_does(tmp_path: Path) -> None:
    root = folder(tmp_path)
    plain = key(root)
    same: list[dict[str, Any]] = [{"interpolation": "bilinear"}, {"mean": "data"}, {"workers": 3}]
    other: list[dict[str, Any]] = [
        *({"mean": "half"}, {"mean": [0.5], "std": [0.5]}, {"interpolation": "nearest"}),
        *({"size": 20}, {"size": 20, "width": 36}, {"size": 20, "resize": 24}, {"preprocess": "imagenet"}),
        *({"range": [0, 200]}, {"limit_validation": 16}, {"limit_test": 16}, {"skip_damaged": True}),
    ]
    assert {key(root, **parameters) for parameters in same} == {plain}
    keys = [key(root, **parameters) for parameters in other]
    assert len({plain, *keys}) == len(other)  # half is 0.5 and 0.5
    assert keys[0] == keys[1]


def test_keys_of_sets_as_they_were_are_kept(tmp_path: Path) -> None:
    """Studies of earlier versions go on: the fingerprint of an array set at its defaults."""
    params = Data(name="digits")
    assert fingerprint(params, locate(params, tmp_path), None) == DIGITS


DIGITS = "8d96b8169d4ff5284c69257a142e63f0210ee570d2391af192271ca53d1d8e03"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{name: digits, width: 9}", "given without size"),
        ("{name: digits, resize: 9}", "given without size"),
        ("{name: digits, mean: [0.5]}", "missing beside numbers"),
        ("{name: digits, std: [0.5]}", "missing beside std"),
        ("{name: digits, mean: [0.5], std: [0]}", "not above 0"),
        ("{name: digits, mean: imagnet}", "imagenet"),
        ("{name: digits, preprocess: resnet18}", "torchvision/"),
        ("{name: digits, range: [3, 2]}", "the smaller value first"),
    ],
)
def test_what_does_not_fit_together_is_refused_in_the_preset(given: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(f"model: {{name: resnet20}}\ndata: {given}\nsteps: [train]\n", "wrong")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("model", "data", "said"),
    [
        ({"name": "resnet20"}, {}, ""),
        ({"name": "torchvision/resnet18", "weights": "pretrained"}, {}, "mean 0.485, 0.456, 0.406"),
        (
            {"name": "torchvision/resnet18", "weights": "half.pth"},
            {},
            "data.preprocess: torchvision/resnet18",
        ),
        ({"name": "net.py:build", "weights": "a.pth"}, {}, "a.pth does not say"),
        ({"name": "net.py:build", "weights": "a.pth"}, {"mean": "data"}, ""),
        ({"name": "net.py:build", "weights": "a.pth"}, {"preprocess": "imagenet"}, ""),
    ],
)
def test_weights_without_a_preprocessing_are_told(
    model: dict[str, Any], data: dict[str, Any], said: str
) -> None:
    text = unsaid(Model.model_validate(model), Data.model_validate({"name": "imagefolder", **data}))
    assert said in text and bool(said) == bool(text)
