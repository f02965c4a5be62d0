"""Random numbers that depend on the seed and on what they are for, and on nothing else."""

import contextlib
import hashlib
import random
from collections.abc import Iterator

import numpy as np
import torch


def derive(seed: int, *purpose: object) -> int:
    """A 63-bit seed for one purpose, such as ``derive(0, "shuffle", epoch)``."""
    text = "/".join(str(part) for part in (seed, *purpose))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def generator(seed: int, *purpose: object) -> torch.Generator:
    """A CPU generator for one purpose; CPU, so that a GPU draws the same order of images."""
    return torch.Generator().manual_seed(derive(seed, *purpose))


def seed_everything(seed: int, *purpose: object) -> None:
    """Seed the global generators of torch (CPU and GPU), NumPy and Python: weight initialization, dropout, and what a
    user's network draws by itself."""
    value = derive(seed, *purpose)
    # torch.manual_seed seeds kinds of devices too that no step runs on, and for each writes down the whole stack.
    torch.default_generator.manual_seed(value)
    torch.cuda.manual_seed_all(value)
    np.random.seed(value % 2**32)
    random.seed(value)


@contextlib.contextmanager
def seeded(seed: int, *purpose: object) -> Iterator[None]:
    """`seed_everything` for the block alone: behind it, all generators go on as if there had been none."""
    of_numpy, of_python = np.random.get_state(), random.getstate()
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    try:
        with torch.random.fork_rng(devices):
            seed_everything(seed, *purpose)
            yield
    finally:
        np.random.set_state(of_numpy)
        random.setstate(of_python)
