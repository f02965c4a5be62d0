"""Accuracy of a network most of whose weights are zero, trained on: one shot against rounds, all else equal.

    python -m benchmarks.sparse [--images 20000] [--epochs 6] [--finetune 8] [--sparsity 90 95 98] [--seeds 0 1 2]
                                [--rounds 4] [--round-rate RATE] [--recovery augment=none ...] [--arms gradual ...]
                                [--distill 'method={kind: logits, alpha: 0.7, temperature: 4}' ...] [--quick]

For each seed one network is trained, and each arm prunes a copy of it with `prune.weights` (global, by magnitude) and
trains it on, for --finetune epochs in all: `one-shot` at once; `gradual` in rounds, whose epochs are taken off the
fine-tuning's; `taught` like that, its fine-tuning with a teacher beside the labels, which is the network that was not
pruned after as many epochs; `obs` like `gradual`, its last choice by what each layer's outputs lose (Optimal Brain
Surgeon). Zeros stay zero. The epoch that is kept is chosen on validation; the test split is scored once for each.
Results are kept in --folder, and a run that was interrupted goes on; mean and deviation over the seeds are written to
benchmarks/results/sparse.json.

--quick takes the embedded digits, and fails where rounds lose much, or clearly more than one shot.
"""

import argparse
import copy
import sys
from functools import partial
from typing import Any

from benchmarks import results, trained
from engine.compute.context import validate
from engine.compute.data import Dataset
from engine.compute.steps.apply import apply
from engine.params import Distill, Finetune, PruneWeights
from engine.params.pruning import Cubic
from engine.text.phrases import counted

GOALS = {90: 0.3, 95: 0.8, 98: 2.0}
"""Points of test accuracy behind the network that is not pruned, by percent of weights at zero."""
ARMS = {
    "one-shot": "one shot",
    "gradual": "rounds",
    "obs": "rounds, by output error",
    "taught": "rounds, with a teacher",
}
"""The arms, and what the results' table calls them."""
QUICK = f"{trained.DIGITS} --finetune 6 --finetune-rate 0.1 --rounds 3 --sparsity 95 --arms one-shot gradual"
QUICK_LOST = 4.0
"""Points of validation accuracy that rounds may lose on digits."""
QUICK_BEHIND = 2.0
"""And be behind one shot: three of so few images, by which processors differ."""


def steps(args: argparse.Namespace, arm: str, percent: float) -> tuple[PruneWeights, Finetune | Distill]:
    """What an arm does with the trained network: `args.finetune` epochs in all."""
    pruning: dict[str, Any] = {"sparsity": percent / 100}
    epochs = args.finetune
    if arm != "one-shot":
        rate = args.round_rate or args.finetune_rate
        pruning["schedule"] = Cubic(rounds=args.rounds, epochs=1, learning_rate=rate)
        epochs -= args.rounds - 1
    if arm == "obs":
        pruning["criterion"] = "obs"
    recovery = trained.finetune(args, epochs=epochs)
    return PruneWeights(**pruning), trained.taught(recovery, args) if arm == "taught" else recovery


def trial(args: argparse.Namespace, data: Dataset, arm: str, percent: float, seed: int) -> dict[str, float]:
    """Accuracies in percent: on validation before fine-tuning and after it, on test after it."""
    pruning, recovery = steps(args, arm, percent)
    model = copy.deepcopy(trained.baseline(args, data, seed))
    model = apply(pruning, model, trained.context(data, seed, 1))
    before = validate(model, trained.context(data, seed, 0)).accuracy
    context = trained.context(data, seed, 2)
    if isinstance(recovery, Distill):
        context.teacher = trained.further(args, data, seed)
    model = apply(recovery, model, context)
    return {"pruned": 100 * before, **trained.accuracies(model, data, seed)}


def whole(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, float]:
    """The same of the network that is not pruned, after as many epochs."""
    return trained.accuracies(trained.further(args, data, seed), data, seed)


def rows_of(args: argparse.Namespace, data: Dataset) -> list[dict[str, Any]]:
    """A row for the network that is not pruned, and one for each arm at each sparsity."""
    unpruned = [trained.kept(args, ["whole", s], partial(whole, args, data, s)) for s in args.seeds]
    rows = [row("–", "not pruned", unpruned, unpruned)]
    for percent in args.sparsity:
        for arm in args.arms:
            about = [percent, arm, *([] if arm == "one-shot" else [args.rounds, args.round_rate])]
            about += sorted(args.distill) if arm == "taught" else []
            found = [
                trained.kept(args, [*about, s], partial(trial, args, data, arm, percent, s))
                for s in args.seeds
            ]
            rows.append(row(f"{percent:g}", ARMS[arm], found, unpruned))
    return rows


def row(
    percent: str, way: str, found: list[dict[str, float]], unpruned: list[dict[str, float]]
) -> dict[str, Any]:
    def lost(split: str) -> float | list[float]:
        points = [of[split] - one[split] for of, one in zip(unpruned, found, strict=True)]
        return results.mean_and_deviation(points, 2)

    spread = partial(results.mean_and_deviation, digits=2)
    untuned = [one["pruned"] for one in found if "pruned" in one]
    said = {
        "weights at zero (%)": percent,
        "way": way,
        "seeds": len(found),
        **({"before fine-tuning, validation (%)": spread(untuned)} if untuned else {}),
        "test (%)": spread([one["test"] for one in found]),
        "lost, validation (points)": lost("validation"),
        "lost, test (points)": lost("test"),
    }
    results.tell(said)
    return said


def report(rows: list[dict[str, Any]]) -> None:
    """Say of each goal whether it is reached, by the way that is best on validation."""
    for percent, goal in GOALS.items():
        if ways := [one for one in rows if one["weights at zero (%)"] == f"{percent}"]:
            best = min(ways, key=lambda one: results.mean_of(one["lost, validation (points)"]))
            lost = results.mean_of(best["lost, test (points)"])
            word = "met" if lost <= goal else "NOT met"
            print(f"{percent} %, {best['way']}: {lost:.2f} points lost, goal ≤ {goal:g}: {word}")


def claims(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What the quick form finds."""
    lost = {one["way"]: results.mean_of(one["lost, validation (points)"]) for one in rows}
    rounds, at_once = lost[ARMS["gradual"]], lost[ARMS["one-shot"]]
    return {
        f"rounds lose at most {QUICK_LOST:g} points": rounds <= QUICK_LOST,
        f"and are at most {QUICK_BEHIND:g} behind one shot": rounds - at_once <= QUICK_BEHIND,
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/sparse")
    parser.set_defaults(
        finetune=8, finetune_rate=0.1, schedule="onecycle", recovery=["augment=none", "batch=64"]
    )
    parser.add_argument("--sparsity", type=float, nargs="+", default=list(GOALS), help="percent")
    parser.add_argument("--rounds", type=int, default=4, help="of pruning, an epoch between two")
    parser.add_argument("--round-rate", type=float, help="learning rate between rounds, if another one")
    parser.add_argument(
        "--distill",
        nargs="*",
        default=["method={kind: logits, alpha: 0.7, temperature: 4}"],
        metavar="PARAMETER=VALUE",
    )
    parser.add_argument("--arms", nargs="+", default=list(ARMS), choices=list(ARMS))
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    rows = rows_of(args, data)
    if args.quick:
        return results.judged(claims(rows))
    report(rows)
    epochs = (
        f"{counted(args.epochs, 'epoch')}, then {args.finetune} at a rate of {args.finetune_rate:g} at most"
    )
    about = (
        f"{args.model}, {args.images} images of {args.data}: {epochs} ({args.schedule}, {', '.join(args.recovery)}), "
        f"those of {args.rounds} rounds included. Lost: against the network that is not pruned, as many epochs."
    )
    results.write(trained.named("sparse", args), rows, title="Weights pruned, trained on", about=about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
