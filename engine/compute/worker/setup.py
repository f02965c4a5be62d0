"""What a process that computes is set to before it does: its GPU, its threads, arithmetic that repeats."""

import os
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch

from engine.compute import memory
from engine.machine.gpus import VISIBLE

UNSTEADY = "does not have a deterministic implementation"
"""What torch says of an operator that has none, before it computes."""


def see(gpus: Sequence[str], number: int) -> None:
    """Let this process see one GPU alone, before it has begun CUDA; all that there are if none is named."""
    if gpus:
        os.environ[VISIBLE] = gpus[number]


def settle(threads: int) -> None:
    """Threads and deterministic arithmetic, before anything is computed."""
    torch.set_num_threads(threads)
    memory.keep_freed()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling new tensors is for operations that read what they have not written; it costs a tenth of training.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    # The fastest of several algorithms is another one each time.
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    warnings.filterwarnings("ignore", category=FutureWarning)
    warnings.filterwarnings("ignore", category=DeprecationWarning)


def tell_warnings(tell: Callable[[str], None]) -> None:
    """Tell what libraries warn of and a user has to know, each once: bits that may differ, smaller batches."""
    shown, told = warnings.showwarning, set[str]()

    def show(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        text = str(message)
        if UNSTEADY in text:
            operator = text.partition(UNSTEADY)[0].strip()
            text = (
                f"{operator} sums in an order that is not fixed on a GPU: this step's last bits may differ when it is "
                "computed again"
            )
        elif not isinstance(message, memory.Told):
            shown(message, category, *place, **more)
            return
        if text not in told:
            told.add(text)
            tell(text)

    warnings.showwarning = show
    warnings.filterwarnings("always", f".*{UNSTEADY}")
    warnings.filterwarnings("always", category=memory.Told)
