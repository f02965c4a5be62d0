"""Copies of networks whose modules keep functions: what is done to a copy shows in it, and in it alone."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engine.compute.layers.copies import copied


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Linear(4, 4), nn.Linear(4, 2)
        self.seen: dict[str, Tensor] = {}

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(x)) + self.seen.get("layer", torch.zeros(1)).sum()  # type: ignore[no-any-return]


def kept_by_a_hook(net: Net) -> None:
    net.layer.register_forward_hook(lambda module, inputs, output: net.seen.update(layer=output))


def kept_in_what_the_network_holds(net: Net) -> None:
    seen = net.seen
    net.layer.register_forward_hook(lambda module, inputs, output: seen.update(layer=output))


def kept_by_a_default(net: Net) -> None:
    def keep(module: nn.Module, inputs: Any, output: Tensor, net: Net = net) -> None:
        net.seen["layer"] = output

    net.layer.register_forward_hook(keep)


def forward_of_its_own(net: Net) -> None:
    layer = net.layer
    net.layer.forward = lambda x: F.linear(x, layer.weight).tanh()  # type: ignore[method-assign, assignment]


def forward_around_the_one_it_had(net: Net) -> None:
    inner = net.layer.forward

    def outer(x: Tensor) -> Tensor:
        return inner(x).tanh()

    net.layer.forward = outer  # type: ignore[method-assign, assignment]


def layers_in_a_list(net: Net) -> None:
    layers = [net.layer, net.head]
    net.head.register_forward_hook(lambda *_: layers[0].weight.sum())


@pytest.mark.parametrize(
    "change",
    [
        kept_by_a_hook,
        kept_in_what_the_network_holds,
        kept_by_a_default,
        forward_of_its_own,
        forward_around_the_one_it_had,
        layers_in_a_list,
    ],
)
def test_functions_of_a_copy_work_on_the_copy(change: Callable[[Net], None]) -> None:
    net, x = Net(), torch.rand(3, 4)
    change(net)
    with torch.no_grad():
        before = net(x)
        for other in (copied(net), copied(copied(net))):
            assert torch.equal(other(x), before)
            other.layer.weight.mul_(2)  # type: ignore[union-attr, operator]
            assert not torch.equal(other(x), before)
            assert torch.equal(net(x), before)


def test_what_a_network_does_not_hold_is_shared() -> None:
    net, calls = Net(), []
    net.layer.register_forward_hook(lambda *_: calls.append(1))
    copied(net)(torch.rand(1, 4))
    assert calls == [1]
