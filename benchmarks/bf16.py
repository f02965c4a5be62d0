"""Training in bf16 on a processor: torch's autocast as it is, and with what is slower for it left in float32.

Untrained networks of torchvision; an update without the optimizer's part (forward and backward pass of one batch, in
channels-last layout), in float32, in bf16 by autocast, and as `precision: bf16` has it. The three take turns, so that
what else the machine does meets all of them; of each the fastest of --rounds counts.

    python -m benchmarks.bf16 [--models mobilenet_v2 ...] [--size 64] [--batch 32] [--rounds 8] [--threads 2] [--quick]

Writes benchmarks/results/bf16.json. Run it on an otherwise idle machine. --quick takes one network, writes nothing and
fails where a network of depthwise convolutions is slower than by autocast alone: CI runs it.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torchvision
from torch import nn

from benchmarks import results, trained
from engine.compute.numerics.onednn import float32_where_faster

MODELS = (
    "mobilenet_v2",
    "mobilenet_v3_small",
    "efficientnet_b0",
    "mnasnet1_0",
    "shufflenet_v2_x1_0",
    "convnext_tiny",
    "resnet18",
)
ARMS = ("fp32", "autocast", "bf16")
QUICK = "--models mobilenet_v2 --size 32 --rounds 4 --threads 1"
CLASSES = 10
QUICK_GAIN = 0.8
"""Times as fast as by autocast alone: what may be told on a busy machine, and of a processor not seen yet."""


def updates(name: str, size: int, batch: int) -> dict[str, Callable[[], None]]:
    """What computes the gradients of a batch, for each arm: the same network on the same images."""
    torch.manual_seed(0)
    model: nn.Module = torchvision.models.get_model(name, num_classes=CLASSES).train()
    model.to(memory_format=torch.channels_last)
    images = torch.randn(batch, 3, size, size).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch) % CLASSES

    def update(arm: str) -> None:
        kept = float32_where_faster(model) if arm == "bf16" else contextlib.nullcontext()
        with kept:
            with torch.autocast("cpu", torch.bfloat16, enabled=arm != "fp32"):
                loss = nn.functional.cross_entropy(model(images), labels)
            loss.backward()
        model.zero_grad()

    return {arm: partial(update, arm) for arm in ARMS}


def row(name: str, args: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of an update in each arm, and how many times faster than autocast and fp32 ours is."""
    made = updates(name, args.size, args.batch)
    times: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for number in range(args.rounds + 1):
        for arm, update in made.items():
            started = time.perf_counter()
            update()
            if number:  # the first prepares oneDNN's kernels
                times[arm].append(1e3 * (time.perf_counter() - started))
    best = {arm: min(found) for arm, found in times.items()}
    return {
        "network": name,
        "fp32 (ms)": round(best["fp32"], 1),
        "autocast (ms)": round(best["autocast"], 1),
        "precision: bf16 (ms)": round(best["bf16"], 1),
        "faster than autocast": round(best["autocast"] / best["bf16"], 2),
        "faster than fp32": round(best["fp32"] / best["bf16"], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.set_defaults(folder=None)
    args = trained.parsed(parser, QUICK)
    trained.set_up(args.threads)
    rows = []
    for name in args.models:
        rows.append(row(name, args))
        results.tell(rows[-1])
    if args.quick:
        gained = rows[0]["faster than autocast"]
        return results.judged(
            {f"{rows[0]['network']} trains no slower than by autocast ({gained} ×)": gained > QUICK_GAIN}
        )
    results.write(
        "bf16",
        rows,
        title="Training in bf16 on a processor",
        about=f"An update of untrained networks, {args.batch} images of {args.size} px, {args.threads} threads.",
        threads=args.threads,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
