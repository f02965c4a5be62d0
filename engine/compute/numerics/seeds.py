"""Random numbers that depend on the seed and on what they are for, and on nothing else."""

import hashlib
import random

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
    """Seed the global generators of torch (CPU and GPU), numpy and Python: weight initialization, users' code."""
    own = derive(seed, *purpose)
    torch.manual_seed(own)
    np.random.seed(own % 2**32)
    random.seed(own)
