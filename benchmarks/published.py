"""A published task: ResNet20 at 1.37 times fewer multiply-accumulates, fine-tuned for few epochs.

    python -m benchmarks.published [--seeds 0 1 2] [--finetune 10] [--images 20000] [--epochs 6] [--threads 2]

NNCF, a maintained peer, publishes this for CIFAR-10: 0.7 points lost after 120 epochs. Here it is the same network and
the same saving on Fashion-MNIST, whose images come with a package: channels go at once by `prune.channels`' defaults,
and the epochs after that are at most ten. Beside it stands the whole network with the same epochs. What epoch is kept
is chosen on validation; the test split is scored once for each network. Results are kept in --folder, and written to
benchmarks/results/published.json.
"""

import argparse
import sys
from functools import partial
from typing import Any

from benchmarks import results, trained
from engine.compute.context import validate
from engine.compute.data import Dataset
from engine.compute.measures.counts import count
from engine.compute.steps.apply import apply
from engine.params import PruneChannels

SPEEDUP = 1.37
LOST, BEHIND = "lost of as trained (points)", "behind as many epochs (points)"
"""The first is what the peer publishes; the second is the stricter one where training on gains something by itself."""
EPOCHS = 10
QUICK = f"{trained.DIGITS} --finetune 3 --finetune-rate 0.1"
QUICK_LOST = 1.0
"""Points: three of the test split's images."""


def whole(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, float]:
    """The network as it is trained, on test, in percent; and with the epochs that the pruned one has."""
    before, after = trained.baseline(args, data, seed), trained.further(args, data, seed)
    return {"before": 100 * trained.tested(before, data), "further": 100 * trained.tested(after, data)}


def pruned(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, float]:
    """The pruned network: on validation without training, on test after it, and how many times fewer MACs it has."""
    model, shape = trained.baseline(args, data, seed), (data.channels, *data.size)
    macs = count(model, shape).macs
    model = apply(PruneChannels(speedup=SPEEDUP), model, trained.context(data, seed, 1))
    untrained = validate(model, trained.context(data, seed, 0)).accuracy
    model = apply(trained.finetune(args), model, trained.context(data, seed, 2))
    return {
        "untrained": 100 * untrained,
        "test": 100 * trained.tested(model, data),
        "times": macs / count(model, shape).macs,
    }


def row_of(args: argparse.Namespace, data: Dataset) -> dict[str, Any]:
    ours = [trained.kept(args, ["1.37", s], partial(pruned, args, data, s)) for s in args.seeds]
    theirs = [trained.kept(args, ["whole", s], partial(whole, args, data, s)) for s in args.seeds]
    pairs = list(zip(theirs, ours, strict=True))
    return {
        "times fewer MACs": results.mean_and_deviation([one["times"] for one in ours], 3),
        "epochs after pruning": args.finetune,
        "as trained, test (%)": results.mean_and_deviation([one["before"] for one in theirs], 2),
        "pruned (%)": results.mean_and_deviation([one["test"] for one in ours], 2),
        "whole, as many epochs (%)": results.mean_and_deviation([one["further"] for one in theirs], 2),
        LOST: results.mean_and_deviation([a["before"] - b["test"] for a, b in pairs], 2),
        BEHIND: results.mean_and_deviation([a["further"] - b["test"] for a, b in pairs], 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/published")
    parser.set_defaults(finetune=EPOCHS)
    args = trained.parsed(parser, QUICK)
    if args.finetune > EPOCHS:
        parser.error(f"--finetune: at most {EPOCHS} epochs")
    row = row_of(args, trained.prepare(args))
    results.tell(row)
    mean, behind = (results.mean_of(row[column]) for column in (LOST, BEHIND))
    said = "nothing" if mean <= 0 else "more than nothing"
    print(
        f"it loses {mean:.2f} points: {said}; it is {behind:.2f} behind the whole network with as many epochs"
    )
    if args.quick:
        return results.judged({f"at most {QUICK_LOST:g} points lost": mean <= QUICK_LOST})
    about = (
        f"{args.images or 'all'} images of {args.data}, {args.epochs} epochs, then pruned and trained on, "
        f"seeds {args.seeds}. The peer's published loss is 0.7 points after 120 epochs, on CIFAR-10."
    )
    results.write("published", [row], title="ResNet20 at 1.37 times fewer MACs", about=about)
    return 0 if mean <= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
