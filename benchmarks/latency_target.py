"""Pruning to a measured latency: is the target met, and is pruning by measured time better than by MACs?

ResNet20 on Fashion-MNIST at 28 px is trained, pruned to be measured as so many times as fast in ONNX Runtime, and
fine-tuned. Two arms meet the same measured speed-up and are fine-tuned alike: one removes channels where they buy
the most time (scope cost), the other where the least importance is lost over the whole model for its MACs (scope
global). What was reached is measured anew afterwards, in fresh processes, longer than the search measures. Choices
are made on validation; the test split is scored once for each model.

    python -m benchmarks.latency_target [--images 20000] [--epochs 6] [--finetune 4] [--speedup 1.5 2 3]
                                        [--seeds 0 1 2] [--both criterion=taylor …] [--threads 2]

Results are kept in --folder, and a run that was interrupted goes on with the first that is missing. Run it on an
otherwise idle machine: "others" is the share of the processors' time that went to other programs while the final
speed-up was measured, and above a few percent that number means little.
"""

import argparse
import statistics
import time
from typing import Any

from benchmarks import trained
from engine.compute.context import place, validate
from engine.compute.data import Dataset
from engine.compute.measures.counts import count
from engine.compute.steps.apply import apply
from engine.errors import SecateurError
from engine.machine import lock
from engine.params import PruneChannels

ARMS = {"time": {"scope": "cost"}, "macs": {"scope": "global"}}
"""What steers each arm; both stop at the same measured latency."""


def trial(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """One arm at one target for one seed."""
    original = trained.baseline(args, data, seed)
    started = time.monotonic()
    latency = {"speedup": target, "runtime": args.runtime, "batch": args.images_at_once}
    step = PruneChannels.model_validate(
        {"latency": latency, "round_to": "auto", **trained.settings(args.both), **ARMS[arm]}, strict=False
    )
    own = trained.context(data, seed, 1)
    with lock.exclusive():
        model = apply(step, trained.baseline(args, data, seed), own)
    seconds = time.monotonic() - started
    model = apply(trained.finetune(args), place(model, trained.CPU), trained.context(data, seed, 2))
    with lock.exclusive():
        row = trained.timed(args, data, original, model)
    tried = [value["speedup"] for name, value in own.recorded().items() if isinstance(value, dict)]
    return {
        "speedup": row["speedup"],
        "low": row["speedup_low"],
        "high": row["speedup_high"],
        "others": row["foreign_load"],
        "milliseconds": row["median_ms"],
        "searched": tried,
        "seconds": seconds,
        "macs": count(original, (data.channels, *data.size)).macs
        / count(model, (data.channels, *data.size)).macs,
        "validation": validate(model, trained.context(data, seed, 2)).accuracy,
        "test": trained.tested(model, data),
    }


def kept(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """The trial's result from --folder, or computed now and put there; printed either way."""
    about = [args.runtime, args.images_at_once, args.threads, *sorted(args.both), arm, target, seed]
    try:
        found = trained.kept(args, about, lambda: trial(args, data, arm, target, seed))
    except SecateurError as error:
        print(f"{arm:5} {target:4g}x seed {seed}: {error}", flush=True)
        return {}
    print(
        f"{arm:5} {target:4g}x seed {seed}: {found['speedup']:.2f}x [{found['low']:.2f}, {found['high']:.2f}]"
        f" ({found['speedup'] / target - 1:+.1%}; others {found['others']:.0%}), MACs {found['macs']:.2f}x,"
        f" validation {found['validation']:.2%}, test {found['test']:.2%},"
        f" {len(found['searched'])} tries in {found['seconds']:.0f} s",
        flush=True,
    )
    return found


def report(results: dict[tuple[float, str], list[dict[str, Any]]]) -> None:
    print("\ntarget  arm    measured    off by at most   MACs    test (mean ± deviation)   validation")
    for (target, arm), every in sorted(results.items()):
        found = [one for one in every if one]
        if not found:
            print(f"{target:5g}x  {arm:5}  out of reach")
            continue
        test = [100 * one["test"] for one in found]
        mean = {
            name: statistics.fmean(one[name] for one in found) for name in ("speedup", "macs", "validation")
        }
        worst = max(abs(one["speedup"] / target - 1) for one in found)
        print(
            f"{target:5g}x  {arm:5}  {mean['speedup']:7.2f}x   {worst:10.1%}   {mean['macs']:9.2f}x"
            f"   {trained.spread(test)} % ({len(found)} seeds)"
            f"   {100 * mean['validation']:6.2f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/latency-target")
    parser.add_argument("--speedup", type=float, nargs="+", default=[1.5, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument(
        "--both", nargs="*", default=[], metavar="PARAMETER=VALUE", help="settings of both arms"
    )
    trained.timing_arguments(parser)
    args = parser.parse_args()
    data = trained.prepare(args)
    results: dict[tuple[float, str], list[dict[str, Any]]] = {}
    for seed in args.seeds:
        for target in args.speedup:
            for arm in args.arms:
                results.setdefault((target, arm), []).append(kept(args, data, arm, target, seed))
    report(results)


if __name__ == "__main__":
    main()
