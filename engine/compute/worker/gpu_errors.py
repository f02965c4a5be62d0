"""What CUDA's errors mean to a user, who gets them as RuntimeError with a text for programmers."""

from engine.compute.memory import out_of_memory
from engine.errors import SecateurError, said_by, sentences

NO_MEMORY = (
    "CUDA out of memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "ncclUnhandledCudaError: Call to CUDA function failed.\nLast error:\nCuda failure 2",
)
"""The allocator, the driver (for a context, or in a graph), and libraries with memory of their own."""
AGAIN = "`secateur resume` tries again: nothing finished is lost."
DOCTOR = "`secateur doctor` shows driver, GPUs and versions."
KNOWN = (
    (
        ("no kernel image is available",),
        "This torch has no code for the GPU",
        f"Install a torch that is built for it, or use device: cpu. {DOCTOR}",
    ),
    (
        ("driver on your system is too old", "driver version is insufficient"),
        "The GPU's driver is too old for this torch",
        f"Update the driver, install a torch for an older CUDA, or use device: cpu. {DOCTOR}",
    ),
    (
        ("busy or unavailable", "CUDA-capable device(s) is/are busy"),
        "The GPU takes no further process",
        "It may be set to one process at a time (exclusive mode): run fewer trials at a time "
        "(executor.local.parallel), or wait until it is free.",
    ),
    (
        (
            "no NVIDIA driver",
            "driver initialization failed",
            "No CUDA GPUs are available",
            "no CUDA-capable device",
        ),
        "The GPU can't be reached any more",
        f"{DOCTOR} {AGAIN}",
    ),
    (
        ("uncorrectable ECC", "fallen off the bus", "hardware", "NVLink"),
        "The GPU has a fault",
        f"Tell whoever runs the machine, and leave the node out (executor.slurm.exclude). {AGAIN}",
    ),
    (
        ("CUDA error", "cuDNN error", "CUBLAS_STATUS", "NCCL error", "ncclSystemError", "ncclInternalError"),
        "The GPU gave up in the middle of its work",
        f"{AGAIN} If it fails again at the same step, use device: cpu there and report it.",
    ),
)
"""Words in the text, what they mean, and what to do; the first that fits."""


def explained(error: BaseException, step: str) -> SecateurError | None:
    """`error` as one a user can act on, in the step at `step`; None if it is none of CUDA's."""
    text = str(error)
    if any(words in text for words in NO_MEMORY):
        return out_of_memory(error, step)
    for words, title, remedy in KNOWN:
        if isinstance(error, RuntimeError) and any(word in text for word in words):
            return SecateurError(title, sentences(f"In {step}", said_by(error)[0]), remedy)
    return None
