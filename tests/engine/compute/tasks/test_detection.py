"""Data with boxes: the embedded canvases, a user's data.yaml, and augmentation that moves boxes with their image."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from engine import datasets
from engine.compute.data import Dataset, load
from engine.compute.data.augment import Chance, crop, flip, mosaics
from engine.compute.data.digits import DIGITS, read_digits
from engine.compute.data.labels import Reading
from engine.compute.data.scenes import NOISE, sources
from engine.datasets.locate import bundled_folder
from engine.errors import SecateurError, UsageError
from engine.params.preset import Data

Change = Callable[
    [torch.Tensor, torch.Tensor, torch.Generator | None], tuple[torch.Tensor, torch.Tensor | None]
]


def opened(params: Data, folder: Path) -> Dataset:
    return load(params, datasets.locate(params, folder))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return opened(Data(name="digits-detection"), tmp_path_factory.mktemp("workspace"))


def test_the_canvases_are_the_same_every_time(scenes: Dataset, tmp_path: Path) -> None:
    again = opened(Data(name="digits-detection"), tmp_path)
    some = torch.arange(50)
    assert torch.equal(scenes.test.images.gather(some), again.test.images.gather(some))
    assert torch.equal(scenes.test.labels, again.test.labels)
    assert scenes.fingerprint == again.fingerprint


def test_no_digit_is_on_canvases_of_two_splits() -> None:
    _, labels = read_digits(bundled_folder() / DIGITS)
    found = sources(labels)
    every = torch.cat(list(found.values()))
    assert len(every.unique()) == len(every) == len(labels)
    assert {int(n) for n in labels[found["validation"]].unique()} == set(range(10))


def test_every_box_holds_bright_strokes_up_to_its_edges(scenes: Dataset) -> None:
    images = scenes.validation.images.gather(torch.arange(20))
    seen = 0
    for image, boxes in zip(images, scenes.validation.labels[:20], strict=True):
        for box in boxes[boxes[:, 0] >= 0]:
            _, x, y, w, h = (box * 96).tolist()
            top, bottom, left, right = round(y - h / 2), round(y + h / 2), round(x - w / 2), round(x + w / 2)
            inside = image[0, top:bottom, left:right] > NOISE
            assert inside[0].any() and inside[-1].any() and inside[:, 0].any() and inside[:, -1].any()
            seen += 1
    assert seen > 20


def test_limit_takes_that_many_canvases(tmp_path: Path) -> None:
    few = opened(Data(name="digits-detection", limit=32), tmp_path)
    assert len(few.train) == 32 and len(few.test) == 500


def test_a_detector_sees_pixels_from_0_to_1(scenes: Dataset) -> None:
    images, boxes = next(iter(scenes.batches(scenes.test, 4)))
    assert 0 <= float(images.min()) < float(images.max()) <= 1
    assert boxes.shape == (4, 6, 5)


def marked() -> tuple[torch.Tensor, torch.Tensor]:
    """One bright square on 32×32, and its box beside an empty row."""
    images = torch.zeros(1, 1, 32, 32, dtype=torch.uint8)
    images[0, 0, 8:12, 20:28] = 255
    boxes = torch.tensor([[[3.0, 24 / 32, 10 / 32, 8 / 32, 4 / 32], [-1.0, 0.0, 0.0, 0.0, 0.0]]])
    return images, boxes


def around(image: torch.Tensor) -> list[float]:
    rows, columns = (image[0] > 0).any(1).nonzero(), (image[0] > 0).any(0).nonzero()
    left, right, top, bottom = columns.min(), columns.max() + 1, rows.min(), rows.max() + 1
    return [float(v) / 32 for v in ((left + right) / 2, (top + bottom) / 2, right - left, bottom - top)]


@pytest.mark.parametrize("change", [crop, flip])
def test_boxes_move_with_their_image(change: Change) -> None:
    images, boxes = marked()
    places = set()
    for seed in range(8):
        moved, found = change(images, boxes, Chance(torch.Generator().manual_seed(seed), len(images)))
        assert found is not None
        assert found[0, 0].tolist() == pytest.approx([3.0, *around(moved[0])])
        assert found[0, 1].tolist() == [-1.0, 0.0, 0.0, 0.0, 0.0]
        places.add(tuple(found[0, 0].tolist()))
    assert len(places) > 1


def test_a_box_that_leaves_the_image_is_cut_off_and_at_last_dropped() -> None:
    images = torch.zeros(64, 1, 32, 32, dtype=torch.uint8)
    boxes = torch.tensor([[[0.0, 1 / 32, 0.5, 2 / 32, 0.5]]]).repeat(64, 1, 1)
    _, found = crop(images, boxes, Chance(torch.Generator().manual_seed(0), len(images)))
    assert found is not None
    kept = found[found[..., 0] >= 0]
    assert 0 < len(kept) < 64
    assert float((kept[:, 1] - kept[:, 3] / 2).min()) >= 0


def test_a_mosaic_shows_four_images_with_their_boxes_around_what_is_in_them() -> None:
    """Every image has one square of its own brightness, so that it is found again wherever it comes to lie."""
    random = torch.Generator().manual_seed(0)
    images, boxes = torch.zeros(8, 1, 32, 32, dtype=torch.uint8), torch.zeros(8, 1, 5)
    for number in range(8):
        left, top = torch.randint(24, (2,), generator=random).tolist()
        images[number, 0, top : top + 8, left : left + 8] = number + 1
        boxes[number, 0] = torch.tensor([number, (left + 4) / 32, (top + 4) / 32, 0.25, 0.25])
    pixels, found = mosaics(images, boxes, Chance(random, 8), 1.0)
    assert pixels.shape == images.shape and found.shape == (8, 4, 5)
    seen = 0
    for image, rows in zip(pixels, found, strict=True):
        labels = rows[:, 0].tolist()
        for row in rows[rows[:, 0] >= 0]:
            if labels.count(float(row[0])) == 1:  # an image drawn twice has two squares of one brightness
                assert row[1:].tolist() == pytest.approx(around((image == int(row[0]) + 1).byte()))
                seen += 1
    assert seen > 4
    same, kept = mosaics(images, boxes, Chance(random, 8), 1e-9)
    assert torch.equal(same, images) and torch.equal(kept[:, :1], boxes) and (kept[:, 1:, 0] == -1).all()


def test_processes_that_share_a_batch_make_the_mosaics_of_one(scenes: Dataset) -> None:
    def made(share: slice | None) -> tuple[torch.Tensor, torch.Tensor]:
        own = None if share is None else lambda _: share
        order, random = torch.arange(8), torch.Generator().manual_seed(1)
        return next(
            scenes.batches(
                scenes.train, 8, order=order, augment="crop-flip", mosaic=0.5, generator=random, share=own
            )
        )

    whole, parts = made(None), [made(slice(0, 3)), made(slice(3, 8))]
    assert all(
        torch.equal(one, torch.cat(two)) for one, two in zip(whole, zip(*parts, strict=True), strict=True)
    )


def written(folder: Path, **changes: str) -> Path:
    """A data.yaml with two images of 40×20 pixels per split, and one box in each."""
    for split in ("train", "val"):
        (folder / "images" / split).mkdir(parents=True, exist_ok=True)
        (folder / "labels" / split).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            image = Image.new("RGB", (40, 20), (0, 0, 0))
            image.paste((255, 255, 255), (10, 5, 30, 15))
            image.save(folder / "images" / split / f"{number}.png")
            (folder / "labels" / split / f"{number}.txt").write_text("1 0.5 0.5 0.5 0.5\n")
    for name, text in changes.items():
        (folder / "labels" / "train" / f"{name[1:]}.txt").write_text(text)
    file = folder / "data.yaml"
    file.write_text("train: images/train\nval: images/val\nnames: [cat, dog]\n")
    return file


def test_images_are_letterboxed_and_their_boxes_with_them(tmp_path: Path) -> None:
    data = opened(Data(name="yolo", root=str(written(tmp_path)), size=64), tmp_path)
    assert (data.task, data.class_names, data.channels, data.size) == (
        "detection",
        ("cat", "dog"),
        3,
        (64, 64),
    )
    pixels = data.train.images.gather(torch.tensor([0]))[0, 0]
    assert data.train.labels[0, 0].tolist() == pytest.approx([1.0, 0.5, 0.5, 0.5, 0.25])
    assert int(pixels[0, 0]) == 114 and int(pixels[32, 32]) == 255 and int(pixels[32, 2]) == 0


def test_without_test_images_those_of_val_are_scored_and_it_says_so(tmp_path: Path) -> None:
    data = opened(Data(name="yolo", root=str(written(tmp_path)), size=64), tmp_path)
    assert torch.equal(data.test.labels, data.validation.labels)
    assert "names no test images" in data.notice


def test_a_changed_label_changes_the_fingerprint(tmp_path: Path) -> None:
    params = Data(name="yolo", root=str(written(tmp_path)))
    location = datasets.locate(params, tmp_path)
    before = datasets.fingerprint(params, location, None)
    (tmp_path / "labels" / "val" / "0.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    assert datasets.fingerprint(params, location, None) != before


def test_an_image_without_a_label_file_has_no_box(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "labels" / "train" / "0.txt").unlink()
    data = opened(Data(name="yolo", root=str(file), size=64), tmp_path)
    assert (data.train.labels[0, :, 0] < 0).all() and data.train.labels[1, 0, 0] == 1


def test_a_polygon_counts_as_the_box_around_it(tmp_path: Path) -> None:
    file = written(tmp_path, _0="0 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n")
    data = opened(Data(name="yolo", root=str(file), size=64), tmp_path)
    assert data.train.labels[0, 0].tolist() == pytest.approx([0.0, 0.5, 0.5, 0.5, 0.25])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("0 0.5 0.5 0.5", "it has 4 numbers, not 5"),
        ("0 a 0.5 0.5 0.5", "not numbers alone"),
        ("2 0.5 0.5 0.5 0.5", "class 2 is not one of 0 to 1"),
        ("0.5 0.5 0.5 0.5 0.5", "class 0.5 is not one"),
        ("0 20 10 20 10", "not from 0 to 1"),
        ("0 nan 0.5 0.5 0.5", "not from 0 to 1"),
        ("0,0.5,0.5,0.5,0.5", "apart by spaces"),
        ("0 0.5 0.5 0.5 0.5 0.3 0.3 2 0.4 0.4 2", "a pose set says kpt_shape"),
        ("0 0.5 0.5 0.5 0.5 0.3 0.3 2 0.4 0.4 2 0.1", "it has 12 numbers, not 5"),
    ],
)
def test_a_wrong_line_is_named(line: str, said: str, tmp_path: Path) -> None:
    file = written(tmp_path, _1=f"0 0.5 0.5 0.5 0.5\n{line}\n")
    with pytest.raises(SecateurError) as caught:
        opened(Data(name="yolo", root=str(file), size=64), tmp_path)
    assert "1.txt, line 2" in caught.value.title and said in caught.value.title


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: images/train\nval: images/val\n", "names of classes"),
        ("train: images/train\nnames: [a]\n", "names no val images"),
        ("train: nowhere\nval: images/val\nnames: [a, b]\n", "train names nowhere"),
        ("train: images/train\nval: images/val\nnames: [a]\nnc: 2\n", "nc is 2"),
        ("train: [images\n", "line 2"),
        ("- a\n", "list"),
        ("train: images/train\nval: images/val\nnames: {1: a}\n", "numbers of names"),
        ("train: images/train\nval: images/val\nnames: []\nnc: 2\n", "names of classes"),
    ],
)
def test_a_wrong_data_yaml_says_what_is_wrong(text: str, said: str, tmp_path: Path) -> None:
    file = written(tmp_path)
    file.write_text(text)
    with pytest.raises(SecateurError) as caught:
        opened(Data(name="yolo", root=str(file), size=64), tmp_path)
    assert said in caught.value.detail


NO_01 = ["names: [no, 01]", "names: {0: no, 1: 01}", "names: {'1': 01, '0': no}", "<<: {names: [no, 01]}"]
NULL = ["nc: 2", "names:\nnc: 2", "names: ~\nnc: 2", "names: null\nnc: 2"]


@pytest.mark.parametrize(
    ("names", "classes"), [*((text, "no 01") for text in NO_01), *((text, "0 1") for text in NULL)]
)
def test_names_of_classes_are_those_that_are_written(names: str, classes: str, tmp_path: Path) -> None:
    """YAML 1.1 makes false of `no` and 1 of `01`; some tools put the numbers in quotes, or give a count alone."""
    file = written(tmp_path)
    file.write_text(f"train: images/train\nval: images/val\n{names}\n")
    assert opened(Data(name="yolo", root=str(file), size=64), tmp_path).class_names == tuple(classes.split())


def test_the_place_of_the_data_yaml_must_be_given_and_exist(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data\.root"):
        opened(Data(name="yolo"), tmp_path)
    with pytest.raises(SecateurError, match="There is no file"):
        opened(Data(name="yolo", root=str(tmp_path / "data.yaml")), tmp_path)


def test_the_record_says_how_many_canvases_there_are(scenes: Dataset) -> None:
    counts = datasets.RECORDS["digits-detection"].images
    assert counts is not None
    assert (counts.train, counts.validation, counts.test) == tuple(
        len(split) for split in (scenes.train, scenes.validation, scenes.test)
    )


@pytest.mark.parametrize(
    ("text", "box", "told"),
    [
        ("\ufeff1 0.5 0.5 0.5 0.5\n", [1, 0.5, 0.5, 0.5, 0.25], ""),
        ("1 0.5 0.5 0.5 0.5\r\n\r\n", [1, 0.5, 0.5, 0.5, 0.25], ""),
        ("1 0.5 0.5 1.004 0.5\n", [1, 0.5, 0.5, 1, 0.25], "boxes cut off at the edge of their image: 1"),
        (
            "1 0.999 0.5 0.01 0.5\n",
            [1, 0.997, 0.5, 0.006, 0.25],
            "boxes cut off at the edge of their image: 1",
        ),
        (
            "1 0.5 0.5 0.5 0.5\n1 0.5 0.5 0.5 0.5\n",
            [1, 0.5, 0.5, 0.5, 0.25],
            "rows that were there twice, dropped: 1",
        ),
        (
            "1 0.5 0.5 0.5 0.5\n0 0.5 0.5 0 0.5\n",
            [1, 0.5, 0.5, 0.5, 0.25],
            "boxes without an area, dropped: 1",
        ),
        ("", None, ""),
    ],
)
def test_labels_that_are_slightly_off_are_mended_and_counted(
    tmp_path: Path, text: str, box: list[float] | None, told: str
) -> None:
    file = written(tmp_path)
    (tmp_path / "labels" / "train" / "0.txt").write_bytes(text.encode())
    data = opened(Data(name="yolo", root=str(file), size=64), tmp_path)
    found = data.train.labels[0][data.train.labels[0][:, 0] >= 0]
    assert len(found) == (box is not None)
    if box is not None:
        assert found[0].tolist() == pytest.approx(box, abs=1e-6)
    assert "".join(data.notices).startswith(told) and bool(told) == bool(data.notices)


def test_everything_wrong_with_a_set_is_told_at_once(tmp_path: Path) -> None:
    file = written(tmp_path, _0="9 0.5 0.5 0.5 0.5", _1="0 0.5 0.5\n0 2 0.5 0.5 0.5")
    (tmp_path / "images" / "val" / "1.png").write_bytes(b"nothing")
    with pytest.raises(SecateurError, match="4 labels or images of") as caught:
        opened(Data(name="yolo", root=str(file), size=64), tmp_path)
    for said in ("0.txt, line 1: class 9", "1.txt, line 1: it has 3", "1.txt, line 2", "val/1.png is not an"):
        assert said in caught.value.detail


LABELS = [
    "0",
    "1",
    "2",
    "-1",
    "0.5",
    "0.25",
    "1.004",
    "0.999",
    "1e-9",
    "nan",
    "inf",
    "1e400",
    "x",
    "0,5",
    "٣",
]

POSE = "1 0.5 0.5 0.5 0.5 0.3 0.3 0.4 0.4 0.5 0.5"


def test_key_points_are_not_taken_for_polygons(tmp_path: Path) -> None:
    """Of a box with points in two dimensions, only the data.yaml can say that it is no polygon."""
    file = written(tmp_path, _0=POSE, _1=POSE)
    params = Data(name="yolo", root=str(file), size=64)
    with pytest.raises(SecateurError, match="look like poses") as caught:
        opened(params, tmp_path)
    plain = file.read_text()
    assert "kpt_shape: [3, 2]" in caught.value.remedy
    file.write_text(plain + "kpt_shape: [3, 2]\n")
    data = opened(params, tmp_path)
    assert data.train.labels[0, 0].tolist() == pytest.approx([1.0, 0.5, 0.5, 0.5, 0.25])
    assert data.notices == ("rows with key points, taken as their boxes: 2",)
    file.write_text(plain + "kpt_shape: false\n")
    assert opened(params, tmp_path).train.labels[0, 0].tolist() == pytest.approx([1, 0.4, 0.45, 0.2, 0.1])


def test_roboflow_and_leavings_of_systems(tmp_path: Path) -> None:
    """`../train/images` is beside the data.yaml; `._a.jpg` and `.ipynb_checkpoints` are no images."""
    for split in ("train", "valid"):
        for number in range(3):
            for kind in ("images", "labels"):
                (tmp_path / "set" / split / kind).mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20)).save(tmp_path / "set" / split / "images" / f"{number}.jpg")
            (tmp_path / "set" / split / "labels" / f"{number}.txt").write_text("0 0.5 0.5 0.5 0.5\n")
        (tmp_path / "set" / split / "images" / "._0.jpg").write_bytes(b"mac")
        copies = tmp_path / "set" / split / "images" / ".ipynb_checkpoints"
        copies.mkdir()
        Image.new("RGB", (20, 20)).save(copies / "0-checkpoint.jpg")
    file = tmp_path / "set" / "data.yaml"
    file.write_bytes(b"\xef\xbb\xbftrain: ../train/images\nval: ../valid/images\nnc: 1\nnames: ['a']\n")
    data = opened(Data(name="yolo", root=str(file), size=32), tmp_path)
    assert [len(data.train), len(data.validation)] == [3, 3]


def test_damaged_images_with_boxes_can_be_left_out(tmp_path: Path) -> None:
    file = written(tmp_path)
    (tmp_path / "images" / "train" / "1.png").write_bytes(b"nothing")
    data = opened(Data(name="yolo", root=str(file), size=64, skip_damaged=True), tmp_path)
    assert len(data.train) == 1 and "1 training image can't be read" in data.notices[0]


@given(text=st.lists(st.lists(st.sampled_from(LABELS), max_size=9).map(" ".join), max_size=5).map("\n".join))
@settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_whatever_a_label_file_holds_is_boxes_in_the_image_or_told(text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_text(text)
    reading = Reading(classes=2)
    rows = reading.rows(file)
    for label, x, y, width, height in rows:
        assert label in (0, 1) and width > 0 and height > 0
        assert min(x - width / 2, y - height / 2) >= -1e-6 and max(x + width / 2, y + height / 2) <= 1 + 1e-6
    lines = [line for line in text.splitlines() if line.strip()]
    dropped = sum(count for what, count in reading.mended.items() if "dropped" in what)
    assert len(rows) + dropped + len(reading.wrong) == len(lines)
