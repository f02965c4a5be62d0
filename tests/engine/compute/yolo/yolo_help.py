"""A small detector with random weights, and what it gives."""

import torch
from torch import nn

from engine.compute.pretrained.create import create
from engine.params.preset import Model

CPU = torch.device("cpu")
SIZE = 64


def yolo(name: str = "yolov8n") -> nn.Module:
    """A detector with random weights, and BatchNorm statistics as if it had been trained."""
    model, _ = create(
        Model(name=f"yolo/{name}"), channels=1, classes=10, size=(SIZE, SIZE), seed=0, task="detection"
    )
    random = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None and module.running_var is not None
            module.running_mean.copy_(torch.rand(module.num_features, generator=random) / 5 - 0.1)
            module.running_var.copy_(torch.rand(module.num_features, generator=random) + 0.5)
    return model.eval()


def images(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def output(model: nn.Module) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model.eval()(images())
    return found
