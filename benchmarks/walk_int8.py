"""Every classification network of torchvision as an INT8 file: how near its outputs come to the float network's.

Random weights, with BatchNorm statistics of the example images so that activations have the sizes of a trained
network's, and outputs centred: without their mean over the images, which in an untrained network is most of them.
`quantize.static` as by default, with 24 images to calibrate on, 24 to judge repairs on and 24 others to compare on;
they are random blobs of colour on several scales, so that no two are alike. Untrained networks amplify: so
similarities are those of the median image, and beside them stands what noise of 1 % on the images does to the float
network.

    python -m benchmarks.walk_int8 [--models 'resnet*' ...] [--skip-large] [--native]

Each network is quantized in a process of its own, one after the other, at the smallest of a few image sizes that gives
it some pixels to the end; `--native` uses the size it was made for. Prints a line for each: cosine similarity of the
outputs and of the centred outputs, top-1 agreement, operators left in float. What fails is listed again at the end.
"""

import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from functools import partial
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks import results, trained
from benchmarks.walk import QUICK, arguments, chosen, in_a_process
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.onnx.float_operators import float_operators
from engine.compute.onnx.graph import Graph
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.steps.quantization.choose import is_weighted
from engine.compute.steps.quantization.graph import float_graph
from engine.compute.steps.quantization.precision.search import best_recipe
from engine.compute.tasks.base import Outputs
from engine.compute.tasks.classification import Classification
from engine.errors import SecateurError
from engine.machine import private
from engine.params import QuantizeStatic

CLASSES = 100
LARGE = ("vit_h_14", "regnet_y_128gf", "vit_l_*", "regnet_y_32gf")
"""More than 140 million parameters."""
NATIVE = {"inception_v3": 299, "efficientnet_v2_*": 384}
SMALLER = {
    "vit_h_14": 70,
    "vit_*": 64,
    "swin*": 64,
    "maxvit_t": 224,
    "inception_v3": 128,
    "alexnet": 128,
    "squeezenet*": 96,
}
"""Pixels that are enough for the network, where the usual 128 are not, or too many."""
IMAGES, BATCH = 24, 8
GOOD = 0.95
"""Cosine similarity of centred outputs from which a file counts as near."""
NOISE, SLACK = 0.01, 0.1
"""Noise on the images, and how much farther than it a file may move the outputs."""


def pixels(name: str, *, native: bool) -> int:
    table, usual = (NATIVE, 224) if native else (SMALLER, 128)
    return next((size for pattern, size in table.items() if fnmatchcase(name, pattern)), usual)


def blobs(count: int, size: int, seed: int) -> Tensor:
    """Images (count, 3, size, size): noise on scales from the whole image to an eighth, normalized."""
    chance = torch.Generator().manual_seed(seed)
    layers = [torch.randn(count, 3, cells, cells, generator=chance) for cells in (1, 2, 4, 8, 16)]
    return (
        sum(
            (
                functional.interpolate(layer, (size, size), mode="bilinear", align_corners=False)
                for layer in layers
            ),
            torch.zeros(count, 3, size, size),
        )
        / len(layers) ** 0.5
    )


class Blobs:
    """What the step draws from training images."""

    def __init__(self, size: int) -> None:
        self._size = size

    def calibration(self) -> Iterator[Tensor]:
        return iter(blobs(IMAGES, self._size, 2).split(BATCH))

    def held_out(self) -> Iterator[Tensor]:
        return iter(blobs(IMAGES, self._size, 5).split(BATCH))

    def deviation(self, outputs: Outputs) -> float:
        return Classification().deviation(outputs)


def with_statistics(model: nn.Module, images: Tensor) -> nn.Module:
    """The model with BatchNorm's statistics of these images, and no layer of zeros (the head of a new ViT is one)."""
    for module in model.modules():
        if isinstance(module, nn.Linear) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.02)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
        norm.train()
    with torch.no_grad():
        model(images)
    return model.eval()


def walk(name: str, size: int) -> dict[str, Any]:
    """One network's row."""
    started = time.monotonic()
    torch.manual_seed(0)
    model = build(Architecture(f"torchvision/{name}", 3, CLASSES, (size, size))).eval()
    with_statistics(model, blobs(IMAGES, size, 1))
    graph = float_graph(model, (3, size, size))
    compared = blobs(IMAGES, size, 3)
    recipe = best_recipe(graph, QuantizeStatic(), Blobs(size), frozenset()).recipe
    file = recipe.write()
    given, wanted = (outputs(each, compared) for each in (file, graph))
    noise = NOISE * torch.randn(compared.shape, generator=torch.Generator().manual_seed(4))
    disturbed, centre = outputs(graph, compared + noise), wanted.mean(0)
    read = Graph(graph)

    def centred(these: Tensor) -> float:
        return float(functional.cosine_similarity(these - centre, wanted - centre).median())

    return {
        "cosine": float(functional.cosine_similarity(given, wanted).median()),
        "centred": centred(given),
        "noise": centred(disturbed),
        "agreement": float((given.argmax(1) == wanted.argmax(1)).float().mean()),
        "layers": sum(is_weighted(node, read) for node in read.nodes),
        "weighted": len(list(read.weighted())),
        "float": left_in_float(file),
        "bytes": (len(graph.SerializeToString()), len(file.SerializeToString())),
        "seconds": time.monotonic() - started,
        "result": "ok",
    }


def left_in_float(file: onnx.ModelProto) -> dict[str, int]:
    with private.scratch() as folder:
        path = folder / "model.onnx"
        path.write_bytes(file.SerializeToString())
        return float_operators(path)


def outputs(model: onnx.ModelProto, images: Tensor) -> Tensor:
    session = OnnxModel(model.SerializeToString(), torch.get_num_threads())
    return torch.cat([session(batch) for batch in images.split(BATCH)])


def guarded(name: str, size: int) -> dict[str, Any]:
    """`walk`, with a refusal of ours as the result."""
    try:
        return walk(name, size)
    except SecateurError as error:
        return {"result": f"refused: {error.title}: {error.detail[:150]}"}


def line(name: str, size: int, row: dict[str, Any]) -> str:
    if row["result"] != "ok":
        return f"{name:20} {size:4} px  {row['result']}"
    before, after = (each / 1e6 for each in row["bytes"])
    left = ", ".join(f"{count} {operator}" for operator, count in sorted(row["float"].items())) or "nothing"
    return (
        f"{name:20} {size:4} px  cosine {row['cosine']:.4f}, centred {row['centred']:.4f} (noise {row['noise']:.4f}), "
        f"agreement {row['agreement']:6.1%}, {row['layers']} of {row['weighted']} layers, "
        f"{before:.1f} → {after:.1f} MB, {row['seconds']:.0f} s; in float: {left}"
    )


def main() -> int:
    parser = arguments(__doc__, LARGE)
    parser.add_argument(
        "--native", action="store_true", help="images of the size that each network is made for"
    )
    args = trained.parsed(parser, QUICK)
    names = chosen(args, LARGE)
    rows = {}
    for name in names:
        size = pixels(name, native=args.native)
        rows[name] = in_a_process(partial(guarded, name, size))
        print(line(name, size, rows[name]), flush=True)
    ran = [name for name, row in rows.items() if row["result"] == "ok"]
    near = [name for name in ran if rows[name]["centred"] >= GOOD]
    right = [name for name in ran if name in near or rows[name]["centred"] >= rows[name]["noise"] - SLACK]
    print(
        f"{len(ran)} of {len(rows)} run as INT8; {len(right)} are right, {len(near)} of them at {GOOD} or nearer"
    )
    for name in names:
        if name not in right:
            print(line(name, pixels(name, native=args.native), rows[name]))
    if args.quick:
        return results.judged({"all are right": len(right) == len(rows)})
    if args.models == ["*"]:
        counts = {
            "networks": len(rows),
            "run as INT8": len(ran),
            "as near to float as slightly noisy images are": len(right),
        }
        others = "; ".join(f"{name} ({rows[name]['result']})" for name in names if name not in right)
        about = f"Random weights, BatchNorm's statistics of noise. Not right: {others or 'none'}."
        results.write("walk_int8", [counts], title="INT8 of every torchvision classifier", about=about)
    return 0


if __name__ == "__main__":
    sys.exit(main())
