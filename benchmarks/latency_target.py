"""Pruning to a measured latency: is the target met, and is pruning by measured time better than by MACs?

ResNet20 on Fashion-MNIST at 28 px is trained, pruned to be measured as so many times as fast in ONNX Runtime, and
fine-tuned. Two arms meet the same measured speed-up and are fine-tuned alike: one removes channels where they buy
the most time (scope cost), the other where the least importance is lost over the whole model for its MACs (scope
global). What was reached is measured anew afterwards, in fresh processes, longer than the search measures. Choices
are made on validation; the test split is scored once for each model.

    python benchmarks/latency_target.py [--images 20000] [--epochs 6] [--finetune 4] [--speedup 1.5 2 3]
                                        [--seeds 0 1 2] [--both criterion=taylor …] [--threads 2]

Results are kept in --folder, and a run that was interrupted goes on with the first that is missing. Run it on an
otherwise idle machine: "others" is the share of the processors' time that went to other programs while the final
speed-up was measured, and above a few percent that number means little.
"""

import argparse
import json
import multiprocessing
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

from engine import datasets, hostlock  # noqa: E402
from engine.compute import checkpoint  # noqa: E402
from engine.compute.context import Context, place  # noqa: E402
from engine.compute.data import Dataset, load  # noqa: E402
from engine.compute.evaluate import score, validate  # noqa: E402
from engine.compute.measure import warmfork  # noqa: E402
from engine.compute.measure.counts import count  # noqa: E402
from engine.compute.measure.latency import Side, measure_pair  # noqa: E402
from engine.compute.models import create  # noqa: E402
from engine.compute.pipeline import apply  # noqa: E402
from engine.compute.runtimes.base import Runtime, artefact  # noqa: E402
from engine.errors import SecateurError  # noqa: E402
from engine.params import Finetune, PruneChannels, Train  # noqa: E402
from engine.params.preset import Data, Latency, Model  # noqa: E402

CPU = torch.device("cpu")
ARMS = {"time": {"scope": "cost"}, "macs": {"scope": "global"}}
"""What steers each arm; both stop at the same measured latency."""
BLOCKS, BLOCK_MS = 30, 50.0
"""Of the independent measurement: three times as many calls as the search makes."""


def context(data: Dataset, seed: int, position: int) -> Context:
    """A context that keeps nothing and tells only of waiting and warnings."""

    def tell(event: object) -> None:
        if type(event).__name__ == "Notice":
            print(f"  {event}", flush=True)

    return Context(data, CPU, seed, position, "", Path(tempfile.mkdtemp()) / "partial", tell)


def baseline(args: argparse.Namespace, data: Dataset, seed: int) -> nn.Module:
    """The trained network of `seed`, from --folder if it is there."""
    folder = args.folder / f"baseline-{args.data}-{args.images}-{args.epochs}-{args.width}-{seed}"
    if not (folder / "model.json").is_file():
        params = Model(name="resnet20", arguments={"width": args.width})
        model, _ = create(params, channels=data.channels, classes=data.classes, size=data.size, seed=seed)
        step = Train(epochs=args.epochs, learning_rate=0.2, augment=args.augment, keep="best")
        model = apply(step, model, context(data, seed, 0))
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(model, folder)
    return place(checkpoint.load(folder), CPU)


def trial(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """One arm at one target for one seed."""
    original = baseline(args, data, seed)
    started = time.monotonic()
    latency = {"speedup": target, "runtime": args.runtime, "batch": args.batch}
    step = PruneChannels.model_validate(
        {"latency": latency, "round_to": "auto", **settings(args.both), **ARMS[arm]}, strict=False
    )
    own = context(data, seed, 1)
    with hostlock.exclusive():
        model = apply(step, baseline(args, data, seed), own)
    seconds = time.monotonic() - started
    tune = Finetune(epochs=args.finetune, learning_rate=0.05, augment=args.augment, keep="best")
    model = apply(tune, place(model, CPU), context(data, seed, 2))
    with hostlock.exclusive():
        row = measured(args, data, original, model)
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
        "validation": validate(model, context(data, seed, 2)).accuracy,
        "test": score(model, data, data.test, CPU).accuracy,
    }


def settings(given: list[str]) -> dict[str, Any]:
    return {name: yaml.safe_load(value) for name, _, value in (text.partition("=") for text in given)}


def measured(args: argparse.Namespace, data: Dataset, before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """The row of `measure_pair`, from new files and in new processes."""
    runtime: Runtime = args.runtime
    params = Latency(runtimes=(runtime,), batch=(args.batch,), blocks=BLOCKS, block_ms=BLOCK_MS)
    shape = (data.channels, data.size[0], data.size[1])
    with tempfile.TemporaryDirectory() as temporary:
        sides = []
        for name, model in (("before", before), ("after", after)):
            folder = Path(temporary) / name
            folder.mkdir()
            checkpoint.save(model, folder)
            sides.append(Side({runtime: artefact(runtime, model, shape, folder)}))
        (row,) = measure_pair(*sides, params=params, shape=shape, threads=args.threads)
    return row


def kept(args: argparse.Namespace, data: Dataset, arm: str, target: float, seed: int) -> dict[str, Any]:
    """The trial's result from --folder, or computed now and put there; printed either way."""
    about = [args.data, args.images, args.epochs, args.finetune, args.width, args.runtime, args.batch]
    about += [args.threads, *sorted(args.both), arm, target, seed]
    file = args.folder / ("-".join(str(part).replace("/", "_") for part in about) + ".json")
    if not file.is_file():
        try:
            found = trial(args, data, arm, target, seed)
        except SecateurError as error:
            print(f"{arm:5} {target:4g}x seed {seed}: {error}", flush=True)
            return {}
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))
    found = json.loads(file.read_text())
    print(
        f"{arm:5} {target:4g}x seed {seed}: {found['speedup']:.2f}x [{found['low']:.2f}, {found['high']:.2f}]"
        f" ({found['speedup'] / target - 1:+.1%}; others {found['others']:.0%}), MACs {found['macs']:.2f}x,"
        f" validation {found['validation']:.2%}, test {found['test']:.2%},"
        f" {len(found['searched'])} tries in {found['seconds']:.0f} s",
        flush=True,
    )
    return dict(found)


def report(results: dict[tuple[float, str], list[dict[str, Any]]]) -> None:
    print("\ntarget  arm    measured    off by at most   MACs    test (mean ± deviation)   validation")
    for (target, arm), every in sorted(results.items()):
        found = [one for one in every if one]
        if not found:
            print(f"{target:5g}x  {arm:5}  out of reach")
            continue
        test = [100 * one["test"] for one in found]
        deviation = statistics.stdev(test) if len(test) > 1 else 0.0
        mean = {
            name: statistics.fmean(one[name] for one in found) for name in ("speedup", "macs", "validation")
        }
        worst = max(abs(one["speedup"] / target - 1) for one in found)
        print(
            f"{target:5g}x  {arm:5}  {mean['speedup']:7.2f}x   {worst:10.1%}   {mean['macs']:9.2f}x"
            f"   {statistics.fmean(test):8.2f} ± {deviation:.2f} % ({len(found)} seeds)"
            f"   {100 * mean['validation']:6.2f} %"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--finetune", type=int, default=4)
    parser.add_argument("--augment", default="crop-flip")
    parser.add_argument("--speedup", type=float, nargs="+", default=[1.5, 2, 3])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument(
        "--both", nargs="*", default=[], metavar="PARAMETER=VALUE", help="settings of both arms"
    )
    parser.add_argument("--runtime", default="onnxruntime")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks/latency-target"))
    args = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload([*warmfork.PRELOAD])
    torch.set_num_threads(args.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    params = Data(name=args.data, limit=args.images)
    data = load(params, datasets.locate(params, Path()), fingerprint="known")
    results: dict[tuple[float, str], list[dict[str, Any]]] = {}
    for seed in args.seeds:
        for target in args.speedup:
            for arm in args.arms:
                results.setdefault((target, arm), []).append(kept(args, data, arm, target, seed))
    report(results)


if __name__ == "__main__":
    main()
