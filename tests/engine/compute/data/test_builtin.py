"""The embedded digits and Fashion-MNIST, on the real files."""

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.compute.data import Dataset, load
from engine.datasets import fingerprint, locate
from engine.params.preset import Data
from tests.engine.compute.data.data_help import pixels

FASHION = Path("/usr/share/datasets/fashion-mnist")


def read(tmp_path: Path, name: str, **parameters: object) -> Dataset:
    params = Data.model_validate({"name": name, **parameters})
    return load(params, locate(params, tmp_path))


def test_digits_hold_every_image_once_with_its_exact_grey(tmp_path: Path) -> None:
    data = read(tmp_path, "digits")
    assert (data.channels, data.size, data.classes) == (1, (8, 8), 10)
    assert data.class_names == tuple("0123456789")
    splits = (data.train, data.validation, data.test)
    file = locate(Data(name="digits"), tmp_path).root / "digits.csv.gz"
    with gzip.open(file, "rt") as text:
        rows = np.loadtxt(text, delimiter=",", dtype=int)
    held = sorted(
        (*image.flatten().tolist(), int(label))
        for split in splits
        for image, label in zip(pixels(split), split.labels, strict=True)
    )
    expected = sorted((*(int(value * 255 / 16 + 0.5) for value in row[:64]), int(row[64])) for row in rows)
    assert held == expected
    assert [len(split) for split in splits] == [1294, 144, 359]


def test_shares_of_classes_are_kept_in_every_split(tmp_path: Path) -> None:
    data = read(tmp_path, "digits", limit=500)
    everything = sum(
        (split.labels.bincount(minlength=10) for split in (data.validation, data.test)),
        data.train.labels.bincount(),
    )
    assert len(data.train) == 500
    for split in (data.train, data.validation, data.test):
        shares = split.labels.bincount(minlength=10) / len(split)
        assert torch.allclose(shares, everything / everything.sum(), atol=0.012)


def test_normalized_training_images_have_mean_0_and_deviation_1(tmp_path: Path) -> None:
    data = read(tmp_path, "digits")
    images = torch.cat([images for images, _ in data.batches(data.train, 256)])
    assert images.dtype == torch.float32
    assert images.mean().abs() < 1e-4
    assert (images.std() - 1).abs() < 1e-3


def test_loading_twice_gives_equal_tensors_and_another_seed_another_split(tmp_path: Path) -> None:
    one, two, other = (read(tmp_path, "digits", split_seed=seed) for seed in (0, 0, 1))
    assert torch.equal(pixels(one.train), pixels(two.train))
    assert one.fingerprint == two.fingerprint != other.fingerprint
    assert not torch.equal(one.validation.labels, other.validation.labels)


@pytest.mark.parametrize(("size", "channels"), [(16, None), (None, 3), (32, 3)])
def test_size_and_channels_are_converted(tmp_path: Path, size: int | None, channels: int | None) -> None:
    data = read(tmp_path, "digits", size=size, channels=channels, limit=100)
    assert data.size == (size or 8, size or 8)
    assert data.channels == (channels or 1) == len(data.mean)
    images, _ = next(data.batches(data.train, 4))
    assert images.shape == (4, data.channels, *data.size)


@pytest.fixture(scope="module")
def fashion(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    if not FASHION.is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    return read(tmp_path_factory.mktemp("workspace"), "fashion-mnist", root=str(FASHION))


def test_fashion_mnist_has_its_published_numbers(fashion: Dataset) -> None:
    """60 000 training images of mean 0.2860 and deviation 0.3530, as is widely used."""
    assert [len(split) for split in (fashion.train, fashion.validation, fashion.test)] == [
        54_000,
        6_000,
        10_000,
    ]
    assert fashion.test.labels[:5].tolist() == [9, 2, 1, 1, 6]
    assert fashion.class_names[9] == "Ankle boot"
    assert fashion.mean.item() == pytest.approx(0.2860, abs=1e-3)
    assert fashion.std.item() == pytest.approx(0.3530, abs=1e-3)
    assert fashion.validation.labels.bincount().tolist() == [600] * 10


def test_fashion_mnist_reads_as_torchvision_reads_it(fashion: Dataset, tmp_path: Path) -> None:
    import torchvision

    raw = tmp_path / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        (raw / name).write_bytes(gzip.decompress((FASHION / f"{name}.gz").read_bytes()))
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"):
        (raw / name).touch()
    theirs = torchvision.datasets.FashionMNIST(tmp_path, train=False)
    assert torch.equal(pixels(fashion.test).squeeze(1), theirs.data)
    assert torch.equal(fashion.test.labels, theirs.targets)


def test_fingerprint_is_the_one_planning_computed(fashion: Dataset, tmp_path: Path) -> None:
    params = Data(name="fashion-mnist", root=str(FASHION))
    assert fashion.fingerprint == fingerprint(params, locate(params, tmp_path), None)
