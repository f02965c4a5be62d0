"""Transformers, and networks of bottlenecks: half the MACs, before training and after it.

    python -m benchmarks.transformers [--images 20000] [--epochs 10] [--finetune 5] [--seeds 0] [--only NETWORK ...]
                                      [--quick]

Small networks of torchvision's families (`benchmarks/small_networks.py`) are trained from scratch, pruned by
`prune.channels` with its defaults (heads, dimensions of heads, MLPs, embedding) and trained further; beside them the
whole network with the same further epochs, of which the last is kept; the test split is scored once for each network.
Convolutional networks are only pruned: what they lose without training is asked. Results are kept in --folder, so that
a run that was interrupted goes on; at the end they are written to benchmarks/results/transformers.json.

--quick takes the embedded digits and a small ViT, and fails where the claim does not hold: CI runs it.
"""

import argparse
import statistics
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import results, trained
from engine.compute.data import Dataset
from engine.compute.measures.counts import count
from engine.compute.steps.apply import apply
from engine.params import PruneChannels

NETWORKS = {"vit": "ViT", "swin": "Swin", "convnext": "ConvNeXt"}
"""Trained further after pruning."""
WITHOUT = {"bottlenecks": "ResNet of bottlenecks", "mobilenet_v3": "MobileNetV3-Small"}
"""Pruned alone."""
SPEEDUP = 2.0
GOAL = 1.0
"""Points of test accuracy that a transformer may lose at half the MACs after training."""
QUICK = "--data digits --images 900 --epochs 20 --finetune 1 --batch 32 --augment none --threads 1 --seeds 0 --only vit"
QUICK_LOST = 3.0
"""Points on validation that the quick form may lose without training: of 180 digits one is half a point."""


def trial(args: argparse.Namespace, data: Dataset, seed: int, step: PruneChannels | None) -> dict[str, Any]:
    """A network, pruned by `step` if one is given, before and after training: accuracies in percent, MACs, seconds."""
    model = trained.baseline(args, data, seed)
    shape = (data.channels, *data.size)
    whole = count(model, shape).macs
    started = time.monotonic()
    if step is not None:
        model = apply(step, model, trained.context(data, seed, 1))
    found: dict[str, Any] = {"seconds": time.monotonic() - started, "times": whole / count(model, shape).macs}
    found["before"] = trained.accuracies(model, data, seed)
    if args.model.rpartition(":")[2] in NETWORKS:
        model = apply(trained.finetune(args, keep="last"), model, trained.context(data, seed, 2))
        found["after"] = trained.accuracies(model, data, seed)
    return found


def row(args: argparse.Namespace, data: Dataset, network: str) -> dict[str, Any]:
    args.model = f"{Path(__file__).with_name('small_networks.py')}:{network}"
    step = PruneChannels(speedup=SPEEDUP)
    arms = {"whole": None, f"{step.kind}v{step.version}": step}
    whole, pruned = (
        [trained.kept(args, [arm, seed], partial(trial, args, data, seed, by)) for seed in args.seeds]
        for arm, by in arms.items()
    )
    found: dict[str, Any] = {
        "network": (NETWORKS | WITHOUT)[network],
        "MACs": f"{statistics.fmean(one['times'] for one in pruned):.2f} × fewer",
        "whole (%)": of(whole, "before"),
        "pruned, before training (%)": of(pruned, "before"),
        "lost, before training (points)": lost(whole, pruned, "before"),
        "lost, before training, validation (points)": lost(whole, pruned, "before", "validation"),
    }
    if network in NETWORKS:
        found |= {
            "whole, trained further (%)": of(whole, "after"),
            "pruned, trained further (%)": of(pruned, "after"),
            "lost, after training (points)": lost(whole, pruned, "after"),
            "lost, after training, validation (points)": lost(whole, pruned, "after", "validation"),
        }
    found["seconds to prune"] = round(statistics.fmean(one["seconds"] for one in pruned))
    return found


def of(trials: list[dict[str, Any]], when: str, split: str = "test") -> Any:
    return results.mean_and_deviation([one[when][split] for one in trials], 2)


def lost(whole: list[dict[str, Any]], pruned: list[dict[str, Any]], when: str, split: str = "test") -> Any:
    points = [a[when][split] - b[when][split] for a, b in zip(whole, pruned, strict=True)]
    return results.mean_and_deviation(points, 2)


def report(rows: list[dict[str, Any]]) -> None:
    for one in rows:
        if "lost, after training (points)" in one:
            mean = results.mean_of(one["lost, after training (points)"])
            word = "met" if mean <= GOAL else "NOT met"
            print(f"{one['network']}: {mean:.2f} points lost after training, goal ≤ {GOAL:g}: {word}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/transformers")
    parser.set_defaults(
        precision="fp32", optimizer="adamw", rate=2e-3, finetune_rate=1e-3, epochs=10, finetune=5, seeds=[0]
    )
    parser.add_argument("--only", nargs="+", default=[*NETWORKS, *WITHOUT], choices=[*NETWORKS, *WITHOUT])
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    rows = []
    for network in args.only:
        rows.append(row(args, data, network))
        results.tell(rows[-1])
    if args.quick:
        lost = rows[0]["lost, before training, validation (points)"]
        return results.judged({f"at most {QUICK_LOST:g} points lost before training": lost <= QUICK_LOST})
    report(rows)
    about = (
        f"{args.images} images of {args.data}, {args.epochs} epochs from scratch and {args.finetune} further, "
        f"seeds {args.seeds}; one prune.channels with speedup {SPEEDUP:g}"
    )
    results.write("transformers", rows, title="Transformers and bottlenecks at half the MACs", about=about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
