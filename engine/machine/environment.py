"""What this machine is, without importing torch: shown beside every number, part of every key."""

import ctypes
import os
import platform
import socket
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from engine import __version__

PACKAGES = (
    "torch",
    "torchvision",
    "torch-pruning",
    "onnxruntime",
    "onnxruntime-gpu",
    "onnx",
    "onnxscript",
    "openvino",
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


@cache
def packages() -> dict[str, str]:
    """Installed versions of the packages that matter."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


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
    """Processors this process may use: its affinity, limited by a cgroup's quota."""
    count = len(os.sched_getaffinity(0))
    quota = _read("/sys/fs/cgroup/cpu.max").split()
    if len(quota) == 2 and quota[0].isdigit():
        count = min(count, max(1, int(quota[0]) // int(quota[1])))
    return count


@cache
def gpus() -> tuple[str, ...]:
    """Names of the CUDA devices that the driver shows, asked through libcuda itself."""
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    count, name = ctypes.c_int(), ctypes.create_string_buffer(128)
    if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    names = []
    for number in range(count.value):
        if not cuda.cuDeviceGetName(name, len(name), number):
            names.append(name.value.decode())
    return tuple(names)


def memory_bytes() -> int:
    """Physical memory, limited by a cgroup."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read("/sys/fs/cgroup/memory.max").strip()
    return min(total, int(limit)) if limit.isdigit() else total


def resolve_device(wanted: str) -> str:
    """`cuda` or `cpu` for a preset's `device`."""
    return ("cuda" if gpus() else "cpu") if wanted == "auto" else wanted


def resolve_threads(wanted: int | str, parallel: int) -> int:
    """Threads per trial for a preset's `threads`."""
    return wanted if isinstance(wanted, int) else max(1, available_cpus() // parallel)


def describe() -> dict[str, Any]:
    """The whole environment, as it is written beside results."""
    return {
        "secateur": __version__,
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()} {platform.machine()}",
        "host": socket.gethostname(),
        "packages": packages(),
        "cpu": cpu(),
        "memory_bytes": memory_bytes(),
        "gpus": list(gpus()),
    }


def numerics(device: str, threads: int) -> dict[str, Any]:
    """What of the environment can change a result's bits; it is hashed into every key."""
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
        machine["gpu"] = gpus()[0] if gpus() else None
    return {"packages": relevant, "device": device, "threads": threads, "machine": machine}


def _pair(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
