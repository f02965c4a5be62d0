"""What positions and outputs count: the Fisher information of the network's own answers, and fits that go by it."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from engine.compute.data import Split
from engine.compute.steps.calibration.activations import images, normal_equations
from engine.compute.steps.calibration.information import FLOOR, Information, information
from engine.compute.tasks.output import main_output
from tests.engine.compute.compute_help import context_for, digits, small_model


def test_information_of_logits_is_that_of_a_categorical_distribution() -> None:
    """Of a softmax its diagonal is p(1 - p), mean over images."""
    model, context = small_model().eval(), context_for()
    told = information(model, {"fc": model.get_submodule("fc")}, context, 300, "refit")["fc"]
    with torch.no_grad():
        probabilities = torch.cat([main_output(model(x)).softmax(1) for x in images(context, 300, "refit")])
    expected = (probabilities * (1 - probabilities)).mean(0)
    assert told.positions.shape == (300, 1)
    torch.testing.assert_close(told.channels.float(), expected, rtol=0.3, atol=0.01)


class StepsFirst(nn.Module):
    """Rows of an image as a sequence, whose steps come before the images, as torch's attention takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.rows, self.fc = nn.Linear(8, 6), nn.Linear(6, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.fc(self.rows(x[:, 0].transpose(0, 1)).relu().mean(0))
        return out


def test_what_lies_step_by_step_is_not_told_image_by_image() -> None:
    model = StepsFirst()
    layers = {"rows": model.rows, "fc": model.fc}
    told = information(model, layers, context_for(), 100, "refit")
    assert told["rows"].positions is None and told["rows"].weights is None
    assert told["fc"].positions is not None and told["fc"].positions.shape == (100, 1)
    assert told["rows"].channels.shape == (6,)


def test_no_label_has_a_part() -> None:
    data = digits()
    wrong = replace(data, train=Split(data.train.images, torch.zeros_like(data.train.labels)))
    model = small_model().eval()
    layers = {"layer2.0.conv1": model.get_submodule("layer2.0.conv1")}
    one, two = (information(model, layers, context_for(data=d), 32, "refit") for d in (data, wrong))
    assert torch.equal(one["layer2.0.conv1"].positions, two["layer2.0.conv1"].positions)
    assert one["layer2.0.conv1"].positions.shape == (32, 16)


def test_a_layer_whose_output_is_written_over_is_told_right() -> None:
    """Information of what a layer gives, before a ReLU that works in place: none where that ends it."""
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(128, 10))
    with torch.no_grad():
        model[0].weight.fill_(1.0)
        model[0].bias.copy_(torch.tensor([-100.0, 1.0]))
    told = information(model.eval(), {"0": model[0]}, context_for(), 16, "refit")["0"]
    assert float(told.channels[0]) == 0
    assert float(told.channels[1]) > 0


def test_weights_are_one_on_average_and_never_vanish() -> None:
    chance = torch.Generator().manual_seed(0)
    weights = Information(torch.ones(3), torch.rand(20, 9, generator=chance) ** 8).weights
    assert float(weights.mean()) == pytest.approx(1, rel=1e-5)
    assert float(weights.min()) >= FLOOR
    assert torch.equal(Information(torch.ones(3), torch.zeros(2, 2)).weights, torch.ones(2, 2))


@pytest.mark.parametrize("layer", [nn.Conv2d(3, 4, 3, padding=1), nn.Linear(5, 4)], ids=["conv", "linear"])
def test_a_position_that_counts_twice_is_as_if_it_were_there_twice(layer: nn.Module) -> None:
    chance = torch.Generator().manual_seed(0)
    shape = (6, 3, 5, 5) if isinstance(layer, nn.Conv2d) else (6, 2, 5)
    given = torch.randn(shape, generator=chance)
    with torch.no_grad():
        wanted = layer(given)
    counts = torch.tensor([1.0, 2.0, 1.0, 3.0, 0.0, 1.0])
    positions = wanted[0, 0].numel() if isinstance(layer, nn.Conv2d) else 2
    weighted = normal_equations(
        layer,
        [(given[:4], wanted[:4]), (given[4:], wanted[4:])],
        chance,
        constant=True,
        weights=counts[:, None].expand(6, positions),
    )
    several = counts.long()
    repeated = normal_equations(
        layer,
        [(given.repeat_interleave(several, 0), wanted.repeat_interleave(several, 0))],
        chance,
        constant=True,
    )
    for one, two in zip(weighted, repeated, strict=True):
        torch.testing.assert_close(one, two)
