"""How many images go through a network together: by the network and their shape, never by the machine."""

import copy

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.layers import pieces
from engine.compute.layers.pieces import at_once, bytes_each
from engine.compute.models.resnet import CifarResNet
from engine.compute.tasks import classification

SMALL, LARGE = (3, 32, 32), (3, 224, 224)


class Joined(nn.Module):
    """Everything that was computed stays alive until it is joined, by no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(3, 8, 3, padding=1) for _ in range(6))

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([layer(images) for layer in self.layers], 1).mean((2, 3))


class Twice(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight * 2


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return torchvision.models.resnet18(weights=None).eval()


def test_small_images_go_as_a_whole_batch_and_large_ones_as_fit(resnet18: nn.Module) -> None:
    assert at_once(resnet18, SMALL, 500) == at_once(CifarResNet(110), SMALL, 500) == 500
    assert at_once(CifarResNet(20), SMALL, 128, kept=True) == 128
    assert 40 < at_once(resnet18, LARGE, 500) < 100
    assert at_once(resnet18, (3, 4096, 4096), 500) == 1


def test_the_number_is_of_the_network_and_not_of_the_moment(resnet18: nn.Module) -> None:
    found = [bytes_each(copy.deepcopy(resnet18), (3, 64, 64)) for _ in range(3)]
    resnet18.train()
    assert [bytes_each(resnet18, (3, 64, 64))] * 3 == found
    assert resnet18.training and all(module.training for module in resnet18.modules())


def test_what_no_layer_holds_counts_and_weights_that_are_computed_do_not() -> None:
    plain, pixels = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1)), 32 * 32 * 4
    assert bytes_each(Joined(), SMALL) >= 2 * 6 * 8 * pixels
    computed = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 1000))
    parametrize.register_parametrization(computed[1], "weight", Twice())
    assert bytes_each(computed, SMALL) < bytes_each(plain, SMALL) < 10 * 8 * pixels


def test_what_a_network_saves_beside_its_tensors_takes_no_part() -> None:
    class Saving(nn.Conv2d):
        def get_extra_state(self) -> dict[str, str]:
            return {"made": "today"}

    plain = nn.Conv2d(3, 8, 3, padding=1)
    assert bytes_each(Saving(3, 8, 3, padding=1), SMALL) == bytes_each(plain, SMALL)


def test_kept_activations_are_all_counted() -> None:
    deep = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(50)))
    assert bytes_each(deep, SMALL, kept=True) > 8 * bytes_each(deep, SMALL)


def test_a_network_that_changes_with_its_images_is_counted_whole() -> None:
    class Each(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return torch.stack([image.mean((1, 2)) for image in images])

    assert bytes_each(Each(), SMALL) >= 1


def test_large_images_are_measured_by_their_shapes_and_leave_nothing_behind() -> None:
    class Keeps(nn.Module):
        def __init__(self, asks: bool) -> None:
            super().__init__()
            self.layer, self.asks, self.last = nn.Conv2d(3, 4, 1), asks, torch.zeros(1)

        def forward(self, images: Tensor) -> Tensor:
            self.last = self.layer(images)
            return self.last * float(self.last.mean()) if self.asks else self.last

    by_shapes, by_values = Keeps(asks=False), Keeps(asks=True)
    shape = (3, 80, 80)
    assert 0.5 < bytes_each(by_shapes, shape) / bytes_each(by_values, shape) < 1
    assert type(by_shapes.last) is type(by_values.last) is Tensor


def test_pieces_give_the_same_score(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.engine.compute.compute_help import digits

    data = digits()
    model = CifarResNet(20, channels=1).eval()
    whole = classification.Classification().score(model, data, data.test, torch.device("cpu"))
    monkeypatch.setattr(pieces, "ROOM", 7 * bytes_each(model, (1, *data.size)))
    assert at_once(model, (1, *data.size), 500) == 7
    cut = classification.Classification().score(model, data, data.test, torch.device("cpu"))
    assert torch.equal(whole.predictions, cut.predictions)
    assert cut.loss == pytest.approx(whole.loss, rel=1e-5)
