"""What the benchmarks that train have in common: the same start, the same data, results that are kept."""

import argparse
import atexit
import json
import math
import multiprocessing
import shlex
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any, get_args

import torch
import yaml
from torch import nn

from engine import datasets
from engine.compute.context import Context, to_device, validate
from engine.compute.data import Dataset, load
from engine.compute.latency import forks
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.models import checkpoint
from engine.compute.pretrained.create import create
from engine.compute.runtimes.base import artefact
from engine.compute.steps.apply import apply
from engine.compute.tasks.evaluate import score
from engine.compute.training.lagging import OLD, old_share
from engine.compute.training.schedules import ScheduleName
from engine.compute.worker.setup import settle
from engine.machine import private
from engine.params import Calibrate, Distill, Finetune, Step, Train
from engine.params.preset import Data, Latency, Model
from engine.params.runtimes import TargetRuntime
from engine.studies import events as ev

CPU = torch.device("cpu")
BLOCKS, BLOCK_MS = 30, 50.0
"""Of a measurement of latency: three times as many calls as a search for a target makes."""
STORED_SIZE = 28
"""Pixels of Fashion-MNIST's images as they are stored."""
STORED_SIZES = {"digits": 8}
"""Of other data sets that can be had in other sizes too."""
DIGITS = (
    "--data digits --images 900 --size 8 --epochs 8 --rate 0.1 --batch 64 --augment none --threads 1 "
    "--seeds 0"
)
"""Options of quick forms: a network learns all digits in seconds."""


def arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """The options that all of them take; `folder` is the default for results."""
    parser.add_argument("--model", default="resnet20")
    parser.add_argument("--weights", default="random", help="that training starts from")
    parser.add_argument("--data", default="fashion-mnist")
    parser.add_argument("--images", type=int, default=20_000, help="training images; 0: all")
    parser.add_argument("--size", type=int, default=STORED_SIZE)
    parser.add_argument("--channels", type=int, help="of the images, if not as stored")
    parser.add_argument("--scored", type=int, help="images of validation and of test, each, if not all")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--rate", type=float, default=0.2)
    parser.add_argument("--finetune", type=int, default=4)
    parser.add_argument("--finetune-rate", type=float, default=0.05)
    parser.add_argument(
        "--schedule", choices=get_args(ScheduleName), help="of fine-tuning, if not its default"
    )
    parser.add_argument(
        "--recovery",
        nargs="*",
        default=[],
        metavar="PARAMETER=VALUE",
        help="of fine-tuning, if not the training's",
    )
    parser.add_argument("--optimizer", default="sgd", choices=["sgd", "adam", "adamw"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--augment", default="crop-flip")
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=2, help="of training, and of what is timed")
    parser.add_argument("--training-threads", type=int, default=None, help="of training, if others")
    parser.add_argument("--folder", type=Path, default=Path(folder))


def parsed(parser: argparse.ArgumentParser, quick: str) -> argparse.Namespace:
    """The command line; with --quick, which is added, the options `quick` hold as if they were given first.

    The quick form of a benchmark takes about a minute, writes no results and keeps nothing, and exits with 1 where what
    the benchmark claims does not hold (`results.judged`): `tools.quick_benchmarks` runs all of them.
    """
    parser.add_argument(
        "--quick", action="store_true", help="in a minute whether the claim holds; keeps nothing"
    )
    if parser.get_default("folder") is not None:
        quick = f"--folder {_scratch()} {quick}"
    given = sys.argv[1:]
    return parser.parse_args([*shlex.split(quick), *given] if "--quick" in given else given)


def timing_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--runtime", default="onnxruntime", choices=get_args(TargetRuntime))
    parser.add_argument("--images-at-once", type=int, default=1, help="of the measured calls")


def prepare(args: argparse.Namespace) -> Dataset:
    """Sets torch up as the engine's workers do, and loads the images."""
    set_up(args.training_threads or args.threads)
    size = None if args.size == STORED_SIZES.get(args.data, STORED_SIZE) else args.size
    params = Data(
        name=args.data,
        limit=args.images or None,
        limit_validation=args.scored,
        limit_test=args.scored,
        size=size,
        channels=args.channels,
    )
    return images(params)


def set_up(threads: int) -> None:
    """Sets torch up as the engine's workers do, and has processes that measure begin with it."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([*forks.PRELOAD])
    settle(threads)


def images(params: Data) -> Dataset:
    """The images of a data set that needs no folder of one's own."""
    return load(params, datasets.locate(params, Path()))


def context(data: Dataset, seed: int, position: int) -> Context:
    """A context that keeps nothing and tells only of warnings."""
    folder = Path(tempfile.mkdtemp(dir=_scratch())) / "partial"
    return Context(data, CPU, seed, position, "", folder, _tell)


@cache
def _scratch() -> Path:
    """A folder for what is not kept; it goes when the benchmark ends."""
    held = ExitStack()
    atexit.register(held.close)
    return held.enter_context(private.scratch())


def _tell(event: ev.Event) -> None:
    if isinstance(event, ev.Notice):
        print(f"  {event.text}", flush=True)


def train(args: argparse.Namespace) -> Train:
    return Train(epochs=args.epochs, learning_rate=args.rate, **_common(args))


def finetune(args: argparse.Namespace, **changes: Any) -> Finetune:
    values = {"epochs": args.finetune, "learning_rate": args.finetune_rate, **_common(args), **changes}
    if args.schedule:
        values["schedule"] = args.schedule
    return Finetune.model_validate(values | settings(args.recovery), strict=False)


def taught(step: Finetune, args: argparse.Namespace) -> Distill:
    """The same training with a teacher beside the labels, as --distill has it."""
    given = step.model_dump(exclude={"id", "enabled", "execution"}) | settings(args.distill)
    return Distill.model_validate(given, strict=False)


def _common(args: argparse.Namespace) -> dict[str, Any]:
    return {
        "batch": args.batch,
        "augment": args.augment,
        "precision": args.precision,
        "optimizer": args.optimizer,
        "keep": "best",
    }


def baseline(args: argparse.Namespace, data: Dataset, seed: int) -> nn.Module:
    """The trained network of `seed`, from --folder if it is there; without epochs, BatchNorm's statistics alone."""

    def made() -> nn.Module:
        params = Model(name=args.model, weights=args.weights)
        model, _ = create(params, channels=data.channels, classes=data.classes, size=data.size, seed=seed)
        steps: list[Step] = [train(args)] if args.epochs else []
        updates = args.epochs * math.ceil(len(data.train.labels) / args.batch)
        # Statistics that follow slowly say little of a short training, or of weights that were brought.
        if args.weights != "random" or old_share(model, updates) > OLD:
            steps.append(Calibrate())
        for step in steps:
            model = apply(step, model, context(data, seed, 0))
        return model

    return network(args, ["baseline", *trained_as(args), seed], made)


def further(args: argparse.Namespace, data: Dataset, seed: int) -> nn.Module:
    """The trained network after the epochs that compressed ones are fine-tuned for, from --folder if it is there."""
    return network(
        args,
        ["further", *trained_as(args), *tuned_as(args, args.schedule or "default"), seed],
        lambda: apply(finetune(args), baseline(args, data, seed), context(data, seed, 2)),
    )


def trained_as(args: argparse.Namespace) -> list[object]:
    """What tells the trained network from others, but for its seed."""
    about = [args.model, args.data, args.images, args.size, args.epochs, args.rate, args.batch]
    if args.weights != "random":
        about += [args.channels, Path(args.weights).name]
    if args.optimizer != "sgd":
        about.append(args.optimizer)
    return about if args.scored is None else [*about, args.scored]


def tuned_as(args: argparse.Namespace, *schedule: str) -> list[object]:
    """What tells a fine-tuning from others."""
    return [args.finetune, args.finetune_rate, *schedule, args.precision, *sorted(args.recovery)]


def network(args: argparse.Namespace, about: Sequence[object], made: Callable[[], nn.Module]) -> nn.Module:
    """The network that `about` tells from all others, from --folder if it is there, or made now and put there."""
    return network_in(args.folder / joined(about), args.model, made)


def network_in(folder: Path, name: str, made: Callable[[], nn.Module]) -> nn.Module:
    """The network in `folder`, or made now and put there; `name` is the model's that it was made from."""
    if not (folder / checkpoint.RECIPE).is_file():
        model = made()
        folder.mkdir(parents=True, exist_ok=True)
        checkpoint.save(model, folder)
    return to_device(checkpoint.load(folder, [name]), CPU)


def kept(
    args: argparse.Namespace, about: Sequence[object], trial: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """The result of `trial`, from --folder if it is there; `about` tells it from all others with the same options."""
    return result_in(_kept_in(args, about), trial)


def result_in(file: Path, trial: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The result in `file`, or that of `trial`, put there."""
    if not file.is_file():
        result = trial()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result))
    return dict(json.loads(file.read_text()))


def is_kept(args: argparse.Namespace, about: Sequence[object]) -> bool:
    """Whether --folder has the result that `kept` would give."""
    return _kept_in(args, about).is_file()


def forget(args: argparse.Namespace, about: Sequence[object]) -> None:
    """Let the next `kept` compute its result anew."""
    _kept_in(args, about).unlink(missing_ok=True)


def _kept_in(args: argparse.Namespace, about: Sequence[object]) -> Path:
    tuned = tuned_as(args, *([args.schedule] if args.schedule else []))
    return args.folder / f"{joined([*trained_as(args), *tuned, *about])}.json"


def joined(parts: Sequence[object]) -> str:
    return "-".join(str(part).replace("/", "_") for part in parts)


def settings(given: Sequence[str]) -> dict[str, Any]:
    """The values of PARAMETER=VALUE, each read as YAML."""
    return {name: yaml.safe_load(value) for name, _, value in (text.partition("=") for text in given)}


def tested(model: nn.Module, data: Dataset) -> float:
    """Accuracy on the test split, 0 … 1: to be asked once for each trial, when all is chosen."""
    return float(score(model, data, data.test, CPU).accuracy)


def accuracies(model: nn.Module, data: Dataset, seed: int) -> dict[str, float]:
    """In percent on validation and on test, of which the same holds."""
    validation = validate(model, context(data, seed, 0)).accuracy
    return {"validation": 100 * validation, "test": 100 * tested(model, data)}


def timed(args: argparse.Namespace, data: Dataset, before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """The row of `measure_pair`, from new files and in new processes; nothing else of ours may compute meanwhile."""
    params = Latency(runtimes=(args.runtime,), batch=(args.images_at_once,), blocks=BLOCKS, block_ms=BLOCK_MS)
    shape = (data.channels, data.size[0], data.size[1])
    with private.scratch() as temporary:
        sides = []
        for name, model in (("before", before), ("after", after)):
            folder = temporary / name
            folder.mkdir()
            checkpoint.save(model, folder)
            sides.append(Side({args.runtime: artefact(args.runtime, model, shape, folder)}))
        (row,) = measure_pair(*sides, params=params, shape=shape, threads=args.threads)
    return row


def named(benchmark: str, args: argparse.Namespace) -> str:
    """The name of the results' file: of other networks than ResNet20 with theirs."""
    return benchmark if args.model == "resnet20" else f"{benchmark}_{args.model.rpartition('/')[2]}"


def titled(title: str, args: argparse.Namespace) -> str:
    """The results' title: of other networks than ResNet20 with theirs."""
    return title if args.model == "resnet20" else f"{title}: {args.model.rpartition('/')[2]}"


def spread(values: Sequence[float]) -> str:
    """Mean ± deviation."""
    return f"{statistics.fmean(values):.2f} ± {statistics.stdev(values) if len(values) > 1 else 0.0:.2f}"
