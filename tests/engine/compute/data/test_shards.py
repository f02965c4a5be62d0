"""Images in tar files: found, labelled, read in any order, and the same as from folders."""

import io
import json
import os
import re
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.compute.data import Dataset, load
from engine.compute.data.shards import Members, read_shards
from engine.datasets import fingerprint, locate
from engine.errors import SecateurError
from engine.params.preset import Data
from tests.engine.compute.data.data_help import pixels


def png(seed: int) -> bytes:
    held = io.BytesIO()
    values = np.random.default_rng(seed).integers(256, size=(10, 12, 3), dtype=np.uint8)
    Image.fromarray(values).save(held, "PNG")
    return held.getvalue()


def shard(path: Path, members: list[tuple[str, bytes]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def samples(count: int, start: int = 0, kind: str = "cls") -> list[tuple[str, bytes]]:
    found = []
    for number in range(start, start + count):
        label = str(number % 3)
        text = label.encode() if kind == "cls" else json.dumps({"label": int(label)}).encode()
        found += [(f"./set/{number:05}.png", png(number)), (f"./set/{number:05}.{kind}", text)]
    return found


def read(root: Path, **parameters: Any) -> Dataset:
    budget = parameters.pop("budget", None)
    params = Data.model_validate({"name": "webdataset", "root": str(root), **parameters})
    return load(params, locate(params, root), budget=budget, cache=root / "cache")


@pytest.mark.parametrize("kind", ["cls", "json"])
def test_shards_are_images_with_labels(tmp_path: Path, kind: str) -> None:
    shard(tmp_path / "train-000000.tar", samples(20, kind=kind))
    shard(tmp_path / "train-000001.tar", samples(20, 20, kind=kind))
    shard(tmp_path / "val" / "0.tar", samples(9, 40, kind=kind))
    (tmp_path / "classes.txt").write_text("cat\ndog\nemu\n")
    data = read(tmp_path)
    assert data.class_names == ("cat", "dog", "emu")
    assert [len(split) for split in (data.train, data.validation, data.test)] == [32, 9, 8]
    assert data.notice == "no test images are brought: 8 of the 40 training images are drawn for that"
    stored = Image.open(io.BytesIO(png(44)))
    assert torch.equal(pixels(data.validation)[4], torch.from_numpy(np.array(stored)).permute(2, 0, 1))
    assert data.validation.labels.tolist() == [number % 3 for number in range(40, 49)]
    again = read(tmp_path)  # by the kept index
    assert torch.equal(pixels(again.train), pixels(data.train)) and list((tmp_path / "cache").glob("*.npz"))
    assert again.fingerprint == data.fingerprint


def test_classes_may_be_names(tmp_path: Path) -> None:
    named = [(name, b"bee" if content == b"0" else content) for name, content in samples(30)]
    named = [(name, {b"1": b"ant", b"2": b"cow"}.get(content, content)) for name, content in named]
    shard(tmp_path / "all.tar", named)
    data = read(tmp_path)
    assert data.class_names == ("ant", "bee", "cow")


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("cut", "it was cut short"),
        ("no labels", "has no class beside it"),
        ("no images", "there is no image in it"),
        ("empty", "no tar files"),
        ("packed", "compressed"),
        ("mixed", "is of no split"),
    ],
)
def test_what_is_wrong_with_shards_is_told(tmp_path: Path, broken: str, said: str) -> None:
    if broken == "cut":
        shard(tmp_path / "a.tar", samples(20))
        content = (tmp_path / "a.tar").read_bytes()
        (tmp_path / "a.tar").write_bytes(content[: len(content) // 2])
    elif broken == "no labels":
        shard(tmp_path / "a.tar", samples(4)[::2])
    elif broken == "no images":
        shard(tmp_path / "a.tar", samples(4)[1::2])
    elif broken == "packed":
        (tmp_path / "a.tar.gz").write_bytes(b"")
    elif broken == "mixed":
        for name in ("train-0", "rest"):
            shard(tmp_path / f"{name}.tar", samples(4))
    with pytest.raises(SecateurError, match=said):
        read(tmp_path)


def test_damaged_images_in_shards_are_named(tmp_path: Path) -> None:
    members = samples(30)
    members[8] = (members[8][0], b"nothing")
    shard(tmp_path / "a.tar", members)
    with pytest.raises(SecateurError, match=r"a\.tar:\./set/00004\.png is not an image"):
        read(tmp_path)
    assert read(tmp_path, skip_damaged=True).left_out == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_processes_give_the_same_batches_in_the_same_order(tmp_path: Path, workers: int) -> None:
    shard(tmp_path / "a.tar", samples(60))
    held, streamed = read(tmp_path), read(tmp_path, budget=0, workers=workers)
    assert streamed.train.images.slow and not held.train.images.slow
    order = torch.randperm(len(held.train), generator=torch.Generator().manual_seed(1))
    torch.manual_seed(5)

    def batches(data: Dataset, of: Tensor) -> list[tuple[Tensor, Tensor]]:
        random = torch.Generator().manual_seed(2)
        return list(data.batches(data.train, 7, order=of, augment="crop-flip", generator=random))

    for one, two in zip(batches(held, order), batches(streamed, order), strict=True):
        assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1])
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1)), "dropout's generator was drawn from"
    resumed = batches(streamed, order[21:])
    assert torch.equal(resumed[0][1], held.train.labels[order[21:28]])


def test_what_a_process_finds_damaged_is_told_as_here(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", samples(60))
    data = read(tmp_path, budget=0, workers=2)
    content = bytearray((tmp_path / "a.tar").read_bytes())
    place = content.index(png(30))
    content[place : place + 8] = b"\0" * 8
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(SecateurError, match=r"00030\.png is not an image that can be read"):
        for split in (data.train, data.validation, data.test):
            list(data.batches(split, 8))


def test_a_changed_shard_changes_the_fingerprint(tmp_path: Path) -> None:
    shard(tmp_path / "a.tar", samples(30))
    params = Data(name="webdataset", root=str(tmp_path))
    before = fingerprint(params, locate(params, tmp_path), None)
    shard(tmp_path / "a.tar", samples(31))
    assert fingerprint(params, locate(params, tmp_path), None) != before


def test_an_index_that_nobody_has_used_for_long_goes_when_another_is_made(tmp_path: Path) -> None:
    shard(tmp_path / "all.tar", samples(30))
    read(tmp_path)
    (kept,) = (tmp_path / "cache").glob("*.npz")
    long_ago = time.time() - 100 * 86_400
    os.utime(kept, (long_ago, long_ago))
    read(tmp_path)
    assert kept.stat().st_mtime > long_ago, "it was used"
    os.utime(kept, (long_ago, long_ago))
    shard(tmp_path / "all.tar", samples(31))
    read(tmp_path)
    assert not kept.exists() and len(list((tmp_path / "cache").glob("*.npz"))) == 1


@pytest.mark.parametrize(
    ("labels", "names", "reason"),
    [
        ({"0.json": {"label": None}, "1.json": {"label": 1}}, "", "null, not a name or a whole number"),
        ({"0.json": {"label": [0, 1]}, "1.json": {"label": 1}}, "", "not a name or a whole number"),
        ({"0.json": {"cls": True}, "1.json": {"cls": False}}, "", "true, not a name or a whole number"),
        ({"0.cls": -1, "1.cls": 0, "2.cls": 1}, "", "0 is the first class"),
        ({"0.cls": 1, "1.cls": 2}, "1\n2\n0\n", "read in two ways|the place of another one"),
    ],
)
def test_labels_that_mean_no_class_or_two_are_refused(
    tmp_path: Path, labels: dict[str, Any], names: str, reason: str
) -> None:
    members = []
    for name, label in labels.items():
        members += [(f"{name.partition('.')[0]}.png", png(1)), (name, json.dumps(label).encode())]
    shard(tmp_path / "train-000000.tar", members)
    if names:
        (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(SecateurError) as refused:
        read(tmp_path)
    assert re.search(reason, f"{refused.value.title} {refused.value.detail}")


def test_negative_numbers_that_are_listed_are_names(tmp_path: Path) -> None:
    members = [
        (f"{n}.{end}", held)
        for n in range(20)
        for end, held in (("png", png(1)), ("cls", b"-1" if n % 2 else b"1"))
    ]
    shard(tmp_path / "train-000000.tar", members)
    (tmp_path / "classes.txt").write_text("-1\n1\n")
    data = read(tmp_path)
    assert data.class_names == ("-1", "1") and set(data.train.labels.tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("names", "taken"),
    [
        (["a.mask.png", "a.png"], "a.png"),
        (["a.npy", "a.png"], "a.png"),
        (["a.image.png"], "a.image.png"),
        (["a.npy"], "a.npy"),
        (["a.left.png", "a.right.png"], None),
        (["a.jpg", "a.png"], None),
    ],
)
def test_of_several_pictures_of_one_name_the_plain_one_is_the_image(
    tmp_path: Path, names: list[str], taken: str | None
) -> None:
    shard(tmp_path / "a.tar", [*((name, png(1)) for name in names), ("a.cls", b"0")])
    if taken is None:
        with pytest.raises(SecateurError, match="several images"):
            read_shards([tmp_path / "a.tar"], None)
    else:
        (index,) = read_shards([tmp_path / "a.tar"], None)
        assert Members([tmp_path / "a.tar"], [index]).place(0).endswith(f":{taken}")


def test_arrays_are_read_however_long_their_names_are(tmp_path: Path) -> None:
    """Of a name of more than 100 letters, a member's header in a tar file has the beginning."""
    held = io.BytesIO()
    values = np.arange(12, dtype=np.float32).reshape(3, 4)
    np.save(held, values)
    name = "microscope-" * 12
    shard(tmp_path / "a.tar", [(f"{name}.npy", held.getvalue()), (f"{name}.cls", b"0")])
    opened = Members([tmp_path / "a.tar"], read_shards([tmp_path / "a.tar"], None)).open(0)
    assert isinstance(opened, np.ndarray) and np.array_equal(opened, values)
