"""Every classification network of torchvision: half of its channels removed, saved, and loaded back bit-equal.

Random weights, ratio 0.5 in every group of coupled channels (local, l2), on the smallest images that the network takes.
Saving verifies that the reloaded network has the same bits and the same output. The same check as in every pruning,
that a network with half the channels of a group computes what the whole one does without them, stands behind each
row; groups that fail it are left whole, and told.

    python -m benchmarks.walk_channels [--models 'resnet*' ...] [--skip-large]

Each network is pruned in a process of its own, one after the other; the largest (vit_h_14, regnet_y_128gf) take about
10 GiB. Prints a line for each and at last the share that is bit-equal.
"""

import sys
import time
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import nn

from benchmarks import results, trained
from benchmarks.walk import PREFIX, QUICK, arguments, chosen, in_a_process
from engine.compute.measures.counts import count
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture, architecture
from engine.compute.models.build import build
from engine.compute.steps.channels.step import prune_channels
from engine.errors import SecateurError
from engine.machine import private
from engine.params.channels import PruneChannels
from engine.params.preset import Data

SIZES = (32, 64, 96, 128, 224)
"""Image sizes to try, in pixels, the smallest first."""
CLASSES = 10
LARGE = ("vit_h_14", "regnet_y_128gf")
"""More than 500 million parameters."""
PARAMS = PruneChannels(ratio=0.5, scope="local", criterion="l2", repair=False, calibrate=False)


def smallest(name: str) -> nn.Module:
    """The network for the smallest images that it takes, with random weights."""
    for size in SIZES:
        torch.manual_seed(0)
        try:
            model = build(Architecture(name, 3, CLASSES, (size, size))).eval()
            with torch.inference_mode():
                model(torch.zeros(1, 3, size, size))
        except (RuntimeError, ValueError, TypeError, AssertionError, ZeroDivisionError, SecateurError):
            continue
        return model
    raise SecateurError(f"{name} takes none of the sizes {SIZES}")


def walk(name: str) -> dict[str, Any]:
    """One network's row: sizes before and after, groups left out, and the result."""
    started = time.monotonic()
    model = smallest(name)
    size = architecture(model).size
    before = count(model, (3, *size))
    told: list[str] = []
    # No image is looked at: l2 needs none, and refitting and calibration are off.
    context = replace(
        trained.context(trained.images(Data(name="digits", limit=16)), 0, 1),
        send=lambda event: told.append(getattr(event, "text", "")),
    )
    row: dict[str, Any] = {"size": size[0]}
    try:
        prune_channels(model, PARAMS, context)
        after = count(model, (3, *size))
        with private.scratch() as folder:
            checkpoint.save(model, folder)
        row |= {
            "parameters": (before.parameters, after.parameters),
            "macs": (before.macs, after.macs),
            "groups": len(context.observations["channels"]),
            "result": "bit-equal",
        }
    except SecateurError as error:
        row["result"] = f"refused: {error.title}"
    return row | {"told": told, "seconds": time.monotonic() - started}


def line(name: str, row: dict[str, Any]) -> str:
    if "macs" not in row:
        return f"{name:20} {row['result']}"
    (p0, p1), (m0, m1) = row["parameters"], row["macs"]
    return (
        f"{name:20} {row['size']:4} px {row['groups']:4} groups"
        f" {p0 / 1e6:8.2f} → {p1 / 1e6:7.2f} M parameters {m0 / 1e6:9.1f} → {m1 / 1e6:8.1f} M MACs"
        f" {row['seconds']:6.1f} s  {row['result']}  {'; '.join(row['told'])}"
    )


def main() -> int:
    args = trained.parsed(arguments(__doc__, LARGE), QUICK)
    rows = []
    for name in chosen(args, LARGE):
        rows.append(in_a_process(partial(walk, f"{PREFIX}{name}")))
        print(line(name, rows[-1]), flush=True)
    equal = sum(row["result"] == "bit-equal" for row in rows)
    print(f"{equal} of {len(rows)} pruned and reloaded bit-equal")
    return results.judged({"all are bit-equal": equal == len(rows)}) if args.quick else 0


if __name__ == "__main__":
    sys.exit(main())
