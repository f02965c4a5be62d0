"""Deep Compression's pipeline on ResNet20: how much smaller the file gets, and what accuracy that costs.

    python -m benchmarks.deep_compression [--images 20000] [--epochs 6] [--sparsity 0.9] [--centroids 32]
                                          [--seeds 0 1 2]

Trains on Fashion-MNIST, prunes in rounds with training between them, fine-tunes, clusters the weights that are left,
trains the centroids, and packs. Every choice of an epoch is made on validation; the test split is scored once for the
trained network and once for the compressed one. Prints bytes after each step, of the plain fp32 file and the packed
one, and at the end mean ± deviation over the seeds. The goal: ≥ 20× smaller
than the plain file (VGG16: ≥ 35×), ≤ 1 point lost.
"""

import argparse
import statistics
import time
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks import trained
from engine.compute.context import validate
from engine.compute.data import Dataset
from engine.compute.measures import packed
from engine.compute.measures.sizes import sizes
from engine.compute.measures.unpack import unpack
from engine.compute.models import checkpoint
from engine.compute.steps.apply import apply
from engine.params import ClusterWeights, PruneWeights, Step
from engine.params.pruning import Cubic

GOAL_RATIO, GOAL_POINTS = 20.0, 1.0
VGG_RATIO = 35.0
"""The goal for a network most of whose weights are in linear layers."""


def steps(args: argparse.Namespace) -> list[Step]:
    """What follows training."""
    rounds = Cubic(rounds=args.rounds, epochs=1, learning_rate=args.finetune_rate)
    return [
        PruneWeights(sparsity=args.sparsity, schedule=rounds),
        trained.finetune(args),
        ClusterWeights(centroids=args.centroids),
        trained.finetune(args, epochs=args.tune, learning_rate=args.tune_rate),
    ]


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    """Ratio of the files, test accuracy of the trained and of the compressed network, in percent."""
    model = trained.baseline(args, data, seed)
    before = 100 * trained.tested(model, data)
    plain = sizes(checkpoint.folded_state(model))["plain"]
    report(seed, "train", model, data, 0.0)
    for position, step in enumerate(steps(args), 1):
        started = time.monotonic()
        model = apply(step, model, trained.context(data, seed, position))
        report(seed, step.kind, model, data, time.monotonic() - started)
    state = checkpoint.folded_state(model)
    file = packed.dump(state)
    again = unpack(file)
    assert all(torch.equal(torch.from_numpy(again[name][1]), tensor) for name, tensor in state.items())
    return {"ratio": plain / len(file), "before": before, "after": 100 * trained.tested(model, data)}


def report(seed: int, step: str, model: nn.Module, data: Dataset, seconds: float) -> None:
    size = sizes(checkpoint.folded_state(model))
    validation = validate(model, trained.context(data, seed, 0)).accuracy
    print(
        f"seed {seed} {step:16} validation {validation:.2%}  plain {size['plain']:>9} B"
        f"  gzip {size['gzip']:>9} B  packed {size['packed']:>9} B"
        f"  {size['plain'] / size['packed']:6.1f}x  {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/deep-compression")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--tune", type=int, default=2)
    parser.add_argument("--tune-rate", type=float, default=0.02)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--centroids", type=int, default=32)
    args = parser.parse_args()
    data = trained.prepare(args)
    about = [args.rounds, args.tune, args.tune_rate, args.sparsity, args.centroids]
    trials = [
        trained.kept(args, ["deep", *about, seed], partial(trial, args, data, seed)) for seed in args.seeds
    ]
    for seed, one in zip(args.seeds, trials, strict=True):
        print(
            f"seed {seed}: {one['ratio']:.1f}x smaller, test accuracy {one['before']:.2f} % → {one['after']:.2f} %"
        )
    ratios, lost = [one["ratio"] for one in trials], [one["before"] - one["after"] for one in trials]
    goal = VGG_RATIO if "vgg" in args.model else GOAL_RATIO
    met = min(ratios) >= goal and statistics.fmean(lost) <= GOAL_POINTS
    print(
        f"ratio {trained.spread(ratios)}x (goal ≥ {goal:g}), lost {trained.spread(lost)} points"
        f" (goal ≤ {GOAL_POINTS:g}): {'met' if met else 'NOT met'}"
    )


if __name__ == "__main__":
    main()
