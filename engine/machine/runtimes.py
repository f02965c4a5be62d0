"""Which inference runtimes this machine has, and what they compute in here, found without importing any of them."""

import os
import shutil
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from engine.errors import SecateurError
from engine.machine import environment
from engine.params.preset import Latency
from engine.params.runtimes import INT8_RUNTIMES, PRECISIONS, RUNTIMES, Precision, Runtime

ARITHMETIC = {
    "bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "fp16": frozenset({"avx512_fp16", "amx_fp16", "asimdhp"}),
}
"""Processor features (x86, ARM) that compute in a precision; without any of them it is emulated, and slower."""
INSTALL_OPENVINO = "OpenVINO is not installed: pip install 'secateur[openvino]'"
CUDA_PROVIDER = "capi/libonnxruntime_providers_cuda.so"


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
            _version(runtime),
            place(runtime, device),
            tuple(p for p in PRECISIONS if not reason(runtime, p, device)),
            missing(runtime, device),
        )
        for runtime in RUNTIMES
    ]


def _version(runtime: Runtime) -> str:
    known = environment.packages()
    match runtime:
        case "torch" | "torch-compile":
            return known.get("torch", "")
        case "onnxruntime":
            return known.get("onnxruntime") or known.get("onnxruntime-gpu", "")
        case "openvino":
            return known.get("openvino", "")


def place(runtime: Runtime, device: str) -> str:
    """Where a runtime computes in a study on `device`: `cpu`, too, where it cannot use the GPU."""
    if not device.startswith("cuda") or runtime == "openvino":
        return "cpu"
    return "cpu" if runtime == "onnxruntime" and not _has_cuda_provider() else device


def missing(runtime: Runtime, device: str) -> str:
    """Why a runtime cannot be used at all, in one sentence; empty if it can."""
    match runtime:
        case "torch":
            return ""
        case "torch-compile":
            return _no_compiler(place(runtime, device))
        case "onnxruntime":
            return "" if find_spec("onnxruntime") else "ONNX Runtime is not installed"
        case "openvino":
            return "" if find_spec("openvino") else INSTALL_OPENVINO


def reason(runtime: Runtime, precision: Precision, device: str, threads: int | None = None) -> str:
    """Why a runtime does not compute in `precision` with so many `threads` here; empty if it does."""
    if threads is not None and threads > environment.available_cpus():
        return f"{threads} threads need as many processors, and {environment.available_cpus()} are usable"
    return missing(runtime, device) or _no_precision(runtime, precision, place(runtime, device))


def no_int8(runtime: Runtime) -> str:
    """Why a runtime does not execute an INT8 file; empty if it does."""
    return "" if runtime in INT8_RUNTIMES else "an INT8 file runs in ONNX Runtime and OpenVINO only"


def _no_precision(runtime: Runtime, precision: Precision, where: str) -> str:
    if precision == "fp32":
        return ""
    if runtime == "onnxruntime":
        if precision == "fp16" and where != "cpu":
            return ""
        but = ": it computes in fp16 with its CUDA provider only" if precision == "fp16" else ""
        return f"ONNX Runtime runs no networks in {precision} here{but}"
    if where == "cpu" and not ARITHMETIC[precision] & environment.cpu_features():
        return f"the processor has no {precision} arithmetic"
    return ""


def _no_compiler(where: str) -> str:
    """What torch.compile lacks to build its kernels."""
    if where != "cpu" and find_spec("triton") is None:
        return "torch.compile needs Triton for the GPU, and it is not installed"
    compiler = os.environ.get("CXX", "g++") if where == "cpu" else os.environ.get("CC", "gcc")
    if shutil.which(compiler) is None:
        return f"torch.compile needs a C++ compiler, and {compiler} is not on the PATH (load one, or set CXX)"
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "torch.compile needs Python's headers, and Python.h is missing (install python3-dev)"
    return ""


@cache
def _has_cuda_provider() -> bool:
    found = find_spec("onnxruntime")
    return bool(found and found.origin and (Path(found.origin).parent / CUDA_PROVIDER).is_file())


def reasons(wanted: Latency, device: str) -> list[str]:
    """Why each combination that is asked for cannot be measured here, `` where it can."""
    return [reason(r, p, device, threads) for r, p, _, threads in wanted.combinations()]


def check(wanted: Iterable[Latency], targets: Iterable[Runtime], device: str) -> None:
    """Raises SecateurError when one of the `wanted` asks only for what cannot be measured on this machine, or one of
    the runtimes that steps decide by is not here."""
    every = [reasons(one, device) for one in wanted] + [[missing(runtime, device)] for runtime in targets]
    for found in every:
        if all(found):
            raise SecateurError(
                "No latency that the preset asks for can be measured here",
                "; ".join(dict.fromkeys(found)) + ".",
                "Choose another runtime, precision or number of threads: `secateur doctor` lists what works here.",
            )
