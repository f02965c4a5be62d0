"""Data sets are found where users put them, and fingerprints change exactly when the tensors do."""

import gzip
import os
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.datasets import fingerprint, is_user_function, locate
from engine.datasets.fingerprint import raw_files
from engine.datasets.locate import Location
from engine.errors import SecateurError, UsageError
from engine.params.preset import Data
from engine.store.files import read_mapping
from tests import HOME

IDX_FILES = (
    *("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    *("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECATEUR_DATA", raising=False)
    monkeypatch.delenv("SECATEUR_HOME", raising=False)


def write_idx(folder: Path, packed: bool = True) -> Path:
    """A tiny MNIST: every file is there, with one image each."""
    folder.mkdir(parents=True)
    for name in IDX_FILES:
        images = "images" in name
        header = struct.pack(">4B", 0, 0, 8, 3 if images else 1) + struct.pack(
            ">3I" if images else ">I", *((1, 2, 2) if images else (1,))
        )
        content = header + (bytes(range(4)) if images else b"\1")
        path = folder / (name + ".gz" if packed else name)
        path.write_bytes(gzip.compress(content, mtime=0) if packed else content)
    return folder


def write_classes(root: Path, *splits: str) -> Path:
    """Class folders with files in them; a fingerprint does not decode images."""
    for split in splits or (".",):
        for name in ("cat", "dog"):
            (root / split / name).mkdir(parents=True)
            (root / split / name / "1.png").write_bytes(f"{split}{name}".encode())
    return root


def key(params: Data, workspace: Path, cache: Path | None = None) -> str | None:
    return fingerprint(params, locate(params, workspace), cache)


def test_digits_are_always_there(tmp_path: Path) -> None:
    location = locate(Data(name="digits"), tmp_path)
    assert (location.root / "digits.csv.gz").is_file()
    assert fingerprint(Data(name="digits"), location, None)


@pytest.mark.parametrize("packed", [True, False])
def test_idx_files_are_found_plain_or_packed_in_torchvisions_layout(tmp_path: Path, packed: bool) -> None:
    folder = write_idx(tmp_path / "data" / "kmnist" / "KMNIST" / "raw", packed)
    assert locate(Data(name="kmnist"), tmp_path).root == folder


def test_root_is_looked_at_alone(tmp_path: Path) -> None:
    write_idx(tmp_path / "data" / "kmnist")
    with pytest.raises(SecateurError) as caught:
        locate(Data(name="kmnist", root=str(tmp_path / "elsewhere")), tmp_path)
    assert "elsewhere: no such folder" in caught.value.detail
    assert str(tmp_path / "data") not in caught.value.detail


def test_shared_folder_comes_before_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_idx(tmp_path / "ws" / "data" / "kmnist")
    shared = write_idx(tmp_path / "shared" / "kmnist")
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path / "shared"))
    assert locate(Data(name="kmnist"), tmp_path / "ws").root == shared


def test_missing_set_names_every_place_and_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECATEUR_DATA", "/nowhere")
    monkeypatch.setenv("SECATEUR_HOME", str(tmp_path))
    (tmp_path / "data" / "cifar10").mkdir(parents=True)
    with pytest.raises(SecateurError) as caught:
        locate(Data(name="cifar10"), tmp_path)
    error = caught.value
    assert error.title == "Data set cifar10 is not on this machine"
    for place in ("/nowhere/cifar10: no such folder", f"{tmp_path}/data", "/usr/share/datasets/cifar10"):
        assert place in error.detail
    assert f"{tmp_path}/data/cifar10: no cifar-10-batches-py/data_batch_1" in error.detail
    assert error.remedy.startswith("secateur data fetch cifar10 ")


def test_missing_set_that_cant_be_fetched_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match=r"image-net\.org") as caught:
        locate(Data(name="imagenet"), tmp_path)
    assert "secateur data fetch" not in caught.value.remedy


def test_fetch_command_repeats_another_workspace(tmp_path: Path) -> None:
    with pytest.raises(SecateurError) as caught:
        locate(Data(name="mnist"), tmp_path)
    assert f"--workspace {tmp_path}" in caught.value.remedy


def test_misspelt_name_is_a_usage_error_with_a_suggestion(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean fashion-mnist"):
        locate(Data(name="fashion_mnist"), tmp_path)


def test_imagefolder_needs_a_root(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"needs data\.root"):
        locate(Data(name="imagefolder"), tmp_path)


def test_users_function_is_found_and_has_no_fingerprint_here(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def load(): ...")
    params = Data(name=f"{file}:load")
    assert is_user_function(params.name)
    assert locate(params, tmp_path) == Location(params.name, file, None)
    assert key(params, tmp_path) is None


@pytest.mark.parametrize(
    "change", [{"size": 32}, {"channels": 3}, {"validation": 0.2}, {"limit": 16}, {"split_seed": 1}]
)
def test_parameters_that_change_tensors_change_the_fingerprint(
    tmp_path: Path, change: dict[str, object]
) -> None:
    write_idx(tmp_path / "data" / "mnist")
    params = Data(name="mnist")
    assert key(params, tmp_path) != key(Data.model_validate({"name": "mnist", **change}), tmp_path)


def test_where_statistics_of_its_own_are_not_the_default_they_change_the_fingerprint(tmp_path: Path) -> None:
    keys = {
        (name, mean): key(Data(name=name, mean=mean), tmp_path)  # type: ignore[arg-type]
        for name in ("digits", "digits-detection")
        for mean in (None, "data", "half")
    }
    assert len(set(keys.values())) == 5 and keys["digits", None] == keys["digits", "data"]


@pytest.mark.parametrize("change", [{"test": 0.3}, {"size": 28}, {"channels": 1}])
def test_parameters_without_effect_keep_the_fingerprint(tmp_path: Path, change: dict[str, object]) -> None:
    """MNIST has a test split of its own, 28 pixels and one channel."""
    write_idx(tmp_path / "data" / "mnist")
    assert key(Data(name="mnist"), tmp_path) == key(
        Data.model_validate({"name": "mnist", **change}), tmp_path
    )


def test_native_splits_of_an_imagefolder_make_shares_and_seed_irrelevant(tmp_path: Path) -> None:
    root = str(write_classes(tmp_path / "own", "train", "val", "test"))
    plain = key(Data(name="imagefolder", root=root), tmp_path)
    assert key(Data(name="imagefolder", root=root, validation=0.5, test=0.5, split_seed=3), tmp_path) == plain
    assert key(Data(name="imagefolder", root=root, limit=16), tmp_path) != plain


def test_fingerprint_is_of_contents_not_of_places(tmp_path: Path) -> None:
    one = write_classes(tmp_path / "one")
    two = shutil.copytree(one, tmp_path / "two")

    def of(root: Path) -> str | None:
        return key(Data(name="imagefolder", root=str(root)), tmp_path)

    assert of(one) == of(two)
    (two / "cat" / "1.png").rename(two / "cat" / "2.png")
    renamed = of(two)
    assert renamed != of(one)
    (two / "cat" / ".hidden").touch()
    assert of(two) == renamed
    (one / "cat" / "1.png").write_bytes(b"other!")
    assert of(one) not in (of(two), None)


def test_cached_hashes_notice_a_changed_file(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "own")
    big = folder / "cat" / "1.png"
    big.write_bytes(bytes(3_000_000))
    params, cache = Data(name="imagefolder", root=str(folder)), tmp_path / "cache"
    first = key(params, tmp_path, cache)
    (memory,) = cache.iterdir()
    files = len(read_mapping(memory))
    assert files and key(params, tmp_path, cache) == first == key(params, tmp_path)
    big.write_bytes(b"\1" + bytes(2_999_999))
    os.utime(big, ns=(1, 1))
    assert key(params, tmp_path, cache) == key(params, tmp_path) != first
    assert len(read_mapping(memory)) == files, "what it held before is forgotten"


def test_images_that_share_their_labels_are_hashed_with_them(tmp_path: Path) -> None:
    for name, size in (("images/a.jpg", 3_000_000), ("images/a.png", 10), ("labels/a.txt", 5)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(bytes(size))
    (tmp_path / "data.yaml").write_text("train: images\nval: images\nnames: [a]\n")
    params = Data(name="yolo", root=str(tmp_path / "data.yaml"))
    assert key(params, tmp_path, tmp_path / "cache") == key(params, tmp_path)


@pytest.mark.parametrize("content", ["", "{", "[1]"])
def test_damaged_cache_is_replaced(tmp_path: Path, content: str) -> None:
    folder = write_classes(tmp_path / "own")
    (folder / "cat" / "1.png").write_bytes(bytes(3_000_000))
    params, cache = Data(name="imagefolder", root=str(folder)), tmp_path / "cache"
    first = key(params, tmp_path, cache)
    (memory,) = cache.iterdir()
    whole = memory.read_text()
    memory.write_text(content)
    assert key(params, tmp_path, cache) == first
    assert memory.read_text() == whole


def test_unwritable_cache_does_no_harm(tmp_path: Path) -> None:
    folder = write_classes(tmp_path / "own")
    (folder / "cat" / "1.png").write_bytes(bytes(3_000_000))
    (tmp_path / "cache").write_text("a file where a folder should be")
    params = Data(name="imagefolder", root=str(folder))
    assert key(params, tmp_path, tmp_path / "cache") == key(params, tmp_path)


def test_a_class_called_train_is_no_split(tmp_path: Path) -> None:
    for name in ("train", "car"):
        (tmp_path / "own" / name).mkdir(parents=True)
        (tmp_path / "own" / name / "1.png").touch()
    params = Data(name="imagefolder", root=str(tmp_path / "own"))
    assert key(params, tmp_path) != key(params.model_copy(update={"test": 0.4}), tmp_path)


def test_fashion_mnist_is_identified_fast(tmp_path: Path) -> None:
    if not Path("/usr/share/datasets/fashion-mnist").is_dir():
        pytest.skip("Debian's dataset-fashion-mnist is not installed")
    params = Data(name="fashion-mnist", root="/usr/share/datasets/fashion-mnist")
    location = locate(params, tmp_path)
    assert [file.name for file in raw_files(location)] == sorted(f"{name}.gz" for name in IDX_FILES)
    fingerprint(params, location, tmp_path)
    start = time.perf_counter()
    fingerprint(params, location, tmp_path)
    assert time.perf_counter() - start < 0.2


def test_finding_and_listing_import_nothing_heavy() -> None:
    code = "import sys, engine.datasets, engine.params.catalog, engine.cli.data as d;" + (
        "assert not {'torch', 'torchvision', 'numpy', 'sklearn', 'PIL'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=HOME)
