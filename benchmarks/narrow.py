"""Narrow convolutions that compute four pixels at once: how much faster ONNX files are by it.

Blocks of two convolutions with a shortcut, the first of few channels, as merged filters and pruning by cost leave
them; untrained. The same network is written as an ONNX file plainly and packed, and both take turns in processes of
their own. "others" is the share of the processors' time that other programs took meanwhile.

Run it on an otherwise idle machine: ``python -m benchmarks.narrow [--channels 1 2 3 4] [--batch 8] [--threads 1]``.
"""

import argparse
import multiprocessing
from typing import cast

import torch
from torch import Tensor, nn

from engine.compute.latency import forks
from engine.compute.latency.pair import Side, measure_pair
from engine.compute.onnx import narrow
from engine.compute.onnx.export import export
from engine.machine import environment, private
from engine.params.preset import Latency
from engine.params.runtimes import Runtime

RUNTIMES: tuple[Runtime, ...] = ("onnxruntime", "openvino")
BLOCKS = 4
CASES = ((16, 28, 3), (16, 56, 3), (64, 28, 3), (64, 14, 3), (16, 28, 5))
"""Channels around, pixels of a side, and pixels of the kernel's side."""


class Block(nn.Module):
    def __init__(self, channels: int, narrow_to: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, narrow_to, kernel, padding=kernel // 2)
        self.second = nn.Conv2d(narrow_to, channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, (images + self.second(self.first(images).relu())).relu())


def network(channels: int, narrow_to: int, kernel: int) -> nn.Module:
    torch.manual_seed(0)
    blocks = [Block(channels, narrow_to, kernel) for _ in range(BLOCKS)]
    return nn.Sequential(nn.Conv2d(1, channels, 3, padding=1), *blocks, nn.AdaptiveAvgPool2d(1)).eval()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--channels", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    multiprocessing.get_context("forkserver").set_forkserver_preload([*forks.PRELOAD])
    print(
        f"{environment.cpu()['model']}, {narrow.lanes()} channels at once, batch {args.batch}, threads {args.threads}"
    )
    print("around  pixels  kernel  narrow  " + "  ".join(f"{runtime:>20}" for runtime in RUNTIMES))
    for channels, pixels, kernel in CASES:
        for few in args.channels:
            row = ratios(network(channels, few, kernel), pixels, args)
            print(f"{channels:6}  {pixels:6}  {kernel:6}  {few:6}  {row}", flush=True)


def ratios(model: nn.Module, pixels: int, args: argparse.Namespace) -> str:
    """Time of the plain file over that of the packed one, with its quartiles, in each runtime."""
    shape = (1, pixels, pixels)
    with private.scratch() as folder:
        files = [export(model, shape, folder / f"{pack}.onnx", pack=pack) for pack in (False, True)]
        plain, packed = (Side(dict.fromkeys(RUNTIMES, file)) for file in files)
        params = Latency(runtimes=RUNTIMES, batch=(args.batch,), blocks=10, block_ms=50)
        rows = measure_pair(plain, packed, params=params, shape=shape, threads=args.threads)
    return (
        "  ".join(
            f"{row['speedup']:.2f} [{row['speedup_low']:.2f}, {row['speedup_high']:.2f}]".rjust(20)
            for row in rows
        )
        + f"  others {max(row['foreign_load'] for row in rows):.0%}"
    )


if __name__ == "__main__":
    main()
