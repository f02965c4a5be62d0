"""A driver of our own with GPUs that are made up: a libcuda and an nvidia-smi, for processes that ask for GPUs."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

SOURCE = r"""
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
/* FAKE_GPUS: name|memory in MiB|capability|bus number, one a line; what CUDA would show. FAKE_CUDA: cuInit's code. */
static char *line(int number, int field, char *out, int size) {
    const char *at = getenv("FAKE_GPUS"); int n = 0, f = 0, k = 0;
    out[0] = 0;
    for (; at && *at; at++) {
        if (*at == '\n') { n++; f = 0; continue; }
        if (*at == '|') { f++; continue; }
        if (n == number && f == field && k < size - 1) { out[k++] = *at; out[k] = 0; }
    }
    return out;
}
static int begun = 0;
int fake_begun(void) { return begun; }
int cuInit(unsigned flags) { const char *code = getenv("FAKE_CUDA"); begun = 1; return code ? atoi(code) : 0; }
int cuDeviceGetCount(int *count) {
    char name[128]; *count = 0;
    while (*line(*count, 0, name, 128)) (*count)++;
    return 0;
}
int cuDeviceGet(int *device, int number) { *device = number; return 0; }
int cuDeviceGetName(char *name, int size, int device) { line(device, 0, name, size); return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) {
    char text[32]; *bytes = (size_t)atol(line(device, 1, text, 32)) << 20; return 0;
}
int cuDeviceGetAttribute(int *value, int which, int device) {
    char text[32]; line(device, 2, text, 32);
    *value = which == 75 ? atoi(text) : atoi(strchr(text, '.') + 1); return 0;
}
int cuDeviceGetPCIBusId(char *out, int size, int device) {
    char text[32]; snprintf(out, size, "0000:%02d:00.0", atoi(line(device, 3, text, 32))); return 0;
}
int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    char text[32]; memset(uuid, 0, 16); uuid[15] = atoi(line(device, 3, text, 32)); return 0;
}
int cuDeviceGetUuid(unsigned char *uuid, int device) { return cuDeviceGetUuid_v2(uuid, device); }
"""
SMI = """#!/bin/sh
case "$*" in
  -L) printf '%s' "$FAKE_SMI_LIST" ;;
  *clocks_event_reasons*) echo 'Field "clocks_event_reasons.active" is not a valid field to query.'; exit 2 ;;
  *clocks_throttle_reasons*) echo 0x0000000000000024 ;;
  *) echo '1755, 1980, 2619, 61, 698.21, 580.65.06' ;;
esac
"""


def build(folder: Path) -> dict[str, str]:
    """Variables for a process that shall have this driver."""
    (folder / "cuda.c").write_text(SOURCE)
    subprocess.run(
        ["cc", "-shared", "-fPIC", "-w", "-o", folder / "libcuda.so.1", folder / "cuda.c"], check=True
    )
    smi = folder / "nvidia-smi"
    smi.write_text(SMI)
    smi.chmod(0o755)
    return {"LD_LIBRARY_PATH": str(folder), "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def uuid(bus: int) -> str:
    return f"GPU-00000000-0000-0000-0000-0000000000{bus:02x}"


def environment(driver: Mapping[str, str], gpus: str, **more: str) -> dict[str, str]:
    """The variables of a process where CUDA shows `gpus`: `name|memory in MiB|capability|bus`, one a line."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("CUDA_", "SLURM_"))}
    return own | dict(driver) | {"FAKE_GPUS": gpus} | more
