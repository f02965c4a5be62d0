"""Any exception of a worker as an error that a user can act on."""

import errno

from engine.compute import memory
from engine.compute.usercode import own_error
from engine.compute.worker import gpu_errors
from engine.errors import LESS_MEMORY, SecateurError, sentences
from engine.machine import limits, procfs
from engine.store.files import explanation
from engine.text.numbers import size

NO_THREAD = "can't start new thread"


def explain(error: BaseException, step: str = "the step") -> SecateurError:
    """`error` as one a user can act on; an unforeseen one says that it is a bug, and where the traceback is."""
    if isinstance(error, SecateurError):
        return error
    text = str(error).strip()
    number, file = getattr(error, "errno", None), getattr(error, "filename", None)
    if known := explanation(number, str(file or "")):
        return known
    if on_gpu := gpu_errors.explained(error, step):
        return on_gpu
    if memory.lacks_memory(error):
        first = text.splitlines()[0] if text else "An allocation failed"
        used = f"This worker has used {size(procfs.peak_rss())}"
        return SecateurError(
            "Out of memory",
            sentences(first, used, limits.sentence("memory", "address space", "data")),
            f"{LESS_MEMORY}; then `secateur resume`.",
        )
    if NO_THREAD in text or getattr(error, "errno", None) == errno.EAGAIN:
        return SecateurError(
            "No more threads or processes can be started",
            sentences(text.splitlines()[0], limits.sentence("processes", "memory", "address space")),
            "Use a smaller `threads` or executor.local.parallel, or raise the limit; then `secateur resume`.",
        )
    if own := own_error(error):
        return own
    return SecateurError(
        f"Unexpected {type(error).__name__}",
        text.splitlines()[0] if text else "",
        "This may be a bug of secateur's: the traceback is in the study's engine.log.",
    )
