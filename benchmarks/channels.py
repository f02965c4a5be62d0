"""Accuracy after channel pruning: `prune.channels` against plain torch-pruning, all else equal.

The plain way is torch-pruning as its readme shows it: group L2 importance, global ranking, in one go, with the smallest
ratio of channels that meets the target. Both start from the same trained network, are fine-tuned with the same
parameters, epochs and batches (what `prune.channels` trains itself is taken off its fine-tuning), and keep the epoch
that is best on validation. The test split is scored once for each.

    python benchmarks/channels.py [--model resnet20] [--images 20000] [--epochs 6] [--finetune 4]
                                  [--speedup 2 4 8 | --compression 4] [--seeds 0 1 2] [--ours criterion=taylor ...]

With --speedup the target is MACs before over after; with --compression, parameters before over after. Results are kept
in --folder, and a run that was interrupted goes on with the first that is missing. Prints a line for each trial and
mean ± deviation over the seeds for each arm.
"""

import argparse
import copy
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import torch  # noqa: E402
import yaml  # noqa: E402
from torch import nn  # noqa: E402

from engine import datasets  # noqa: E402
from engine.compute import checkpoint  # noqa: E402
from engine.compute.context import Context, place  # noqa: E402
from engine.compute.data import Dataset, load  # noqa: E402
from engine.compute.evaluate import score, validate  # noqa: E402
from engine.compute.measure.counts import count  # noqa: E402
from engine.compute.models import create  # noqa: E402
from engine.compute.pipeline import apply  # noqa: E402
from engine.params import Finetune, PruneChannels, Train  # noqa: E402
from engine.params.channels import NoLearning  # noqa: E402
from engine.params.preset import Data, Model  # noqa: E402
from engine.params.pruning import OneShot  # noqa: E402

CPU = torch.device("cpu")
HALVINGS = 12
"""Of the range in which the plain way's ratio of channels is sought: to 0.02 points."""


def baseline(args: argparse.Namespace, data: Dataset, seed: int) -> nn.Module:
    """The trained network of `seed`, from --folder if it is there."""
    folder = (
        args.folder
        / f"baseline-{args.model.replace('/', '-')}-{args.images}-{args.size}-{args.epochs}-{seed}"
    )
    if not (folder / "model.json").is_file():
        model, _ = create(
            Model(name=args.model), channels=data.channels, classes=data.classes, size=data.size, seed=seed
        )
        step = Train(
            epochs=args.epochs,
            learning_rate=args.rate,
            augment="crop-flip",
            precision=args.precision,
            keep="best",
        )
        model = apply(step, model, context(data, seed, 0))
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(model, folder)
    return place(checkpoint.load(folder), CPU)


def context(data: Dataset, seed: int, position: int) -> Context:
    """A context that keeps nothing and tells nobody."""
    return Context(data, CPU, seed, position, "", Path(tempfile.mkdtemp()) / "partial", lambda _event: None)


def plain(model: nn.Module, data: Dataset, args: argparse.Namespace, target: float) -> nn.Module:
    """Plain torch-pruning: group L2, global ranking, in one go; of the ratios that meet the target, the smallest."""
    before = cost(model, data, args)
    low, high = 0.0, 1.0
    best = None
    for _ in range(HALVINGS):
        ratio = (low + high) / 2
        pruned = plainly(copy.deepcopy(model), data, ratio)
        if before / cost(pruned, data, args) >= target:
            high, best = ratio, pruned
        else:
            low = ratio
    assert best is not None
    return best


def plainly(model: nn.Module, data: Dataset, ratio: float) -> nn.Module:
    import torch_pruning as tp

    layers = [m for m in model.modules() if isinstance(m, nn.Linear)]
    tp.pruner.MagnitudePruner(
        model,
        torch.zeros(1, data.channels, *data.size),
        importance=tp.importance.GroupMagnitudeImportance(p=2),
        global_pruning=True,
        pruning_ratio=ratio,
        ignored_layers=layers[-1:],
    ).step()
    return model


def cost(model: nn.Module, data: Dataset, args: argparse.Namespace) -> int:
    counts = count(model, (data.channels, *data.size))
    return counts.parameters if args.compression else counts.macs


def ours(model: nn.Module, data: Dataset, args: argparse.Namespace, target: float, seed: int) -> nn.Module:
    """`prune.channels` with the settings of --ours."""
    return apply(step_of(args, target), model, context(data, seed, 1))


def step_of(args: argparse.Namespace, target: float) -> PruneChannels:
    settings = {"compression" if args.compression else "speedup": target, **settings_of(args.ours)}
    return PruneChannels.model_validate(settings, strict=False)


def spent(step: PruneChannels) -> int:
    """Epochs of the fine-tuning budget that the step trains itself."""
    rounds = 0 if isinstance(step.schedule, OneShot) else (step.schedule.rounds - 1) * step.schedule.epochs
    return rounds + (0 if isinstance(step.learning, NoLearning) else step.learning.epochs)


def settings_of(given: list[str]) -> dict[str, Any]:
    """The values of PARAMETER=VALUE, each read as YAML."""
    return {name: yaml.safe_load(value) for name, _, value in (text.partition("=") for text in given)}


def trial(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """One arm at one target for one seed; `validation` decides, `test` is scored once at the end."""
    model = baseline(args, data, seed)
    started = time.monotonic()
    if arm != "baseline":
        model = plain(model, data, args, target) if arm == "plain" else ours(model, data, args, target, seed)
    pruned = validate(model, context(data, seed, 1)).accuracy
    step = Finetune(
        epochs=args.finetune - (spent(step_of(args, target)) if arm == "ours" else 0),
        learning_rate=args.finetune_rate,
        augment="crop-flip",
        precision=args.precision,
        keep="best",
    )
    model = apply(step, place(model, CPU), context(data, seed, 2))
    counts = count(model, (data.channels, *data.size))
    return {
        "arm": arm,
        "target": target,
        "seed": seed,
        "pruned_validation": pruned,
        "validation": validate(model, context(data, seed, 2)).accuracy,
        "test": score(model, data, data.test, CPU).accuracy,
        "macs": counts.macs,
        "parameters": counts.parameters,
        "seconds": time.monotonic() - started,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--finetune", type=int, default=4)
    parser.add_argument("--finetune-rate", type=float, default=0.05)
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--speedup", type=float, nargs="+", default=[2.0, 4.0, 8.0])
    parser.add_argument("--compression", type=float, nargs="+", default=[])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", default=["baseline", "plain", "ours"])
    parser.add_argument("--ours", nargs="*", default=[], metavar="PARAMETER=VALUE")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks/channels"))
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    params = Data(name="fashion-mnist", limit=args.images, size=None if args.size == 28 else args.size)
    data = load(params, datasets.locate(params, Path()), fingerprint="known")
    results: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for seed in args.seeds:
        for arm in args.arms:
            for target in [1.0] if arm == "baseline" else args.compression or args.speedup:
                found = kept(args, data, arm, target, seed)
                results.setdefault((arm, target), []).append(found)
    report(results)


def kept(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """The trial's result from --folder, or computed now and put there; printed either way."""
    about = [
        args.model,
        args.images,
        args.size,
        args.epochs,
        args.finetune,
        args.finetune_rate,
        args.precision,
    ]
    about += [arm, target, seed, *(sorted(args.ours) if arm == "ours" else []), bool(args.compression)]
    file = args.folder / ("-".join(str(part).replace("/", "_") for part in about) + ".json")
    if not file.is_file():
        found = trial(args, data, arm, target, seed)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    found = json.loads(file.read_text())
    print(
        f"{arm:9} {target:4g}x seed {seed}: pruned {found['pruned_validation']:.2%}, validation"
        f" {found['validation']:.2%}, test {found['test']:.2%}, {found['macs'] / 1e6:.2f} M MACs,"
        f" {found['parameters'] / 1e6:.3f} M parameters, {found['seconds']:.0f} s",
        flush=True,
    )
    return dict(found)


def report(results: dict[tuple[str, float], list[dict[str, Any]]]) -> None:
    print("\narm        target  test accuracy (mean ± deviation)  validation")
    for (arm, target), found in sorted(results.items(), key=lambda item: (item[0][1], item[0][0])):
        test, validation = ([100 * f[name] for f in found] for name in ("test", "validation"))
        deviation = statistics.stdev(test) if len(test) > 1 else 0.0
        print(
            f"{arm:9} {target:6g}x  {statistics.fmean(test):6.2f} ± {deviation:.2f} % ({len(test)} seeds)"
            f"      {statistics.fmean(validation):6.2f} %"
        )


if __name__ == "__main__":
    main()
