"""BatchNorm whose statistics lag behind the weights: a network that learned well and scores badly."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

OLD = 0.05
"""Share of the statistics from before the training that counts: a twentieth moves no score by much."""
FAR = 1.5
LEAST = 0.2
"""The validation loss is far above the training loss at `FAR` times it and `LEAST` nats above it, both."""


def old_share(model: nn.Module, updates: int) -> float:
    """The share of the slowest BatchNorm's running statistics that is older than the last `updates` batches.

    >>> round(old_share(nn.BatchNorm2d(1, momentum=0.01), 63), 2)
    0.53
    """
    momenta = [
        module.momentum
        for module in model.modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats and module.momentum is not None
    ]
    return (1 - min(momenta)) ** updates if momenta else 0.0


def notice(model: nn.Module, updates: int, loss: float, validation_loss: float) -> str:
    """The warning for a validation loss that is far above the training loss for this reason; else ""."""
    share = old_share(model, updates)
    if share < OLD or validation_loss < FAR * loss or validation_loss - loss < LEAST:
        return ""
    return (
        f"validation loss {validation_loss:.2f} is far above the training loss {loss:.2f}, and BatchNorm's statistics "
        f"are {share:.0%} those from before this training (its momentum is small): `calibrate` after it takes new ones"
    )
