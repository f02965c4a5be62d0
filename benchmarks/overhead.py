"""What the engine costs over a bare loop: one 20-trial pruning sweep, done both ways in turn (A B A B).

The bare loop is one process and does by hand what the preset says: train once; for 2 scopes × 10 sparsities
copy, prune, validate, fine-tune, validate, test, export to ONNX, time PyTorch and ONNX Runtime against the
baseline for as many milliseconds. It stores nothing, resumes nothing and measures no sizes, and its latencies
come from sessions that disturb each other; the time it takes is the yardstick, not its numbers.

    python benchmarks/overhead.py [--images 4000] [--epochs 3] [--rounds 2] [--full] [--no-latency] [--data digits]

Prints seconds of both, the ratio (goal ≤ 1.15), where the time went, and the seconds of a second run that
finds everything in the store (goal ≤ 3 s).
"""

import argparse
import copy
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from engine.machine import private
from engine.machine.environment import process_variables
from engine.studies.rundir import RunDir

HOME = Path(__file__).resolve().parent.parent

BATCH = 128
SCOPES = ("local", "global")
SPARSITIES = tuple(i / 10 for i in range(10))
BLOCKS, BLOCK_MS, WARMUP_MS = 10, 50.0, 200.0
"""The preset's own defaults for latency."""
PARTS = ("start", "train", "prune.weights", "finetune", "measure", "export", "latency", "between")


@dataclass(frozen=True)
class Sizes:
    """How much there is to do; `images` None: all."""

    data: str
    images: int | None
    epochs: int
    finetune: int
    threads: int
    latency: bool


def preset(sizes: Sizes) -> str:
    limit = f", limit: {sizes.images}" if sizes.images else ""
    latency = f"latency: {{blocks: {BLOCKS}, block_ms: {BLOCK_MS}, warmup_ms: {WARMUP_MS}}}"
    return f"""\
seed: 0
threads: {sizes.threads}
device: cpu
model: {{name: resnet20}}
data: {{name: {sizes.data}{limit}}}
steps:
  - train: {{epochs: {sizes.epochs}, learning_rate: 0.2, batch: {BATCH}, augment: crop-flip}}
  - prune.weights: {{criterion: l1}}
  - finetune: {{epochs: {sizes.finetune}, learning_rate: 0.02, batch: {BATCH}}}
sweep:
  prune.weights.scope: [{", ".join(SCOPES)}]
  prune.weights.sparsity: [{", ".join(map(str, SPARSITIES))}]
measure:
  size: true
  {latency if sizes.latency else ""}
"""


# The bare loop


class Clock:
    """Seconds by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[name] += time.perf_counter() - start


def bare(sizes: Sizes) -> dict[str, float]:
    """The sweep by hand; seconds by part."""
    clock = Clock()
    with clock.part("start"):
        import torch

        from engine import datasets
        from engine.compute.data import load
        from engine.compute.models.resnet import CifarResNet
        from engine.params.preset import Data

        torch.set_num_threads(sizes.threads)
        params = Data(name=sizes.data, limit=sizes.images)
        data = load(params, datasets.locate(params, Path()))
        torch.manual_seed(0)
        model = CifarResNet(20, data.channels, data.classes).to(memory_format=torch.channels_last)
    folder = Path(tempfile.mkdtemp(dir=os.environ["BENCH_FOLDER"]))
    with clock.part("train"):
        _fit(model, data, sizes.epochs, 0.2, "crop-flip", {})
    with clock.part("measure"):
        _score(model, data, data.test)
    if sizes.latency:
        with clock.part("export"):
            baseline = _sessions(model, folder / "baseline.onnx", data, sizes.threads)
    for scope, sparsity in itertools.product(SCOPES, SPARSITIES):
        with clock.part("prune.weights"):
            pruned = copy.deepcopy(model)
            masks = _prune(pruned, scope, sparsity)
            _score(pruned, data, data.validation)
        with clock.part("finetune"):
            _fit(pruned, data, sizes.finetune, 0.02, "none", masks)
        with clock.part("measure"):
            _score(pruned, data, data.test)
        if sizes.latency:
            with clock.part("export"):
                sessions = _sessions(pruned, folder / f"{scope}-{sparsity}.onnx", data, sizes.threads)
            with clock.part("latency"):
                for one, other in zip(baseline, sessions, strict=True):
                    _time(one, other)
    return dict(clock.seconds)


def _fit(model: Any, data: Any, epochs: int, rate: float, augment: Any, masks: dict[Any, Any]) -> None:
    """SGD with Nesterov momentum and one cosine, scored on validation after each epoch."""
    import torch

    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(
        optimizer, epochs * -(-len(data.train.labels) // BATCH)
    )
    for _ in range(epochs):
        model.train()
        order = torch.randperm(len(data.train.labels))
        for images, labels in data.batches(data.train, BATCH, order=order, augment=augment):
            optimizer.zero_grad(set_to_none=True)
            torch.nn.functional.cross_entropy(model(images), labels).backward()
            optimizer.step()
            with torch.no_grad():
                for weight, mask in masks.items():
                    weight.mul_(mask)
            schedule.step()
        _score(model, data, data.validation)


def _prune(model: Any, scope: str, sparsity: float) -> dict[Any, Any]:
    """Zero the smallest weights; the masks by weight."""
    import torch

    weights = [m.weight for m in model.modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)]
    groups = [[w] for w in weights] if scope == "local" else [weights]
    masks = {}
    for group in groups:
        flat = torch.cat([w.detach().abs().flatten() for w in group])
        keep = torch.ones_like(flat)
        keep[flat.argsort()[: round(sparsity * len(flat))]] = 0
        for weight, part in zip(group, keep.split([w.numel() for w in group]), strict=True):
            masks[weight] = part.view_as(weight)
    with torch.no_grad():
        for weight, mask in masks.items():
            weight.mul_(mask)
    return masks


def _score(model: Any, data: Any, split: Any) -> tuple[float, float]:
    import torch

    model.eval()
    right, loss = 0, 0.0
    with torch.inference_mode():
        for images, labels in data.batches(split, 500):
            outputs = model(images)
            right += int((outputs.argmax(1) == labels).sum())
            loss += float(torch.nn.functional.cross_entropy(outputs, labels, reduction="sum"))
    return right / len(split.labels), loss / len(split.labels)


def _sessions(model: Any, path: Path, data: Any, threads: int) -> list[Callable[[], Any]]:
    """A call of the model in PyTorch, and one in ONNX Runtime."""
    import onnxruntime
    import torch

    model = copy.deepcopy(model).eval()
    images = torch.rand(1, data.channels, *data.size).to(memory_format=torch.channels_last)
    plain = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    example = (torch.rand(2, data.channels, *data.size),)
    torch.onnx.export(plain, example, path, dynamic_shapes=shapes, dynamo=True, verbose=False)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    feed = {session.get_inputs()[0].name: images.contiguous().numpy()}

    def eager() -> None:
        with torch.inference_mode():
            model(images)

    return [eager, lambda: session.run(None, feed)]


def _time(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[float, float]:
    """Median milliseconds of both, in alternating blocks."""
    calls: tuple[list[float], list[float]] = ([], [])
    for side in (one, other):
        _block(side, WARMUP_MS)
    for _ in range(BLOCKS):
        for side, times in zip((one, other), calls, strict=True):
            times += _block(side, BLOCK_MS)
    return statistics.median(calls[0]), statistics.median(calls[1])


def _block(call: Callable[[], Any], milliseconds: float) -> list[float]:
    times = []
    end = time.perf_counter() + milliseconds / 1e3
    while (start := time.perf_counter()) < end:
        call()
        times.append((time.perf_counter() - start) * 1e3)
    return times


# The engine


def engine_parts(study: Path, started: float, ended: float) -> dict[str, float]:
    """Seconds by part, from a study's events; `between`: no step was running."""
    events = [json.loads(line) for line in (study / "events.jsonl").read_text().splitlines()]
    parts: dict[str, float] = defaultdict(float)
    first = next(e["time"] for e in events if e["event"] == "step-started")
    parts["start"] = first - started
    last = first
    for event in events:
        if event["event"] == "step-started":
            parts["between"] += event["time"] - last
            last = event["time"]
        elif event["event"] == "step-finished":
            parts[event["kind"]] += event["time"] - last
            last = event["time"]
    parts["between"] += ended - last
    return dict(parts)


# Both


def run_bare(sizes: Sizes, folder: Path) -> tuple[float, dict[str, float]]:
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.overhead", "--bare", json.dumps(asdict(sizes))],
        env=_environment(folder),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    wall = time.perf_counter() - start
    return wall, json.loads(done.stdout.splitlines()[-1])


def run_engine(sizes: Sizes, folder: Path, workspace: Path) -> tuple[float, dict[str, float]]:
    file = folder / "sweep.yaml"
    file.write_text(preset(sizes))
    started, start = time.time(), time.perf_counter()
    command = [
        sys.executable,
        "-m",
        "engine.cli.main",
        "run",
        str(file),
        "--workspace",
        str(workspace),
        "--json",
    ]
    done = subprocess.run(
        command, env=_environment(folder), cwd=HOME, capture_output=True, text=True, check=False
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"the engine's run failed:\n{done.stderr[-2000:]}")
    study = RunDir.of(workspace, json.loads(done.stdout)["study"]).path
    return wall, engine_parts(study, started, started + wall)


def _environment(folder: Path) -> dict[str, str]:
    """Locks of our own, so that nobody else's studies are waited for; threads that spin alike on both sides."""
    ours = {"SECATEUR_LOCKS": str(folder / "locks"), "BENCH_FOLDER": str(folder)}
    return process_variables() | ours


def report(bares: list[dict[str, float]], engines: list[dict[str, float]]) -> None:
    print(f"{'part':<16}{'bare s':>10}{'engine s':>10}{'extra s':>10}")
    for part in PARTS:
        one, two = (statistics.mean(p.get(part, 0.0) for p in parts) for parts in (bares, engines))
        if one or two:
            print(f"{part:<16}{one:>10.2f}{two:>10.2f}{two - one:>+10.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="fashion-mnist", help="digits: fixed costs alone, in a minute")
    parser.add_argument("--images", type=int, default=4000, help="training images")
    parser.add_argument("--epochs", type=int, default=3, help="of the baseline's training")
    parser.add_argument("--finetune", type=int, default=1, help="epochs of fine-tuning")
    parser.add_argument("--rounds", type=int, default=2, help="how often both are run")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--full", action="store_true", help="all images, 10 epochs: hours")
    parser.add_argument("--no-latency", action="store_true")
    parser.add_argument("--bare", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bare:
        print(json.dumps(bare(Sizes(**json.loads(args.bare)))))
        return
    images, epochs = (None, 10) if args.full else (args.images, args.epochs)
    compare(Sizes(args.data, images, epochs, args.finetune, args.threads, not args.no_latency), args.rounds)


def compare(sizes: Sizes, rounds: int) -> None:
    bares, engines, again = [], [], []
    with private.scratch() as folder:
        for number in range(rounds):
            bares.append(run_bare(sizes, folder))
            workspace = folder / f"workspace-{number}"
            engines.append(run_engine(sizes, folder, workspace))
            again.append(run_engine_again(sizes, folder, workspace))
            load = os.getloadavg()[0]
            print(
                f"round {number + 1}: bare {bares[-1][0]:.1f} s, engine {engines[-1][0]:.1f} s, "
                f"ratio {engines[-1][0] / bares[-1][0]:.3f}, again {again[-1]:.2f} s, load {load:.1f}",
                flush=True,
            )
    one, two = (sum(wall for wall, _ in runs) for runs in (bares, engines))
    report([parts for _, parts in bares], [parts for _, parts in engines])
    exports = sum(parts.get("export", 0.0) for _, parts in bares) * len(SPARSITIES) * len(SCOPES)
    once = one - exports / (len(SPARSITIES) * len(SCOPES) + 1)
    print(f"ratio {two / one:.3f} (goal ≤ 1.15); against a bare loop that exports only once {two / once:.3f}")
    print(f"second run, all from the store: {statistics.median(again):.2f} s (goal ≤ 3 s)")


def run_engine_again(sizes: Sizes, folder: Path, workspace: Path) -> float:
    start = time.perf_counter()
    command = [sys.executable, "-m", "engine.cli.main", "run", str(folder / "sweep.yaml"), "--json"]
    subprocess.run(
        [*command, "--workspace", str(workspace)],
        env=_environment(folder),
        cwd=HOME,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
