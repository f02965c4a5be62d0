"""What it costs that bits do not depend on addresses: MKL's reproducible mode, and tensors at aligned addresses.

    python -m benchmarks.reproducible [--seconds 1.5] [--rounds 5] [--modes off AUTO …]

Prints, for each mode of MKL, the time of training steps and of inference as a ratio to MKL's own way, which any address
may change. The modes take turns in processes of their own. Of a process counts the quickest call, because other
programs can only add to it; the ratio of a round is taken within it, and the median over the rounds is printed, with
the least and most, and by how much MKL's own way differed between rounds: where that is more than what the mode costs,
others disturbed and the run says nothing. Then what loading a checkpoint takes with and without alignment. The goal
is at most 2 % for the mode that secateur sets.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from engine.machine import private
from engine.machine.environment import SETTLED, available_cpus, cpu

OFF = "off"
MODES = (OFF, "AUTO", "AUTO,STRICT", "AVX2", "COMPATIBLE")
OURS = SETTLED["MKL_CBWR"]
GOAL = 0.02
VIT = {"image_size": 32, "patch_size": 4, "num_layers": 6, "num_heads": 6, "hidden_dim": 192, "mlp_dim": 768}
"""A small vision transformer: nearly all of its arithmetic is MKL's, where convolutions are oneDNN's."""


def work(mode: str, seconds: float) -> None:
    """Prints the least seconds of each kind of work, as JSON."""
    import torch
    from torchvision.models import VisionTransformer, resnet18

    from engine.compute.context import to_device
    from engine.compute.models.resnet import CifarResNet

    if mode == OFF:  # our package has set it by now, and MKL has not looked yet
        del os.environ["MKL_CBWR"]
    torch.set_num_threads(available_cpus())
    cpu_ = torch.device("cpu")
    networks = {
        "ResNet20, 32 px": (CifarResNet(20, 3, 10), 32),
        "ViT of 6 layers, 32 px": (VisionTransformer(num_classes=10, **VIT), 32),
    }
    times = {}
    for name, (model, size) in networks.items():
        to_device(model, cpu_)
        optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)
        images, labels = torch.randn(32, 3, size, size), torch.randint(10, (32,))
        images = images.to(memory_format=torch.channels_last)

        times[f"training {name}, batch 32"] = least(partial(step, model, optimizer, images, labels), seconds)
        times |= inference(name, model, size, seconds)
    times |= inference("ResNet18, 224 px", to_device(resnet18(), cpu_), 224, seconds, (1,))
    print(json.dumps(times))


def step(model: Any, optimizer: Any, images: Any, labels: Any) -> None:
    import torch

    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(model(images), labels).backward()
    optimizer.step()


def inference(
    name: str, model: Any, size: int, seconds: float, batches: tuple[int, ...] = (1, 32)
) -> dict[str, float]:
    import torch

    model.eval()
    times = {}
    with torch.inference_mode():
        for batch in batches:
            images = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
            times[f"inference {name}, batch {batch}"] = least(partial(model, images), seconds)
    return times


def least(call: Callable[[], object], seconds: float) -> float:
    """Seconds of the quickest call, over about `seconds` after two calls that warm up."""
    call(), call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)


def loading(rounds: int) -> None:
    """What a load of ResNet18 and its first image take with tensors at aligned addresses, and with the file's own."""
    import torch

    from engine.compute.models import checkpoint
    from engine.compute.numerics import aligned
    from engine.compute.pretrained.create import create
    from engine.params.preset import Model

    bring = aligned.aligned
    with private.scratch() as to_device:
        name = "torchvision/resnet18"
        model, _ = create(Model(name=name), channels=3, classes=1000, size=(64, 64), seed=0)
        checkpoint.save(model.eval(), to_device)
        image = torch.rand(1, 3, 64, 64)
        times: dict[str, list[float]] = {"aligned": [], "as the file has them": []}
        for _ in range(4 * rounds):
            for way, change in (("aligned", bring), ("as the file has them", lambda tensor: tensor)):
                aligned.aligned = change
                started = time.perf_counter()
                with torch.inference_mode():
                    checkpoint.load(to_device)(image)
                times[way].append(time.perf_counter() - started)
        aligned.aligned = bring
    for way, taken in times.items():
        print(f"loading ResNet18 (47 MB) and one image, {way:22} {1000 * min(taken):7.1f} ms")


def run(mode: str, seconds: float) -> dict[str, float]:
    variables = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.reproducible", "--work", mode, "--seconds", str(seconds)],
        env=variables if mode == OFF else variables | {"MKL_CBWR": mode},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    times: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return times


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=1.5, help="of each kind of work in each process")
    parser.add_argument("--rounds", type=int, default=5, help="of all modes in turn")
    parser.add_argument("--modes", nargs="+", default=MODES, help=f"to compare with {OFF}")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.work:
        work(args.work, args.seconds)
        return
    print(f"{cpu()['model']}, {available_cpus()} threads; seconds as a ratio to MKL's own way", flush=True)
    modes = [OFF, *(mode for mode in args.modes if mode != OFF)]
    rounds = []
    for number in range(args.rounds):
        rounds.append({mode: run(mode, args.seconds) for mode in modes})
        print(f"round {number + 1} of {args.rounds}")
        report(modes, rounds)
    loading(args.rounds)


def report(modes: list[str], rounds: list[dict[str, dict[str, float]]]) -> None:
    """The ratios over all rounds so far: whoever ends a long measurement early has what it found."""
    for mode in modes[1:]:
        print(f"MKL_CBWR={mode}{' (ours)' if mode == OURS else ''}")
        for name in rounds[0][OFF]:
            ratios = [times[mode][name] / times[OFF][name] for times in rounds]
            middle = statistics.median(ratios)
            over = "  over the goal" if mode == OURS and middle > 1 + GOAL else ""
            spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
            own = [1000 * times[OFF][name] for times in rounds]
            drift = f"{statistics.median(own):8.2f} ms (differed by {max(own) / min(own) - 1:.0%})"
            print(f"  {name:42} {middle:6.3f} ({spread}) of {drift}{over}", flush=True)


if __name__ == "__main__":
    main()
