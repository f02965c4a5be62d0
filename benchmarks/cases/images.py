"""Folders of images as they are found."""

import struct
import zlib
from pathlib import Path

from benchmarks.cases.base import Case, Said, Write, last, preset

MODEL = "{name: resnet20, arguments: {width: 4}}"
TRAIN = "steps:\n  - train: {epochs: 8, batch: 16, learning_rate: 0.1}\n  - calibrate\n"
CHECK = ("data", "check", "--json")


def grey(path: Path, rows: list[list[int]], bits: int = 8) -> None:
    """A PNG of grey pixels, of 8 or 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    form = "B" if bits == 8 else "H"
    raw = b"".join(b"\0" + struct.pack(f">{len(row)}{form}", *row) for row in rows)

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", len(rows[0]), len(rows), bits, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")
    )


def square(low: int, high: int, top: bool, number: int) -> list[list[int]]:
    """16 × 16, its upper or lower half bright; `number` makes each image another."""
    return [
        [(high if (y < 8) == top else low) + (x * 7 + y * 3 + x * y * number) % 11 for x in range(16)]
        for y in range(16)
    ]


def classes(folder: Path, count: int, low: int = 20, high: int = 200, bits: int = 8, first: int = 0) -> None:
    for number in range(first, first + count):
        for name, top in (("day", True), ("night", False)):
            grey(folder / name / f"{number}.png", square(low, high, top, number), bits)


def _splits(train: str, test: str, around: str = "") -> Write:
    def write(folder: Path) -> str:
        classes(folder / "set" / around / train, 24)
        classes(folder / "set" / around / test, 8, first=100)
        return preset(MODEL, TRAIN, "{name: imagefolder, root: set}")

    return write


def _two(said: Said) -> str:
    text = str(said.answer) + said.messages
    right = "day" in text and "night" in text and said.code == 0
    return "" if right else last(said.messages) or text[:120]


def _deep(folder: Path) -> str:
    classes(folder / "set" / "train", 24, 1024, 1250, 16)
    classes(folder / "set" / "test", 8, 1024, 1250, 16, first=100)
    return preset(MODEL, TRAIN, "{name: imagefolder, root: set}")


def _accurate(said: Said) -> str:
    return "" if said.done and min(said.accuracies) > 0.9 else f"{last(said.messages)} {said.accuracies}"


def _turned(folder: Path) -> str:
    from PIL import Image

    for split, count, first in (("train", 24, 0), ("test", 8, 100)):
        classes(folder / "set" / split, count, first=first)
    for file in sorted(folder.glob("set/test/*/*.png")):
        image = Image.open(file).transpose(Image.Transpose.ROTATE_180)
        exif = Image.Exif()
        exif[0x0112] = 3  # stored upside down
        image.save(file.with_suffix(".jpg"), exif=exif, quality=95)
        file.unlink()
    return preset(MODEL, TRAIN, "{name: imagefolder, root: set}")


def _damaged(folder: Path) -> str:
    classes(folder / "set" / "train", 24)
    classes(folder / "set" / "test", 8, first=100)
    whole = (folder / "set/train/day/3.png").read_bytes()
    (folder / "set/train/day/3.png").write_bytes(whole[: len(whole) // 2])
    (folder / "set/train/night/5.png").write_bytes(b"")
    return preset(MODEL, TRAIN, "{name: imagefolder, root: set}")


def _both_named(said: Said) -> str:
    text = str(said.answer) + said.messages
    return "" if "3.png" in text and "5.png" in text and "epoch" not in said.messages else last(said.messages)


def _yolo(listing: str, folder: Path, labels: dict[str, str]) -> str:
    for split, first in (("train", 0), ("valid", 50)):
        for number in range(first, first + 8):
            grey(folder / "set" / split / "images" / f"{number}.png", square(20, 200, True, number))
            text = labels.get(f"{split}/{number}", "0 0.5 0.25 0.9 0.5\n")
            (folder / "set" / split / "labels").mkdir(exist_ok=True)
            (folder / "set" / split / "labels" / f"{number}.txt").write_text(text)
    (folder / "set" / "data.yaml").write_text(listing)
    return preset(
        "{name: yolo/yolov8n}",
        "steps:\n  - train: {epochs: 1}\n",
        "{name: yolo, root: set/data.yaml, size: 32}",
    )


def _roboflow(folder: Path) -> str:
    return _yolo("train: ../train/images\nval: ../valid/images\nnc: 1\nnames: [bar]\n", folder, {})


def _labels(folder: Path) -> str:
    rows = {
        "train/0": "\ufeff0 0.5 0.25 0.9 0.5\n",
        "train/1": "0 0.5 0.25 1.004 0.5\r\n",
        "train/2": "0 0.5 0.25 0.9 0.5\n0 0.5 0.25 0.9 0.5\n",
        "train/3": "",
    }
    return _yolo("train: train/images\nval: valid/images\nnames: [bar]\n", folder, rows)


def _pose(folder: Path) -> str:
    pose = "0 0.5 0.25 0.9 0.5 0.1 0.2 0.3 0.4\n"
    return _yolo(
        "train: train/images\nval: valid/images\nnames: [bar]\n",
        folder,
        {f"train/{n}": pose for n in range(8)},
    )


def _litter(folder: Path) -> str:
    text = _yolo("train: train/images\nval: valid/images\nnames: [bar]\n", folder, {})
    (folder / "set/train/images/._0.png").write_bytes(b"\0\5\x16\7" + b"x" * 60)
    (folder / "set/train/images/.ipynb_checkpoints").mkdir()
    grey(folder / "set/train/images/.ipynb_checkpoints/0-checkpoint.png", square(20, 200, True, 0))
    return text


def _eight(said: Said) -> str:
    return (
        "" if said.code == 0 and "8" in str(said.answer) else last(said.messages) or f"exit code {said.code}"
    )


def _refused(said: Said) -> str:
    return "" if said.code != 0 and "Traceback" not in said.messages else "rows of poses became boxes"


YOLO = ("ultralytics",)
IMAGES = (
    Case("B20", "Training/ and Testing/", _splits("Training", "Testing"), _two, True, CHECK),
    Case("B20c", "Train/ and Test/", _splits("Train", "Test"), _two, True, CHECK),
    Case("B20w", "a folder around the splits", _splits("train", "test", "v1"), _two, True, CHECK),
    Case("B21", "12-bit values in 16-bit files", _deep, _accurate),
    Case("B23", "EXIF orientation", _turned, _accurate, needs=("PIL",)),
    Case("B24", "a truncated and an empty image", _damaged, _both_named, command=CHECK),
    Case("B26", "Roboflow's ../train/images", _roboflow, _eight, command=CHECK, needs=YOLO),
    Case(
        "B27", "YOLO labels: BOM, 1.004, duplicates, CRLF, empty", _labels, _eight, command=CHECK, needs=YOLO
    ),
    Case("B27p", "YOLO rows of poses", _pose, _refused, command=CHECK, needs=YOLO),
    Case("B28", "._a.png and .ipynb_checkpoints", _litter, _eight, command=CHECK, needs=YOLO),
)
