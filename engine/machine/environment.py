"""What this machine is, without importing torch: shown beside every number, part of every key."""

import os
import platform
import socket
import sys
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from engine import __version__
from engine.machine import gpus as cards
from engine.machine import limits, private
from engine.params.runtimes import KIND

PACKAGES = (
    "torch",
    "torchvision",
    "torch-pruning",
    *(name for kind in KIND.values() for name in kind.packages if name != "torch"),
    "onnx",
    "onnxscript",
    "scikit-learn",
    "numpy",
    "ultralytics",
    "textual",
    "plotext",
)
CPU_FLAGS = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_bf16",
    "avx512_fp16",
    "avx_vnni",
    "avx512_vnni",
    "amx_bf16",
    "amx_int8",
    "asimd",
    "sve",
    "i8mm",
)
"""CPU features that decide which kernels run, and so both speed and last bits."""
SETTLED = {
    "MKL_CBWR": "AUTO",
    "GOMP_SPINCOUNT": "10000",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    "PYTORCH_NVML_BASED_CUDA_CHECK": "1",
    "PYTHONHASHSEED": "0",
}
"""Variables that every process which computes has, unless the user has set them.

GOMP_SPINCOUNT: how often torch's threads look for each other before they sleep. libgomp's own 300000 make a thread
whose partner waits for the same processor spin that processor away: beside busy programs a training step can take ten
times as long as with this count, which costs nothing where the machine is free (benchmarks/spin.py).

MKL_CBWR: MKL's conditional numerical reproducibility. `AUTO` takes the processor's own instructions with sums in a
fixed order whatever the addresses; `AVX2` would give up AVX-512 and `COMPATIBLE` nearly all vectors; `STRICT` adds
independence of the number of threads, which keys contain (benchmarks/reproducible.py has what each costs).

CUBLAS_WORKSPACE_CONFIG: without one of its two fixed values, cuBLAS may give other bits each time (its manual, "Results
Reproducibility"). PYTORCH_NVML_BASED_CUDA_CHECK: asking torch whether there is a GPU begins no CUDA in this process,
after which no process forked from it could use one.

PYTHONHASHSEED: sets of strings, also of users' networks, come in the same order in every process."""
SILENT = {"ORT_DISABLE_TELEMETRY": "1"}
"""Variables that keep libraries from reporting home, whatever the user has set. ONNX Runtime sends events to its makers
from its first import on (its Privacy.md; 1.31 does on Linux too)."""
REPORTERS = ("openvino_telemetry",)
"""Packages that only report home: OpenVINO sends an event whenever it is imported, and does without them as well."""
SELECTORS = (
    "MKL_CBWR",
    "MKL_ENABLE_INSTRUCTIONS",
    "MKL_DEBUG_CPU_TYPE",
    "ATEN_CPU_CAPABILITY",
    "ONEDNN_MAX_CPU_ISA",
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_DEFAULT_FPMATH_MODE",
    "DNNL_DEFAULT_FPMATH_MODE",
    "OPENBLAS_CORETYPE",
    "NPY_DISABLE_CPU_FEATURES",
    "NPY_ENABLE_CPU_FEATURES",
    "GLIBC_TUNABLES",
    "NVIDIA_TF32_OVERRIDE",
    "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE",
)
"""Variables by which libraries choose other instructions, and so other last bits, than the processor's own."""
GPU_SELECTORS = (
    "CUBLAS_WORKSPACE_CONFIG",
    "CUBLASLT_WORKSPACE_SIZE",
    "CUDNN_CONV_WSCAP_DBG",
    "TORCH_CUDNN_V8_API_DISABLED",
    "NCCL_ALGO",
    "NCCL_PROTO",
)
"""The same of libraries on a GPU: in keys of what one computes, and in no others."""


@cache
def packages() -> dict[str, str]:
    """Installed versions of the packages that matter."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


@cache
def cpu() -> dict[str, Any]:
    """Model name, the features of `CPU_FLAGS` it has, and how many processors this process may use."""
    fields = _cpuinfo()
    return {
        "model": fields.get("model name") or platform.processor() or platform.machine(),
        "stepping": "/".join(fields.get(n, "") for n in ("vendor_id", "cpu family", "model", "stepping")),
        "flags": [flag for flag in CPU_FLAGS if flag in cpu_features()],
        "available": available_cpus(),
    }


def cpu_features() -> frozenset[str]:
    """Every feature of the processor, as Linux spells them."""
    fields = _cpuinfo()
    return frozenset(fields.get("flags", fields.get("Features", "")).split())


@cache
def _cpuinfo() -> dict[str, str]:
    """What Linux tells about the first processor."""
    first = _read("/proc/cpuinfo").split("\n\n", 1)[0]
    return dict(_pair(line) for line in first.splitlines() if ":" in line)


def available_cpus() -> int:
    """Processors this process may use: its affinity, limited by control groups' quotas and by Slurm."""
    return limits.usable_processors()


def gpus(device: str = "cuda") -> tuple[str, ...]:
    """Names of the GPUs that trials of a preset's `device` may compute on."""
    return tuple(gpu.name for gpu in cards.of_device(device))


def process_variables() -> dict[str, str]:
    """This process's variables as a process that computes has them: a variable that is empty counts as not set."""
    settled = {name: os.environ.get(name) or value for name, value in SETTLED.items()}
    return {**os.environ, **settled, **SILENT}


def settle() -> None:
    """Give this process the variables of `SETTLED`, `SILENT` and our private folder, before its libraries are imported,
    and take the reporters from them."""
    os.environ.update(process_variables() | private.variables())
    for name in REPORTERS:
        sys.modules[name] = None  # type: ignore[assignment]  # importing it fails, as where it is not installed


def selectors(device: str = "cpu") -> dict[str, str]:
    """The variables that choose the instructions of `device`, as processes that compute have them; those not set are
    left out."""
    names = SELECTORS if device == "cpu" else SELECTORS + GPU_SELECTORS
    return {name: value for name, value in process_variables().items() if name in names and value}


def chosen_selectors() -> dict[str, str]:
    """Those of both kinds that the user has set: processes on other nodes must have them as well."""
    return {name: value for name in SELECTORS + GPU_SELECTORS if (value := os.environ.get(name))}


def resolve_device(wanted: str) -> str:
    """`cuda` or `cpu` for a preset's `device`: which of several equal GPUs it is changes no result."""
    return ("cuda" if gpus() else "cpu") if wanted == "auto" else wanted.partition(":")[0]


def resolve_threads(wanted: int | str, parallel: int) -> int:
    """Threads of each of `parallel` processes for a preset's `threads`: `auto` shares the processors, and is no more
    than OMP_NUM_THREADS."""
    if isinstance(wanted, int):
        return wanted
    share = max(1, available_cpus() // parallel)
    return min(share, limits.asked_threads() or share)


def describe() -> dict[str, Any]:
    """The whole environment, as it is written beside results."""
    return {
        "secateur": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "host": socket.gethostname(),
        "packages": packages(),
        "cpu": cpu(),
        "memory_bytes": limits.whole_memory(),
        "gpus": [gpu.name for gpu in cards.found().gpus],
        "variables": selectors(),
    }


def numerics(device: str, threads: int, gpu: str | None = None) -> dict[str, Any]:
    """What of the environment can change a result's bits; it is hashed into every key.

    `device` is `cpu` or `cuda`, `gpu` the name of the one that computes, by default the first here.
    """
    versions = packages()
    relevant = {
        n: versions.get(n) for n in ("torch", "torchvision", "numpy", "torch-pruning", "scikit-learn")
    }
    machine: dict[str, Any] = {
        "model": cpu()["model"],
        "stepping": cpu()["stepping"],
        "flags": cpu()["flags"],
    }
    if device == "cuda":
        machine["gpu"] = gpu or next(iter(gpus()), None)
    return {
        "packages": relevant,
        "device": device,
        "threads": threads,
        "machine": machine,
        "variables": selectors(device),
    }


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
