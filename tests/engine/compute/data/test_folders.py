"""A user's own image folders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.compute.data import Dataset, Split, load
from engine.datasets import locate
from engine.errors import SecateurError
from engine.params.preset import Data


def write(
    root: Path,
    *splits: str,
    count: int = 10,
    size: tuple[int, int] = (12, 12),
    mode: str = "RGB",
    kind: str = "png",
) -> Path:
    """Class folders of noise; every image is another one."""
    random = np.random.default_rng(0)
    for split in splits or (".",):
        for name in ("cat", "dog", "emu"):
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                shape = (size[1], size[0], 3) if mode == "RGB" else (size[1], size[0])
                values = random.integers(256, size=shape, dtype=np.uint8)
                Image.fromarray(values).save(folder / f"{number}.{kind}")
    return root


def read(root: Path, *, budget: int | None = None, **parameters: Any) -> Dataset:
    params = Data.model_validate({"name": "imagefolder", "root": str(root), **parameters})
    return load(params, locate(params, root.parent), budget=budget)


def pixels(split: Split) -> Tensor:
    return split.images.gather(torch.arange(len(split)))


def test_one_folder_is_split_without_overlap(tmp_path: Path) -> None:
    data = read(write(tmp_path / "own", count=20))
    assert data.class_names == ("cat", "dog", "emu")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [43, 5, 12]
    images = torch.cat([pixels(split) for split in (data.train, data.validation, data.test)])
    assert len({image.numpy().tobytes() for image in images}) == 60
    assert data.test.labels.bincount().tolist() == [4, 4, 4]


@pytest.mark.parametrize("validation", ["validation", "val", "valid"])
def test_split_folders_are_taken_as_they_are(tmp_path: Path, validation: str) -> None:
    data = read(write(tmp_path / "own", "train", validation, "test", count=6))
    assert [len(split) for split in (data.train, data.validation, data.test)] == [18, 18, 18]
    stored = Image.open(tmp_path / "own" / "test" / "dog" / "2.png")
    assert torch.equal(pixels(data.test)[8], torch.from_numpy(np.array(stored)).permute(2, 0, 1))


def test_limit_cuts_training_images_only(tmp_path: Path) -> None:
    data = read(write(tmp_path / "own", "train", "test", count=20), limit=24)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [24, 6, 60]
    assert data.train.labels.bincount().tolist() == [8, 8, 8]


@pytest.mark.parametrize("parameters", [{}, {"size": 8}, {"channels": 1}, {"size": 20, "channels": 1}])
def test_images_that_dont_fit_into_memory_give_equal_tensors(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    root = write(tmp_path / "own", kind="jpg")
    held, lazy = read(root, **parameters), read(root, budget=0, **parameters)
    assert lazy.train.images.slow and not held.train.images.slow
    assert torch.equal(held.mean, lazy.mean) and torch.equal(held.std, lazy.std)
    for one, two in ((held.train, lazy.train), (held.validation, lazy.validation), (held.test, lazy.test)):
        assert torch.equal(pixels(one), pixels(two))
        assert torch.equal(one.labels, two.labels)
    assert held.fingerprint == lazy.fingerprint


def test_differing_sizes_need_data_size(tmp_path: Path) -> None:
    root = write(tmp_path / "own")
    Image.new("RGB", (30, 20)).save(root / "dog" / "3.png")
    with pytest.raises(SecateurError, match="different sizes") as caught:
        read(root)
    assert "30×20" in caught.value.detail and "dog/3.png" in caught.value.detail
    assert "data.size" in caught.value.remedy
    assert read(root, size=10).size == (10, 10)


def test_images_need_not_be_square_when_all_are_alike(tmp_path: Path) -> None:
    data = read(write(tmp_path / "own", size=(12, 7)))
    assert data.size == (7, 12)
    assert next(data.batches(data.train, 2))[0].shape == (2, 3, 7, 12)


def test_damaged_image_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "own")
    broken = root / "emu" / "4.png"
    broken.write_bytes(broken.read_bytes()[:100])
    with pytest.raises(SecateurError, match=r"emu/4\.png is not an image that can be read"):
        read(root)


@pytest.mark.parametrize("name", ["notes.txt", "4.png"])
def test_file_that_is_no_image_is_named(tmp_path: Path, name: str) -> None:
    root = write(tmp_path / "own")
    (root / "cat" / name).write_text("not an image")
    with pytest.raises(SecateurError, match=f"cat/{name} is not an image"):
        read(root)


def test_hidden_files_and_file_managers_leavings_are_passed_over(tmp_path: Path) -> None:
    root = write(tmp_path / "own")
    for name in (".DS_Store", "Thumbs.db"):
        (root / "cat" / name).write_text("x")
    (root / ".git").mkdir()
    assert read(root).classes == 3


def test_empty_class_folder_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "own")
    (root / "fox").mkdir()
    with pytest.raises(SecateurError, match="fox holds no image"):
        read(root)


def test_class_that_only_the_test_images_have_is_named(tmp_path: Path) -> None:
    root = write(tmp_path / "own", "train", "test")
    (root / "test" / "dog").rename(root / "test" / "wolf")
    with pytest.raises(SecateurError, match="classes that the training images lack") as caught:
        read(root)
    assert "wolf" in caught.value.detail


def test_one_image_per_class_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match="too few images"):
        read(write(tmp_path / "own", count=1))


def test_grey_images_stay_grey_unless_asked(tmp_path: Path) -> None:
    root = write(tmp_path / "own", mode="L")
    assert read(root).channels == 1
    assert read(root, channels=3).channels == 3


def test_grey_among_colours_is_converted_and_colour_among_greys_is_an_error(tmp_path: Path) -> None:
    root = write(tmp_path / "own")
    Image.new("L", (12, 12)).save(root / "dog" / "3.png")
    assert read(root).channels == 3
    Image.new("L", (12, 12)).save(root / "cat" / "0.png")
    with pytest.raises(SecateurError, match="Some images are grey, some in colour") as caught:
        read(root)
    assert "cat/0.png is grey" in caught.value.detail
    assert "data.channels" in caught.value.remedy


def test_images_with_transparency_or_16_bits_are_read(tmp_path: Path) -> None:
    root = write(tmp_path / "own", mode="L")
    values = np.arange(144, dtype=np.uint16).reshape(12, 12) * 256 + 255
    Image.fromarray(values).save(root / "cat" / "0.png")
    Image.new("RGBA", (12, 12), (9, 9, 9, 0)).save(root / "cat" / "1.png")
    data = read(root, channels=1)
    everything = torch.cat([pixels(split) for split in (data.train, data.validation, data.test)])
    assert any(image.flatten().tolist() == list(range(144)) for image in everything)
    assert any(bool((image == 9).all()) for image in everything)
