"""The GPUs of this machine, found without torch: those that CUDA would show a process of ours, and MIG instances.

libcuda itself is asked, in the order and with the limits that every CUDA program here has (CUDA_VISIBLE_DEVICES,
control groups, Slurm's choice): nvidia-smi lists others, and counts them in another order.
"""

import ctypes
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from engine.errors import UsageError
from engine.machine import cuda_driver
from engine.machine.cuda_driver import LIBRARY

Level = Literal["info", "warning"]
VISIBLE = "CUDA_VISIBLE_DEVICES"
GIVEN = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")
"""What Slurm gave, as numbers in the order of the PCI bus; the step's share of the job first."""
REASONS = {
    100: "the driver shows no GPU",
    803: "the driver in the kernel and its libraries are of different versions (restart the machine)",
    804: "the driver is too old for the libraries of compatibility that are installed",
    999: "the driver gave an unknown error (is /dev/nvidia-uvm there?)",
}
"""What cuInit's error codes mean (cuda.h, CUresult)."""
DRIVER_WITHIN_S = 60.0
"""How long the driver may take to show its GPUs: some seconds for many that no process keeps awake."""
SMI_WITHIN_S = 20.0
"""How long nvidia-smi may take by default: some seconds where no process keeps the driver loaded."""
SIGNS = ("/dev/nvidia0", "/proc/driver/nvidia/gpus")
"""Where a GPU with NVIDIA's driver shows, whatever its state."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one.

    `visible` is what CUDA_VISIBLE_DEVICES has to be for a process that shall see it alone. `memory` is in bytes,
    `capability` as `9.0`, `bus` its PCI address; empty or 0 where nothing tells.
    """

    visible: str
    name: str
    memory: int = 0
    capability: str = ""
    bus: str = ""

    def like(self, other: "Gpu") -> bool:
        """Whether both give the same bits."""
        return (self.name, self.capability) == (other.name, other.capability)

    @property
    def is_instance(self) -> bool:
        """Whether it is a MIG instance: a part of a card, with memory and processors of its own."""
        return " MIG " in self.name or self.visible.startswith("MIG-")


@dataclass(frozen=True)
class Found:
    """The GPUs that a process of ours sees, in CUDA's order; `why` there are none, in one sentence."""

    gpus: tuple[Gpu, ...] = ()
    why: str = ""


@cache
def found() -> Found:
    """The GPUs here."""
    listed = _asked()
    if not listed.gpus:
        shown = os.environ.get(VISIBLE)
        return (
            replace(listed, why=f"{listed.why}, and {VISIBLE} is {shown!r}") if shown is not None else listed
        )
    if not _torch_has_cuda():
        return Found((), "torch here is built for processors alone")
    return Found(_shared_out(listed.gpus, os.environ))


def of_device(device: str) -> tuple[Gpu, ...]:
    """The GPUs that trials of a preset's `device` may compute on: all alike, so that each gives the same bits.

    `cuda:N` is the N-th alone; `auto` and `cuda` are the first and all like it.
    """
    every = found().gpus
    if device == "cpu":
        return ()
    _, _, number = device.partition(":")
    if number:
        return every[int(number) : int(number) + 1]
    return tuple(gpu for gpu in every if gpu.like(every[0]))


def check(device: str, processes: int = 1, on_node: int | None = None) -> None:
    """Raises UsageError where a preset's `device` is not here, for so many processes that train together,
    `on_node` of them on this machine (all, if not given)."""
    used = of_device(device)
    if used and processes > 1 and used[0].is_instance:
        raise UsageError(
            f"{processes} processes can't train together on MIG instances",
            f"NCCL, by which they exchange gradients, takes whole cards, and here is {used[0].name}.",
            "Leave distributed out (executor.local.parallel spreads trials over instances), or use device: cpu.",
        )
    needed = on_node or processes
    if used and len(used) < needed:
        raise UsageError(
            f"{needed} processes can't train together on {len(used)} GPU{'s' * (len(used) > 1)}",
            f"Each needs one of its own, and here they are {', '.join(gpu.name for gpu in used)}.",
            f"Use distributed.processes: {len(used)}, or device: cpu.",
        )
    if used or not device.startswith("cuda"):
        return
    here = found()
    if not here.gpus:
        raise UsageError(
            f"device: {device} was asked for, and no GPU can be used here",
            f"{here.why[0].upper()}{here.why[1:]}.",
            "Use device: auto or cpu, or run it where there is one (executor.slurm.gpus: 1 asks Slurm for it). "
            "`secateur doctor` shows what this machine has.",
        )
    there = ", ".join(f"cuda:{number} ({gpu.name})" for number, gpu in enumerate(here.gpus))
    raise UsageError(
        f"device: {device} was asked for, and there are {len(here.gpus)} GPUs here",
        f"They are {there}.",
        "Name one of them, or use device: cuda for all that are alike.",
    )


def notes(device: str, trials: int, processes: int = 1) -> list[tuple[Level, str]]:
    """What whoever computes `trials` at a time, each by so many `processes`, should know: GPUs that stay idle, are
    shared, or can't be used."""
    here, used = found(), of_device(device)
    if not used:
        there = any(Path(sign).exists() for sign in SIGNS) or any(map(os.environ.get, GIVEN))
        text = f"There is a GPU here that can't be used ({here.why}): it computes on the processor"
        return [("warning", text)] if device == "auto" and there else []
    out: list[tuple[Level, str]] = []
    other = [gpu.name for gpu in here.gpus if not gpu.like(used[0])]
    if other and ":" not in device:
        text = f"Not used, because results would have other bits than on {used[0].name}: {', '.join(other)}"
        out.append(("warning", text))
    wanted = trials * processes
    if wanted > len(used):
        on = "one GPU" if len(used) == 1 else f"{len(used)} GPUs"
        text = f"{trials} trials at a time share {on} and its memory: fewer may be faster (executor.local.parallel)"
        out.append(("info", text))
    elif len(used) >= 2 * wanted and ":" not in device:
        text = (
            f"{wanted} of {len(used)} GPUs are used: executor.local.parallel spreads trials over all of them"
        )
        out.append(("info", text))
    return out


def slots(gpus: Sequence[Gpu], parallel: int, processes: int = 1) -> list[tuple[str, ...]]:
    """What each of the `processes` of each of `parallel` workers shall see, dealt out in turn.

    >>> slots([Gpu("GPU-a", "x"), Gpu("GPU-b", "x")], 3)
    [('GPU-a',), ('GPU-b',), ('GPU-a',)]
    >>> slots([], 2)
    [(), ()]
    """
    if not gpus:
        return [()] * parallel
    places = [gpus[number % len(gpus)].visible for number in range(parallel * processes)]
    return [tuple(places[slot * processes : (slot + 1) * processes]) for slot in range(parallel)]


def _asked() -> Found:
    """What the driver shows, within CUDA_VISIBLE_DEVICES."""
    try:
        ctypes.CDLL(LIBRARY)  # which by itself begins nothing
    except OSError:
        return Found((), "NVIDIA's driver is not installed (no libcuda.so.1)")
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", cuda_driver.__file__],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DRIVER_WITHIN_S,
            check=True,
        )
    except subprocess.TimeoutExpired:
        return Found((), f"the driver has not answered within {DRIVER_WITHIN_S:.0f} s")
    except subprocess.CalledProcessError as error:
        return Found((), f"asking the driver ended with code {error.returncode}")
    told = json.loads(done.stdout)
    if told["code"] or not told["gpus"]:
        code = told["code"] or 100
        return Found((), REASONS.get(code, f"the driver gave error {code}"))
    asked = [one.strip() for one in os.environ.get(VISIBLE, "").split(",") if one.strip()]
    # Named as whoever set the variable did, where that is told: a name from it is sure to be taken again.
    named: Sequence[str] = asked if len(asked) == len(told["gpus"]) else [""] * len(told["gpus"])
    return Found(
        tuple(
            Gpu(
                name or _uuid(gpu["uuid"], " MIG " in gpu["name"]) or str(number),
                gpu["name"],
                gpu["memory"],
                gpu["capability"],
                gpu["bus"],
            )
            for number, (name, gpu) in enumerate(zip(named, told["gpus"], strict=True))
        )
    )


def _uuid(text: str, mig: bool) -> str:
    """As CUDA_VISIBLE_DEVICES takes it; empty where there is none.

    >>> _uuid("000102030405060708090a0b0c0d0e0f", False)
    'GPU-00010203-0405-0607-0809-0a0b0c0d0e0f'
    """
    if not text:
        return ""
    parts = (text[:8], text[8:12], text[12:16], text[16:20], text[20:])
    return f"{'MIG' if mig else 'GPU'}-{'-'.join(parts)}"


def _shared_out(listed: tuple[Gpu, ...], variables: Mapping[str, str]) -> tuple[Gpu, ...]:
    """`listed` with every MIG instance, of which CUDA shows a process the first alone, and without what Slurm gave
    to others."""
    shown = variables.get(VISIBLE)
    if shown is None:
        listed = _given(listed, variables)
    if not any(gpu.is_instance for gpu in listed):
        return listed
    wanted = [one.strip() for one in (shown or "").split(",") if one.strip()]
    instances = [gpu for gpu in mig_instances(nvidia_smi("-L")) if not wanted or _names(wanted, gpu)]
    return tuple(instances) or listed


def _names(wanted: Sequence[str], instance: Gpu) -> bool:
    """Whether CUDA_VISIBLE_DEVICES names it, in full or by its beginning."""
    return any(one.startswith("MIG-") and instance.visible.startswith(one) for one in wanted)


def _given(listed: tuple[Gpu, ...], variables: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Those that Slurm gave, where it tells so, and neither CUDA_VISIBLE_DEVICES nor control groups have left the
    others out."""
    text = next((value for name in GIVEN if (value := variables.get(name))), "")
    numbers = list(_numbers(text))
    if not numbers or len(numbers) >= len(listed) or max(numbers) >= len(listed):
        return listed
    ordered = sorted(listed, key=lambda gpu: gpu.bus)
    return tuple(ordered[number] for number in numbers)


def _numbers(text: str) -> Iterator[int]:
    """
    >>> list(_numbers("0,2-4")), list(_numbers("gpu:2"))
    ([0, 2, 3, 4], [])
    """
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        if match:
            yield from range(int(match[1]), int(match[2] or match[1]) + 1)


def mig_instances(listing: str) -> list[Gpu]:
    """The MIG instances in what `nvidia-smi -L` prints."""
    out, gpu = [], ""
    for line in listing.splitlines():
        if match := re.match(r"GPU \d+: (.+?) \(UUID: ", line):
            gpu = match[1]
        elif match := re.match(r"\s+(MIG \S+)\s+Device\s+\d+: \(UUID: (MIG-\S+)\)", line):
            out.append(Gpu(match[2], f"{gpu} {match[1]}"))
    return out


def nvidia_smi(*arguments: str, within_s: float = SMI_WITHIN_S) -> str:
    """What nvidia-smi prints; empty where it is not here, fails or hangs."""
    try:
        done = subprocess.run(
            ["nvidia-smi", *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _torch_has_cuda() -> bool:
    spec = find_spec("torch")
    return bool(spec and spec.origin and (Path(spec.origin).parent / "lib" / "libtorch_cuda.so").is_file())
