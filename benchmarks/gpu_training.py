"""Training on a GPU against a plain loop: ResNet20 on images of 32×32 pixels, batch 128.

Ours is `engine.compute.training.loop` in a process set up as a worker's, with images on the GPU, channels last, in
bf16, by each `execution`. The plain loop is what a tutorial has: eager PyTorch in its default layout over a data set of
PIL images (RandomCrop, RandomHorizontalFlip, ToTensor, Normalize), a DataLoader with `--workers` processes, pinned
memory and copies that do not block; in fp32 as torch has it by default, and by autocast in bf16. Same network, batch,
optimizer. Images are noise of CIFAR10's shape, held as torchvision holds it: what an update costs is the same.

    python -m benchmarks.gpu_training [--rounds 3] [--seconds 6] [--workers 8] [--device cuda]

All alternate (A B C A B C …), a process each. Goal: five times the faster of the plain loops. `--device cpu` tries the
script.
Writes `benchmarks/results/gpu_training.json` (or --json FILE).
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks import results
from engine.machine import gpu_state, gpus, private
from engine.machine.environment import process_variables

HOME = Path(__file__).resolve().parent.parent
OURS = ("ours, eager", "ours, graphs", "ours, compile")
PLAIN = ("plain fp32", "plain bf16")
GOAL = 5.0
RATE, MOMENTUM, DECAY = 0.05, 0.9, 5e-4
SIZE, CLASSES = 32, 10
MOST_EPOCHS = 50
WITHIN_S = 150
"""A process that takes longer is ended, and its loop has no number."""


def ours(execution: Any, args: argparse.Namespace) -> float:
    """Images a second of `fit`, from its second epoch on."""
    import torch

    from engine.compute.context import Context
    from engine.compute.data import Split
    from engine.compute.data.dataset import Dataset
    from engine.compute.data.images import Pixels
    from engine.compute.models.resnet import CifarResNet
    from engine.compute.training.loop import fit
    from engine.compute.worker.setup import settle
    from engine.params.training import Train
    from engine.studies import events as ev

    settle(args.threads)
    pixels, labels = noise(args.images)
    train = Split(Pixels(pixels), labels)
    few = Split(Pixels(pixels[:8]), labels[:8])  # scoring is not what is measured
    names = tuple(map(str, range(CLASSES)))
    data = Dataset(
        "noise",
        names,
        3,
        (SIZE, SIZE),
        torch.full((3,), 0.5),
        torch.full((3,), 0.25),
        train,
        few,
        few,
        "noise",
    )
    torch.manual_seed(0)
    ends: list[float] = []

    class Enough(Exception):
        pass

    def send(event: ev.Event) -> None:
        if isinstance(event, ev.EpochFinished):
            ends.append(time.perf_counter())
            if len(ends) > 1 and ends[-1] - ends[0] > args.seconds:
                raise Enough

    fixed: dict[str, Any] = {"learning_rate": RATE, "schedule": "constant", "precision": "bf16"}
    params = Train(epochs=MOST_EPOCHS, batch=args.batch, augment="crop-flip", execution=execution, **fixed)
    with private.scratch() as partial:
        context = Context(data, torch.device(args.device), 0, 0, "", partial, send)
        with contextlib.suppress(Enough):
            fit(CifarResNet(20, 3, CLASSES), params, context)
    return args.images * (len(ends) - 1) / (ends[-1] - ends[0])


def noise(images: int) -> Any:
    import torch

    chance = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (images, 3, SIZE, SIZE), dtype=torch.uint8, generator=chance)
    return pixels, torch.randint(CLASSES, (images,), generator=chance)


def plain(precision: str, args: argparse.Namespace) -> float:
    """Images a second of a training loop as in any tutorial, for some seconds after its first updates."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader
    from torchvision import transforms

    from engine.compute.models.resnet import CifarResNet

    transform = transforms.Compose(
        [
            transforms.RandomCrop(SIZE, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5, 0.5, 0.5), (0.25, 0.25, 0.25)),
        ]
    )
    pixels, labels = noise(args.images)
    arrays = pixels.permute(0, 2, 3, 1).contiguous().numpy()

    class Noise(torch.utils.data.Dataset[Any]):
        """As torchvision's CIFAR10: an array, of which each image becomes a PIL image."""

        def __len__(self) -> int:
            return len(labels)

        def __getitem__(self, number: int) -> Any:
            return transform(Image.fromarray(arrays[number])), int(labels[number])

    on_gpu = args.device == "cuda"
    loader = DataLoader(
        Noise(),
        args.batch,
        shuffle=True,
        num_workers=args.workers,
        pin_memory=on_gpu,
        persistent_workers=args.workers > 0,
        drop_last=True,
    )
    device = torch.device(args.device)
    torch.manual_seed(0)
    model = CifarResNet(20, 3, CLASSES).to(device).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=RATE, momentum=MOMENTUM, nesterov=True, weight_decay=DECAY
    )
    wait = torch.cuda.synchronize if on_gpu else lambda: None
    seen, started, updates = 0, 0.0, 0
    while True:
        for pictures, targets in loader:
            pictures, targets = (one.to(device, non_blocking=True) for one in (pictures, targets))
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(args.device, torch.bfloat16, enabled=precision == "bf16"):
                loss = torch.nn.functional.cross_entropy(model(pictures), targets)
            loss.backward()
            optimizer.step()
            updates += 1
            seen += len(targets)
            if updates == args.warm:
                wait()
                seen, started = 0, time.perf_counter()
            elif started and updates % 10 == 0:
                wait()
                if time.perf_counter() - started > args.seconds:
                    return seen / (time.perf_counter() - started)


def one(args: argparse.Namespace) -> float:
    import torch

    torch.set_num_threads(args.threads)
    kind, _, rest = args.loop.partition(" ")
    return plain(rest, args) if kind == "plain" else ours(rest, args)


def measured(loop: str, args: argparse.Namespace) -> tuple[float | None, str]:
    """Images a second of a loop in a process of its own, or why there are none."""
    command = [sys.executable, "-m", "benchmarks.gpu_training", "--loop", loop, "--images", str(args.images)]
    command += ["--device", args.device, "--batch", str(args.batch), "--seconds", str(args.seconds)]
    command += ["--threads", str(args.threads), "--workers", str(args.workers), "--warm", str(args.warm)]
    try:
        done = subprocess.run(
            command,
            env=process_variables(),
            cwd=HOME,
            capture_output=True,
            text=True,
            timeout=WITHIN_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"not done within {WITHIN_S} s"
    if done.returncode:
        return None, (done.stderr.strip().splitlines() or ["no output"])[-1][:200]
    return float(done.stdout.split()[-1]), ""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each loop, after its first updates")
    parser.add_argument("--images", type=int, default=25_600)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument(
        "--warm", type=int, default=20, help="updates of the plain loop before the clock starts"
    )
    parser.add_argument("--workers", type=int, default=min(8, len(os.sched_getaffinity(0))))
    parser.add_argument("--threads", type=int, default=min(4, len(os.sched_getaffinity(0))))
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--json", type=Path, help="write the numbers here instead")
    parser.add_argument("--only", default="", help="loops whose names have one of these, with commas")
    parser.add_argument("--loop", choices=(*OURS, *PLAIN), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.loop:
        args.loop = args.loop.replace(",", "")
        print(one(args))
        return 0
    if args.device == "cuda":
        gpus.check("cuda")
    loops = [loop for loop in (*OURS, *PLAIN) if any(word in loop for word in args.only.split(","))]
    loops = [loop for loop in loops if args.device == "cuda" or loop != "ours, graphs"]
    card = gpus.of_device("cuda")[0] if args.device == "cuda" else None
    print(
        f"{card.name if card else results.processor()}, batch {args.batch}, {args.workers} loading processes"
    )
    rates: dict[str, list[float]] = {loop: [] for loop in loops}
    failed: dict[str, str] = {}
    rows: list[dict[str, Any]] = []
    for number in range(args.rounds):
        for loop in [name for name in loops if name not in failed]:
            rate, why = measured(loop, args)
            if rate is None:
                failed[loop] = why
            else:
                rates[loop].append(rate)
        told = ", ".join(f"{loop} {found[-1]:.0f}" for loop, found in rates.items() if found)
        print(f"round {number + 1}, images/s: {told}", flush=True)
        rows = [_row(loop, found, rates, failed.get(loop, "")) for loop, found in rates.items()]
        write(args, rows, card)  # after each, for whoever has no time for all of them
    for row in rows:
        ratio = "" if row["against_plain"] is None else f"{row['against_plain']:6.2f} × plain"
        print(f"  {row['loop']:<14} {row['images_per_s'] or 0:>9.0f} images/s {ratio} {row['failed']}")
    print(
        f"ours / the faster plain loop: {_best(rows):.2f} (goal ≥ {GOAL:g}) on {card.name if card else 'a processor'}"
    )
    return int(bool(failed))


def write(args: argparse.Namespace, rows: list[dict[str, Any]], card: gpus.Gpu | None) -> None:
    """The numbers so far, as a file."""
    gpu = {"name": card.name, **gpu_state.read(card)} if card else None
    if args.json:
        content = {"rows": rows, "best": _best(rows), "goal": GOAL, "gpu": gpu}
        args.json.write_text(json.dumps(content, indent=1))
    else:
        about = "ResNet20, 32×32 pixels, ours in bf16; images a second, medians."
        results.write("gpu_training", rows, title="Training on a GPU", about=about, gpu=gpu)


def _best(rows: list[dict[str, Any]]) -> float:
    """Of our loops against the faster plain one."""
    return max((row["against_plain"] or 0.0 for row in rows if row["loop"] in OURS), default=0.0)


def _row(loop: str, found: list[float], rates: dict[str, list[float]], failed: str) -> dict[str, Any]:
    usual = max((rates[plain] for plain in PLAIN if rates.get(plain)), key=statistics.median, default=[])
    ratios = [mine / other for mine, other in zip(found, usual, strict=False)]
    return {
        "loop": loop,
        "images_per_s": round(statistics.median(found)) if found else None,
        "against_plain": round(statistics.median(ratios), 2) if ratios else None,
        "failed": failed,
    }


if __name__ == "__main__":
    sys.exit(main())
