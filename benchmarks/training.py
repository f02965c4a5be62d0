"""How near training is to what the processor can do: ResNet20 on Fashion-MNIST, on the processor.

Ours is `engine.compute.training.loop` in a process set up as a worker's, evaluation excluded, as it is and with
`execution: compile`. It is held against two ceilings (`benchmarks/ceilings.py`): the network's own convolutions,
forward and backward, with nothing between them, as PyTorch calls oneDNN for them; and a matrix product of 2048 × 2048.
And against the usual loop: eager PyTorch in its default layout (NCHW) over torchvision's data set with a transform per
image (RandomCrop, RandomHorizontalFlip, ToTensor, Normalize) and a DataLoader, with no and with two workers. Same
network, batch, optimizer and threads.

    python -m benchmarks.training [--images 6000] [--batch 128] [--rounds 3] [--bf16] [--processor-time --threads 1]

All alternate (A B C A B C …), a process each. Goal: four fifths of the convolutions' images a second in fp32.
`--bf16` adds ours and its ceilings in bf16, with oneDNN held to each of AMX, AVX512-BF16 and plain AVX-512 that the
processor has. Writes `benchmarks/results/training.json`.
"""

import argparse
import contextlib
import gzip
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import ceilings, results
from engine.machine import environment, private
from engine.machine.environment import process_variables

HOME = Path(__file__).resolve().parent.parent

USUAL = ("usual, 0 workers", "usual, 2 workers")
CEILINGS = ("convolutions", "product")
COMPILED = "ours, compiled"
"""The same with `execution: compile`: fewer passes over memory between convolutions, after some time of building."""
LOOPS = ("ours", COMPILED, *USUAL, *CEILINGS)
SETS = {"AVX512_CORE_AMX": "amx_bf16", "AVX512_CORE_BF16": "avx512_bf16", "AVX512_CORE": "avx512f"}
"""What oneDNN can be held to by ONEDNN_MAX_CPU_ISA, and the processor's flag for it."""
GOAL = 0.8
Clock = Callable[[], float]

WARM_IMAGES = 1280
"""Trained on before the clock starts."""
RATE, MOMENTUM, DECAY = 0.05, 0.9, 5e-4


def ours(images: int, batch: int, precision: Any, clock: Clock, execution: Any = "eager") -> float:
    """Images a second of `fit`'s second epoch, in a process set up as a worker's."""
    import torch

    from engine import datasets
    from engine.compute.context import Context
    from engine.compute.data import Split, load
    from engine.compute.models.resnet import CifarResNet
    from engine.compute.training.loop import fit
    from engine.compute.worker.setup import settle
    from engine.params.preset import Data
    from engine.params.training import Train
    from engine.studies import events as ev

    settle(torch.get_num_threads())
    params = Data(name="fashion-mnist", limit=images)
    data = load(params, datasets.locate(params, Path()))
    few = Split(data.test.images, data.test.labels[:1])  # scoring is not what is measured
    torch.manual_seed(0)
    model = CifarResNet(20, data.channels, data.classes)
    ends: list[float] = []

    def send(event: ev.Event) -> None:
        if isinstance(event, ev.EpochFinished):
            ends.append(clock())

    fixed: dict[str, Any] = {"learning_rate": RATE, "schedule": "constant"}
    fixed |= {"execution": execution}
    train = Train(epochs=2, batch=batch, augment="crop-flip", precision=precision, **fixed)
    with private.scratch() as partial:
        context = Context(replace(data, validation=few), torch.device("cpu"), 0, 0, "", partial, send)
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
def _torchvision_root() -> Iterator[Path]:
    """A folder laid out as torchvision wants it, of the files that are here."""
    from engine import datasets
    from engine.params.preset import Data

    folder = datasets.locate(Data(name="fashion-mnist"), Path()).root
    with private.scratch() as root:
        raw = root / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for file in folder.glob("*ubyte.gz"):
            (raw / file.stem).write_bytes(gzip.decompress(file.read_bytes()))
        yield root


def ceiling(name: str, batch: int, precision: str, clock: Clock) -> float:
    """Images a second that the ceiling would allow."""
    import torch

    from engine.compute.models.resnet import CifarResNet
    from engine.compute.worker.setup import settle

    settle(torch.get_num_threads())
    torch.manual_seed(0)
    model = CifarResNet(20, 1, 10).to(memory_format=torch.channels_last).train()
    images = torch.randn(batch, 1, 28, 28).contiguous(memory_format=torch.channels_last)
    if name == "convolutions":
        return ceilings.convolutions(model, images, precision, clock)
    return ceilings.product(precision, clock) / ceilings.operations(model, images)


def measured(loop: str, args: argparse.Namespace, precision: str = "fp32", isa: str = "") -> float:
    """Images a second of a loop, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.training", "--loop", loop, "--images", str(args.images)]
    command += ["--processor-time"] if args.processor_time else []
    held = {"ONEDNN_MAX_CPU_ISA": isa} if isa else {}
    done = subprocess.run(
        [*command, "--batch", str(args.batch), "--threads", str(args.threads), "--precision", precision],
        env=process_variables() | held,
        cwd=HOME,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return float(done.stdout.split()[-1])


def one(args: argparse.Namespace) -> float:
    import torch

    torch.set_num_threads(args.threads)
    clock = time.process_time if args.processor_time else time.perf_counter
    if args.loop in CEILINGS:
        return ceiling(args.loop, args.batch, args.precision, clock)
    if args.loop in ("ours", COMPILED):
        execution = "compile" if args.loop == COMPILED else "eager"
        return ours(args.images, args.batch, args.precision, clock, execution)
    return usual(args.images, args.batch, int(args.loop.split()[1]), clock)


def rounds(
    loops: tuple[str, ...], args: argparse.Namespace, precision: str = "fp32", isa: str = ""
) -> dict[str, list[float]]:
    """Images a second of each loop, round by round."""
    by_loop: dict[str, list[float]] = {loop: [] for loop in loops}
    for number in range(args.rounds):
        for loop in loops:
            by_loop[loop].append(measured(loop, args, precision, isa))
        line = ", ".join(f"{loop} {rates[-1]:.0f}" for loop, rates in by_loop.items())
        print(f"round {number + 1}, images/s: {line}; load {os.getloadavg()[0]:.1f}", flush=True)
    return by_loop


def say(label: str, by_loop: dict[str, list[float]], each: float) -> dict[str, Any]:
    """Print what was found, with `each` operations an image, and give it back for the results."""
    medians = {loop: statistics.median(rates) for loop, rates in by_loop.items()}
    print(f"\n{label}{'':<14} images/s  GFLOP/s  ours is")
    for loop, rate in medians.items():
        ratios = [mine / other for mine, other in zip(by_loop["ours"], by_loop[loop], strict=True)]
        share = (
            ""
            if loop == "ours"
            else f"{statistics.median(ratios):.2f} ({min(ratios):.2f} … {max(ratios):.2f})"
        )
        print(f"  {loop:<17} {rate:>8.0f} {rate * each / 1e9:>8.0f}  {share}")
    return {"images_per_s": medians, "gflops": {loop: rate * each / 1e9 for loop, rate in medians.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=6000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--processor-time", action="store_true", help="for a busy machine, with --threads 1: not wall time"
    )
    parser.add_argument("--loop", choices=LOOPS, help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.loop:
        print(one(args))
        return
    # The workers' own time is not seen.
    loops = tuple(loop for loop in LOOPS if not args.processor_time or loop != USUAL[1])
    each = _operations()
    print(f"{environment.cpu()['model']}, {args.threads} threads, batch {args.batch}")
    fp32 = say("fp32", rounds(loops, args), each)
    rows = [_row("fp32", fp32)]
    share = fp32["images_per_s"]["ours"] / fp32["images_per_s"]["convolutions"]
    print(f"ours / convolutions: {share:.2f} (goal ≥ {GOAL})")
    for isa, flag in SETS.items() if args.bf16 else ():
        if flag not in environment.cpu_features():
            print(f"\nbf16, {isa}: not on this processor")
            continue
        rows.append(
            _row(f"bf16, {isa}", say(f"bf16, {isa}", rounds(("ours", *CEILINGS), args, "bf16", isa), each))
        )
    results.write(
        "training",
        rows,
        title="Training against what the processor can do",
        about=f"ResNet20 on Fashion-MNIST at batch {args.batch}, {args.threads} threads, images a second (medians): "
        "ours, the network's bare convolutions, a matrix product of the same operations, and an ordinary loop.",
    )


def _row(precision: str, said: dict[str, Any]) -> dict[str, Any]:
    return {"precision": precision} | {loop: round(rate) for loop, rate in said["images_per_s"].items()}


def _operations() -> float:
    """Operations of training on one image."""
    import torch

    from engine.compute.models.resnet import CifarResNet

    return ceilings.operations(CifarResNet(20, 1, 10), torch.zeros(2, 1, 28, 28))


if __name__ == "__main__":
    main()
