"""What `tools/gpu_check.sh` runs on a machine with a GPU: parts that don't hide each other's failures, and one table.

    python -m tools.gpu_check --out DIR [--device cuda|cpu] [--only PART,PART] [--seconds 470]

Each part is a process or a few, ended when its time or the whole's is over; of more --seconds it gets more, for a busy
machine. What it printed is in DIR/PART.log. Parts that measure no time run beside each other where there are processors
for it: by estimate these take three of the eight minutes, the training benchmark two and a half, latency two.
"""

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from engine.machine import private
from engine.store.keys import file_hash

HOME = Path(__file__).resolve().parent.parent
SECONDS = 470.0
"""Of all parts; what comes before them takes some of the eight minutes."""
AT_ONCE = 8
"""Processors from which on parts that measure no time run beside each other."""
PRESET = """\
seed: 0
threads: {threads}
device: {device}
model: {{name: resnet20, arguments: {{width: {width}}}}}
data: {{name: digits, limit: {images}}}
steps:
  - train: {{epochs: {epochs}, batch: 64, augment: crop-flip, precision: {lower}, execution: {execution}}}
  - prune.weights: {{sparsity: 0.5}}
  - finetune: {{epochs: 2, batch: 64, precision: {lower}}}
sweep: {{prune.weights.sparsity: [0.5, 0.7, 0.9]}}
"""
STUDIED = {
    "cuda": {"threads": 2, "width": 16, "images": 1200, "lower": "bf16"},
    "cpu": {"threads": 1, "width": 4, "images": 300, "lower": "fp32"},
}
"""What is trained: a processor is to try the script alone."""
LATENCY = """\
seed: 0
threads: 2
device: {device}
model: {{name: {model}}}
data: {{name: digits, size: {size}, channels: 3, limit: 256, limit_validation: 64, limit_test: 64}}
steps:
  - train: {{epochs: 1, batch: 64}}
  - prune.channels: {{ratio: 0.5, criterion: l2, repair: false, calibrate: false}}
measure:
  latency: {{runtimes: [{runtimes}], precision: [{precision}], batch: [{batch}], blocks: 4, block_ms: 50,
             warmup_ms: 100}}
"""
_RESNET18 = {"model": "torchvision/resnet18", "size": 64}
_RESNET20 = {"model": "resnet20", "size": 32}
TIMED = {
    "cuda": (
        {
            **_RESNET18,
            "runtimes": "torch, onnxruntime",
            "batch": "1, 32",
            "precision": "fp32, tf32, bf16, fp16",
        },
        {**_RESNET18, "runtimes": "torch-compile", "batch": "32", "precision": "bf16"},
    ),
    "cpu": (
        {**_RESNET20, "runtimes": "torch, onnxruntime", "batch": "1", "precision": "fp32, bf16"},
        {**_RESNET20, "runtimes": "torch-compile", "batch": "1", "precision": "fp32"},
    ),
}
"""What is timed: torch.compile builds a network anew for every precision and batch, in many seconds each."""


@dataclass
class Result:
    """What a part found: rows of the table, and everything for the file."""

    ok: bool = False
    rows: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)


class Failed(Exception):
    """A part's own reason to have failed."""


class Check:
    """What a part has: a folder for what it leaves, its log, and the time at which all has to end."""

    def __init__(self, name: str, args: argparse.Namespace, scratch: Path, ends: float) -> None:
        self.out: Path = args.out.resolve()
        self.device: str = args.device
        self.scratch = scratch / name
        self.scratch.mkdir()
        self.ends = ends
        self.patience: float = max(1.0, args.seconds / SECONDS)
        self.log = self.out / f"{name}.log"
        self.log.write_text("")

    def run(self, *command: str, seconds: float, code: int | None = 0, **variables: str) -> str:
        """What a command prints; Failed if it takes longer or ends with another code."""
        own = {"SECATEUR_HOME": str(self.scratch / "home"), "SECATEUR_LOCKS": str(self.scratch / "locks")}
        left = max(1.0, min(seconds * self.patience, self.ends - time.monotonic()))
        with self.log.open("a") as log:
            log.write(f"\n$ {' '.join(command)}\n")
            log.flush()
            try:
                done = subprocess.run(
                    command,
                    env={**os.environ, **own, **variables},
                    cwd=HOME,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    timeout=left,
                    check=False,
                )
            except subprocess.TimeoutExpired as error:
                raise Failed(f"not done within {left:.0f} s: {' '.join(command)[:80]}") from error
            log.write(done.stdout)
        if code is not None and done.returncode != code:
            raise Failed(f"exit code {done.returncode}: {_last(done.stdout) or _last(self.log.read_text())}")
        return done.stdout

    def secateur(self, *arguments: str, seconds: float, code: int | None = 0, **variables: str) -> str:
        command = (sys.executable, "-m", "engine.cli.main", *arguments)
        return self.run(*command, seconds=seconds, code=code, **variables)

    def preset(self, name: str, text: str, **values: Any) -> str:
        file = self.scratch / f"{name}.yaml"
        file.write_text(text.format(device=self.device, **values))
        return str(file)

    @property
    def on_gpu(self) -> bool:
        return self.device == "cuda"


def machine(check: Check) -> Result:
    """Driver, GPUs, versions."""
    found = json.loads(check.secateur("doctor", "--json", seconds=60, code=None))
    smi = shutil.which("nvidia-smi")
    text = check.run(smi, seconds=30, code=None) if smi else "no nvidia-smi"
    facts = {name: found[name] for name in ("python", "packages", "cpu", "gpus", "runtimes", "problems")}
    if check.on_gpu and not found["gpus"]:
        raise Failed("no GPU is seen")
    versions = ", ".join(
        f"{name} {found['packages'].get(name, '–')}" for name in ("torch", "torchvision", "onnxruntime")
    )
    rows = [f"{', '.join(found['gpus']) or found['cpu']['model']}; Python {found['python']}, {versions}"]
    return Result(True, rows, facts | {"nvidia_smi": text})


def tests(check: Check) -> Result:
    """The tests that are marked for GPUs, but for those that compile."""
    return _tested(check, "not compile")


def compiled(check: Check) -> Result:
    """The tests that train by torch.compile, which takes most of a minute for each precision."""
    return _tested(check, "compile")


def _tested(check: Check, which: str) -> Result:
    report = check.out / f"{check.log.stem}.xml"
    where = ["tests/gpu"] if check.on_gpu else ["tests/gpu", "tests/engine/compute/training/test_loop.py"]
    options = ["-q", "-p", "no:cacheprovider", "-W", "ignore", "-k", which, f"--junitxml={report}"]
    # What else is installed there brings plugins for other versions of pytest.
    alone = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    text = check.run(sys.executable, "-m", "pytest", *options, *where, seconds=200, code=None, **alone)
    failed = re.findall(r"^(?:FAILED|ERROR) (.*)$", text, re.M)
    suite = ElementTree.parse(report).getroot().find("testsuite")
    names = ("tests", "failures", "errors", "skipped")
    counts = {} if suite is None else {name: int(suite.get(name, 0)) for name in names}
    told = ", ".join(f"{number} {name}" for name, number in counts.items()) or "no result"
    run = counts.get("tests", 0) > counts.get("skipped", 0) or not check.on_gpu
    return Result(run and not failed, [told, *failed], {"counts": counts, "failed": failed})


def study(check: Check) -> Result:
    """A study that is cancelled in the middle of its training and resumed, and its replay: all bit-identical."""
    how = "graphs" if check.on_gpu else "eager"
    epochs = 200 if check.on_gpu else 40
    preset = check.preset("study", PRESET, epochs=epochs, execution=how, **STUDIED[check.device])
    check.secateur("run", preset, "--name", "whole", seconds=150)
    other = check.scratch / "other"
    moved: dict[str, Any] = {"SECATEUR_HOME": str(other)}
    check.secateur("run", preset, "--name", "broken", "--detach", seconds=60, **moved)
    _await(lambda: _trained(other / "studies" / "broken"), 60 * check.patience)
    check.secateur("cancel", "broken", seconds=30, **moved)
    _await(lambda: _state(other / "studies" / "broken") not in ("running", "queued"), 60 * check.patience)
    interrupted = _state(other / "studies" / "broken")
    check.secateur("resume", "broken", seconds=120, **moved)
    one, two = (_hashes(root) for root in (check.scratch / "home", other))
    if interrupted == "done":
        raise Failed("the study was done before it could be cancelled")
    if not one or one != two:
        raise Failed(
            f"{sum(one.get(key) != value for key, value in two.items())} of {len(two)} results differ after a resume"
        )
    check.secateur("replay", "whole", seconds=150)
    return Result(True, [f"{len(one)} results bit-identical after cancel and resume; the replay is equal"])


def parallel(check: Check) -> Result:
    """Trials at the same time have the bits that they have one after the other."""
    preset = check.preset("parallel", PRESET, epochs=4, execution="eager", **STUDIED[check.device])
    started = time.monotonic()
    root = check.scratch / "parallel"
    check.secateur("run", preset, "--set", "executor.local.parallel=3", seconds=120, SECATEUR_HOME=str(root))
    took = time.monotonic() - started
    alone = check.scratch / "alone"
    check.secateur("run", preset, seconds=120, SECATEUR_HOME=str(alone))
    one, two = _hashes(root), _hashes(alone)
    if not one or one != two:
        raise Failed("results differ from those of one trial at a time")
    return Result(True, [f"3 trials at a time: {len(one)} results, {took:.0f} s, the bits of one at a time"])


def training(check: Check) -> Result:
    """benchmarks.gpu_training"""
    file = check.out / "gpu_training.json"
    file.unlink(missing_ok=True)  # an earlier run's
    own = ["--device", check.device, "--json", str(file)]
    if check.on_gpu:
        own += ["--rounds", "2", "--seconds", "3"]
    else:
        own += ["--rounds", "1", "--seconds", "1", "--images", "256", "--workers", "1", "--warm", "1"]
        own += ["--only", "eager,plain fp32"]
    try:
        check.run(sys.executable, "-m", "benchmarks.gpu_training", *own, seconds=200, code=None)
    except Failed:
        if not file.exists():  # not even one round was done
            raise
    found = json.loads(file.read_text())
    rows = [
        f"{row['loop']}: {row['images_per_s'] or '–'} images/s"
        + (f", {row['against_plain']} × plain" if row["against_plain"] else "")
        + (f" ({row['failed']})" if row["failed"] else "")
        for row in found["rows"]
    ]
    good = all(not row["failed"] for row in found["rows"]) and (
        not check.on_gpu or found["best"] >= found["goal"]
    )
    rows.append(f"best {found['best']} × plain, goal {found['goal']}")
    return Result(good, rows, found)


def latency(check: Check) -> Result:
    """Latency of a network and half of its channels, in every runtime and precision."""
    rows = []
    for number, asked in enumerate(TIMED[check.device]):
        name = f"latency-{number}"
        check.secateur("run", check.preset(name, LATENCY, **asked), "--name", name, seconds=150)
        found = json.loads(check.secateur("show", name, "--json", seconds=30))
        rows += [row for trial in found["trials"] for row in trial["results"].get("latency", [])]
    timed = [row for row in rows if "unavailable" not in row]
    told = [
        f"{row['runtime']}, {row['precision']}, batch {row['batch']}, {row['device']}: {row['median_ms']:.3f} ms"
        + (f" (GPU {row['gpu_ms']:.3f})" if "gpu_ms" in row else "")
        + f", {row['throughput']:.0f} images/s, {row['peak_memory'] / 2**20:.0f} MiB, {row['speedup']:.2f} × faster"
        for row in timed
    ]
    why = dict.fromkeys(
        f"{row['runtime']}, {row['precision']}: {row['unavailable']}" for row in rows if "unavailable" in row
    )
    good = any(row["device"] == check.device and row["runtime"] == "torch" for row in timed)
    return Result(good, [*told, *why], {"rows": rows})


PARTS: dict[str, Callable[[Check], Result]] = {
    one.__name__: one for one in (machine, tests, compiled, study, parallel, training, latency)
}
UNTIMED = ("tests", "compiled", "study", "parallel")
"""Parts that measure no time."""


def _turns(wanted: list[str]) -> list[list[str]]:
    """Which parts run at the same time, in order."""
    beside = [name for name in wanted if name in UNTIMED]
    if len(os.sched_getaffinity(0)) < AT_ONCE or len(beside) < 2:
        return [[name] for name in wanted]
    alone = [[name] for name in wanted if name not in UNTIMED]
    return [*alone[: wanted.index(beside[0])], beside, *alone[wanted.index(beside[0]) :]]


def _part(name: str, check: Check) -> tuple[Result, float]:
    """A part, and the seconds that it took; nothing of it runs any more."""
    started = time.monotonic()
    try:
        found = PARTS[name](check) if started < check.ends else Result(False, ["no time was left"])
    except Failed as error:
        found = Result(False, [str(error)])
    except Exception as error:  # noqa: BLE001 - one part's mistake must not hide the others
        found = Result(False, [f"{type(error).__name__}: {error}"])
    _end_all(check.scratch)
    return found, time.monotonic() - started


def _hashes(root: Path) -> dict[str, str]:
    """The tensors of every stored step by key, as they lie on the disk."""
    return {
        str(file.relative_to(root / "store")): file_hash(file)
        for file in sorted((root / "store").rglob("*.safetensors"))
        if "partial" not in str(file)
    }


def _state(study: Path) -> str:
    try:
        return str(json.loads((study / "status.json").read_text())["state"])
    except (OSError, ValueError, KeyError):
        return "running"


def _trained(study: Path) -> bool:
    """Whether its training has begun to give epochs."""
    try:
        return "epoch-finished" in (study / "events.jsonl").read_text()
    except OSError:
        return False


def _await(true: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Failed(f"waited for {seconds:.0f} s in vain")
        time.sleep(0.05)


def _end_all(scratch: Path) -> None:
    """End what a part has left running: a study's engine outlives the command that started it."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if str(scratch).encode() in (entry / "environ").read_bytes():
                os.kill(int(entry.name), signal.SIGKILL)


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else ""


def _print(name: str, found: Result, took: float) -> None:
    for number, row in enumerate(found.rows or [""]):
        head = f"{name:<9} {'ok' if found.ok else 'FAILED':<7} {took:5.0f} s" if not number else " " * 26
        print(f"{head}  {row}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--only", default=",".join(PARTS))
    parser.add_argument("--seconds", type=float, default=SECONDS)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    with private.scratch() as scratch:
        ends = time.monotonic() + args.seconds
        for names in _turns([part for part in PARTS if part in args.only.split(",")]):
            checks = [Check(name, args, scratch, ends) for name in names]
            with ThreadPoolExecutor(len(names)) as pool:
                for name, (found, took) in zip(names, pool.map(_part, names, checks), strict=True):
                    results[name] = {
                        "ok": found.ok,
                        "seconds": round(took, 1),
                        "rows": found.rows,
                        **found.facts,
                    }
                    _print(name, found, took)
            (args.out / "gpu_check.json").write_text(
                json.dumps({"device": args.device, "parts": results}, indent=1)
            )
    bad = [name for name, found in results.items() if not found["ok"]]
    print(
        f"{len(results) - len(bad)} of {len(results)} parts hold"
        + (f"; not: {', '.join(bad)}" if bad else "")
    )
    return int(bool(bad))


if __name__ == "__main__":
    sys.exit(main())
