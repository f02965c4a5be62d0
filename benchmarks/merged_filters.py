"""Merged filters of ResNet20: what 80 % of the clustered weights cost in accuracy and buy in time.

Three networks come from the same trained one: with merged filters; with channels pruned by their L2 norm to the same
MACs, as it is and refitted. Each is scored on validation before any training; then the merged one is fine-tuned,
scored once on the test split, and timed against the trained one in ONNX Runtime at the batch size of
--images-at-once, as one would run it over a test set.

    python -m benchmarks.merged_filters [--ratio 0.8] [--finetune 4] [--images-at-once 100] [--seeds 0 1 2]

The goals: 2 times as fast, at most 1.5 points lost, and before training more accurate than pruning. Results are
kept in --folder. Run it on an otherwise idle machine: "others" is the share of the processors' time that went to other
programs meanwhile.
"""

import argparse
import statistics
from functools import partial
from typing import Any

from benchmarks import trained
from engine import hostlock
from engine.compute.context import place
from engine.compute.data import Dataset
from engine.compute.evaluate import validate
from engine.compute.measure.counts import count
from engine.compute.pipeline import apply
from engine.params import ClusterFilters, PruneChannels

GOAL_SPEEDUP, GOAL_POINTS = 2.0, 1.5


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, Any]:
    original = trained.baseline(args, data, seed)
    shape = (data.channels, *data.size)
    step = ClusterFilters(ratio=args.ratio, **trained.settings(args.settings))
    model = apply(step, trained.baseline(args, data, seed), trained.context(data, seed, 1))
    speedup = count(original, shape).macs / count(model, shape).macs
    found: dict[str, Any] = {"macs": speedup, "merged": validation(model, data)}
    for name, repair in (("pruned", False), ("pruned and refitted", True)):
        other = PruneChannels(criterion="l2", speedup=speedup, repair=repair)
        found[name] = validation(
            apply(other, trained.baseline(args, data, seed), trained.context(data, seed, 1)), data
        )
    model = apply(trained.finetune(args), place(model, trained.CPU), trained.context(data, seed, 2))
    with hostlock.exclusive():
        row = trained.timed(args, data, original, model)
    return found | {
        "speedup": row["speedup"],
        "others": row["foreign_load"],
        "validation": validation(model, data),
        "before": 100 * trained.tested(original, data),
        "after": 100 * trained.tested(model, data),
    }


def validation(model: Any, data: Dataset) -> float:
    return 100 * float(validate(model, trained.context(data, 0, 0)).accuracy)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/merged-filters")
    trained.timing_arguments(parser)
    parser.set_defaults(images_at_once=100)
    parser.add_argument("--ratio", type=float, default=0.8, help="share of the clustered weights removed")
    parser.add_argument("--settings", nargs="*", default=[], metavar="PARAMETER=VALUE")
    args = parser.parse_args()
    data = trained.prepare(args)
    about = ["merged", args.ratio, args.runtime, args.images_at_once, *sorted(args.settings)]
    results = []
    for seed in args.seeds:
        one = trained.kept(args, [*about, seed], partial(trial, args, data, seed))
        results.append(one)
        print(
            f"seed {seed}: {one['macs']:.2f}x fewer MACs; before training merged {one['merged']:.2f} %, pruned"
            f" {one['pruned']:.2f} %, pruned and refitted {one['pruned and refitted']:.2f} % (validation); test"
            f" {one['before']:.2f} → {one['after']:.2f} %; {one['speedup']:.2f}x as fast, others {one['others']:.0%}",
            flush=True,
        )
    lost = [one["before"] - one["after"] for one in results]
    times = [one["speedup"] for one in results]
    met = statistics.fmean(times) >= GOAL_SPEEDUP and statistics.fmean(lost) <= GOAL_POINTS
    print(
        f"{trained.spread(times)}x as fast (goal ≥ {GOAL_SPEEDUP:g}), lost {trained.spread(lost)} points"
        f" (goal ≤ {GOAL_POINTS:g}): {'met' if met else 'NOT met'}"
    )


if __name__ == "__main__":
    main()
