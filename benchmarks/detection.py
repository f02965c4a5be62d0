"""YOLOv8-nano on `digits-detection`: mAP50-95 after channel pruning at 2 and 4 times fewer MACs, and of INT8 files.

    python -m benchmarks.detection [--seeds 0] [--epochs 24] [--more 12] [--threads 1] [--folder .benchmarks/detection]

The baseline is trained, and trained on by --more epochs at a time, until that gains less than half a point of
mAP50-95 on validation: it is then the network before the last such round, and the one after it stands beside (`as many
epochs`). Pruned networks recover in as many epochs. Each of them is made an INT8 file by `quantize.static` with its
defaults; the file's mAP is that of running it. The test split is scored once for each network and file.

Every network is kept in --folder, and a training every ten seconds: an interrupted run goes on where it was. --quick is
the same in miniature, to see that it works; it writes no results. The whole takes about 40 minutes of one core.
"""

import argparse
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks import results, trained
from engine.compute.context import Context, to_device, validate
from engine.compute.data import Dataset
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork, torch_part
from engine.compute.pretrained.create import create
from engine.compute.runtimes.base import artefact
from engine.compute.steps.apply import apply
from engine.compute.tasks.evaluate import score
from engine.machine import lock
from engine.params import Finetune, PruneChannels, QuantizeStatic, Train
from engine.params.preset import Data, Latency, Model
from engine.params.runtimes import INT8_RUNTIMES
from engine.text.phrases import counted

CONVERGED = 0.005
"""Gain of mAP50-95 on validation by a round of epochs below which the baseline counts as trained."""
GOALS = {2.0: 1.0, 4.0: 4.0}
"""Points of mAP50-95 that may be lost, by how many times fewer MACs the network has."""
COMMON: dict[str, Any] = {"optimizer": "adamw", "batch": 16, "augment": "crop", "keep": "best"}
RATE, LATER_RATE = 0.002, 0.001
QUICK = "--epochs 10 --more 3 --rounds 1 --limit 400 --size 64 --threads 1 --untimed"
QUICK_FOUND, QUICK_LOST = 0.02, 3.0
TITLE = "YOLOv8-nano: channels and INT8"
ABOUT = (
    "digits-detection (2000 training canvases of 96 pixels, 500 held out), YOLOv8-nano; baseline trained until {} more "
    "epochs gain less than half a point on validation. mAP50-95 on the held-out canvases, in per cent; its change "
    "is against as many epochs without pruning, of an INT8 file against its network in float. {}"
)


class Bench:
    """What one seed's networks are made from, and where they are kept."""

    def __init__(self, args: argparse.Namespace, data: Dataset, seed: int) -> None:
        self.args, self.data, self.seed = args, data, seed
        about = [args.model, args.size, args.limit or "all", args.epochs, args.more, seed]
        self.folder: Path = args.folder / trained.joined(about)

    def context(self, name: str, position: int) -> Context:
        """Of the making of a network, whose training goes on where it was interrupted."""
        partial = self.folder / "unfinished" / name
        return replace(trained.context(self.data, self.seed, position), partial=partial)

    def network(self, name: str, made: Callable[[], nn.Module]) -> nn.Module:
        """The network of this name, from the folder if it is there."""

        def making() -> nn.Module:
            started = time.monotonic()
            model = made()
            print(f"  {name}: made in {time.monotonic() - started:.0f} s", flush=True)
            return model

        model = trained.network_in(self.folder / name, self.args.model, making)
        shutil.rmtree(self.folder / "unfinished" / name, ignore_errors=True)
        return model.eval()

    def scored(self, name: str, model: nn.Module) -> dict[str, Any]:
        """Scores of a network on validation and test, kept beside it: the test split is met once."""

        def found() -> dict[str, Any]:
            test = score(model, self.data, self.data.test, trained.CPU)
            counts = count(torch_part(model), (self.data.channels, *self.data.size))
            return {
                "validation": self._validation(model),
                "map50_95": test.measures["map50_95"],
                "map50": test.measures["map50"],
                "macs": counts.macs,
                "parameters": counts.parameters,
            }

        return trained.result_in(self.folder / name / "scores.json", found)

    def start(self) -> nn.Module:
        """The network after its first training."""

        def made() -> nn.Module:
            model, _ = create(
                Model(name=self.args.model),
                channels=self.data.channels,
                classes=self.data.classes,
                size=self.data.size,
                seed=self.seed,
                task=self.data.task,
            )
            step = Train(epochs=self.args.epochs, learning_rate=RATE, **COMMON)
            return apply(step, model, self.context("trained", 1))

        return self.network("trained", made)

    def onward(self, before: str, after: str, position: int) -> str:
        """The name `after` of the network `before` with as many epochs more."""

        def made() -> nn.Module:
            step = Finetune(epochs=self.args.more, learning_rate=LATER_RATE, schedule="onecycle", **COMMON)
            return apply(step, self.kept(before), self.context(after, position))

        self.network(after, made)
        return after

    def kept(self, name: str) -> nn.Module:
        """A network that was made before."""
        return to_device(checkpoint.load(self.folder / name), trained.CPU).eval()

    def converged(self) -> tuple[str, str]:
        """The names of the baseline, which more epochs no longer improve, and of the same with more epochs."""
        name, quality, number = "trained", self._validation(self.start()), 1
        while True:
            after = self.onward(name, f"trained-{number}", number + 1)
            gained = self._validation(self.kept(after)) - quality
            print(f"  {after}: {100 * gained:+.2f} points on validation", flush=True)
            if gained < CONVERGED or number == self.args.rounds:
                return name, after
            name, quality, number = after, quality + gained, number + 1

    def _validation(self, model: nn.Module) -> float:
        return validate(model, trained.context(self.data, self.seed, 0)).quality

    def pruned(self, baseline: str, speedup: float) -> str:
        """The name of the baseline with fewer channels, recovered."""
        cut = f"{baseline}-{speedup:g}x-v{PruneChannels.version}"

        def removed() -> nn.Module:
            step = PruneChannels(criterion="taylor", scope="cost", speedup=speedup, round_to=8)
            return apply(step, self.kept(baseline), self.context(cut, 2))

        self.network(cut, removed)
        return self.onward(cut, f"{cut}-recovered", 3)

    def int8(self, name: str) -> str:
        """The name of the INT8 file of a network."""
        file = f"{name}-int8-v{QuantizeStatic.version}"

        def made() -> nn.Module:
            return apply(QuantizeStatic(), self.kept(name), self.context(file, 4))

        self.network(file, made)
        return file

    def row(self, arm: str, name: str, speedup: float) -> dict[str, Any]:
        """What is known of one network or file; `speedup` is how many times fewer MACs were asked for."""
        model = self.kept(name)
        scores = self.scored(name, model)
        shown = f"test mAP50-95 {scores['map50_95']:.2%}, mAP50 {scores['map50']:.2%}"
        print(f"seed {self.seed} {arm:20} {shown}, {scores['macs'] / 1e6:.1f} M MACs", flush=True)
        return {"arm": arm, "name": name, "asked": speedup, **scores}

    def timed(self, baseline: str, name: str) -> dict[str, float]:
        """How many times as fast as the baseline a network or file is in each runtime; kept beside it."""
        file = self.folder / name / f"times-{self.args.threads}.json"
        return trained.result_in(file, lambda: self._times(baseline, name))

    def _times(self, baseline: str, name: str) -> dict[str, float]:
        shape = (self.data.channels, self.data.size[0], self.data.size[1])
        sides = []
        for one in (baseline, name):
            model, folder = self.kept(one), self.folder / one
            files = {runtime: artefact(runtime, model, shape, folder) for runtime in INT8_RUNTIMES}
            sides.append(Side(files, quantized=isinstance(model, QuantizedNetwork)))
        params = Latency(runtimes=INT8_RUNTIMES, batch=(1,), blocks=trained.BLOCKS, block_ms=trained.BLOCK_MS)
        with lock.exclusive():
            rows = measure_pair(*sides, params=params, shape=shape, threads=self.args.threads)
        return {row["runtime"]: row["speedup"] for row in rows}


def trial(bench: Bench) -> list[dict[str, Any]]:
    """The rows of one seed, the baseline's first."""
    baseline, further = bench.converged()
    arms = [("baseline", baseline, 1.0), ("as many epochs", further, 1.0)]
    arms += [(f"{times:g}x fewer MACs", bench.pruned(baseline, times), times) for times in GOALS]
    arms += [
        (f"{arm}, INT8", bench.int8(name), times) for arm, name, times in arms if arm != "as many epochs"
    ]
    rows = [bench.row(*arm) for arm in arms]
    if not bench.args.untimed:
        for row in rows:
            row["times"] = bench.timed(baseline, row["name"])
    return rows


def table(args: argparse.Namespace, trials: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """A row for every arm; losses are against the unpruned network with as many epochs, of a file against its
    network."""
    spread = results.mean_and_deviation
    shown = []
    for arms in zip(*trials, strict=True):
        rows = {
            "network": f"{arms[0]['arm']}, {counted(len(arms), 'seed')}",
            "test mAP50-95 (%)": spread([100 * one["map50_95"] for one in arms]),
            "test mAP50 (%)": spread([100 * one["map50"] for one in arms]),
            "change (points)": spread([change(one, trial) for one, trial in zip(arms, trials, strict=True)]),
            "M MACs": round(arms[0]["macs"] / 1e6, 1),
        }
        if not args.untimed:
            rows |= {
                f"speed in {runtime}": spread([one["times"][runtime] for one in arms])
                for runtime in INT8_RUNTIMES
            }
        shown.append(rows)
    return shown


def is_pruned(row: dict[str, Any], times: float) -> bool:
    """Whether an arm is the float network with so many times fewer MACs."""
    return row["asked"] == times and "INT8" not in row["arm"]


def change(row: dict[str, Any], trial: list[dict[str, Any]]) -> float:
    """Points of mAP50-95 between a network and what it is to be compared with."""
    by_arm = {one["arm"]: one for one in trial}
    arm = row["arm"]
    before = by_arm[arm.removesuffix(", INT8")] if arm.endswith(", INT8") else by_arm["as many epochs"]
    return 100 * float(row["map50_95"] - before["map50_95"])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="yolo/yolov8n")
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--more", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=4, help="of --more epochs, at most")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--limit", type=int, default=0, help="training images; 0: all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--untimed", action="store_true", help="without latencies")
    parser.add_argument("--folder", type=Path, default=Path(".benchmarks/detection"))
    args = trained.parsed(parser, QUICK)
    trained.set_up(args.threads)
    data = trained.images(Data(name="digits-detection", size=args.size, limit=args.limit or None))
    trials = [trial(Bench(args, data, seed)) for seed in args.seeds]
    rows = table(args, trials)
    for times, goal in GOALS.items():
        lost = [-change(arm, trial) for trial in trials for arm in trial if is_pruned(arm, times)]
        print(f"{times:g}x: lost {trained.spread(lost)} points of mAP50-95 (goal ≤ {goal:g})")
    if args.quick:
        return results.judged(claims(trials[0]))
    timed = f"Speed in each runtime against the float baseline, batch 1, {counted(args.threads, 'thread')}."
    about = ABOUT.format(args.more, "" if args.untimed else timed).rstrip()
    results.write("detection", rows, title=TITLE, about=about)
    return 0


def claims(rows: list[dict[str, Any]]) -> dict[str, bool]:
    """What the quick form finds of networks that are hardly trained."""
    whole = next(row for row in rows if row["arm"] == "baseline")
    files = {row["arm"]: row for row in rows if "INT8" in row["arm"]}
    return {
        "something is found": whole["map50"] >= QUICK_FOUND,
        "channels are as few as asked": all(
            whole["macs"] / row["macs"] >= row["asked"] for row in rows if row["asked"] > 1
        ),
        f"INT8 files are at most {QUICK_LOST:g} points off": all(
            abs(change(row, rows)) <= QUICK_LOST for row in files.values()
        ),
    }


if __name__ == "__main__":
    sys.exit(main())
