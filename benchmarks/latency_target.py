"""Pruning to a measured latency: is the target met, and is pruning by measured time better than by MACs?

ResNet20 on Fashion-MNIST at 28 px is trained, pruned to be measured as so many times as fast in a runtime, and
fine-tuned. Two arms meet the same measured speed-up and are fine-tuned alike: one removes channels where they buy
the most time (scope cost), the other where the least importance is lost over the whole model for its MACs (scope
global). What was reached is measured anew afterwards, from files written anew, in fresh processes, longer than the
search measures. Choices are made on validation; the test split is scored once for each model.

    python -m benchmarks.latency_target [--images 20000] [--epochs 6] [--finetune 4] [--speedup 1.5 2 3]
                                        [--seeds 0 1 2] [--runtimes onnxruntime openvino] [--both criterion=taylor …]
                                        [--threads 2] [--images-at-once 32] [--minutes 4]
    python -m benchmarks.latency_target --quick      one small network in ONNX Runtime, in two minutes

Exits with 1 where a network is off its target by more than the tolerated tenth; a target that is refused says what the
most is. At one image a call, this network is so small that a call's overhead is most of its time: 2x is out of
reach of widths, so calls are of 32.

Results are kept in --folder, and a run that was interrupted, or that --minutes ended, goes on with the first that is
missing; --minutes 0 only reports. All that are there go to benchmarks/results/latency_target.json (--quick: nowhere).
Run it on an otherwise idle machine: "others" is the share of the processors' time that went to other programs while
the final speed-up was measured. Above a tenth a result is not kept.
"""

import argparse
import itertools
import statistics
import sys
import time
from typing import Any, get_args

from benchmarks import results, trained
from engine.compute.context import to_device, validate
from engine.compute.data import Dataset
from engine.compute.measures.counts import count
from engine.compute.steps.apply import apply
from engine.errors import SecateurError
from engine.machine import lock
from engine.measures.latency import NOISY_LOAD
from engine.params import PruneChannels
from engine.params.runtimes import TargetRuntime
from engine.results.latency_targets import MEASURE, TOLERATED, within

ARMS = {"time": {"scope": "cost"}, "macs": {"scope": "global"}}
"""What steers each arm; both stop at the same measured latency."""
QUICK = "--data digits --images 400 --size 32 --epochs 1 --finetune 0 --seeds 0 --speedup 1.5 --runtimes onnxruntime"
"""Digits are 8 × 8 pixels, so they are enlarged: a network must have something to compute."""
QUICK_TRIES = 3
"""Of each, where others disturb it."""


def trial(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """One arm at one target for one seed: its numbers, or why it was refused."""
    original = trained.baseline(args, data, seed)
    started = time.monotonic()
    latency = {"speedup": target, "runtime": args.runtime, "batch": args.images_at_once}
    step = PruneChannels.model_validate(
        {"latency": latency, "round_to": "auto", **trained.settings(args.both), **ARMS[arm]}, strict=False
    )
    own = trained.context(data, seed, 1)
    try:
        with lock.exclusive():
            model = apply(step, trained.baseline(args, data, seed), own)
    except SecateurError as error:
        return {"refused": str(error), "seconds": time.monotonic() - started}
    seconds = time.monotonic() - started
    if args.finetune:
        model = apply(trained.finetune(args), to_device(model, trained.CPU), trained.context(data, seed, 2))
    with lock.exclusive():
        row = trained.timed(args, data, original, model)
    tried = [value["speedup"] for value in own.recorded().values() if isinstance(value, dict)]
    return {
        "measured": row["speedup"],
        "deviation": row["speedup"] / target - 1,
        "low": row["speedup_low"],
        "high": row["speedup_high"],
        "others": row["foreign_load"],
        "milliseconds": row["median_ms"],
        "by_search": own.observations[MEASURE]["measured"],
        "searched": tried,
        "seconds": seconds,
        "macs": count(original, (data.channels, *data.size)).macs
        / count(model, (data.channels, *data.size)).macs,
        "validation": validate(model, trained.context(data, seed, 2)).accuracy,
        "test": trained.tested(model, data),
    }


def kept(
    args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int, *, again: bool
) -> dict[str, Any] | None:
    """The trial's result from --folder, or computed now and put there.

    None when it may not be computed `again`, or when others kept the machine busy while it was measured.
    """
    about = [f"v{PruneChannels.version}", args.runtime, args.images_at_once, args.threads, *sorted(args.both)]
    about += [arm, target, seed]
    if not again and not trained.is_kept(args, about):
        return None
    result = trained.kept(args, about, lambda: trial(args, data, arm, target, seed))
    print(f"{args.runtime:11} {arm:5} {target:4g}x seed {seed}: {in_words(result)}", flush=True)
    if result.get("others", 0.0) > NOISY_LOAD:
        print("  others disturbed it: it is not kept")
        trained.forget(args, about)
        return None
    where = {"runtime": args.runtime, "batch": args.images_at_once, "threads": args.threads}
    return {"arm": arm, "seed": seed, "asked": target, **where, **result}


def in_words(result: dict[str, Any]) -> str:
    if "refused" in result:
        return f"refused: {result['refused']}"
    return (
        f"{result['measured']:.2f}x [{result['low']:.2f}, {result['high']:.2f}]"
        f" ({result['deviation']:+.1%}; others {result['others']:.0%}), MACs {result['macs']:.2f}x,"
        f" validation {result['validation']:.2%}, test {result['test']:.2%},"
        f" {len(result['searched'])} measurements, {result['seconds']:.0f} s"
    )


def report(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print the rows by runtime, target and arm, means over seeds; what was printed, for the results' table."""
    table: list[dict[str, Any]] = []
    print(
        "\nruntime      target  arm    measured    off by at most   MACs    test (mean ± deviation)   validation"
    )

    def group(row: dict[str, Any]) -> tuple[str, float, str]:
        return row["runtime"], row["asked"], row["arm"]

    for (runtime, target, arm), every in itertools.groupby(sorted(rows, key=group), key=group):
        trials = [one for one in every if "measured" in one]
        about = {"runtime": runtime, "asked": float(target), "steered by": arm, "seeds": len(trials)}
        if not trials:
            print(f"{runtime:11}  {target:5g}x  {arm:5}  refused")
            table.append(about | {"measured": "refused"})
            continue
        test = [100 * one["test"] for one in trials]
        mean = {
            name: statistics.fmean(one[name] for one in trials) for name in ("measured", "macs", "validation")
        }
        worst = max(abs(one["deviation"]) for one in trials)
        print(
            f"{runtime:11}  {target:5g}x  {arm:5}  {mean['measured']:7.2f}x   {worst:10.1%}   {mean['macs']:9.2f}x"
            f"   {trained.spread(test)} % ({len(trials)} seeds)"
            f"   {100 * mean['validation']:6.2f} %"
        )
        table.append(
            about
            | {
                "measured": mean["measured"],
                "off by at most (%)": 100 * worst,
                "MACs, times fewer": mean["macs"],
                "test accuracy (%)": [
                    statistics.fmean(test),
                    statistics.stdev(test) if len(test) > 1 else 0.0,
                ],
            }
        )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/latency-target")
    parser.add_argument("--speedup", type=float, nargs="+", default=[1.5, 2, 3])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument(
        "--runtimes", nargs="+", choices=get_args(TargetRuntime), default=["onnxruntime", "openvino"]
    )
    parser.add_argument("--images-at-once", type=int, default=32, help="of the measured calls")
    parser.add_argument(
        "--both", nargs="*", default=[], metavar="PARAMETER=VALUE", help="settings of both arms"
    )
    parser.add_argument("--minutes", type=float, help="begin no trial later than this; 0: only report")
    args = trained.parsed(parser, QUICK)
    started = time.monotonic()
    data = trained.prepare(args)
    rows, missing = [], []
    for seed, target, runtime, arm in itertools.product(args.seeds, args.speedup, args.runtimes, args.arms):
        args.runtime = runtime
        again = args.minutes is None or time.monotonic() - started < 60 * args.minutes
        row = None
        for _ in range(QUICK_TRIES if args.quick else 1):
            row = row or kept(args, data, arm, target, seed, again=again)
        if row is None:
            missing.append(f"{runtime} {arm} {target:g}x seed {seed}")
        else:
            rows.append(row)
    table = report(rows)
    if missing:
        print(f"\nmissing: {', '.join(missing)}")
    if not args.quick:
        file = results.write(
            "latency_target",
            table,
            title="Channel pruning to a measured latency",
            about="Speed-up over the original network, of the exported file in its runtime; both arms stop at the same "
            "measured latency. A network more than a tenth off its target counts as missed.",
            trials=rows,
            tolerated=TOLERATED,
            missing=missing,
            protocol=protocol(args),
        )
        print(f"\n{file}")
    held = all("refused" in row or within(row["measured"], row["asked"]) for row in rows)
    if args.quick and not rows:
        print("nothing was measured undisturbed")
        return results.UNJUDGED
    if args.quick:
        return results.judged({f"{len(rows)} targets are met within a tenth, or refused": held})
    print("every target is met within a tenth, or refused" if held else "not every target is met")
    return 0 if held and rows else 1


def protocol(args: argparse.Namespace) -> dict[str, Any]:
    """How the networks were made, beside what their rows say."""
    names = ("model", "data", "images", "size", "epochs", "finetune", "both", "precision")
    return {name: getattr(args, name) for name in names}


if __name__ == "__main__":
    sys.exit(main())
