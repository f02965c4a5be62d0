"""One model in every runtime and precision: latency, throughput, first call, and how far its outputs are from fp32's.

Each is measured in a process of its own, in turns with PyTorch eager in fp32, whose time the ratio is over. The
weights are untrained. "others" is the share of the processors' time that other processes took meanwhile; above a few
percent nothing here means much.

Run it on an otherwise idle machine:
``python -m benchmarks.runtimes [torchvision/resnet18 …] [--size 224] [--batch 1] [--threads 2] [--device cpu]``.
"""

import argparse
import multiprocessing
import os
from pathlib import Path
from typing import Any, get_args

import torch
from torch import nn

from engine.compute.latency import forks
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.onnx.shape import example
from engine.compute.runtimes.base import artefact, session
from engine.errors import Unavailable
from engine.machine import environment, private, runtimes
from engine.measures import latency
from engine.params.preset import Latency
from engine.params.runtimes import Precision, Runtime
from engine.text.tables import table

MODELS = ("torchvision/resnet18", "torchvision/mobilenet_v3_small")
HEADS = [*latency.HEADS, "deviation", "others"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, nargs="+", default=[1])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runtimes", nargs="+", default=get_args(Runtime), choices=get_args(Runtime))
    parser.add_argument("--precision", nargs="+", default=get_args(Precision), choices=get_args(Precision))
    parser.add_argument("--blocks", type=int, default=10)
    args = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload([*forks.PRELOAD, "torchvision"])
    print(f"{environment.cpu()['model']}, {args.threads} threads")
    for one in runtimes.survey(args.device):
        print(f"  {one.runtime} {one.version}: {one.missing or ', '.join(one.precisions)}")
    for name in args.models:
        report(name, args)


def report(name: str, args: argparse.Namespace) -> None:
    torch.manual_seed(0)
    shape = (3, args.size, args.size)
    model = build(Architecture(name, 3, 1000, shape[1:])).eval()
    params = Latency(
        runtimes=tuple(args.runtimes),
        precision=tuple(args.precision),
        batch=tuple(args.batch),
        blocks=args.blocks,
    )
    with private.scratch() as folder:
        side = prepared(model, shape, folder, args.runtimes)
        rows = measure_pair(
            side, side, params=params, shape=shape, threads=args.threads, device=args.device, against="torch"
        )
        # Only now: sessions in this process would disturb the measured ones.
        cells = [[*texts(row), *checked(row, side, model, shape, args)] for row in rows if "median_ms" in row]
    print(f"\n{name}, {args.size} px; ratio over torch in fp32")
    print(table(HEADS, cells, ["left", "left"]))
    for note in latency.notes({"latency": rows}):
        print(note)


def prepared(model: nn.Module, shape: tuple[int, int, int], folder: Path, wanted: list[Runtime]) -> Side:
    """The model's artefact for each runtime, and for torch in any case: the ratio is over it."""
    checkpoint.save(model, folder)
    file = None
    files: dict[Runtime, Path] = {}
    refused: dict[Runtime, str] = {}
    for runtime in dict.fromkeys(("torch", *wanted)):
        try:
            if runtime in ("torch", "torch-compile"):
                files[runtime] = folder
            else:
                file = files[runtime] = file or artefact(runtime, model, shape, folder)
        except Unavailable as error:
            refused[runtime] = error.reason
    return Side(files, refused)


def texts(row: dict[str, Any]) -> list[str]:
    return [text for _, text in latency.cells(row)]


def checked(
    row: dict[str, Any], side: Side, model: nn.Module, shape: Any, args: argparse.Namespace
) -> list[str]:
    """The largest deviation of the outputs from PyTorch's in fp32, in units of the largest output; the load."""
    images = example(row["batch"], shape)
    with torch.inference_mode():
        wanted = model(images)
    opened = session(
        row["runtime"],
        side.artefacts[row["runtime"]],
        batch=row["batch"],
        shape=shape,
        threads=args.threads,
        device=args.device,
        precision=row["precision"],
    )
    deviation = (opened.run(images) - wanted).abs().max() / wanted.abs().max()
    return [f"{float(deviation):.1e}", f"{row['foreign_load']:.0%}"]


if __name__ == "__main__":
    main()
