"""Published data sets, read from small files of their true format.

Where torchvision insists on the checksums of the published files, it is told those of the small ones.
"""

import bz2
import hashlib
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torchvision
from PIL import Image

from engine.compute.data import Dataset, load
from engine.datasets import RECORDS, locate
from engine.errors import SecateurError
from engine.params.preset import Data
from tests.engine.compute.data.data_help import pixels

Array = npt.NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(256, size=shape, dtype=np.uint8)


def read(root: Path, name: str, **parameters: Any) -> Dataset:
    params = Data.model_validate({"name": name, "root": str(root), **parameters})
    return load(params, locate(params, root))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def put(path: Path, content: bytes) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return md5(path)


def save_image(path: Path, image: Array) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, Array]:
    """CIFAR's pickled batches of 20 images each; returns the images of every file, (20, 3, 32, 32)."""
    kind = getattr(torchvision.datasets, name.upper())
    folder = root / kind.base_folder
    images: dict[str, Array] = {}
    lists: dict[str, list[list[str]]] = {"train_list": [], "test_list": []}
    for attribute, files in lists.items():
        for number, (file, _) in enumerate(getattr(kind, attribute)):
            images[file] = noise(20, 3, 32, 32, seed=number + 100 * (attribute == "test_list"))
            labels = "labels" if name == "cifar10" else "fine_labels"
            batch = {"data": images[file].reshape(20, -1), labels: [label % 10 for label in range(20)]}
            files.append([file, put(folder / file, pickle.dumps(batch))])
        monkeypatch.setattr(kind, attribute, files)
    names = [f"class {number}" for number in range(RECORDS[name].classes or 0)]
    checksum = put(folder / kind.meta["filename"], pickle.dumps({kind.meta["key"]: names}))
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": checksum})
    return images


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    images = write_cifar(tmp_path, monkeypatch, name)
    data = read(tmp_path, name)
    assert (data.channels, data.size, data.classes) == (3, (32, 32), RECORDS[name].classes)
    assert data.class_names[3] == "class 3"
    assert len(data.train) + len(data.validation) == 20 * (len(images) - 1)
    test = images["test_batch" if name == "cifar10" else "test"]
    assert np.array_equal(pixels(data.test).numpy(), test)
    assert data.test.labels.tolist() == [label % 10 for label in range(20)]


def test_files_with_a_wrong_checksum_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, monkeypatch, "cifar10")
    damaged = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(SecateurError, match=r"The files of cifar10 .* can't be read") as caught:
        read(tmp_path, "cifar10")
    assert "corrupted" in caught.value.detail
    assert "secateur data fetch cifar10" in caught.value.remedy


def test_svhn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MATLAB files (32, 32, 3, N); the digit 0 is labelled 10."""
    from scipy.io import savemat

    kind = torchvision.datasets.SVHN
    images = noise(32, 32, 3, 40)
    known = {}
    for split in ("train", "test"):
        url, file, _ = kind.split_list[split]
        savemat(tmp_path / file, {"X": images, "y": np.arange(40).reshape(-1, 1) % 10 + 1})
        known[split] = [url, file, md5(tmp_path / file)]
    monkeypatch.setattr(kind, "split_list", known)
    data = read(tmp_path, "svhn")
    assert np.array_equal(pixels(data.test).numpy(), images.transpose(3, 2, 0, 1))
    assert data.test.labels[:11].tolist() == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]


def test_stl10(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw bytes, column by column; labels from 1."""
    kind, folder = torchvision.datasets.STL10, tmp_path / "stl10_binary"
    images = noise(20, 3, 96, 96)
    for attribute in ("train_list", "test_list"):
        files = []
        for file, _ in getattr(kind, attribute):
            labels = (np.arange(20) % 10 + 1).astype(np.uint8)
            content = labels if file.endswith("y.bin") else images.transpose(0, 1, 3, 2)
            files.append([file, put(folder / file, np.ascontiguousarray(content).tobytes())])
        monkeypatch.setattr(kind, attribute, files)
    put(folder / "class_names.txt", "\n".join(f"thing{number}" for number in range(10)).encode())
    data = read(tmp_path, "stl10")
    assert np.array_equal(pixels(data.test).numpy(), images)
    assert data.test.labels.tolist() == [label % 10 for label in range(20)]
    assert data.class_names[9] == "thing9"


def test_usps_and_semeion(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [f"{digit % 10 + 1} " + " ".join(f"{pixel}:1" for pixel in range(1, 257)) for digit in range(30)]
    for file in ("usps.bz2", "usps.t.bz2"):
        put(tmp_path / file, bz2.compress("\n".join(lines).encode()))
    data = read(tmp_path, "usps")
    assert (data.channels, data.size, data.classes) == (1, (16, 16), 10)
    assert bool((pixels(data.test) == 255).all())
    assert data.test.labels.tolist() == [digit % 10 for digit in range(30)]

    rows = [
        " ".join(["1.0"] * 256 + ["1" if digit % 10 == n else "0" for n in range(10)]) for digit in range(30)
    ]
    checksum = put(tmp_path / "semeion.data", "\n".join(rows).encode())
    monkeypatch.setattr(torchvision.datasets.SEMEION, "md5_checksum", checksum)
    data = read(tmp_path, "semeion")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [22, 2, 6]


def idx(values: Array, kind: int = 8) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return bytes((0, 0, kind, values.ndim)) + sizes + values.tobytes()


def test_emnist_letters_stand_upright_and_count_from_a(tmp_path: Path) -> None:
    """EMNIST stores images transposed, and letters from 1."""
    images = noise(52, 28, 28)
    labels = (np.arange(52) % 26 + 1).astype(np.uint8)
    for part in ("train", "test"):
        put(tmp_path / f"EMNIST/raw/emnist-letters-{part}-images-idx3-ubyte", idx(images))
        put(tmp_path / f"EMNIST/raw/emnist-letters-{part}-labels-idx1-ubyte", idx(labels))
    data = read(tmp_path, "emnist-letters")
    assert np.array_equal(pixels(data.test).numpy()[:, 0], images.transpose(0, 2, 1))
    assert data.class_names[int(data.test.labels[2])] == "c"


def test_qmnist_labels_are_the_first_of_eight_numbers(tmp_path: Path) -> None:
    labels = np.zeros((20, 8), dtype=">i4")
    labels[:, 0] = np.arange(20) % 10
    labels[:, 1] = 999
    for part in ("train", "test"):
        put(tmp_path / f"qmnist-{part}-images-idx3-ubyte", idx(noise(20, 28, 28)))
        put(tmp_path / f"qmnist-{part}-labels-idx2-int", idx(labels, kind=12))  # type: ignore[arg-type]
    assert read(tmp_path, "qmnist").test.labels.tolist() == [number % 10 for number in range(20)]


@pytest.mark.parametrize("damage", [b"", b"<html>", idx(noise(20, 28, 28))[:-5]])
def test_damaged_idx_file_is_named(tmp_path: Path, damage: bytes) -> None:
    for part in ("train", "t10k"):
        put(tmp_path / f"{part}-images-idx3-ubyte", idx(noise(20, 28, 28)))
        put(tmp_path / f"{part}-labels-idx1-ubyte", idx(np.arange(20, dtype=np.uint8) % 10))
    assert read(tmp_path, "mnist").classes == 10
    put(tmp_path / "t10k-images-idx3-ubyte", damage)
    with pytest.raises(SecateurError, match=r"t10k-images-idx3-ubyte can't be read"):
        read(tmp_path, "mnist")


def test_gtsrb_with_images_of_many_sizes(tmp_path: Path) -> None:
    for number in range(12):
        save_image(
            tmp_path / f"gtsrb/GTSRB/Training/{number % 3:05d}/{number:05d}.ppm",
            noise(20 + number, 25, 3, seed=number),
        )
        save_image(
            tmp_path / f"gtsrb/GTSRB/Final_Test/Images/{number:05d}.ppm", noise(30, 30, 3, seed=number)
        )
        put(tmp_path / f"gtsrb/GTSRB/Training/{number % 3:05d}/GT.csv", b"not an image")
    rows = ["Filename;Width;Height;ClassId"] + [
        f"{number:05d}.ppm;30;30;{number % 3}" for number in range(12)
    ]
    put(tmp_path / "gtsrb/GT-final_test.csv", "\n".join(rows).encode())
    data = read(tmp_path, "gtsrb", size=16)
    assert (data.channels, data.size, data.classes) == (3, (16, 16), 3)
    assert data.test.labels.tolist() == [number % 3 for number in range(12)]
    with pytest.raises(SecateurError, match="different sizes") as caught:
        read(tmp_path, "gtsrb")
    assert ".ppm" in caught.value.detail


def test_food101(tmp_path: Path) -> None:
    lists: dict[str, list[str]] = {"pizza": [], "apple_pie": []}
    for food, listed in lists.items():
        for number in range(8):
            save_image(tmp_path / f"food-101/images/{food}/{number}.jpg", noise(20, 24, 3, seed=number))
            listed.append(f"{food}/{number}")
    for split in ("train", "test"):
        put(tmp_path / f"food-101/meta/{split}.json", json.dumps(lists).encode())
    data = read(tmp_path, "food101", size=12)
    assert data.class_names == ("apple_pie", "pizza")
    assert data.test.labels.tolist() == [1] * 8 + [0] * 8


def test_dtd_brings_three_splits(tmp_path: Path) -> None:
    for number, split in enumerate(("train", "val", "test")):
        names = [f"{kind}/{kind}_{number}{part}.jpg" for kind in ("dotted", "woven") for part in range(3)]
        for name in names:
            save_image(tmp_path / "dtd/dtd/images" / name, noise(16, 16, 3))
        put(tmp_path / f"dtd/dtd/labels/{split}1.txt", "\n".join(names).encode())
    data = read(tmp_path, "dtd")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [6, 6, 6]
    assert data.class_names == ("dotted", "woven")


def test_omniglot_classes_are_characters_of_alphabets(tmp_path: Path) -> None:
    """A character is a class; the order is that of the names, wherever the files lie."""
    for alphabet, characters in (("Greek", 2), ("Balinese", 3)):
        for character in range(characters):
            for drawer in range(4):
                path = f"omniglot-py/images_background/{alphabet}/character{character:02d}/{drawer}.png"
                save_image(tmp_path / path, noise(105, 105))
    data = read(tmp_path, "omniglot")
    assert data.class_names[2:4] == ("Balinese/character02", "Greek/character00")
    assert (data.channels, data.size) == (1, (105, 105))


def test_caltech101_leaves_its_background_out(tmp_path: Path) -> None:
    for name in ("BACKGROUND_Google", "ant", "yin_yang"):
        for number in range(5):
            save_image(
                tmp_path / f"caltech101/101_ObjectCategories/{name}/image_{number:04d}.jpg", noise(16, 16, 3)
            )
    data = read(tmp_path, "caltech101")
    assert data.class_names == ("ant", "yin_yang")


def test_imagenet_from_folders_that_a_centre_unpacked(tmp_path: Path) -> None:
    for split, count in (("train", 10), ("val", 2)):
        for name in ("n02123045", "n01440764"):
            for number in range(count):
                save_image(tmp_path / split / name / f"{number}.jpeg", noise(16, 16, 3))
    data = read(tmp_path, "imagenet")
    assert data.class_names == ("n01440764", "n02123045")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [18, 2, 4]


def test_labels_beyond_the_classes_are_refused(tmp_path: Path) -> None:
    for part in ("train", "t10k"):
        put(tmp_path / f"{part}-images-idx3-ubyte", idx(noise(20, 28, 28)))
        put(tmp_path / f"{part}-labels-idx1-ubyte", idx(np.arange(20, dtype=np.uint8)))
    with pytest.raises(SecateurError, match="Labels of mnist are out of range") as caught:
        read(tmp_path, "mnist")
    assert "from 0 to 19; 0 to 9" in caught.value.detail


def test_missing_package_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torchvision")
    try:
        import h5py  # noqa: F401
    except ImportError:
        for name in RECORDS["pcam"].files:
            put(tmp_path / name, b"")
        with pytest.raises(SecateurError, match="needs the package h5py"):
            read(tmp_path, "pcam")
    else:
        pytest.skip("h5py is installed")
