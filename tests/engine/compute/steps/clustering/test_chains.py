"""Chains: which convolutions' channels one layer alone sees, each by itself."""

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import mobilenet_v2, shufflenet_v2_x0_5

from engine.compute.steps.clustering.chains import Chain, chains
from engine.errors import SecateurError
from tests.engine.compute.compute_help import Unpooled, deep_model

SHAPE = (1, 8, 8)
INNER = [f"layer{stage}.{block}.conv1" for stage in (1, 2, 3) for block in (0, 1, 2)]
"""The inner convolutions of ResNet20's residual blocks."""


def test_the_chains_of_resnet20_are_exactly_its_inner_convolutions() -> None:
    found = chains(deep_model(), torch.rand(2, *SHAPE))
    assert [chain.producer for chain in found] == INNER
    assert {chain.consumer for chain in found} == {name.replace("conv1", "conv2") for name in INNER}
    assert {chain.norm for chain in found} == {name.replace("conv1", "bn1") for name in INNER}
    assert all(chain.homogeneous for chain in found)


class Odd(nn.Module):
    """Convolutions whose channels meet: only the last two's go to one layer, each by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = nn.Conv2d(3, 6, 1)
        self.across = nn.Conv2d(6, 6, 1)
        self.twice = nn.Conv2d(6, 6, 1)
        self.gated = nn.Conv2d(6, 6, 1)
        self.bounded = nn.Conv2d(6, 6, 1)
        self.last = nn.Linear(6 * 16, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.across(torch.softmax(self.mixed(x), dim=1))
        x = self.gated(self.twice(x)) + self.gated(x)
        return self.last(nn.functional.relu6(self.bounded(x)).flatten(1))


def test_a_chain_is_what_works_on_each_channel_alone_whatever_it_is_called() -> None:
    assert chains(Odd().eval(), torch.rand(2, 3, 4, 4) * 20) == [
        Chain("gated", None, "bounded", positions=1, homogeneous=True),
        Chain("bounded", None, "last", positions=16, homogeneous=False),
    ]


def test_channels_that_meet_as_many_others_are_no_chain() -> None:
    assert [chain.producer for chain in chains(Unpooled().eval(), torch.rand(2, 3, 4, 4))] == ["stem"]


def test_chains_of_a_network_that_computes_in_doubles_are_the_same() -> None:
    class Doubles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = deep_model().double()

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.inner(x.double())
            return out

    images = torch.rand(2, *SHAPE)
    names = [chain.producer for chain in chains(deep_model(), images)]
    assert [chain.producer for chain in chains(Doubles().eval(), images)] == [
        f"inner.{name}" for name in names
    ]


def test_a_network_that_the_library_cant_follow_is_refused_with_the_way_out() -> None:
    with pytest.raises(SecateurError, match=r"(?s)can't be followed.*method: shared"):
        chains(shufflenet_v2_x0_5(num_classes=10), torch.rand(2, 3, 32, 32))


def test_grouped_convolutions_are_no_chains() -> None:
    model = mobilenet_v2(num_classes=10).eval()
    for chain in chains(model, torch.rand(2, 3, 32, 32)):
        assert model.get_submodule(chain.producer).groups == 1
        assert getattr(model.get_submodule(chain.consumer), "groups", 1) == 1
