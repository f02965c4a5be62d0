"""Deep Compression's pipeline on ResNet20: how much smaller the file gets, and what accuracy that costs.

    python -m benchmarks.deep_compression [--images 20000] [--epochs 6] [--sparsity 0.9] [--centroids 32]
                                          [--seeds 0 1 2] [--distill 'method={kind: logits, alpha: 0.7}']
                                          [--nncodec PYTHON] [--quick]

Trains on Fashion-MNIST, prunes in rounds with training between them, fine-tunes, clusters the weights that are left,
trains the centroids, halves what is still float, and packs. Every choice of an epoch is made on validation; the test
split is scored once for the trained network, once for the same with as many more epochs, and once for the compressed
one. Prints bytes after each step, of the plain fp32 file and the packed one, and at the end mean ± deviation over the
seeds, which is written to benchmarks/results/deep_compression.json (of another network with its name). The goal: ≥ 35×
smaller than the plain file (VGG16: ≥ 60×), ≤ 0.5 points lost of the network with as many epochs. With --distill that
network teaches the compressed one. With --nncodec the same tensors are also coded with NNCodec (`benchmarks.nncodec`).

--quick takes the embedded digits and fails where the file is not so small, or too much is lost: CI runs it.
"""

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks import nncodec, results, trained
from engine.compute.context import validate
from engine.compute.data import Dataset
from engine.compute.measures import packed
from engine.compute.measures.sizes import sizes
from engine.compute.measures.unpack import unpack
from engine.compute.models import checkpoint
from engine.compute.steps.apply import apply
from engine.params import ClusterWeights, Distill, PruneWeights, QuantizeHalf, Step
from engine.params.pruning import Cubic
from engine.text.phrases import counted

GOAL_RATIO, GOAL_POINTS = 35.0, 0.5
VGG_RATIO = 60.0
"""The goal for a network most of whose weights are in linear layers."""
QUICK = (
    "--data digits --images 0 --size 8 --epochs 8 --rate 0.1 --batch 64 --augment none --precision fp32 --threads 1"
    " --seeds 0 --rounds 2 --finetune 3 --tune 1 --sparsity 0.9 --centroids 16"
)
QUICK_RATIO, QUICK_POINTS = 35.0, 3.0
"""What the quick version has to reach; without `quantize.half` its file is 28 times smaller."""

TITLE = "Small files by Deep Compression"
ABOUT = "Prune, fine-tune, centroids, train them, halve the rest, entropy coding; a file that loads back bit-equal."


def steps(args: argparse.Namespace) -> list[Step]:
    """What follows training."""
    rounds = Cubic(rounds=args.rounds, epochs=1, learning_rate=args.finetune_rate)
    recovery, tuning = (
        trained.taught(step, args) if args.distill else step
        for step in (
            trained.finetune(args),
            trained.finetune(args, epochs=args.tune, learning_rate=args.tune_rate),
        )
    )
    return [
        PruneWeights(sparsity=args.sparsity, schedule=rounds),
        recovery,
        ClusterWeights(centroids=args.centroids),
        tuning,
        QuantizeHalf(),
    ]


def control(args: argparse.Namespace, data: Dataset, seed: int) -> nn.Module:
    """The trained network after as many epochs as compression takes, from --folder if it is there."""
    epochs = args.rounds - 1 + args.finetune + args.tune

    def made() -> nn.Module:
        model = trained.baseline(args, data, seed)
        return apply(trained.finetune(args, epochs=epochs), model, trained.context(data, seed, 1))

    tuned = trained.tuned_as(args, args.schedule or "default")
    return trained.network(args, ["control", *trained.trained_as(args), *tuned, epochs, seed], made)


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    """Ratio of the files, test accuracy of the trained and of the compressed network, in percent."""
    model = trained.baseline(args, data, seed)
    before = 100 * trained.tested(model, data)
    whole = control(args, data, seed)
    plain = sizes(checkpoint.folded_state(model))["plain"]
    report(seed, "train", model, data, 0.0)
    for position, step in enumerate(steps(args), 1):
        started = time.monotonic()
        context = trained.context(data, seed, position)
        context.teacher = whole if isinstance(step, Distill) else None
        model = apply(step, model, context)
        report(seed, step.kind, model, data, time.monotonic() - started)
    state = checkpoint.folded_state(model)
    file = packed.dump(state)
    again = unpack(file)
    assert all(torch.equal(torch.from_numpy(again[name][1]), tensor) for name, tensor in state.items())
    peer = nncodec.size(args.nncodec, state) if args.nncodec else None
    return {
        "ratio": plain / len(file),
        "nncodec": plain / peer if peer else None,
        "before": before,
        "control": 100 * trained.tested(whole, data),
        "after": 100 * trained.tested(model, data),
    }


def report(seed: int, step: str, model: nn.Module, data: Dataset, seconds: float) -> None:
    size = sizes(checkpoint.folded_state(model))
    validation = validate(model, trained.context(data, seed, 0)).accuracy
    print(
        f"seed {seed} {step:16} validation {validation:.2%}  plain {size['plain']:>9} B"
        f"  gzip {size['gzip']:>9} B  packed {size['packed']:>9} B"
        f"  {size['plain'] / size['packed']:6.1f}x  {seconds:.0f} s",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/deep-compression")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--tune", type=int, default=2)
    parser.add_argument("--tune-rate", type=float, default=0.02)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--centroids", type=int, default=32)
    parser.add_argument(
        "--distill", nargs="*", default=[], metavar="PARAMETER=VALUE", help="with a teacher: the control"
    )
    parser.add_argument("--nncodec", type=Path, metavar="PYTHON", help="with the package nncodec")
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    about = [args.rounds, args.tune, args.tune_rate, args.sparsity, args.centroids, *sorted(args.distill)]
    peer = ["nncodec"] if args.nncodec else []
    found = [
        trained.kept(args, ["halved", *about, *peer, seed], partial(trial, args, data, seed))
        for seed in args.seeds
    ]
    for seed, one in zip(args.seeds, found, strict=True):
        print(
            f"seed {seed}: {one['ratio']:.1f}x smaller, test accuracy {one['before']:.2f} % → {one['after']:.2f} %,"
            f" with as many epochs {one['control']:.2f} %"
        )
    ratios, lost = [one["ratio"] for one in found], [one["control"] - one["after"] for one in found]
    ratio, points = (VGG_RATIO if "vgg" in args.model else GOAL_RATIO), GOAL_POINTS
    if args.quick:
        ratio, points = QUICK_RATIO, QUICK_POINTS
    met = min(ratios) >= ratio and statistics.fmean(lost) <= points
    print(
        f"ratio {trained.spread(ratios)}x (goal ≥ {ratio:g}), lost {trained.spread(lost)} points"
        f" (goal ≤ {points:g}): {'met' if met else 'NOT met'}"
    )
    if args.quick:
        return results.judged({"the goal of the quick form": met})
    results.write(
        trained.named("deep_compression", args),
        [row(args, found)],
        title=trained.titled(TITLE, args),
        about=ABOUT,
    )
    return 0


def row(args: argparse.Namespace, found: list[dict[str, Any]]) -> dict[str, Any]:
    """What the results' table says of this run."""
    spread, seeds = results.mean_and_deviation, counted(len(found), "seed")
    about = f"{args.model}, {args.sparsity:.0%} pruned, {args.centroids} centroids a layer"
    return {
        "network": f"{about}{', with a teacher' if args.distill else ''}, {seeds}",
        "times smaller": spread([one["ratio"] for one in found]),
        **({"times smaller, NNCodec": spread([one["nncodec"] for one in found])} if args.nncodec else {}),
        "change of test accuracy (points)": spread([one["after"] - one["before"] for one in found]),
        "change from as many epochs (points)": spread([one["after"] - one["control"] for one in found]),
    }


if __name__ == "__main__":
    sys.exit(main())
