"""Filters that share one convolution: are they faster than the network as it was, in every runtime?

ResNet18 at 224 px in ONNX Runtime, where the goal is a ratio of at least 1.4, and ResNet20 at 28 px in PyTorch and
ONNX Runtime, where the goal is not to be slower; half of the filters shared, weights untrained. Model and baseline
take turns in processes of their own. "others" is the share of the processors' time that other processes took
meanwhile; above a few percent nothing here means much.

Run it on an otherwise idle machine:
``python -m benchmarks.shared_filters [--share 0.5] [--blocks 12] [--block-ms 200]``.
"""

import argparse
import multiprocessing
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.compute.latency import forks
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.layers.shared import paying_layers, share, shared_layers
from engine.compute.models import checkpoint, edits
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.runtimes.base import artefact
from engine.compute.steps.clustering.assign import cluster, clusters_at
from engine.compute.steps.clustering.merge import centroids
from engine.machine import environment, private
from engine.params.preset import Latency
from engine.params.runtimes import Runtime


@dataclass(frozen=True)
class Case:
    model: str
    channels: int
    size: int
    runtime: Runtime
    goal: float

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.size, self.size


CASES = (
    Case("torchvision/resnet18", 3, 224, "onnxruntime", 1.4),
    Case("resnet20", 1, 28, "onnxruntime", 1.0),
    Case("resnet20", 1, 28, "torch", 1.0),
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=0.5, help="share of the filters removed")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--block-ms", type=int, default=200)
    parser.add_argument("--batch", type=int, default=1)
    args = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload([*forks.PRELOAD, "torchvision"])
    print(f"{environment.cpu()['model']}, {len(os.sched_getaffinity(0))} threads, batch {args.batch}")
    for case in CASES:
        report(case, measured(case, args))


def measured(case: Case, args: argparse.Namespace) -> dict[str, Any]:
    """The row of one case: the network with shared filters against the one it was made from."""
    torch.manual_seed(0)
    model = build(Architecture(case.model, case.channels, 10, (case.size, case.size))).eval()
    with private.scratch() as folder:
        baseline = side(model, case, folder / "baseline")
        shared = side(halved(model, args.share), case, folder / "shared")
        layers, paying = shared_layers(model), paying_layers(model, case.shape)
        params = Latency(
            runtimes=(case.runtime,), batch=(args.batch,), blocks=args.blocks, block_ms=args.block_ms
        )
        threads = len(os.sched_getaffinity(0))
        (row,) = measure_pair(baseline, shared, params=params, shape=case.shape, threads=threads)
    return row | {"paying": len(paying), "layers": len(layers)}


def halved(model: nn.Module, ratio: float) -> nn.Module:
    """`model` with the filters of every convolution clustered and shared, in place."""
    for name, layer in list(model.named_modules()):
        if isinstance(layer, nn.Conv2d):
            vectors = layer.weight.detach().double().flatten(1)
            clusters = cluster(vectors, clusters_at(len(vectors), ratio), algorithm="agglomerative")
            centres = centroids(vectors, clusters)
            filters = (vectors[centres.chosen] + centres.moves).view(-1, *layer.weight.shape[1:])
            share(model, name, filters.float(), clusters.labels)
            edits.record(
                model, {"edit": edits.SHARE, "layer": name, "filters": len(filters), "scaled": False}
            )
    return model.eval()


def side(model: nn.Module, case: Case, folder: Path) -> Side:
    folder.mkdir()
    checkpoint.save(model, folder)
    return Side({case.runtime: artefact(case.runtime, model, case.shape, folder)})


def report(case: Case, row: dict[str, Any]) -> None:
    reached = "reached" if row["speedup"] >= case.goal else "MISSED"
    print(
        f"{case.model} {case.size} px, {case.runtime}: {row['baseline_median_ms']:.3f} → {row['median_ms']:.3f} ms, "
        f"ratio {row['speedup']:.2f} ({row['speedup_low']:.2f} to {row['speedup_high']:.2f}), "
        f"goal {case.goal}: {reached}; {row['paying']} of {row['layers']} layers share at run time, "
        f"others {row['foreign_load']:.0%}",
        flush=True,
    )


if __name__ == "__main__":
    main()
