"""Static INT8 by `quantize.static`, by ONNX Runtime's own defaults and by NNCF, one float file, the same images.

The network is trained (with --epochs 0: random weights, BatchNorm's statistics of real images), written as ONNX once,
and quantized by each with the same calibration images. Every file is then run in ONNX Runtime: accuracy on the test
split (some of validation for untrained networks), agreement with the float file, and its time against the float file's,
all in one run. ONNX Runtime's way is the one of its documentation: `quant_pre_process`, then `quantize_static`. NNCF
(`pip install nncf`) is left out where it is missing.

    python -m benchmarks.int8 [--seeds 0 1 2] [--calibration 256] [--untimed]
                              [--static method=percentile mixed={max_loss: 1} faster=true]
    python -m benchmarks.int8 --model torchvision/resnet18 --size 224 --images 1000 --epochs 0 --seeds 0

Without --model: ResNet20, and MobileNetV3-Small at 64 px. The goals, of `quantize.static` as by default: at most 0.2
points of test accuracy lost on the first, 0.3 on the second, and no file slower than the float one, in ONNX Runtime
and in OpenVINO.

Run it on an otherwise idle machine: "others" is the share of the processors' time that went to other programs
while a file was timed.
"""

import argparse
import importlib.util
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from benchmarks import results, trained
from engine.compute.data import Dataset, Split
from engine.compute.data.images import Subset
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.runtimes.base import artefact
from engine.compute.steps.apply import apply
from engine.compute.steps.quantization.precision.search import Drawn
from engine.machine import lock, private
from engine.measures.latency import NOISY_LOAD
from engine.params import QuantizeStatic
from engine.params.preset import Latency
from engine.params.runtimes import Runtime
from engine.text.phrases import counted

BATCH = 250
"""Images scored at a time."""
UNTRAINED = 500
"""Validation images that an untrained network is scored on."""
ABOUT = (
    "One float file, the same {} calibration images, batch 1, {}; agreement is with the float file. NNCF's files, "
    "where it is installed, are made for OpenVINO first."
)
RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "openvino")
NETWORKS: dict[str, dict[str, Any]] = {
    "resnet20": {},
    "torchvision/mobilenet_v3_small": {
        "size": 64,
        "images": 8000,
        "epochs": 10,
        "rate": 0.1,
        "batch": 64,
        "precision": "fp32",
    },
}
"""What is measured where no network is named, and how it is trained."""
GOALS = {"resnet20": 0.2, "torchvision/mobilenet_v3_small": 0.3}
"""Points of test accuracy that may be lost."""
QUICK = f"--model resnet20 --untimed {trained.DIGITS}"
QUICK_LOST = 0.6
"""Points: two of the test split's images."""
OURS = "secateur"
Way = Callable[[Path, Path, list[Tensor]], None]
"""Writes an INT8 file: from a float one, to where, calibrated on these images."""


def trial(args: argparse.Namespace, data: Dataset, seed: int) -> dict[str, dict[str, float]]:
    """The figures of every way, by its name."""
    model = trained.baseline(args, data, seed).eval()
    shape = (data.channels, *data.size)
    step = QuantizeStatic.model_validate(
        {"images": args.calibration, **trained.settings(args.static)}, strict=False
    )
    split = data.test
    if not args.epochs:  # how untrained networks answer says little: some hundred images will do
        some = torch.arange(UNTRAINED)
        split = Split(Subset(data.validation.images, some), data.validation.labels[some])
    with private.scratch() as folder:
        checkpoint.save(model, folder)
        plain = artefact("onnxruntime", model, shape, folder)
        images = list(Drawn(model, step, trained.context(data, seed, 1)).calibration())
        files = {"fp32": plain}
        for name, write in ways(step, model, data, seed).items():
            files[name] = folder / f"{name}.onnx"
            write(plain, files[name], images)
        answers = {name: outputs(file, data, split, args.threads) for name, file in files.items()}
        return {
            name: {
                "accuracy": share(answers[name], split.labels),
                "agreement": share(answers[name], answers["fp32"]),
                "bytes": file.stat().st_size,
                **({} if args.untimed else timed(files["fp32"], file, args, shape, name)),
            }
            for name, file in files.items()
        }


def ways(step: QuantizeStatic, model: nn.Module, data: Dataset, seed: int) -> dict[str, Way]:
    """What writes an INT8 file from a float one and images to calibrate on."""

    def ours(plain: Path, file: Path, images: list[Tensor]) -> None:
        context = trained.context(data, seed, 1)
        with lock.exclusive():
            quantized = apply(step, model, context)
        assert isinstance(quantized, QuantizedNetwork)
        file.write_bytes(quantized.file)

    quantizers: dict[str, Way] = {OURS: ours, "onnxruntime": by_onnxruntime}
    if importlib.util.find_spec("nncf"):
        quantizers["nncf"] = by_nncf
    return quantizers


def by_onnxruntime(plain: Path, file: Path, images: list[Tensor]) -> None:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left: Iterator[Tensor] = iter(images)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self.left, None)
            return None if batch is None else {"images": batch.contiguous().numpy()}

    prepared = plain.with_suffix(".prepared.onnx")
    quant_pre_process(plain, prepared)
    quantize_static(prepared, file, Reader())


def by_nncf(plain: Path, file: Path, images: list[Tensor]) -> None:
    import nncf

    batches = [{"images": batch.contiguous().numpy()} for batch in images]
    onnx.save(nncf.quantize(onnx.load(plain), nncf.Dataset(batches), subset_size=len(batches)), file)


def outputs(file: Path, data: Dataset, split: Split, threads: int) -> Tensor:
    """The class that the file gives for each image of the split."""
    model = OnnxModel(file.read_bytes(), threads)
    return torch.cat(
        [model(images.contiguous()).argmax(1) for images, _ in data.batches(split, BATCH, device=trained.CPU)]
    )


def share(one: Tensor, other: Tensor) -> float:
    return 100 * float((one == other).float().mean())


def timed(
    plain: Path, file: Path, args: argparse.Namespace, shape: tuple[int, int, int], name: str
) -> dict[str, float]:
    """By runtime, whose name each key ends with."""
    params = Latency(runtimes=RUNTIMES, batch=(1,), blocks=trained.BLOCKS, block_ms=trained.BLOCK_MS)
    sides = [
        Side(dict.fromkeys(RUNTIMES, plain)),
        Side(dict.fromkeys(RUNTIMES, file), quantized=name != "fp32"),
    ]
    with lock.exclusive():
        rows = measure_pair(*sides, params=params, shape=shape, threads=args.threads)
    return {
        f"{key} {row['runtime']}": row[known]
        for row in rows
        for key, known in (("milliseconds", "median_ms"), ("speedup", "speedup"), ("others", "foreign_load"))
        if "unavailable" not in row
    }


def options(own: dict[str, Any]) -> argparse.Namespace:
    """The command line, where a network's `own` options hold that are not given."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/int8")
    parser.add_argument("--calibration", type=int, default=256, help="training images")
    parser.add_argument("--untimed", action="store_true", help="accuracy alone")
    parser.add_argument("--static", nargs="*", default=[], metavar="PARAMETER=VALUE")
    parser.set_defaults(**{"model": None, **own})
    return trained.parsed(parser, QUICK)


def main() -> int:
    warnings.simplefilter("ignore")
    asked = options({})
    if asked.model:
        every = [asked]
    else:
        every = [options({"model": name, **own}) for name, own in NETWORKS.items()]
    rows = []
    for args in every:
        data = trained.prepare(args)
        trials = []
        for seed in args.seeds:
            about = ["int8", args.calibration, args.threads, *sorted(args.static), seed]
            about += ["untimed"] if args.untimed else []
            trials.append(trained.kept(args, about, partial(trial, args, data, seed)))
            report(trials[-1:], f"{args.model}, seed {seed}")
        if len(trials) > 1:
            report(trials, f"{args.model}, mean ± deviation of {counted(len(trials), 'seed')}")
        rows += table(args, trials)
        if args.quick:
            return results.judged({f"at most {QUICK_LOST:g} points lost": lost(trials) <= QUICK_LOST})
        judge(args, trials)
    told = ABOUT.format(asked.calibration, asked.data)
    if asked.static:
        told += f" `quantize.static` with {', '.join(asked.static)}."
    name, whose = (trained.named("int8", asked), f" of {asked.model}") if asked.model else ("int8", "")
    results.write(name, rows, title=f"INT8 files{whose}", about=told)
    return 0


def table(args: argparse.Namespace, trials: list[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """A row for every way."""
    columns = (
        ("test accuracy (%)", "accuracy"),
        ("agreement (%)", "agreement"),
        ("speed over fp32", "speedup onnxruntime"),
        ("speed over fp32, OpenVINO", "speedup openvino"),
        ("others' load", "others onnxruntime"),
    )
    network = f"{args.model}, {args.size} px, {counted(len(trials), 'seed')}"
    return [
        {"network": network, "file": name}
        | {
            head: results.mean_and_deviation([one[name][key] for one in trials])
            for head, key in columns
            if all(key in one[name] for one in trials)
        }
        for name in trials[0]
    ]


def lost(trials: list[dict[str, dict[str, float]]]) -> float:
    """Points of test accuracy that our file is behind the float one, in the mean."""
    return statistics.fmean(one["fp32"]["accuracy"] - one[OURS]["accuracy"] for one in trials)


def judge(args: argparse.Namespace, trials: list[dict[str, dict[str, float]]]) -> None:
    """Say of each goal whether it is reached."""
    if args.model not in GOALS:
        return
    points, goal = lost(trials), GOALS[args.model]
    print(
        f"{args.model}: {points:.2f} points lost, goal ≤ {goal:g}: {'met' if points <= goal else 'NOT met'}"
    )
    for runtime in RUNTIMES:
        speeds = [one[OURS][key] for one in trials if (key := f"speedup {runtime}") in one[OURS]]
        if speeds and (load := max(one[OURS][f"others {runtime}"] for one in trials)) > NOISY_LOAD:
            print(f"{args.model}: {runtime} is not judged, others took {load:.0%} of the processors' time")
        elif speeds:
            word = "met" if min(speeds) >= 1 else "NOT met"
            print(f"{args.model}: {min(speeds):.2f} × as fast as fp32 in {runtime}, goal ≥ 1: {word}")


def report(trials: list[dict[str, dict[str, float]]], title: str) -> None:
    print(f"{title}\nfile          accuracy        agreement           KiB   speed over fp32 (others' load)")
    for name in trials[0]:
        column = {key: [one[name][key] for one in trials] for key in trials[0][name]}
        speeds = [
            f"{runtime} {trained.spread(column[f'speedup {runtime}'])}x ({max(column[f'others {runtime}']):.0%})"
            for runtime in RUNTIMES
            if f"speedup {runtime}" in column
        ]
        print(
            f"{name:12} {trained.spread(column['accuracy']):>14} % {trained.spread(column['agreement']):>14} %"
            f" {column['bytes'][0] / 1024:8.0f}   {', '.join(speeds)}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
