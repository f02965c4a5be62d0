"""Images that don't fit into memory: our stream against a well-tuned PyTorch DataLoader, on the same files in turn.

    python -m benchmarks.streaming [--images 2000] [--unique 500] [--workers N] [--rounds 3] [--many 200000]

Synthetic photographs (JPEG, 500×375, of as many bytes as ImageNet's) are made in class folders and in WebDataset
shards; beyond --unique of them they are links to the same files, since decoding is what is measured. All sides give
batches of 224×224 pixels (shorter side 256, middle cut out), normalized, channels last, in random order:

- torch: ImageFolder with Pillow, torchvision's v2 transforms on uint8, persistent workers, normalization of whole
  batches; with as many workers as are best for it here, of the numbers tried first;
- torch-tensor: the same with torchvision's own JPEG decoder and resizing of tensors, which gives slightly other
  pixels: how many are off, and by how much, is printed;
- folders and shards: `Dataset.batches`, as training uses it, with a memory budget of 0 and as many workers.

None of them decodes at a reduced size (Pillow's draft mode). Each measurement is a process of its own, and the sides
take turns. Prints images per second of each round, the ratios (goal ≥ 0.90 of torch, which gives the same pixels), and
the largest memory of each side with all its processes, shared pages counted once. Memory is then looked at on --many
small images and on a tenth of them. Results: benchmarks/results/streaming.json.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import results
from engine.compute.data import load
from engine.datasets import locate
from engine.machine import private
from engine.params.preset import Data

WIDTH, HEIGHT, NOISE = 500, 375, 14
SMALL = 32
"""Pixels of a side of the images of which there are many."""
QUALITY = 90
CLASSES = 10
RESIZE, CROP, BATCH = 256, 224, 128
PER_SHARD = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOOK_EVERY_S = 0.2
SIDES = ("torch", "torch-tensor", "folders", "shards")
OURS = SIDES[2:]
FEW_BATCHES = 20
"""Of which the memory is looked at: what a stream holds ahead is full by then."""
COMPARED = 100
"""Images of which the pixels of both decoders of torch's are compared."""
GOAL = 0.90


def photograph(seed: int, width: int = WIDTH, height: int = HEIGHT) -> bytes:
    """Smooth shapes and some noise: about 85 kB as JPEG, like a photograph."""
    random = np.random.default_rng(seed)
    coarse = random.integers(256, size=(12, 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), np.int16)
    noisy = (smooth + random.normal(0, NOISE, smooth.shape)).clip(0, 255).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(noisy).save(held, "JPEG", quality=QUALITY)
    return held.getvalue()


def make(root: Path, images: int, contents: list[bytes]) -> None:
    """The same images as `folders/CLASS/` and as `shards/`."""
    made: dict[tuple[str, int], Path] = {}
    for number in range(images):
        name, which = f"class{number % CLASSES}", number % len(contents)
        path = root / "folders" / name / f"{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if (name, which) in made:
            path.hardlink_to(made[name, which])
        else:
            path.write_bytes(contents[which])
            made[name, which] = path
    (root / "shards").mkdir()
    for start in range(0, images, PER_SHARD):
        with tarfile.open(root / "shards" / f"{start // PER_SHARD:06}.tar", "w") as archive:
            for number in range(start, min(images, start + PER_SHARD)):
                parts = {"jpg": contents[number % len(contents)], "cls": b"%d" % (number % CLASSES)}
                for suffix, content in parts.items():
                    info = tarfile.TarInfo(f"{number:07}.{suffix}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


def by_pillow(path: str) -> Tensor:
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize(RESIZE), v2.CenterCrop(CROP), v2.PILToTensor()])
    with Image.open(path) as image:
        pixels: Tensor = transform(image.convert("RGB"))
    return pixels


def by_tensors(path: str) -> Tensor:
    from torchvision.io import ImageReadMode, decode_jpeg, read_file
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize(RESIZE, antialias=True), v2.CenterCrop(CROP)])
    pixels: Tensor = transform(decode_jpeg(read_file(path), mode=ImageReadMode.RGB))
    return pixels


def torchs(root: Path, workers: int, loaded: Callable[[str], Tensor]) -> Iterator[Tensor]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder

    loader = DataLoader(
        ImageFolder(str(root / "folders"), loader=loaded),
        BATCH,
        shuffle=True,
        num_workers=workers,
        persistent_workers=True,
        prefetch_factor=2,
        generator=torch.Generator().manual_seed(0),
    )
    scale = (1 / (255 * torch.tensor(STD))).view(1, -1, 1, 1)
    shift = (torch.tensor(MEAN) / torch.tensor(STD)).view(1, -1, 1, 1)
    for pixels, _ in loader:
        yield pixels.to(torch.float32, memory_format=torch.channels_last).mul_(scale).sub_(shift)


def ours(root: Path, side: str, workers: int) -> Iterator[Tensor]:
    params = Data.model_validate(
        {
            "name": "imagefolder" if side == "folders" else "webdataset",
            "root": str(root / side),
            "size": CROP,
            "resize": RESIZE,
            "mean": "imagenet",
            # All but sixteen and one of a hundred of the images are training images, as all are on the other side.
            "limit_validation": 16,
            "test": 0.01,
            "validation": 0.01,
            "workers": workers,
        }
    )
    data = load(params, locate(params, root), cache=root / "cache", budget=0)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    for pixels, _ in data.batches(data.train, BATCH, order=order):
        yield pixels


def run(side: str, root: Path, workers: int, most: int | None) -> dict[str, float]:
    """Images per second from the second batch on, of `most` batches, and the largest memory in bytes."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    loaded = {"torch": by_pillow, "torch-tensor": by_tensors}.get(side)
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_EVERY_S):
            peak[0] = max(peak[0], memory(os.getpid()))

    threading.Thread(target=watch, daemon=True).start()
    batches = islice(torchs(root, workers, loaded) if loaded else ours(root, side, workers), most)
    next(batches)
    started, count = time.perf_counter(), 0
    for pixels in batches:
        count += len(pixels)
    seconds = time.perf_counter() - started
    peak[0] = max(peak[0], memory(os.getpid()))
    done.set()
    return {"rate": count / seconds, "peak": peak[0]}


def memory(process: int) -> int:
    """Bytes of a process and all below it, each page they share counted by its share."""
    total = 0
    try:
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total = int(line.split()[1]) * 1024
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:  # it has ended
        return total
    return total + sum(memory(int(child)) for child in children)


def measured(side: str, root: Path, workers: int, most: int | None = None) -> dict[str, float]:
    """`run` in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.streaming", "--side", side, "--root", str(root)]
    command += ["--workers", str(workers), *(["--batches", str(most)] if most else [])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, float] = json.loads(done.stdout)
    return answer


def best_workers(root: Path) -> int:
    """The number of workers with which torch's loader is fastest here."""
    processors = len(os.sched_getaffinity(0))
    rates = {
        count: measured("torch", root, count, FEW_BATCHES)["rate"]
        for count in sorted({processors, processors + 1, 2 * processors})
    }
    print(
        "torch: " + ", ".join(f"{rate:.0f} images/s by {count}" for count, rate in rates.items()), flush=True
    )
    return max(rates, key=rates.__getitem__)


def compared(root: Path, workers: int, rounds: int) -> list[dict[str, Any]]:
    """A row for each side: its rate, the ratio to torch's in the same round, and its memory."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for number in range(rounds):
        for side in SIDES:
            runs[side].append(measured(side, root, workers))
        line = ", ".join(f"{side} {done[-1]['rate']:.0f}" for side, done in runs.items())
        print(f"round {number + 1}: images/s {line}", flush=True)
    rows = []
    for side, done in runs.items():
        ratios = [one["rate"] / other["rate"] for one, other in zip(done, runs["torch"], strict=True)]
        row = {
            "side": side,
            "images/s": statistics.median(one["rate"] for one in done),
            "of torch": statistics.median(ratios),
            "of torch, least": min(ratios),
            "of torch, most": max(ratios),
            "memory (GB)": max(one["peak"] for one in done) / 1e9,
        }
        rows.append(row)
        print("  ".join(f"{key}: {value:.3g}" if key != "side" else side for key, value in row.items()))
    return rows


def bounded(folder: Path, many: int, workers: int) -> list[dict[str, Any]]:
    """A row for each side and size of a set: the memory of streaming its first batches."""
    contents = [photograph(number, SMALL, SMALL) for number in range(PER_SHARD)]
    rows: list[dict[str, Any]] = []
    for images in (many // 10, many):
        make(root := folder / str(images), images, contents)
        for side in ("torch", *OURS):
            peak = measured(side, root, workers, FEW_BATCHES)["peak"]
            rows.append({"side": side, "images": images, "memory (GB)": peak / 1e9})
            print(f"{side}: {images} small images, {peak / 1e9:.2f} GB", flush=True)
    return rows


def off(paths: Iterable[Path]) -> str:
    """How the pixels of torchvision's own decoder differ from Pillow's, of 255."""
    pairs = [(by_pillow(str(path)).int(), by_tensors(str(path)).int()) for path in paths]
    apart = torch.stack([(one - other).abs() for one, other in pairs])
    return f"{(apart > 0).float().mean():.1%} of the values differ, by at most {int(apart.max())} of 255"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--unique", type=int, default=500)
    parser.add_argument("--workers", type=int, help="of all sides, in place of what is best for torch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--many", type=int, default=200_000)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--batches", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(run(given.side, given.root, given.workers, given.batches)))
        return 0
    with private.scratch() as folder:
        root = folder / "photographs"
        contents = [photograph(number) for number in range(given.unique)]
        make(root, given.images, contents)
        size = sum(map(len, contents)) / given.unique / 1000
        print(f"{given.images} images, {given.unique} of them unlike, {size:.0f} kB each", flush=True)
        decoders = off(sorted((root / "folders").rglob("*.jpg"))[:COMPARED])
        print(f"torch-tensor: {decoders}")
        workers = given.workers or best_workers(root)
        rows = compared(root, workers, given.rounds)
        memories = bounded(folder, given.many, workers)
    least = min(row["of torch"] for row in rows if row["side"] in OURS)
    print(f"at least {GOAL:.0%} of torch: {'met' if least >= GOAL else 'NOT met'} ({least:.2f})")
    results.write(
        "streaming",
        rows,
        title="Images that do not fit into memory",
        about=f"{given.images} JPEG files of {WIDTH}×{HEIGHT}, {size:.0f} kB each, to {CROP}×{CROP} (shorter side "
        f"{RESIZE}), batches of {BATCH}, {workers} workers; torch-tensor: {decoders}",
        memory_by_size=memories,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
