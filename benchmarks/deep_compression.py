"""Deep Compression's pipeline on ResNet20: how much smaller the file gets, and what accuracy that costs.

    python benchmarks/deep_compression.py [--images 20000] [--epochs 8] [--sparsity 0.9] [--centroids 32]
                                          [--seeds 0 1 2]

Trains on Fashion-MNIST, prunes in rounds with training between them, fine-tunes, clusters the weights that are left,
trains the centroids, and packs. Every choice of an epoch is made on validation; the test split is scored once for the
trained network and once for the compressed one. Prints bytes after each step, of the plain fp32 file and the packed
one, and at the end mean ± deviation over the seeds. The goal: ≥ 20× smaller than the plain file, ≤ 1 point lost.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from engine import datasets  # noqa: E402
from engine.compute import checkpoint  # noqa: E402
from engine.compute.context import Context  # noqa: E402
from engine.compute.data import Dataset, load  # noqa: E402
from engine.compute.evaluate import score, validate  # noqa: E402
from engine.compute.measure import packed  # noqa: E402
from engine.compute.measure.size import sizes  # noqa: E402
from engine.compute.models import create  # noqa: E402
from engine.compute.pipeline import apply  # noqa: E402
from engine.params import ClusterWeights, Finetune, PruneWeights, Step, Train  # noqa: E402
from engine.params.preset import Data, Model  # noqa: E402
from engine.params.pruning import Cubic  # noqa: E402

CPU = torch.device("cpu")
GOAL_RATIO, GOAL_POINTS = 20.0, 1.0


def steps(args: argparse.Namespace) -> list[Step]:
    rounds = Cubic(rounds=args.rounds, epochs=1, learning_rate=0.05)
    return [
        Train(
            epochs=args.epochs, learning_rate=0.2, augment="crop-flip", precision=args.precision, keep="best"
        ),
        PruneWeights(sparsity=args.sparsity, schedule=rounds),
        Finetune(
            epochs=args.finetune,
            learning_rate=0.05,
            augment="crop-flip",
            precision=args.precision,
            keep="best",
        ),
        ClusterWeights(centroids=args.centroids),
        Finetune(
            epochs=args.tune,
            learning_rate=args.tune_rate,
            augment="crop-flip",
            precision=args.precision,
            keep="best",
        ),
    ]


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> tuple[float, float, float]:
    """Ratio of the files, test accuracy of the trained and of the compressed network, in percent."""
    model, _ = create(
        Model(name=args.model), channels=data.channels, classes=data.classes, size=data.size, seed=seed
    )
    trained = plain = 0.0
    for position, step in enumerate(steps(args)):
        started = time.monotonic()
        model = apply(step, model, context(data, seed, position))
        if position == 0:
            trained = 100 * test(model, data)
            plain = sizes(checkpoint.folded_state(model))["plain"]
        report(seed, step, model, data, time.monotonic() - started)
    state = checkpoint.folded_state(model)
    file = packed.dump(state)
    again = packed.load(file)
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    return plain / len(file), trained, 100 * test(model, data)


def context(data: Dataset, seed: int, position: int) -> Context:
    """A context that keeps nothing and tells nobody."""
    return Context(data, CPU, seed, position, "", Path(tempfile.mkdtemp()) / "partial", lambda _event: None)


def test(model: nn.Module, data: Dataset) -> float:
    return float(score(model, data, data.test, CPU).accuracy)


def report(seed: int, step: Step, model: nn.Module, data: Dataset, seconds: float) -> None:
    found = sizes(checkpoint.folded_state(model))
    validation = validate(model, context(data, seed, 0)).accuracy
    print(
        f"seed {seed} {step.kind:16} validation {validation:.2%}  plain {found['plain']:>9} B"
        f"  gzip {found['gzip']:>9} B  packed {found['packed']:>9} B"
        f"  {found['plain'] / found['packed']:6.1f}x  {seconds:.0f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--images", type=int, default=None, help="training images (default: all)")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--finetune", type=int, default=4)
    parser.add_argument("--tune", type=int, default=2)
    parser.add_argument("--tune-rate", type=float, default=0.002)
    parser.add_argument("--sparsity", type=float, default=0.9)
    parser.add_argument("--centroids", type=int, default=32)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    params = Data(name=args.data, limit=args.images)
    data = load(params, datasets.locate(params, Path()), fingerprint="known")
    found = [trial(args, data, seed) for seed in args.seeds]
    ratios, lost = [ratio for ratio, _, _ in found], [before - after for _, before, after in found]
    for seed, (ratio, before, after) in zip(args.seeds, found, strict=True):
        print(f"seed {seed}: {ratio:.1f}x smaller, test accuracy {before:.2f} % → {after:.2f} %")
    print(
        f"ratio {spread(ratios)}x (goal ≥ {GOAL_RATIO:g}), lost {spread(lost)} points (goal ≤ {GOAL_POINTS:g}):"
        f" {'met' if min(ratios) >= GOAL_RATIO and statistics.fmean(lost) <= GOAL_POINTS else 'NOT met'}"
    )


def spread(values: list[float]) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.fmean(values):.2f} ± {deviation:.2f}"


if __name__ == "__main__":
    main()
