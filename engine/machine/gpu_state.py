"""How a GPU stands while it is measured: its clocks, which are read and never set, and what holds them down."""

import re
from typing import Any

from engine.machine import gpus

FIELDS = {
    "sm_mhz": "clocks.sm",
    "sm_max_mhz": "clocks.max.sm",
    "memory_mhz": "clocks.mem",
    "temperature_c": "temperature.gpu",
    "power_w": "power.draw",
    "driver": "driver_version",
}
REASONS = ("clocks_event_reasons.active", "clocks_throttle_reasons.active")
"""The newer name and the older one: a driver knows one of them."""
HELD = {
    0x2: "application clocks",
    0x4: "power limit",
    0x8: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat",
    0x40: "heat (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
"""Bits of nvml.h's clocks event reasons; 0x1, idle, is left out."""


def read(gpu: gpus.Gpu) -> dict[str, Any]:
    """How `gpu` stands now: the fields of `FIELDS` and `held_by`, as far as nvidia-smi tells; {} without it, and for
    MIG instances, which have no clocks of their own."""
    if gpu.is_instance:
        return {}
    which = ("-i", gpu.bus or gpu.visible)  # not a number of CUDA's: nvidia-smi counts in another order
    text = gpus.nvidia_smi(
        *which, f"--query-gpu={','.join(FIELDS.values())}", "--format=csv,noheader,nounits"
    )
    found = _values(text)
    if not found:
        return {}
    for name in REASONS:
        reasons = gpus.nvidia_smi(*which, f"--query-gpu={name}", "--format=csv,noheader")
        if match := re.match(r"\s*(0x[0-9a-fA-F]+)", reasons):
            found["held_by"] = [text for bit, text in HELD.items() if int(match[1], 16) & bit]
            break
    return found


def _values(text: str) -> dict[str, Any]:
    """Of the first GPU in the answer.

    >>> _values("1980, 1980, 2619, 34, [N/A], 580.65.06")["sm_mhz"]
    1980.0
    """
    cells = [cell.strip() for cell in text.partition("\n")[0].split(",")]
    if len(cells) != len(FIELDS):
        return {}
    out: dict[str, Any] = {}
    for name, cell in zip(FIELDS, cells, strict=True):
        if name == "driver":
            out[name] = cell
        elif re.fullmatch(r"\d+(\.\d+)?", cell):
            out[name] = float(cell)
    return out
