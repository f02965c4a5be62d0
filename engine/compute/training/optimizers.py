"""The optimizers of the training loop, and what of a network they change."""

import torch
from torch import nn

from engine.errors import SecateurError
from engine.params.training import Training


def optimizer_of(model: nn.Module, params: Training) -> torch.optim.Optimizer:
    """The optimizer; weight decay is on tensors of two or more dimensions only, not on biases and normalization."""
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        raise SecateurError(
            "There is nothing to train",
            "Every parameter of the network is frozen (requires_grad=False) by its own code.",
            "Leave some free, or leave the step out.",
        )
    groups = [
        {"params": [p for p in trainable if p.dim() > 1], "weight_decay": params.weight_decay},
        {"params": [p for p in trainable if p.dim() <= 1], "weight_decay": 0.0},
    ]
    match params.optimizer:
        case "sgd":
            return torch.optim.SGD(
                groups, lr=params.learning_rate, momentum=params.momentum, nesterov=params.momentum > 0
            )
        case "adam":
            return torch.optim.Adam(groups, lr=params.learning_rate, betas=(params.momentum, 0.999))
        case "adamw":
            return torch.optim.AdamW(groups, lr=params.learning_rate, betas=(params.momentum, 0.999))


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Let all of its parameters learn at this rate from now on."""
    for group in optimizer.param_groups:
        group["lr"] = rate
