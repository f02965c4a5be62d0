"""Every classification network of torchvision: half of its channels removed, saved, and loaded back bit-equal.

Random weights, ratio 0.5 in every group of coupled channels (local, l2), on the smallest images that the network takes.
Saving verifies that the reloaded network has the same bits and the same output. The same check as in every pruning,
that a network with half the channels of a group computes what the whole one does without them, stands behind each
row; groups that fail it are left whole and counted.

    python benchmarks/walk_channels.py [--models 'resnet*' ...] [--skip-large]

Each network is pruned in a process of its own, one after the other; the largest (vit_h_14, regnet_y_128gf) take about
10 GiB. Prints a line for each and at last the share that is bit-equal.
"""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
import warnings
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(HOME))

import torch  # noqa: E402
from torch import nn  # noqa: E402

from engine.catalog import MODELS  # noqa: E402
from engine.compute import checkpoint  # noqa: E402
from engine.compute.context import Context  # noqa: E402
from engine.compute.measure.counts import count  # noqa: E402
from engine.compute.models.build import Architecture, build  # noqa: E402
from engine.compute.steps.channels import prune_channels  # noqa: E402
from engine.errors import SecateurError  # noqa: E402
from engine.params.channels import PruneChannels  # noqa: E402

SIZES = (32, 64, 96, 128, 224)
"""Image sizes to try, in pixels, the smallest first."""
CLASSES = 10
LARGE = ("torchvision/vit_h_14", "torchvision/regnet_y_128gf")
"""More than 500 million parameters."""
PARAMS = PruneChannels(ratio=0.5, scope="local", criterion="l2", calibrate=False)


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
    size = model.secateur_architecture.size
    before = count(model, (3, *size))
    notices: list[str] = []
    # No data is looked at: l2 needs none, and calibration is off.
    context = Context(
        None,  # type: ignore[arg-type]
        torch.device("cpu"), 0, 1, "walk", Path("unused"), lambda event: notices.append(getattr(event, "text", "")),
    )  # fmt: skip
    row: dict[str, Any] = {"model": name, "size": size[0]}
    try:
        prune_channels(model, PARAMS, context)
        after = count(model, (3, *size))
        with tempfile.TemporaryDirectory() as folder:
            checkpoint.save(model, Path(folder))
        row |= {
            "parameters": (before.parameters, after.parameters),
            "macs": (before.macs, after.macs),
            "groups": len(context.found["channels"]),
            "result": "bit-equal",
        }
    except SecateurError as error:
        row["result"] = f"refused: {error.title}"
    return row | {"notices": notices, "seconds": time.monotonic() - started}


def apart(name: str) -> dict[str, Any]:
    """`walk` in a process of its own, so that its memory is given back; what kills it is the result."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(reader)
        with os.fdopen(writer, "w") as out:
            out.write(json.dumps(_guarded(name)))
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as lines:
        text = lines.read()
    _, status = os.waitpid(pid, 0)
    found: dict[str, Any] = (
        json.loads(text) if text else {"model": name, "result": f"killed: status {status}"}
    )
    return found


def _guarded(name: str) -> dict[str, Any]:
    """A crash is a row too: the walk is about which networks fail."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            return walk(name)
    except Exception as error:  # noqa: BLE001
        return {"model": name, "result": f"failed: {type(error).__name__}: {str(error)[:150]}"}


def line(row: dict[str, Any]) -> str:
    if "macs" not in row:
        return f"{row['model'].removeprefix('torchvision/'):20} {row['result']}"
    (p0, p1), (m0, m1) = row["parameters"], row["macs"]
    left_out = f"  {row['notices']}" if row["notices"] else ""
    return (
        f"{row['model'].removeprefix('torchvision/'):20} {row['size']:4} px {row['groups']:4} groups"
        f" {p0 / 1e6:8.2f} → {p1 / 1e6:7.2f} M parameters {m0 / 1e6:9.1f} → {m1 / 1e6:8.1f} M MACs"
        f" {row['seconds']:6.1f} s  {row['result']}{left_out}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=["*"], help="patterns of names, such as 'resnet*'")
    parser.add_argument("--skip-large", action="store_true", help="leave out " + ", ".join(LARGE))
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    names = [
        name
        for name in MODELS
        if name.startswith("torchvision/")
        and any(fnmatchcase(name.removeprefix("torchvision/"), pattern) for pattern in args.models)
        and not (args.skip_large and name in LARGE)
    ]
    rows = []
    for name in names:
        rows.append(apart(name))
        print(line(rows[-1]), flush=True)
    equal = sum(row["result"] == "bit-equal" for row in rows)
    whole = sum(row["result"] == "bit-equal" and not row["notices"] for row in rows)
    print(f"{equal} of {len(rows)} pruned and reloaded bit-equal, {whole} of them with no group left out")


if __name__ == "__main__":
    main()
