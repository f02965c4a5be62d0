"""`read` and `preprocess` of an exported `load.py` do what the study's pipeline does, bit for bit."""

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.compute.data import Dataset, load
from engine.compute.export.loader import load_py
from engine.datasets import locate
from engine.params.preset import Data
from engine.results.exports import Format


def image(width: int, height: int, seed: int, mode: str) -> Image.Image:
    shape = (height, width) if mode == "L" else (height, width, len(mode))
    return Image.fromarray(np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8))


def folders(root: Path, mode: str, sizes: list[tuple[int, int]], kind: str = "png") -> Path:
    for split in ("train", "test"):
        for number, size in enumerate(sizes * 2):
            folder = root / split / "ab"[number % 2]
            folder.mkdir(parents=True, exist_ok=True)
            exif = Image.Exif()
            exif[0x0112] = 6 if number % 3 == 1 and len(set(sizes)) > 1 else 1
            image(*size, number, mode).save(folder / f"{number:02}.{kind}", exif=exif)
    return root


def loader(tmp_path: Path, data: Dataset, form: Format) -> ModuleType:
    file = tmp_path / f"{form.replace('-', '_')}_load.py"
    file.write_text(load_py(form, data, {"model.x": "0"}), "utf-8")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def opened(root: Path, **parameters: Any) -> Dataset:
    params = Data.model_validate({"name": "imagefolder", "root": str(root), **parameters})
    return load(params, locate(params, root))


def given(module: ModuleType, pixels: Any) -> Tensor:
    found = module.preprocess(pixels)
    return found if isinstance(found, Tensor) else torch.from_numpy(found)


MANY = [(40, 28), (28, 40), (33, 33), (64, 20)]
CASES: list[tuple[str, list[tuple[int, int]], dict[str, Any]]] = [
    ("RGB", MANY, {"size": 24}),
    ("RGB", MANY, {"size": 24, "width": 36, "interpolation": "bicubic"}),
    ("RGB", MANY, {"size": 24, "resize": 28, "mean": "imagenet"}),
    ("RGB", MANY, {"size": 32, "width": 20, "resize": 24, "interpolation": "nearest"}),
    ("RGB", MANY, {"size": 24, "channels": 1, "mean": [0.2], "std": [0.3]}),
    ("L", MANY, {"preprocess": "imagenet", "size": 20, "channels": 3, "range": [0, 200]}),
    ("RGBA", [(24, 20)] * 4, {"channels": 4}),
    ("L", [(24, 20)] * 4, {}),
]


@pytest.mark.parametrize("form", ["safetensors", "onnx"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_files_are_read_as_in_the_study(tmp_path: Path, case: int, form: Format) -> None:
    mode, sizes, parameters = CASES[case]
    root = folders(tmp_path / "set", mode, sizes)
    data = opened(root, **parameters)
    module = loader(tmp_path, data, form)
    files = sorted((root / "test").glob("*/*"), key=lambda path: path.parts[-2:])
    pixels = module.read(*files)
    assert torch.equal(torch.as_tensor(np.asarray(pixels)), data.test.images.gather(torch.arange(len(files))))
    batch = next(data.batches(data.test, len(files), channels_last=False))[0]
    assert torch.equal(given(module, pixels), batch)
    with pytest.raises(ValueError, match="images are"):
        module.preprocess(pixels[:, :, 1:])


@pytest.mark.parametrize("form", ["safetensors", "onnx"])
def test_a_detectors_images_are_letterboxed_as_in_the_study(tmp_path: Path, form: Format) -> None:
    for number, size in enumerate(MANY):
        (tmp_path / "images").mkdir(exist_ok=True)
        image(*size, number, "RGB").save(tmp_path / "images" / f"{number}.png")
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5")
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [a]\n")
    params = Data(name="yolo", root=str(tmp_path / "data.yaml"), size=64)
    data = load(params, locate(params, tmp_path))
    module = loader(tmp_path, data, form)
    pixels = module.read(*sorted((tmp_path / "images").iterdir()))
    batch = next(data.batches(data.train, 4, channels_last=False))[0]
    assert torch.equal(given(module, pixels), batch)


@pytest.mark.parametrize("form", ["safetensors", "onnx"])
def test_deep_values_are_normalized_as_in_the_study(tmp_path: Path, form: Format) -> None:
    for name in ("a", "b"):
        (tmp_path / "set" / name).mkdir(parents=True)
        for number in range(5):
            values = np.random.default_rng(number).integers(-300, 4096, size=(8, 8, 5)).astype(np.int16)
            np.save(tmp_path / "set" / name / f"{number}.npy", values)
    data = opened(tmp_path / "set")
    module = loader(tmp_path, data, form)
    pixels = data.test.images.gather(torch.arange(len(data.test)))
    batch = next(data.batches(data.test, len(data.test), channels_last=False))[0]
    assert torch.equal(given(module, pixels if form == "safetensors" else pixels.numpy()), batch)
    assert not hasattr(module, "read") and (data.black, data.white) == (module.BLACK, module.WHITE)
