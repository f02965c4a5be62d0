"""Merged filters of ResNet20: what 80 % of the clustered weights cost in accuracy and buy in time.

Three networks come from the same trained one: with merged filters; with channels pruned by their L2 norm to the same
MACs, as it is and refitted. Each is scored on validation before any training; then the merged one is fine-tuned and
scored once on the test split, and so is the trained one, with the same fine-tuning. The merged network is timed
against the trained one in ONNX Runtime at the batch size of --images-at-once, as one would run it over a test set.

    python -m benchmarks.merged_filters [--ratio 0.8] [--finetune 8] [--finetune-rate 0.1] [--images-at-once 32]
                                        [--seeds 0 1 2] [--settings weighting=none ...]

The goals: 2 times as fast, at most 1.5 points lost, and before training more accurate than pruning. Results are
kept in --folder, each apart. Run it on an otherwise idle machine: "others" is the share of the processors'
time that went to other programs meanwhile.
"""

import argparse
import statistics
import sys
from functools import partial
from typing import Any

from torch import nn

from benchmarks import results, trained
from engine.compute.context import to_device, validate
from engine.compute.data import Dataset
from engine.compute.measures.counts import count
from engine.compute.steps.apply import apply
from engine.machine import lock
from engine.params import ClusterFilters, PruneChannels
from engine.text.phrases import counted

GOAL_SPEEDUP, GOAL_POINTS = 2.0, 1.5
QUICK = f"{trained.DIGITS} --finetune 4 --finetune-rate 0.1 --untimed"
QUICK_BEHIND = 4.0
BEFORE = ("merged", "pruned", "pruned and refitted")
"""Networks that are scored before any training."""


def merged(args: argparse.Namespace, data: Dataset, seed: int) -> nn.Module:
    step = ClusterFilters(ratio=args.ratio, **trained.settings(args.settings))
    return apply(step, trained.baseline(args, data, seed), trained.context(data, seed, 1))


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    """Accuracies in percent, and how many times fewer MACs."""
    original, model = trained.baseline(args, data, seed), merged(args, data, seed)
    shape = (data.channels, *data.size)
    speedup = count(original, shape).macs / count(model, shape).macs
    accuracies: dict[str, Any] = {"macs": speedup, "merged": validation(model, data)}
    for name, repair in (("pruned", False), ("pruned and refitted", True)):
        other = PruneChannels(criterion="l2", speedup=speedup, repair=repair)
        accuracies[name] = validation(
            apply(other, trained.baseline(args, data, seed), trained.context(data, seed, 1)), data
        )
    accuracies["before"] = 100 * trained.tested(original, data)
    model = finetuned(model, args, data, seed)
    return accuracies | {"after": 100 * trained.tested(model, data), "validation": validation(model, data)}


def control(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    """Accuracy of the trained network after the same fine-tuning, in percent."""
    model = finetuned(trained.baseline(args, data, seed), args, data, seed)
    return {"trained on": 100 * trained.tested(model, data)}


def finetuned(model: nn.Module, args: argparse.Namespace, data: Dataset, seed: int) -> nn.Module:
    return apply(trained.finetune(args), to_device(model, trained.CPU), trained.context(data, seed, 2))


def timing(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    """How many times as fast the merged network is; its weights, trained on or not, make no difference."""
    original, model = trained.baseline(args, data, seed), merged(args, data, seed)
    with lock.exclusive():
        row = trained.timed(args, data, original, model)
    return {"speedup": row["speedup"], "others": row["foreign_load"]}


def validation(model: Any, data: Dataset) -> float:
    return 100 * float(validate(model, trained.context(data, 0, 0)).accuracy)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/merged-filters")
    trained.timing_arguments(parser)
    parser.set_defaults(images_at_once=32, finetune=8, finetune_rate=0.1, schedule="onecycle")
    parser.add_argument("--ratio", type=float, default=0.8, help="share of the clustered weights removed")
    parser.add_argument("--untimed", action="store_true", help="accuracy alone, on a busy machine")
    parser.add_argument("--settings", nargs="*", default=[], metavar="PARAMETER=VALUE")
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    about = ["merged", args.ratio, *sorted(args.settings)]
    found = []
    for seed in args.seeds:
        one = trained.kept(args, [*about, seed], partial(trial, args, data, seed))
        one |= trained.kept(args, ["trained on", seed], partial(control, args, data, seed))
        timed = [*about, args.runtime, args.images_at_once, args.threads, "timed", seed]
        one |= {} if args.untimed else trained.kept(args, timed, partial(timing, args, data, seed))
        found.append(one)
        print(
            f"seed {seed}: {one['macs']:.2f}x fewer MACs; before training merged {one['merged']:.2f} %, pruned"
            f" {one['pruned']:.2f} %, pruned and refitted {one['pruned and refitted']:.2f} % (validation); test"
            f" {one['before']:.2f} → {one['after']:.2f} %, {one['trained on']:.2f} % without merging"
            + ("" if args.untimed else f"; {one['speedup']:.2f}x as fast, others {one['others']:.0%}"),
            flush=True,
        )
    lost = [one["before"] - one["after"] for one in found]
    behind = [one["trained on"] - one["after"] for one in found]
    print(
        f"lost {trained.spread(lost)} points (goal ≤ {GOAL_POINTS:g}),"
        f" {trained.spread(behind)} to the trained network with the same fine-tuning"
    )
    if args.quick:
        return results.judged(
            {
                "before training better than channels pruned": all(
                    one["merged"] > one["pruned"] for one in found
                ),
                f"after it at most {QUICK_BEHIND:g} points behind": statistics.fmean(behind) <= QUICK_BEHIND,
            }
        )
    if not args.untimed:
        print(f"{trained.spread([one['speedup'] for one in found])}x as fast (goal ≥ {GOAL_SPEEDUP:g})")
    results.write(
        "merged_filters", rows(args, found), title="Filters that merge", about=described(args, found)
    )
    return 0


def rows(args: argparse.Namespace, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What the results' table says of this run."""

    def row(network: str, accuracy: str, speed: str = "") -> dict[str, Any]:
        values = {"accuracy (%)": accuracy, f"speed in {args.runtime}": speed}
        return {"network": network} | {
            head: results.mean_and_deviation([one[key] for one in found]) if key else None
            for head, key in values.items()
        }

    after = f"{args.finetune} more epochs (test)"
    return [
        row(f"whole, {after}", "trained on"),
        row(f"merged, {after}", "after", "" if args.untimed else "speedup"),
        *(row(f"{name}, no training after (validation)", name) for name in BEFORE),
    ]


def described(args: argparse.Namespace, found: list[dict[str, Any]]) -> str:
    """What the table is about."""
    macs, before = (trained.spread([one[name] for one in found]) for name in ("macs", "before"))
    seeds = counted(len(found), "seed")
    return (
        f"`cluster.filters`, `ratio: {args.ratio:g}`: {args.model}, {args.data}, {seeds}, from {before} % on test; "
        f"{macs} times fewer MACs, and channels pruned to as many. Timed at batch {args.images_at_once}."
    )


if __name__ == "__main__":
    sys.exit(main())
