"""ResNet18 at 224 px with channels pruned to 4 times fewer MACs and in INT8: how many times as fast as PyTorch eager?

Weights are random with BatchNorm's statistics of real images: times do not depend on their values. Every runtime that
runs an INT8 file is measured against PyTorch eager in fp32, each in a process of its own, in turns; in the same way
the uncompressed network's INT8 file against its fp32 file in ONNX Runtime.

    python -m benchmarks.pruned_int8 [--model torchvision/resnet18] [--speedup 4] [--threads 2]

The goals: at least 10 times as fast as eager in the best runtime, INT8 at least twice as fast as fp32. Run it on an
otherwise idle machine: "others" is the share of the processors' time that other programs took meanwhile.
"""

import argparse
from pathlib import Path
from typing import Any

from torch import nn

from benchmarks import results, trained
from engine.compute.data import Dataset
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.runtimes.base import artefact
from engine.compute.steps.apply import apply
from engine.errors import Unavailable
from engine.machine import lock, private
from engine.params import PruneChannels, QuantizeStatic
from engine.params.preset import Latency
from engine.params.runtimes import INT8_RUNTIMES, Runtime

GOAL_EAGER, GOAL_INT8 = 10.0, 2.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/pruned-int8")
    parser.set_defaults(model="torchvision/resnet18", size=224, images=800, epochs=0, seeds=[0])
    parser.add_argument("--speedup", type=float, default=4.0)
    parser.add_argument("--calibration", type=int, default=64)
    args = parser.parse_args()
    data = trained.prepare(args)
    with private.scratch() as folder:
        plain = trained.baseline(args, data, 0)
        before = side(plain, data, folder / "before", ("torch", "onnxruntime"))
        quantized = int8(plain, data, folder / "int8", args)
        rows = report("INT8 over fp32", before, quantized, args, data, None, GOAL_INT8)
        pruned = trained.baseline(args, data, 0)
        macs = count(pruned, (data.channels, *data.size)).macs
        step = PruneChannels(speedup=args.speedup, round_to=16, repair=False)
        pruned = apply(step, pruned, trained.context(data, 0, 1))
        print(f"channels: {macs / count(pruned, (data.channels, *data.size)).macs:.2f}x fewer MACs")
        float_side = side(pruned, data, folder / "pruned", ("torch", "onnxruntime", "openvino"))
        rows += report("pruned, fp32, over eager", before, float_side, args, data, "torch", GOAL_EAGER)
        quantized = int8(pruned, data, folder / "pruned-int8", args)
        rows += report("pruned, INT8, over eager", before, quantized, args, data, "torch", GOAL_EAGER)
    about = (
        f"{args.model} at {args.size} px, {args.speedup:g} times fewer MACs, batch 1, {args.threads} threads."
    )
    results.write("pruned_int8", rows, title="Pruned and INT8", about=about)


def int8(model: nn.Module, data: Dataset, folder: Path, args: argparse.Namespace) -> Side:
    step = QuantizeStatic(images=args.calibration)
    quantized = apply(step, model, trained.context(data, 0, 2))
    assert isinstance(quantized, QuantizedNetwork)
    return side(quantized, data, folder, INT8_RUNTIMES)


def side(model: nn.Module, data: Dataset, folder: Path, runtimes: tuple[Runtime, ...]) -> Side:
    """What each runtime opens of a model."""
    folder.mkdir()
    checkpoint.save(model, folder)
    shape = (data.channels, data.size[0], data.size[1])
    files: dict[Runtime, Path] = {}
    refused: dict[Runtime, str] = {}
    for runtime in runtimes:
        try:
            files[runtime] = artefact(runtime, model, shape, folder)
        except Unavailable as error:
            refused[runtime] = error.reason
    return Side(files, refused, quantized=isinstance(model, QuantizedNetwork))


def report(
    title: str,
    before: Side,
    after: Side,
    args: argparse.Namespace,
    data: Dataset,
    against: Runtime | None,
    goal: float,
) -> list[dict[str, Any]]:
    """Measure and print; a row for each runtime."""
    chosen = tuple(r for r in after.artefacts if against or r in before.artefacts)
    params = Latency(runtimes=chosen, batch=(1,), blocks=trained.BLOCKS, block_ms=100)
    shape = (data.channels, data.size[0], data.size[1])
    with lock.exclusive():
        measured: list[dict[str, Any]] = measure_pair(
            before, after, params=params, shape=shape, threads=args.threads, against=against
        )
    best, rows = 0.0, []
    for row in measured:
        if why := row.get("unavailable"):
            print(f"{title}: {row['runtime']}: {why}")
            continue
        best = max(best, row["speedup"])
        print(
            f"{title}: {row['runtime']} {row['precision']}: {row['baseline_median_ms']:.2f} → {row['median_ms']:.2f}"
            f" ms, {row['speedup']:.2f}x [{row['speedup_low']:.2f}, {row['speedup_high']:.2f}], others"
            f" {row['foreign_load']:.0%}",
            flush=True,
        )
        rows.append(
            {
                "compared": title,
                "runtime": f"{row['runtime']} {row['precision']}",
                "ms": row["median_ms"],
                "times as fast": row["speedup"],
                "others' load": row["foreign_load"],
            }
        )
    print(f"{title}: best {best:.2f}x, goal ≥ {goal:g}: {'met' if best >= goal else 'NOT met'}", flush=True)
    return rows


if __name__ == "__main__":
    main()
