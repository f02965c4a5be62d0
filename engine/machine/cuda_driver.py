"""What NVIDIA's driver shows a process: run as a program, with the standard library alone, by `engine.machine.gpus`.

The driver reads CUDA_VISIBLE_DEVICES once, when it is first called. A process that has asked it can't be given one of
several GPUs any more, and what is forked from it can compute on none: so a process is started that asks, prints and
ends.
"""

import ctypes
import json
from collections.abc import Callable
from typing import Any

LIBRARY = "libcuda.so.1"
MAJOR, MINOR = 75, 76
"""CUdevice_attribute of the compute capability (cuda.h)."""


def asked() -> dict[str, Any]:
    """`code`, a CUresult that is 0 where all went well, and `gpus` in CUDA's order: `name`, `memory` (bytes),
    `capability` (as `9.0`), `bus` (PCI address) and `uuid`, its 16 bytes in hexadecimal; empty where not told."""
    cuda = ctypes.CDLL(LIBRARY)
    count = ctypes.c_int()
    code = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
    return {"code": code, "gpus": [] if code else [_device(cuda, number) for number in range(count.value)]}


def _device(cuda: ctypes.CDLL, number: int) -> dict[str, Any]:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(device), number)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    uuid = (ctypes.c_ubyte * 16)()
    ask = getattr(cuda, "cuDeviceGetUuid_v2", cuda.cuDeviceGetUuid)
    return {
        "name": _text(lambda buffer: cuda.cuDeviceGetName(buffer, len(buffer), device)),
        "memory": memory.value,
        "capability": ".".join(str(_attribute(cuda, which, device)) for which in (MAJOR, MINOR)),
        "bus": _text(lambda buffer: cuda.cuDeviceGetPCIBusId(buffer, len(buffer), device)),
        "uuid": "" if ask(ctypes.byref(uuid), device) else bytes(uuid).hex(),
    }


def _text(fill: "Callable[[ctypes.Array[ctypes.c_char]], int]") -> str:
    buffer = ctypes.create_string_buffer(128)
    return "" if fill(buffer) else buffer.value.decode(errors="replace")


def _attribute(cuda: ctypes.CDLL, which: int, device: ctypes.c_int) -> int:
    value = ctypes.c_int()
    cuda.cuDeviceGetAttribute(ctypes.byref(value), which, device)
    return value.value


if __name__ == "__main__":
    print(json.dumps(asked()))
