"""Images a second of our training loop against the usual one: ResNet20 on Fashion-MNIST, on the processor.

The usual loop is eager PyTorch in its default layout (NCHW) over torchvision's data set with a transform per
image (RandomCrop, RandomHorizontalFlip, ToTensor, Normalize) and a DataLoader, with no and with two workers.
Ours is `engine.compute.training.loop`, evaluation excluded on both sides. Same network, batch, optimizer and threads.

    python benchmarks/training.py [--images 6000] [--batch 128] [--rounds 3] [--processor-time --threads 1]

The loops alternate (A B C A B C …), a process each. Prints images a second and the ratio to the best usual
loop (goal ≥ 3).
"""

import argparse
import contextlib
import gzip
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.runner import launch

HOME = Path(__file__).resolve().parent.parent

LOOPS = ("ours", "usual, 0 workers", "usual, 2 workers")
Clock = Callable[[], float]

WARM_IMAGES = 1280
"""Trained on before the clock starts."""
RATE, MOMENTUM, DECAY = 0.05, 0.9, 5e-4


def ours(images: int, batch: int, precision: Any, clock: Clock) -> float:
    """Images a second of `fit`'s second epoch, in a process set up as a worker's."""
    import torch

    from engine import datasets
    from engine.compute.context import Context
    from engine.compute.data import Split, load
    from engine.compute.models.resnet import CifarResNet
    from engine.compute.training.loop import fit
    from engine.params.preset import Data
    from engine.params.training import Train
    from engine.studies import events as ev

    torch.use_deterministic_algorithms(True, warn_only=True)
    params = Data(name="fashion-mnist", limit=images)
    data = load(params, datasets.locate(params, Path()), fingerprint="known")
    few = Split(data.test.images, data.test.labels[:1])  # scoring is not what is measured
    torch.manual_seed(0)
    model = CifarResNet(20, data.channels, data.classes)
    ends: list[float] = []

    def send(event: ev.Event) -> None:
        if isinstance(event, ev.EpochFinished):
            ends.append(clock())

    course = {"learning_rate": RATE, "schedule": "constant"}
    train = Train(epochs=2, batch=batch, augment="crop-flip", precision=precision, **course)
    with tempfile.TemporaryDirectory() as partial:
        context = Context(replace(data, validation=few), torch.device("cpu"), 0, 0, "", Path(partial), send)
        fit(model, train, context)
    return len(data.train.labels) / (ends[1] - ends[0])


def usual(images: int, batch: int, workers: int, clock: Clock) -> float:
    """Images a second of a training loop as in any tutorial."""
    import torch
    from torch.utils.data import DataLoader, Subset
    from torchvision import datasets as vision
    from torchvision import transforms

    from engine.compute.models.resnet import CifarResNet

    transform = transforms.Compose(
        [
            transforms.RandomCrop(28, padding=3),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.2860,), (0.3530,)),
        ]
    )
    with _torchvision_root() as root:
        whole = vision.FashionMNIST(root, train=True, transform=transform)
    loader = DataLoader(
        Subset(whole, range(images)), batch, shuffle=True, num_workers=workers, drop_last=True
    )
    torch.manual_seed(0)
    model = CifarResNet(20, 1, 10)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY
    )
    model.train()
    seen, started = 0, 0.0
    for pictures, labels in loader:
        if seen >= min(WARM_IMAGES, images // 2) and not started:
            started, seen = clock(), 0
        optimizer.zero_grad(set_to_none=True)
        torch.nn.functional.cross_entropy(model(pictures), labels).backward()
        optimizer.step()
        seen += len(labels)
    return seen / (clock() - started)


@contextlib.contextmanager
def _torchvision_root() -> Iterator[str]:
    """A folder laid out as torchvision wants it, of the files that are here."""
    from engine import datasets
    from engine.params.preset import Data

    found = datasets.locate(Data(name="fashion-mnist"), Path()).root
    with tempfile.TemporaryDirectory() as root:
        raw = Path(root, "FashionMNIST", "raw")
        raw.mkdir(parents=True)
        for file in found.glob("*ubyte.gz"):
            (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        yield root


def measured(loop: str, args: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "benchmarks.training", "--loop", loop, "--images", str(args.images)]
    command += ["--processor-time"] if args.processor_time else []
    done = subprocess.run(
        [*command, "--batch", str(args.batch), "--threads", str(args.threads), "--precision", args.precision],
        env={"GOMP_SPINCOUNT": launch.SPIN_COUNT, **os.environ},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def one(args: argparse.Namespace) -> float:
    import torch

    torch.set_num_threads(args.threads)
    clock = time.process_time if args.processor_time else time.perf_counter
    if args.loop == "ours":
        return ours(args.images, args.batch, args.precision, clock)
    return usual(args.images, args.batch, int(args.loop.split()[1]), clock)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="ours; usual is fp32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--processor-time", action="store_true", help="for a busy machine, with --threads 1: not wall time"
    )
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.loop:
        print(one(args))
        return
    loops = LOOPS[:2] if args.processor_time else LOOPS  # the workers' own time is not seen
    found: dict[str, list[float]] = {loop: [] for loop in loops}
    for number in range(args.rounds):
        for loop in loops:
            found[loop].append(measured(loop, args))
        told = ", ".join(f"{loop} {rates[-1]:.0f}" for loop, rates in found.items())
        print(f"round {number + 1}, images/s: {told}; load {os.getloadavg()[0]:.1f}", flush=True)
    medians = {loop: statistics.median(rates) for loop, rates in found.items()}
    best = max(medians[loop] for loop in loops[1:])
    ratios = [mine / max(others) for mine, *others in zip(*found.values(), strict=True)]
    print(
        f"ours / best usual: {medians['ours'] / best:.2f} (goal ≥ 3); by round {min(ratios):.2f} … {max(ratios):.2f}"
    )


if __name__ == "__main__":
    main()
