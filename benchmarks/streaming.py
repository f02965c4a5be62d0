"""Images that don't fit into memory: our stream against a well-tuned PyTorch DataLoader, on the same files in turn.

Synthetic photographs (JPEG, 500×375, of as many bytes as ImageNet's) are made in class folders and in WebDataset
shards; beyond --unique of them they are links to the same files, since decoding is what is measured. Both sides give
batches of 224×224 pixels (shorter side 256, middle cut out), normalized, channels last, in random order, by as many
processes:

- torch: ImageFolder, torchvision's v2 transforms on uint8, persistent workers, normalization of whole batches;
- ours: `Dataset.batches`, as training uses it, with a memory budget of 0.

    python benchmarks/streaming.py [--images 4000] [--unique 500] [--workers 2] [--rounds 3]

Prints images per second of each round, the ratios (goal ≥ 0.90), and the largest memory of each side with all its
processes, shared pages counted once.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from engine.compute.data import load
from engine.datasets import locate
from engine.params.preset import Data

WIDTH, HEIGHT = 500, 375
QUALITY = 90
CLASSES = 10
RESIZE, CROP, BATCH = 256, 224, 128
PER_SHARD = 1000
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LOOK_EVERY_S = 0.2
SIDES = ("torch", "folders", "shards")


def photograph(seed: int) -> bytes:
    """Smooth shapes and some noise: about 100 kB as JPEG, like a photograph."""
    random = np.random.default_rng(seed)
    coarse = random.integers(256, size=(12, 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC), np.int16)
    noisy = (smooth + random.normal(0, 14, smooth.shape)).clip(0, 255).astype(np.uint8)
    held = io.BytesIO()
    Image.fromarray(noisy).save(held, "JPEG", quality=QUALITY)
    return held.getvalue()


def make(root: Path, images: int, unique: int) -> None:
    """The same images as `folders/train/CLASS/` and as `shards/`."""
    contents = [photograph(number) for number in range(unique)]
    made: dict[tuple[str, int], Path] = {}
    for number in range(images):
        name = f"class{number % CLASSES}"
        path = root / "folders" / name / f"{number:07}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        first = made.get((name, number % unique))
        if first is None:
            path.write_bytes(contents[number % unique])
            made[name, number % unique] = path
        else:
            path.hardlink_to(first)
    (root / "shards").mkdir()
    for start in range(0, images, PER_SHARD):
        with tarfile.open(root / "shards" / f"{start // PER_SHARD:06}.tar", "w") as archive:
            for number in range(start, min(images, start + PER_SHARD)):
                for suffix, content in (
                    ("jpg", contents[number % unique]),
                    ("cls", b"%d" % (number % CLASSES)),
                ):
                    info = tarfile.TarInfo(f"{number:07}.{suffix}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))
    size = sum(map(len, contents)) / unique / 1000
    print(f"{images} images, {unique} of them unlike, {size:.0f} kB each", flush=True)


def torchs(root: Path, workers: int) -> Iterator[Tensor]:
    from torch.utils.data import DataLoader
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    transform = v2.Compose([v2.Resize(RESIZE), v2.CenterCrop(CROP), v2.PILToTensor()])
    loader = DataLoader(
        ImageFolder(str(root / "folders"), transform),
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
    name = "imagefolder" if side == "folders" else "webdataset"
    params = Data.model_validate(
        {
            "name": name,
            "root": str(root / side),
            "size": CROP,
            "resize": RESIZE,
            "mean": "imagenet",
            # All but sixteen and one of the images are training images, as they are on the other side.
            "limit_validation": 16,
            "test": 0.01,
            "validation": 0.01,
            "workers": workers,
        }
    )
    data = load(params, locate(params, root), budget=0)
    order = torch.randperm(len(data.train), generator=torch.Generator().manual_seed(0))
    for pixels, _ in data.batches(data.train, BATCH, order=order):
        yield pixels


def run(side: str, root: Path, workers: int) -> dict[str, float]:
    """Images per second from the second batch on, and the largest memory in bytes."""
    torch.set_num_threads(workers)
    batches = torchs(root, workers) if side == "torch" else ours(root, side, workers)
    peak = [0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(LOOK_EVERY_S):
            peak[0] = max(peak[0], memory(os.getpid()))

    threading.Thread(target=watch, daemon=True).start()
    next(batches)
    started, count = time.perf_counter(), 0
    for pixels in batches:
        count += len(pixels)
    seconds = time.perf_counter() - started
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


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--unique", type=int, default=500)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--root", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        print(json.dumps(run(given.side, given.root, given.workers)))
        return
    with tempfile.TemporaryDirectory(prefix="streaming-") as folder:
        root = Path(folder)
        make(root, given.images, given.unique)
        runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
        for number in range(given.rounds):
            for side in SIDES:
                command = [sys.executable, __file__, "--side", side, "--root", folder]
                done = subprocess.run(
                    [*command, "--workers", str(given.workers)], stdout=subprocess.PIPE, text=True, check=True
                )
                runs[side].append(json.loads(done.stdout))
                line = ", ".join(
                    f"{one} {runs[one][-1]['rate']:.0f}" for one in SIDES if len(runs[one]) > number
                )
                print(f"round {number + 1}: images/s {line}", flush=True)
    for side in SIDES[1:]:
        ratios = [a["rate"] / b["rate"] for a, b in zip(runs[side], runs["torch"], strict=True)]
        print(
            f"{side}: {statistics.median(ratios):.2f} of torch's DataLoader ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    for side in SIDES:
        print(
            f"{side}: at most {max(one['peak'] for one in runs[side]) / 1e9:.2f} GB, {given.workers} workers"
        )


if __name__ == "__main__":
    main()
