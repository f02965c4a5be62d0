"""What sparse packing gains: the sizes of a trained ResNet20 as its sparsity grows, and the speed on a ResNet18.

    python -m benchmarks.packed [--nncodec PYTHON]

The network is trained for seconds on digits, so that its weights are spread as trained weights are; then its
smallest weights are set to zero, over the whole network. Prints bytes of the three formats, how far the packed
file is from a straight line in the number of non-zeros, and milliseconds of packing and unpacking. With --nncodec also
the bytes that NNCodec takes for the same tensors, compressed as Deep Compression does (see `benchmarks.nncodec`);
they are written to benchmarks/results/packed.json.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks import nncodec, results
from benchmarks.trained import parsed
from engine import datasets
from engine.compute.context import Context
from engine.compute.data import load
from engine.compute.measures import packed
from engine.compute.measures.sizes import sizes
from engine.compute.measures.unpack import unpack
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.models.resnet import CifarResNet
from engine.compute.steps.apply import apply
from engine.machine import private
from engine.params import ClusterWeights, PruneWeights, QuantizeHalf
from engine.params.preset import Data
from engine.params.training import Train

SPARSITIES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99)
EPOCHS = 4
REPEATS = 5
QUICK_DENSE, QUICK_SPARSE = 0.95, 0.14
PEERS = ((0.9, 32), (0.9, 16), (0.95, 32))
"""Sparsity and centroids of the networks that NNCodec gets too."""
ABOUT = (
    "The same tensors of a network trained for seconds on digits. NNCodec's bytes are those of its coded indices, and"
    " two for each other number. Which weights are left is as good as chance, so both files are near the entropy."
)


def trained(scratch: Path) -> tuple[nn.Module, Context]:
    """A ResNet20 after a few epochs on digits, and what steps after that are given."""
    torch.manual_seed(0)
    params = Data(name="digits")
    data = load(params, datasets.locate(params, Path()))
    context = Context(data, torch.device("cpu"), 0, 0, "", scratch / "partial", lambda _: None)
    model = apply(
        Train(epochs=EPOCHS, learning_rate=0.2), CifarResNet(20, data.channels, data.classes), context
    )
    return model, context


def pruned(state: dict[str, Tensor], sparsity: float) -> dict[str, Tensor]:
    """`state` with the smallest weights of all convolutions and linear layers set to zero."""
    weights = {name: t for name, t in state.items() if t.dim() > 1}
    flat = torch.cat([t.abs().flatten() for t in weights.values()])
    keep = torch.ones_like(flat, dtype=torch.bool)
    keep[flat.argsort()[: round(sparsity * len(flat))]] = False
    parts = keep.split([t.numel() for t in weights.values()])
    masked = {
        name: torch.where(part.view_as(t), t, 0.0)
        for (name, t), part in zip(weights.items(), parts, strict=True)
    }
    return state | masked


def report_sizes(state: dict[str, Tensor]) -> None:
    print(f"ResNet20 after {EPOCHS} epochs on digits, bytes")
    print(
        f"{'sparsity':>8}{'non-zeros':>11}{'plain':>11}{'gzip':>11}{'packed':>11}"
        f"{'packed / plain':>16}{'bits each':>11}"
    )
    points = []
    for sparsity in SPARSITIES:
        tensors = pruned(state, sparsity)
        size = sizes(tensors)
        count = sum(int(t.count_nonzero()) for t in tensors.values())
        points.append((count, size["packed"]))
        print(
            f"{sparsity:>8.2f}{count:>11}{size['plain']:>11}{size['gzip']:>11}{size['packed']:>11}"
            f"{size['packed'] / size['plain']:>16.3f}{size['packed'] * 8 / count:>11.1f}"
        )
    report_line(points)


def report_line(points: list[tuple[int, int]]) -> None:
    """How far the sizes are from the straight line through them (least squares)."""
    counts, packed_ = ([float(p[i]) for p in points] for i in (0, 1))
    slope, intercept = statistics.linear_regression(counts, packed_)
    worst = max(abs(slope * x + intercept - y) for x, y in zip(counts, packed_, strict=True))
    correlation = statistics.correlation(counts, packed_)
    print(
        f"packed ≈ {intercept:.0f} + {slope:.3f} × non-zeros; R² {correlation**2:.5f}; "
        f"furthest from the line {worst / max(packed_):.1%} of the dense file"
    )


def report_speed() -> None:
    torch.manual_seed(0)
    model = build(Architecture("torchvision/resnet18", 3, 1000, (224, 224)))
    state = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    plain = sum(t.numel() * t.element_size() for t in state.values())
    print(f"\nResNet18, {plain / 1e6:.1f} MB")
    print(f"{'sparsity':>8}{'packed MB':>11}{'pack ms':>10}{'MB/s':>8}{'unpack ms':>11}{'MB/s':>8}")
    for sparsity in (0.0, 0.5, 0.9):
        tensors = pruned(state, sparsity)
        data = packed.dump(tensors)
        again = unpack(data)
        assert all(torch.equal(torch.from_numpy(again[name][1]), t) for name, t in tensors.items())
        packing, unpacking = (
            milliseconds(partial(packed.dump, tensors)),
            milliseconds(partial(unpack, data)),
        )
        print(
            f"{sparsity:>8.2f}{len(data) / 1e6:>11.2f}{packing:>10.0f}{plain / packing / 1e3:>8.0f}"
            f"{unpacking:>11.0f}{plain / unpacking / 1e3:>8.0f}"
        )


def report_peer(model: nn.Module, context: Context, python: Path) -> None:
    """Deep Compression's tensors, without the training between its steps, in both files."""
    rows: list[dict[str, Any]] = []
    for sparsity, centroids in PEERS:
        smaller = copy.deepcopy(model)
        for step in (PruneWeights(sparsity=sparsity), ClusterWeights(centroids=centroids), QuantizeHalf()):
            smaller = apply(step, smaller, context)
        tensors = checkpoint.folded_state(smaller)
        own, theirs = len(packed.dump(tensors)), nncodec.size(python, tensors)
        rows.append(
            {
                "network": f"ResNet20, {sparsity:.0%} pruned, {centroids} centroids a layer, 16 bits",
                "plain (bytes)": sizes(tensors)["plain"],
                "packed (bytes)": own,
                "NNCodec (bytes)": theirs,
                "packed over NNCodec": own / theirs,
            }
        )
        results.tell(rows[-1])
    results.write("packed", rows, title="The packed file beside NNCodec (ISO/IEC 15938-17)", about=ABOUT)


def milliseconds(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nncodec", type=Path, metavar="PYTHON", help="with the package nncodec")
    args = parsed(parser, "")
    with private.scratch() as scratch:
        model, context = trained(scratch)
        state = checkpoint.folded_state(model)
        report_sizes(state)
        if args.quick:
            return results.judged(claims(state))
        report_speed()
        if args.nncodec:
            report_peer(model, context, args.nncodec)
    return 0


def claims(state: dict[str, Tensor]) -> dict[str, bool]:
    """What the quick form finds of the whole network, and of it with nine of ten weights zero."""
    whole, sparse = (sizes(pruned(state, sparsity)) for sparsity in (0.0, 0.9))
    return {
        f"a dense file of at most {QUICK_DENSE:.0%}": whole["packed"] <= QUICK_DENSE * whole["plain"],
        f"a sparse one of at most {QUICK_SPARSE:.0%}": sparse["packed"] <= QUICK_SPARSE * sparse["plain"],
    }


if __name__ == "__main__":
    sys.exit(main())
