"""Writes the table in `engine/params/networks.py`: parameters, MACs and input of every built-in network.

python tools/networks.py

Builds and counts each at the size that it is published for: some minutes, and 4 GB of memory for the largest.
"""

import re
import sys
from pathlib import Path

from torchvision.models import get_model_weights

from engine.compute.measures.counts import count
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.params.catalog import DETECTOR, MODELS

HOME = Path(__file__).resolve().parent.parent
OUT = HOME / "engine" / "params" / "networks.py"
START, END = "NETWORKS = {\n", "}\n"
VISION = "torchvision/"


def published(name: str) -> tuple[int, int, float | None]:
    """Size, classes and top-1 accuracy of a network as it is published: He 2016 for CIFAR-10, COCO for detectors."""
    if name.startswith(DETECTOR):
        return 640, 80, None
    if not name.startswith(VISION):
        return 32, 10, None
    # Of several sets of weights the newest that was trained at the network's own size.
    offered = {weights.name: weights for weights in get_model_weights(name.removeprefix(VISION))}
    plain = sorted(one for one in offered if re.fullmatch(r"IMAGENET1K_V\d", one))
    weights = offered[plain[-1] if plain else "IMAGENET1K_SWAG_LINEAR_V1"]
    return weights.transforms().crop_size[0], 1000, weights.meta["_metrics"]["ImageNet-1K"]["acc@1"]


def row(name: str) -> str:
    """The line of one network."""
    size, classes, top1 = published(name)
    counts = count(build(Architecture(name, 3, classes, (size, size))), (3, size, size))
    accuracy = "" if top1 is None else f", {top1}"
    return f'    "{name}": Network({counts.parameters:_}, {counts.macs:_}, {size}, {classes}{accuracy}),\n'


def main() -> None:
    lines = []
    for name in MODELS:
        lines.append(row(name))
        print(lines[-1], end="", file=sys.stderr, flush=True)
    declared, start, _ = OUT.read_text().partition(START)
    OUT.write_text(declared + start + "".join(lines) + END)


if __name__ == "__main__":
    main()
