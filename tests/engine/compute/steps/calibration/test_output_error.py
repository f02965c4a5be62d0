"""The quadratic form of a layer's output error is the error of its outputs, and means are kept where they can be."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.compute.layers.select import prunable_layers
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.steps.calibration.activations import images, passing
from engine.compute.steps.calibration.norms import norms_behind
from engine.compute.steps.calibration.output_error import OutputErrors, with_form
from engine.compute.steps.factorization.step import factorize
from engine.params import Factorize
from tests.engine.compute.compute_help import context_for, small_model


class SamePadding(nn.Conv2d):
    """Pads in a forward of its own, one side more than the other, as TensorFlow does."""

    def forward(self, images: Tensor) -> Tensor:
        padded = functional.pad(images, (0, 1, 0, 1))
        return functional.conv2d(
            input=padded, weight=self.weight, bias=self.bias, stride=self.stride, groups=self.groups
        )


LAYERS = {
    "plain": lambda: nn.Conv2d(1, 6, 3, padding=1, bias=False),
    "strided and dilated": lambda: nn.Conv2d(1, 6, 3, stride=2, padding=(2, 1), dilation=2),
    "grouped": lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 6, 3, groups=2)),
    "depthwise": lambda: nn.Sequential(nn.Conv2d(1, 4, 1), nn.Conv2d(4, 4, 3, groups=4, bias=False)),
    "padded by reflection": lambda: nn.Conv2d(1, 6, 3, padding=1, padding_mode="reflect"),
    "padded by its own forward": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 1), SamePadding(4, 4, 3, groups=4, stride=2)
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(64, 6)),
    "linear on positions": lambda: nn.Linear(8, 6),
}


class Whole(nn.Module):
    """Layers, and a sum that makes ten classes of whatever they give."""

    def __init__(self, layers: nn.Module) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).flatten(1)[:, :10]


@pytest.mark.parametrize("name", LAYERS)
def test_the_form_gives_what_outputs_on_images_are_off_by(name: str) -> None:
    torch.manual_seed(0)
    model = Whole(LAYERS[name]())
    last = [n for n, m in model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)][-1]
    layer = model.get_submodule(last)
    context = context_for()
    original = copy.deepcopy(model)
    with OutputErrors(model, {last: layer}, context, count=20, damping=1e-6, norms=False) as errors:
        form = errors.of(last)
    torch.testing.assert_close(form.best.flatten(), layer.weight.double().flatten(), rtol=1e-3, atol=1e-3)
    changed = layer.weight.detach() + 0.1 * torch.randn(layer.weight.shape)
    layer.weight.data = changed
    errors.keep_means(last, form)
    pixels = next(images(context, 20, "refit"))
    outputs, wanted = (passing(of, last, pixels)[1].double() for of in (model, original))
    channels = 1 if isinstance(layer, nn.Conv2d) else -1
    off = (outputs - wanted).movedim(channels, 0).flatten(1)
    told = form.of(changed.double().reshape(form.best.shape)).flatten()
    torch.testing.assert_close(told, off.square().sum(1), rtol=1e-3, atol=1e-5)
    if layer.bias is not None:
        torch.testing.assert_close(off.mean(1), torch.zeros_like(off[:, 0]), rtol=0, atol=1e-5)


def test_of_a_layer_whose_inputs_changed_the_best_weights_are_least_squares() -> None:
    torch.manual_seed(0)
    model = Whole(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.Conv2d(4, 3, 1, bias=False)))
    context = context_for()
    layers = {"layers.1": model.layers[1]}  # type: ignore[index]
    pixels = next(images(context, 30, "refit"))
    _, wanted = passing(model, "layers.1", pixels)
    with OutputErrors(model, layers, context, count=30, damping=1e-12, norms=False) as errors:
        with torch.no_grad():
            model.layers[0].weight.mul_(torch.rand(4, 1, 1, 1) + 0.5)  # type: ignore[index]
        best = errors.of("layers.1").best[0]
    given, _ = passing(model, "layers.1", pixels)
    rows = given.movedim(1, -1).flatten(0, -2).double()
    expected = torch.linalg.lstsq(rows, wanted.movedim(1, -1).flatten(0, -2).double()).solution
    torch.testing.assert_close(best, expected.T, rtol=1e-3, atol=1e-4)


def test_every_convolution_of_a_resnet_has_its_norm() -> None:
    model = small_model().eval()
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    found = norms_behind(model, layers, torch.rand(2, 1, 8, 8), 0)
    assert found.keys() == layers.keys()
    assert found["layer1.0.conv1"] is model.get_submodule("layer1.0.bn1")


def test_an_output_that_goes_past_its_norm_as_well_has_none() -> None:
    class Past(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
            self.norm, self.other = nn.BatchNorm2d(4), nn.BatchNorm2d(4)

        def forward(self, pixels: Tensor) -> Tensor:
            whole = self.first(pixels)
            return whole + self.other(self.second(functional.relu(self.norm(whole))))

    model = Past().eval()
    layers = {"first": model.first, "second": model.second}
    found = norms_behind(model, layers, torch.rand(2, 1, 8, 8), 0)
    assert list(found) == ["second"]
    assert torch.equal(model.norm.running_mean, torch.zeros(4))  # type: ignore[arg-type]


class Encoder(nn.Module):
    """torch's own encoder reads the tensors of its linear layers itself, unless hooks are on them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 16, 2, 2)
        self.block = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.stem(x.to(self.stem.weight.dtype)).reshape(len(x), self.stem.out_channels, -1).mT
        return self.last(self.block(tokens).mean(1))  # type: ignore[no-any-return]


def encoder() -> nn.Module:
    return Encoder()


def test_layers_that_the_network_reads_have_a_form_but_nothing_takes_their_place() -> None:
    model, context = build(Architecture(f"{__file__}:encoder", 1, 10, (8, 8))), context_for()
    pixels = next(images(context, 2, "refit"))
    order = with_form(model, prunable_layers(model, ()), pixels, context)
    assert order == ["stem", "block.linear1", "block.linear2", "last"]
    factorize(model, Factorize(calibrate=False), context)
    assert all(isinstance(model.get_submodule(name), nn.Conv2d | nn.Linear) for name in order[:3])
    assert isinstance(model.last, nn.Sequential)
    with torch.no_grad():
        assert model.eval()(pixels).shape == (2, 10)
