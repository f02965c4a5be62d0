"""Static INT8 by `quantize.static`, by ONNX Runtime's own defaults and by NNCF, one float file, the same images.

The network is trained (with --epochs 0: random weights, BatchNorm's statistics of real images), written as ONNX once,
and quantized by each with the same calibration images. Every file is then run in ONNX Runtime: accuracy on the test
split (some of validation for untrained networks), agreement with the float file, and its time against the float file's,
all in one run. ONNX Runtime's way is the one of its documentation: `quant_pre_process`, then `quantize_static`. NNCF
(`pip install nncf`) is left out where it is missing.

    python -m benchmarks.int8 [--model resnet20] [--size 28] [--seeds 0 1 2] [--calibration 256]
                              [--static method=percentile mixed={max_loss: 1} faster=true]
    python -m benchmarks.int8 --model torchvision/resnet18 --size 224 --images 1000 --epochs 0 --seeds 0

Run it on an otherwise idle machine: "others" is the share of the processors' time that went to other programs
while a file was timed.
"""

import argparse
import importlib.util
import tempfile
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
from engine.machine import lock
from engine.params import QuantizeStatic
from engine.params.preset import Latency
from engine.text.phrases import counted

BATCH = 250
"""Images scored at a time."""
UNTRAINED = 500
"""Validation images that an untrained network is scored on."""
ABOUT = (
    "One float file, the same {} calibration images, batch 1, {}; agreement is with the float file. NNCF's files, "
    "where it is installed, are made for OpenVINO first."
)
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
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
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
                **timed(files["fp32"], file, args, shape, name),
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

    quantizers: dict[str, Way] = {"secateur": ours, "onnxruntime": by_onnxruntime}
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
    params = Latency(runtimes=("onnxruntime",), batch=(1,), blocks=trained.BLOCKS, block_ms=trained.BLOCK_MS)
    sides = [Side({"onnxruntime": plain}), Side({"onnxruntime": file}, quantized=name != "fp32")]
    with lock.exclusive():
        (row,) = measure_pair(*sides, params=params, shape=shape, threads=args.threads)
    return {
        "milliseconds": row["median_ms"],
        "speedup": row["speedup"],
        "others": row["foreign_load"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    trained.arguments(parser, ".benchmarks/int8")
    parser.add_argument("--calibration", type=int, default=256, help="training images")
    parser.add_argument("--static", nargs="*", default=[], metavar="PARAMETER=VALUE")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    data = trained.prepare(args)
    trials = []
    for seed in args.seeds:
        about = ["int8", args.calibration, args.threads, *sorted(args.static), seed]
        trials.append(trained.kept(args, about, partial(trial, args, data, seed)))
        report(trials[-1:], f"seed {seed}")
    if len(trials) > 1:
        report(trials, f"mean ± deviation of {counted(len(trials), 'seed')}")
    told = ABOUT.format(args.calibration, args.data)
    results.write("int8", table(args, trials), title="INT8 files in ONNX Runtime", about=told)


def table(args: argparse.Namespace, trials: list[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """A row for every way."""
    columns = (
        ("test accuracy (%)", "accuracy"),
        ("agreement (%)", "agreement"),
        ("speed over fp32", "speedup"),
        ("others' load", "others"),
    )
    network = f"{args.model}, {args.size} px, {counted(len(trials), 'seed')}"
    return [
        {"network": network, "file": name}
        | {head: results.mean_and_deviation([one[name][key] for one in trials]) for head, key in columns}
        for name in trials[0]
    ]


def report(trials: list[dict[str, dict[str, float]]], title: str) -> None:
    print(f"{title}\nfile          accuracy        agreement       speed over fp32   ms      KiB   others")
    for name in trials[0]:
        rows = [one[name] for one in trials]
        column = {key: [row[key] for row in rows] for key in rows[0]}
        print(
            f"{name:12} {trained.spread(column['accuracy']):>14} % {trained.spread(column['agreement']):>14} %"
            f" {trained.spread(column['speedup']):>12}x {min(column['milliseconds']):8.3f}"
            f" {column['bytes'][0] / 1024:8.0f}  {max(column['others']):.0%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
