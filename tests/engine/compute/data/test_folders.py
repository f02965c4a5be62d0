"""A user's own image folders."""

import os
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image, ImageOps

from engine.compute.data import Dataset, load
from engine.datasets import locate
from engine.datasets.layout import own_splits
from engine.errors import SecateurError
from engine.params.preset import Data
from tests.engine.compute.data.data_help import pixels


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


def test_transparency_is_left_out_unless_asked_for(tmp_path: Path) -> None:
    root = write(tmp_path / "own", count=4)
    for path in root.glob("*/*.png"):
        Image.new("RGBA", (12, 12), (9, 8, 7, 50)).save(path)
    assert next(iter(pixels(read(root).train)))[:, 0, 0].tolist() == [9, 8, 7]
    assert next(iter(pixels(read(root, channels=4).train)))[:, 0, 0].tolist() == [9, 8, 7, 50]


def save(path: Path, values: npt.NDArray[Any]) -> None:
    if path.suffix == ".npy":
        np.save(path, values)
    else:
        Image.fromarray(values).save(path)


@pytest.mark.parametrize(
    ("values", "suffix", "black", "white"),
    [
        (np.arange(144, dtype=np.uint16).reshape(12, 12) + 1000, ".png", 1000, 1143),
        (np.arange(144, dtype=np.uint16).reshape(12, 12) * 400, ".tif", 0, 57200),
        (np.arange(144, dtype=np.int32).reshape(12, 12) - 70, ".tif", -70, 73),
        (np.arange(144, dtype=np.float32).reshape(12, 12) / 1000, ".tif", 0, 1),
        (np.arange(144, dtype=np.float32).reshape(12, 12) - 1.5, ".tif", -1.5, 141.5),
        (np.arange(720, dtype=np.int16).reshape(12, 12, 5), ".npy", 0, 719),
    ],
)
def test_values_of_more_than_8_bits_are_kept_as_they_are(
    tmp_path: Path, values: npt.NDArray[Any], suffix: str, black: float, white: float
) -> None:
    for name in ("a", "b"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(4):
            save(tmp_path / "own" / name / f"{number}{suffix}", values)
    data = read(tmp_path / "own")
    expected = values if values.ndim == 3 else values[..., None]
    held = pixels(data.train)[0]
    assert torch.equal(held, torch.tensor(expected.astype(np.float32)).permute(2, 0, 1))
    assert (data.black, data.white) == (black, white)
    batch = next(data.batches(data.train, 6))[0]
    assert float(batch.mean()) == pytest.approx(0, abs=1e-4)
    assert float(batch[:, 0].std()) == pytest.approx(1, abs=1e-2)
    fixed = read(tmp_path / "own", range=[black, white], mean=[0], std=[1])
    batch = next(fixed.batches(fixed.train, 1))[0]
    assert torch.allclose(batch[0], (held - black) / (white - black), atol=1e-6)


def test_8_and_16_bits_in_one_set_are_refused(tmp_path: Path) -> None:
    root = write(tmp_path / "own", mode="L")
    Image.fromarray(np.full((12, 12), 1000, np.uint16)).save(root / "dog" / "3.png")
    with pytest.raises(SecateurError, match="8 bits a value, some more") as caught:
        read(root)
    assert "dog/3.png has more" in caught.value.detail


@pytest.mark.parametrize("kind", ["nan", "colours of 16 bits", "huge"])
def test_values_that_would_be_lost_are_refused(tmp_path: Path, kind: str) -> None:
    root = write(tmp_path / "own", count=4, mode="L")
    for path in root.glob("*/*.png"):
        path.unlink()
        if kind == "nan":
            Image.fromarray(np.full((12, 12), np.nan, np.float32)).save(path.with_suffix(".tif"))
        elif kind == "huge":
            Image.fromarray(np.full((12, 12), 1 << 25, np.int32)).save(path.with_suffix(".tif"))
        else:
            path.write_bytes(png_of_16_bit_colours())
    said = {"nan": "no numbers", "huge": "beyond 16777216"}.get(kind, kind)
    with pytest.raises(SecateurError, match="12 images can't be read") as caught:
        read(root)
    assert said in caught.value.detail


def png_of_16_bit_colours() -> bytes:
    def chunk(name: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))
        )

    rows = b"".join(b"\0" + bytes(12 * 6) for _ in range(12))
    head = struct.pack(">IIBBBBB", 12, 12, 16, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_images_are_turned_as_cameras_say(tmp_path: Path, suffix: str, orientation: int) -> None:
    """Every orientation that EXIF has, against what Pillow shows of it."""
    values = np.zeros((16, 32, 3), np.uint8)
    values[:4], values[:, :8, 1] = (200, 40, 90), 255
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("a", "b"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(4):
            Image.fromarray(values).save(tmp_path / "own" / name / f"{number}{suffix}", exif=exif)
    with Image.open(tmp_path / "own" / "a" / f"0{suffix}") as image:
        seen = torch.from_numpy(np.array(ImageOps.exif_transpose(image).convert("RGB"))).permute(2, 0, 1)
    assert torch.equal(pixels(read(tmp_path / "own").train)[0], seen)
    assert seen.shape[1:] == ((16, 32) if orientation < 5 else (32, 16))


LAYOUTS = {
    "Training/Testing": (("Training", "Testing"), {"train": "Training", "test": "Testing"}),
    "Train/Test/Val": (("Train", "Test", "Val"), {"train": "Train", "test": "Test", "validation": "Val"}),
    "train + Test": (("train", "Test"), {"train": "train", "test": "Test"}),
    "a wrapper": (("set/archive/Training", "set/archive/Testing"), {"train": "set/archive/Training"}),
    "a wrapper of classes": (("archive",), {"train": "archive"}),
    "wrappers in splits": (("seg_train/seg_train", "seg_test/seg_test"), {"train": "seg_train/seg_train"}),
    "train alone": (("train",), {"train": "train"}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_splits_are_recognized(tmp_path: Path, layout: str) -> None:
    folders, splits = LAYOUTS[layout]
    root = write(tmp_path / "own", *folders, count=6)
    for left in ("__MACOSX/x", ".ipynb_checkpoints", "annotations"):
        (root / left).mkdir(parents=True)
    for name in ("Thumbs.db", ".DS_Store", "._a.jpg", "readme.txt"):
        (root / name).write_text("x")
    for name in ("._0.png", "Thumbs.db", ".DS_Store"):
        (root / folders[0] / "cat" / name).write_text("x")
    found = own_splits(root)
    assert splits.items() <= {split: str(path.relative_to(root)) for split, path in found.items()}.items()
    assert len(found) == len(folders)
    data = read(root)
    assert data.class_names == ("cat", "dog", "emu")
    assert len(data.test) == (18 if len(folders) > 1 else 4)


@pytest.mark.parametrize(
    ("folders", "said"),
    [
        (("train", "Training"), "both look like the train split"),
        (("Test", "Val"), "and no train/"),
        (("train", "test", "holdout"), "holdout/ with images"),
        (("fold1", "fold2", "fold3"), "as splits hold classes"),
        (("images", "masks"), "sound like images and what belongs to each of them"),
        (("JPEGImages", "SegmentationClass"), "sound like images and what belongs to each of them"),
    ],
)
def test_folders_with_two_readings_are_refused(tmp_path: Path, folders: tuple[str, ...], said: str) -> None:
    root = write(tmp_path / "own", *folders, count=2)
    with pytest.raises(SecateurError, match="can't be told to be splits or classes") as caught:
        read(root)
    assert said in caught.value.detail and "train/CLASS/" in caught.value.remedy


def test_one_class_and_splits_without_classes_are_refused(tmp_path: Path) -> None:
    one = write(tmp_path / "one")
    for name in ("dog", "emu"):
        shutil.rmtree(one / name)
    with pytest.raises(SecateurError) as caught:
        read(one)
    assert "cat/ is the only folder" in caught.value.detail
    for split in ("train", "test"):
        shutil.copytree(one / "cat", tmp_path / "flat" / split)
    with pytest.raises(SecateurError) as caught:
        read(tmp_path / "flat")
    assert "hold no folders of classes" in caught.value.detail


def test_damaged_images_are_all_named_at_once_or_left_out_and_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "own", "train", "test")
    whole = read(root)
    for name in ("train/cat/3.png", "train/emu/0.png", "test/dog/9.png"):
        (root / name).write_bytes((root / name).read_bytes()[:60])
    (root / "test/cat/0.png").write_bytes(b"")
    for budget in (None, 0):
        with pytest.raises(SecateurError, match="4 images can't be read") as caught:
            read(root, budget=budget)
        assert all(f"{name}.png" in caught.value.detail for name in ("train/cat/3", "test/cat/0"))
        assert "skip_damaged" in caught.value.remedy
    data = read(root, skip_damaged=True)
    assert [len(data.train) + len(data.validation), len(data.test)] == [28, 28]
    assert [text.split(",")[0] for text in data.notices] == [
        "2 training images can't be read and are left out",
        "2 test images can't be read and are left out",
    ]
    assert len(whole.train) + len(whole.validation) == 30


def test_limits_hold_for_every_split(tmp_path: Path) -> None:
    root = write(tmp_path / "own", "train", "val", "test", count=20)
    data = read(root, limit=24, limit_validation=18, limit_test=21)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [24, 18, 21]
    assert data.test.labels.bincount().tolist() == [7, 7, 7]


def test_what_is_no_plain_file_or_leads_in_circles_is_told_or_passed_over(tmp_path: Path) -> None:
    root = write(tmp_path / "own")
    (root / "cat" / "round").symlink_to(root / "cat")
    with pytest.raises(SecateurError, match="cat/round is not an image"):
        read(root)
    (root / "cat" / "round").unlink()
    (root / "cat" / "gone.png").symlink_to(root / "nowhere.png")
    with pytest.raises(SecateurError, match=r"cat/gone.png is not an image") as caught:
        read(root)
    assert "a link to nothing" in caught.value.detail
    (root / "cat" / "gone.png").unlink()
    os.mkfifo(root / "cat" / "pipe.png")
    (root / "dog" / "gone.png").symlink_to(root / "nowhere.png")
    (root / "dog" / "itself.png").symlink_to(root / "dog" / "itself.png")
    with pytest.raises(SecateurError, match="3 files among the images are no images") as caught:
        read(root)
    assert "cat/pipe.png (a pipe or a device)" in caught.value.detail
    assert "dog/itself.png (a link to nothing, or to a folder around it)" in caught.value.detail


def test_a_large_set_is_looked_at_once_for_all_jobs(tmp_path: Path) -> None:
    root = write(tmp_path / "own", kind="jpg")
    (root / "cat" / "3.jpg").write_bytes(b"no")
    params = Data(name="imagefolder", root=str(root), skip_damaged=True)
    location, cache = locate(params, tmp_path), tmp_path / "cache"
    first = load(params, location, cache=cache, budget=0)
    (kept,) = cache.glob("*.look.json")
    again = load(params, location, cache=cache, budget=0)
    assert torch.equal(first.mean, again.mean) and torch.equal(first.std, again.std)
    assert again.left_out == 1 and again.notices == first.notices
    assert first.values and again.values and first.values.levels == again.values.levels
    kept.write_text("{")
    assert torch.equal(load(params, location, cache=cache, budget=0).mean, first.mean)
