"""Imported once by the fork server, so that every worker starts with torch and our code loaded.

torch imports about a thousand modules the first time some harmless functions are called. That second is
spent here once, not in every worker. Nothing here starts a thread or touches a GPU: forks must be clean.
"""

import torch
from torch import nn

import engine.compute.worker.process  # noqa: F401

torch.use_deterministic_algorithms(True, warn_only=True)
with torch.device("meta"):
    _layer = nn.Conv2d(1, 1, 1).to(memory_format=torch.channels_last)
    torch.optim.SGD(_layer.parameters(), lr=0.1)
