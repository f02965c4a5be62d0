"""How near latencies predicted from the times of single layers are to those of whole networks, measured.

    python -m benchmarks.predicted_latency [--networks resnet20 torchvision/resnet18] [--size 28 64]
        [--runtimes onnxruntime openvino] [--threads 1 2] [--quick]

What the live knob, `secateur solve latest` and a search's first candidates go by. Of each network the layers are timed
at a grid of widths, and three whole networks for what lies between layers, as `sensitivity` with `latency` does. Then
networks with other numbers of channels, drawn at random for each group, and with chains of lower rank are measured
beside the whole one, in alternating blocks, and each speed-up is compared with the predicted one. Weights are random:
no time depends on them. Results go to benchmarks/results/predicted_latency.json.
"""

import argparse
import copy
import random
import statistics
import sys
import time
from typing import Any, get_args

import torch
from torch import nn

from benchmarks import results, trained
from engine.compute.context import Context, to_device
from engine.compute.latency.bench import Bench
from engine.compute.latency.network_times import NetworkTimes
from engine.compute.models import edits
from engine.compute.pretrained.create import create
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.narrower import measured_times, shrinkable
from engine.compute.steps.channels.shrink import shrink
from engine.compute.steps.factorization.step import able_layers, split
from engine.machine import private
from engine.measures.latency import NOISY_LOAD
from engine.params import Factorize
from engine.params.channels import LatencyTarget
from engine.params.factorization import Ratio
from engine.params.preset import Data, Model
from engine.params.runtimes import TargetRuntime
from engine.text.phrases import counted

GOAL = 0.15
"""Share by which a predicted latency may be off."""
MULTIPLE = 4
"""Channels of a drawn network are multiples of it, as pruning leaves them."""
QUICK = "--networks resnet20 --size 28 --shares 0.7 0.6 0.4 --ratios --runs 1"


def narrower(model: nn.Module, groups: list[Group], share: float, number: int) -> nn.Module:
    """The network with about this share of its channels, drawn around it for each group."""
    chance, narrow = random.Random(number), copy.deepcopy(model)
    gone = {}
    for group in groups:
        left = MULTIPLE * round(share * chance.uniform(0.6, 1.4) * group.units / MULTIPLE)
        gone[group.name] = torch.arange(min(max(left, MULTIPLE), group.units), group.units)
    with edits.resized(narrow):
        shrink(narrow, groups, {name: units for name, units in gone.items() if len(units)})
    return to_device(narrow, trained.CPU).eval()


def chained(model: nn.Module, ratio: float, context: Context) -> nn.Module:
    """The network with chains of two in the place of its layers."""
    factorized, asked = copy.deepcopy(model), Factorize(scheme="channel", rank=Ratio(ratio=ratio))
    for name in able_layers(model, asked, context)[0]:
        if made := split(factorized, name, asked):
            edits.record(factorized, made)
    return to_device(factorized, trained.CPU).eval()


def rows_of(
    name: str, size: int, runtime: TargetRuntime, threads: int, args: argparse.Namespace
) -> list[dict[str, Any]]:
    """A row for each network made of the one that is called `name`."""
    torch.set_num_threads(threads)
    data = trained.images(
        Data(name="fashion-mnist", size=size, channels=3 if "/" in name else None, limit=64)
    )
    built, _ = create(Model(name=name), channels=data.channels, classes=data.classes, size=data.size, seed=0)
    model, groups = shrinkable(to_device(built, trained.CPU).eval(), ())
    target, context = LatencyTarget(runtime=runtime), trained.context(data, 0, 0)
    started = time.monotonic()
    times: NetworkTimes = measured_times(model, groups, (), target, context)
    seconds = round(time.monotonic() - started)
    print(
        f"{name} in {runtime}, {counted(threads, 'thread')}: {times.fixed:.3f} ms beside the layers, which take "
        f"{times.factor:.2f} of their times alone; the table took {seconds} s"
    )
    networks = [
        (f"channels × {share:g}", narrower(model, groups, share, n)) for n, share in enumerate(args.shares)
    ]
    networks += [
        (f"ranks, {ratio:.0%} of weights less", chained(model, ratio, context)) for ratio in args.ratios
    ]
    rows = []
    with private.scratch() as folder:
        bench = Bench(target, model, folder, context)
        for number, (what, network) in enumerate(networks):
            found = [bench.row(number, lambda network=network: network) for _ in range(args.runs)]  # type: ignore[misc]
            measured = statistics.median(row["speedup"] for row in found)
            predicted = times.of(model) / times.of(network)
            row = {
                "network": f"{name}, {size} px",
                "in": f"{runtime}, {counted(threads, 'thread')}",
                "with": what,
                "predicted speed-up": round(predicted, 2),
                "measured": round(measured, 2),
                # Of latencies: the speed-ups' ratio, the other way round.
                "predicted / measured latency": round(measured / predicted, 3),
                "others' load (%)": round(100 * min(one["foreign_load"] for one in found)),
                "table (s)": seconds,
            }
            results.tell(row)
            rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["resnet20", "torchvision/resnet18"])
    parser.add_argument("--size", nargs="+", type=int, default=[28, 64])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.85, 0.7, 0.6, 0.5, 0.4, 0.3])
    parser.add_argument("--ratios", nargs="*", type=float, default=[0.3, 0.6])
    parser.add_argument("--runtimes", nargs="+", default=["onnxruntime"], choices=get_args(TargetRuntime))
    parser.add_argument("--threads", nargs="+", type=int, default=[1])
    parser.add_argument("--runs", type=int, default=2, help="measurements of each, whose median counts")
    args = trained.parsed(parser, QUICK)
    trained.set_up(args.threads[0])
    rows = [
        row
        for network in zip(args.networks, args.size, strict=True)
        for runtime in args.runtimes
        for threads in args.threads
        for row in rows_of(*network, runtime, threads, args)
    ]
    if args.quick:
        judged = [row for row in rows if row["others' load (%)"] <= 100 * NOISY_LOAD]
        print(f"{len(rows) - len(judged)} of {len(rows)} not judged: others computed meanwhile")
        return results.judged({f"{row['with']} within {GOAL:.0%}": _off(row) <= GOAL for row in judged})
    off = [_off(row) for row in rows]
    near = sum(one <= GOAL for one in off)
    verdict = f"{near} of {len(off)} within {GOAL:.0%}; the median is {statistics.median(off):.1%} off"
    print(verdict)
    about = f"Batch 1, as ratios to the whole network: {verdict}."
    results.write("predicted_latency", rows, title="Latency predicted from times of layers", about=about)
    return 0 if near == len(off) else 1


def _off(row: dict[str, Any]) -> float:
    return abs(float(row["predicted / measured latency"]) - 1)


if __name__ == "__main__":
    sys.exit(main())
