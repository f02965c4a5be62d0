"""A residual network of a few layers, quick to export: what the tests of quantization quantize."""

import torch
from torch import Tensor, nn


class TinyResidual(nn.Module):
    """Two convolutions around a shortcut, a pooled linear layer behind them: (N, C, H, W) → (N, classes)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.conv2 = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, classes)

    def forward(self, images: Tensor) -> Tensor:
        first = torch.relu(self.bn1(self.conv1(images)))
        second = torch.relu(self.bn2(self.conv2(first)) + first)
        return self.fc(second.mean((2, 3)))  # type: ignore[no-any-return]


def model(channels: int, classes: int) -> TinyResidual:
    """What `model.name: tiny_residual.py:model` builds."""
    return TinyResidual(channels, classes)
