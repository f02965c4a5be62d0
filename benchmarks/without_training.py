"""What compression costs where nothing is trained after it and no label is looked at.

    python -m benchmarks.without_training [--images 20000] [--epochs 6] [--seeds 0 1 2] [--only COMPRESSION ...]
                                          [--quick]

For each seed one network is trained; each arm compresses a copy of it in one step, on up to 512 training images, and is
scored on validation and, once, on the test split. Arms of one compression differ in the way alone: weights rounded to
few bits, weights pruned, channels removed. Results are kept in --folder by seed and arm, so that a run that was
interrupted goes on; at the end they are written to benchmarks/results: weights to without_training.json, channels to
channels_without_training.json.

--quick takes the embedded digits and three compressions, and fails where a claim does not hold: CI runs it.
"""

import argparse
import copy
import statistics
import sys
import time
from functools import partial
from typing import Any

from benchmarks import results, trained
from engine.compute.context import validate
from engine.compute.data import Dataset
from engine.compute.steps.apply import apply
from engine.params import Calibrate, PruneChannels, PruneWeights, QuantizeWeights, Step
from engine.params.quantize_weights import Gptq, Nearest

ROUNDINGS: dict[str, Nearest | Gptq] = {"nearest": Nearest(), "gptq": Gptq()}
BEST = ("gptq", "obs, repair", "output, repair")
"""The arms that have to reach the goals."""
GOALS = {
    "2-bit weights": 2.5,
    "3-bit weights": 0.3,
    "4-bit weights": 0.0,
    "80 % sparse weights": 1.0,
    "2 × fewer MACs": 0.3,
    "4 × fewer MACs": 1.5,
    "8 × fewer MACs": 5.0,
}
"""Points of test accuracy that may be lost, ResNet20 on Fashion-MNIST."""
FILES = (
    ("without_training", "Weights rounded and pruned, without training", "weights"),
    ("channels_without_training", "Channels removed, without training", "MACs"),
)
"""Each file of results with its title, and how the names of its compressions end."""
QUICK = trained.DIGITS
QUICK_LOST = {"2-bit weights": 3.0, "80 % sparse weights": 3.0, "4 × fewer MACs": 8.0}
"""Points on validation that the best arm may lose on digits; its loss rises less than the plain one's does."""
RISE = "rise of the loss, validation"
"""Of 180 digits an accuracy tells too little."""


def arms(compression: str) -> dict[str, list[Step]]:
    """The steps of each arm by its name."""
    amount, _, kind = compression.partition(" ")
    if kind == "weights":
        bits = int(amount.removesuffix("-bit"))
        found: dict[str, list[Step]] = {
            name: [QuantizeWeights(bits=bits, rounding=rounding)] for name, rounding in ROUNDINGS.items()
        }
        if bits > 2:
            return found
        # Of few codes it matters whether one is left out for symmetry.
        return found | {
            f"{name}, a zero point": [QuantizeWeights(bits=bits, symmetric=False, rounding=rounding)]
            for name, rounding in ROUNDINGS.items()
        }
    if kind == "% sparse weights":
        sparsity = int(amount) / 100
        pruned = partial(PruneWeights, sparsity=sparsity)
        return {
            "magnitude": [pruned()],
            "magnitude, statistics anew": [pruned(), Calibrate()],
            "magnitude, repair": [pruned(repair=True)],
            "obs, repair": [pruned(criterion="obs", repair=True)],
        }
    narrowed = partial(PruneChannels, speedup=float(amount))
    by_norm, by_output = (
        partial(narrowed, criterion="l2", scope="global"),
        partial(narrowed, criterion="output", scope="cost"),
    )
    return {
        "l2, statistics anew": [by_norm(repair=False)],
        "l2, repair": [by_norm()],
        "output, repair": [by_output()],
        "output, repair, any width": [by_output(round_to=1)],
    }


def trial(args: argparse.Namespace, data: Dataset, seed: int, steps: list[Step]) -> dict[str, Any]:
    """Accuracies in percent, and the seconds that compressing took."""
    model = copy.deepcopy(trained.baseline(args, data, seed))
    started = time.monotonic()
    for position, step in enumerate(steps, 1):
        model = apply(step, model, trained.context(data, seed, position))
    seconds = time.monotonic() - started
    score = validate(model, trained.context(data, seed, 0))
    return {
        "validation": 100 * score.accuracy,
        "loss": score.loss,
        "test": 100 * trained.tested(model, data),
        "seconds": seconds,
    }


def rows_of(args: argparse.Namespace, data: Dataset) -> list[dict[str, Any]]:
    """A row for each arm: mean and deviation over the seeds of what it lost."""
    whole = {s: trained.kept(args, ["whole", s], partial(trial, args, data, s, [])) for s in args.seeds}
    rows = []
    for compression in args.only:
        ways = arms(compression)
        if args.quick:
            ways = {name: ways[name] for name in (next(iter(ways)), best_of(ways))}
        for name, steps in ways.items():
            about = [compression, name, *(f"{step.kind}v{step.version}" for step in steps)]
            found = {
                s: trained.kept(args, [*about, s], partial(trial, args, data, s, steps)) for s in args.seeds
            }
            lost = {
                split: [whole[s][split] - one[split] for s, one in found.items()]
                for split in ("validation", "test")
            }
            row = {
                "compression": compression,
                "way": name,
                "lost, validation (points)": results.mean_and_deviation(lost["validation"], 2),
                "lost, test (points)": results.mean_and_deviation(lost["test"], 2),
                "seconds": round(statistics.fmean(one["seconds"] for one in found.values())),
            }
            if args.quick:
                row[RISE] = statistics.fmean(one["loss"] - whole[s]["loss"] for s, one in found.items())
            results.tell(row)
            rows.append(row)
    return rows


def lost_by(rows: list[dict[str, Any]], compression: str, split: str) -> dict[str, float]:
    """The mean of what each arm of a compression lost, the plain one first."""
    column = f"lost, {split} (points)"
    return {row["way"]: results.mean_of(row[column]) for row in rows if row["compression"] == compression}


def best_of(lost: dict[str, Any]) -> str:
    return next(way for way in BEST if way in lost)


def report(rows: list[dict[str, Any]]) -> None:
    """Say of each goal whether it is reached."""
    for compression, goal in GOALS.items():
        if lost := lost_by(rows, compression, "test"):
            best = best_of(lost)
            word = "met" if lost[best] <= goal else "NOT met"
            print(f"{compression}, {best}: {lost[best]:.2f} points lost, goal ≤ {goal:g}: {word}")


def claims(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What the quick form finds: the best way loses little, and its loss rises by less than the plain way's."""
    found = {}
    for compression, most in QUICK_LOST.items():
        lost = lost_by(rows, compression, "validation")
        rises = {row["way"]: row[RISE] for row in rows if row["compression"] == compression}
        plain, best = next(iter(lost)), best_of(lost)
        found[f"{compression}, {best}: at most {most:g} points lost, less than {plain}"] = (
            lost[best] <= most and rises[best] < rises[plain]
        )
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/without-training")
    parser.set_defaults(precision="fp32")
    parser.add_argument("--only", nargs="+", default=list(GOALS), metavar="COMPRESSION")
    args = trained.parsed(parser, QUICK)
    if args.quick:
        args.only = list(QUICK_LOST)
    data = trained.prepare(args)
    rows = rows_of(args, data)
    if args.quick:
        return results.judged(claims(rows))
    report(rows)
    about = f"{args.model}, {args.images} images of {args.data}, {args.epochs} epochs, seeds {args.seeds}"
    for name, title, unit in FILES:
        if own := [row for row in rows if row["compression"].endswith(unit)]:
            results.write(name, own, title=title, about=about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
