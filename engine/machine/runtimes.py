"""Which inference runtimes this machine has, and what they compute in here, found without importing any of them."""

import os
import shutil
import sysconfig
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from engine.machine import environment, gpus
from engine.params.runtimes import INT8_RUNTIMES, KIND, PRECISIONS, RUNTIMES, Precision, Runtime

ARITHMETIC = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "fp16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
}
"""Processor features (x86, ARM) that compute in a precision; without any of them it is emulated, and slower."""

AMPERE = frozenset({"tf32", "bf16"})
"""What GPUs compute in from compute capability 8.0 on."""


@dataclass(frozen=True)
class Survey:
    """A runtime as it is here: what it computes in on `device`, or the one reason why it cannot be used."""

    runtime: Runtime
    version: str
    device: str
    precisions: tuple[Precision, ...]
    missing: str = ""


def survey(device: str = "cpu") -> list[Survey]:
    """Every runtime, for a study that computes on `device` (`cpu` or `cuda`)."""
    return [
        Survey(
            runtime,
            version(runtime),
            device_of(runtime, device),
            tuple(p for p in PRECISIONS if not reason(runtime, p, device)),
            missing(runtime, device),
        )
        for runtime in RUNTIMES
    ]


def version(runtime: Runtime) -> str:
    """The installed version of a runtime, "" without one."""
    known = environment.packages()
    return next((known[name] for name in KIND[runtime].packages if name in known), "")


def device_of(runtime: Runtime, device: str) -> str:
    """Where a runtime computes in a study on `device`: `cpu`, too, where it cannot use the GPU."""
    if not device.startswith("cuda"):
        return "cpu"
    match KIND[runtime].gpu:
        case "always":
            return device
        case "provider":
            return device if _has_provider(runtime) else "cpu"
        case "never":
            return "cpu"


def missing(runtime: Runtime, device: str) -> str:
    """Why a runtime cannot be used at all, in one sentence; empty if it can."""
    kind = KIND[runtime]
    if not find_spec(kind.module):
        described = f"{kind.label} is not installed"
        return f"{described}: pip install 'secateur[{kind.extra}]'" if kind.extra else described
    return _no_compiler(device_of(runtime, device)) if kind.compiles else ""


def reason(runtime: Runtime, precision: Precision, device: str, threads: int | None = None) -> str:
    """Why a runtime does not compute in `precision` with so many `threads` here; empty if it does."""
    if threads is not None and threads > environment.available_cpus():
        return too_many_threads(threads, environment.available_cpus())
    return missing(runtime, device) or _no_precision(runtime, precision, device_of(runtime, device))


def too_many_threads(threads: int, cpus: int) -> str:
    """Why nothing is measured with more threads than there are processors."""
    return f"{threads} threads need as many processors, and {cpus} are usable"


def no_int8(runtime: Runtime) -> str:
    """Why a runtime does not execute an INT8 file; empty if it does."""
    able = " and ".join(KIND[name].label for name in INT8_RUNTIMES)
    return "" if runtime in INT8_RUNTIMES else f"an INT8 file runs in {able} only"


def _no_precision(runtime: Runtime, precision: Precision, where: str) -> str:
    kind = KIND[runtime]
    if precision == "fp32":
        return ""
    if precision not in (kind.reduced if where == "cpu" else kind.reduced_on_gpu):
        elsewhere = where == "cpu" and precision in kind.reduced_on_gpu
        place = "with its CUDA provider" if kind.gpu == "provider" else "on a GPU"
        but = f": it computes in {precision} {place} only" if elsewhere else ""
        return f"{kind.label} runs no networks in {precision} here{but}"
    if where == "cpu" and not ARITHMETIC[precision] & environment.cpu_features():
        return f"the processor has no {precision} arithmetic"
    if where != "cpu" and precision in AMPERE and _capability(where) < 8:
        return f"the GPU has no {precision} arithmetic"
    return ""


def _capability(device: str) -> float:
    """The compute capability of the GPU; a high one where nothing tells."""
    first = next(iter(gpus.of_device(device)), None)
    return float(first.capability) if first and first.capability else 99.0


def _no_compiler(where: str) -> str:
    """What torch.compile lacks to build its kernels."""
    if where != "cpu" and find_spec("triton") is None:
        return "torch.compile needs Triton for the GPU, and it is not installed"
    compiler = os.environ.get("CXX", "g++") if where == "cpu" else os.environ.get("CC", "gcc")
    if shutil.which(compiler) is None:
        return f"torch.compile needs a C++ compiler, and {compiler} is not on the PATH (load one, or set CXX)"
    if not os.access(Path(sysconfig.get_path("include")) / "Python.h", os.R_OK):
        return "torch.compile needs Python's headers, and Python.h is missing (install python3-dev)"
    return ""


@cache
def _has_provider(runtime: Runtime) -> bool:
    module_spec = find_spec(KIND[runtime].module)
    return bool(
        module_spec
        and module_spec.origin
        and (Path(module_spec.origin).parent / KIND[runtime].provider).is_file()
    )
