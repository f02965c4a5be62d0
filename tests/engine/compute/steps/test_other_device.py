"""What steps leave in a network computes on a GPU: each tensor goes there with it, seen without one.

The networks are copied to tensors without values (torch's fake tensors), which have a device and refuse to meet others.
"""

import copy

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode

from engine.compute.layers.shared import expand_
from engine.compute.steps.apply import apply
from engine.compute.training.loop import fit
from engine.params import STEPS
from engine.params.training import Train
from tests.engine.compute.compute_help import context_for, small_model
from tests.engine.compute.steps.test_pairs import PARAMETERS

CUDA = torch.device("cuda")


def on_fake_gpu(model: nn.Module) -> None:
    """Passes a batch through a copy of `model` as it trains and as it is used; the way back asks for a real GPU."""
    with FakeTensorMode(allow_non_fake_inputs=True) as shapes:
        with FakeCopyMode(shapes):
            moved = copy.deepcopy(model)
        _move(moved)
        images = torch.rand(4, 1, 8, 8, device=CUDA).to(memory_format=torch.channels_last)
        targets = torch.zeros(4, dtype=torch.int64, device=CUDA)
        assert nn.functional.cross_entropy(moved.train()(images), targets).device.type == "cuda"
        with torch.no_grad():
            assert expand_(moved.eval(), (1, 8, 8))(images).device.type == "cuda"


def _move(model: nn.Module) -> None:
    """As `model.to`, which can't exchange tensors without values: parameters and buffers, and nothing else."""
    for module in model.modules():
        for name, tensor in module._parameters.items():
            if tensor is not None:
                module._parameters[name] = nn.Parameter(tensor.detach().to(CUDA), tensor.requires_grad)
        for name, tensor in module._buffers.items():
            module._buffers[name] = None if tensor is None else tensor.to(CUDA)


@pytest.mark.parametrize("name", PARAMETERS)
def test_every_overlay_goes_with_its_network(name: str) -> None:
    context = context_for()
    model = fit(small_model(width=4), Train(epochs=1), context)
    on_fake_gpu(apply(STEPS[name.partition(" ")[0]].model_validate(PARAMETERS[name]), model, context))


def test_a_tensor_that_stayed_behind_is_seen() -> None:
    class Forgets(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own, self.scale = small_model(width=4), torch.ones(10)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return self.own(images) * self.scale

    with pytest.raises(RuntimeError, match="device"):
        on_fake_gpu(Forgets())
