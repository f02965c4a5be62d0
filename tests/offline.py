"""A process, with all its children, that is killed as soon as one of them asks the system for an internet socket."""

import ctypes
import os
import platform
import socket
import struct
from typing import Any

CALLS = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
"""Of each processor its name in the kernel (AUDIT_ARCH_…) and its number of the system call `socket`."""
LOAD, EQUAL, ANSWER = 0x20, 0x15, 0x06
"""Instructions of the kernel's filters: load a word, jump if equal, answer (linux/bpf_common.h)."""
ALLOW, KILL = 0x7FFF0000, 0x80000000
NUMBER, ARCHITECTURE, FAMILY, TYPE = 0, 4, 16, 24
"""Where these lie in what a filter sees (struct seccomp_data); of the call's arguments the lower halves."""
SET_NO_NEW_PRIVILEGES, SET_SECCOMP, FILTER = 38, 22, 2


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_void_p)]


def forbid_internet() -> None:
    """From now on the kernel kills this process, or a child of it, for `socket(AF_INET…)`, from C code too.

    Meant for `preexec_fn`. Left alone are sockets within the machine (AF_UNIX), and the bare IPv4 one for datagrams by
    which libuuid reads the network card's address (`uuid.getnode`): look-ups of names and Python's sockets have flags
    beside the type. Raises OSError where the kernel can't.
    """
    architecture, call = CALLS[platform.machine()]
    rows = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 0, 7, architecture),
        (LOAD, 0, 0, NUMBER),
        (EQUAL, 0, 5, call),
        (LOAD, 0, 0, FAMILY),
        (EQUAL, 4, 0, int(socket.AF_INET6)),
        (EQUAL, 0, 2, int(socket.AF_INET)),
        (LOAD, 0, 0, TYPE),
        (EQUAL, 0, 1, int(socket.SOCK_DGRAM)),
        (ANSWER, 0, 0, ALLOW),
        (ANSWER, 0, 0, KILL),
    ]
    code = b"".join(struct.pack("HBBI", *row) for row in rows)
    held = ctypes.create_string_buffer(code, len(code))
    program = _Program(len(rows), ctypes.cast(held, ctypes.c_void_p))
    library: Any = ctypes.CDLL(None, use_errno=True)
    for asked in ((SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (SET_SECCOMP, FILTER, ctypes.byref(program), 0, 0)):
        if library.prctl(*asked):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
