"""Small networks as people bring them, each with something that a plain state_dict and a second constructor miss."""

import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, spectral_norm, weight_norm


class Base(nn.Module):
    """Two convolutions and a linear layer for (N, channels, 8, 8)."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.a, self.bn = nn.Conv2d(channels, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.b, self.fc = nn.Conv2d(8, 8, 3, padding=1, stride=2), nn.Linear(8, classes)

    def body(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.b(self.bn(self.a(x)).relu()).relu().mean((2, 3)))
        return out

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Frozen(Base):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.a.weight.requires_grad_(False)


class Drawn(Base):
    """Its constructor computes with .item(), NumPy and Python's random."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.rates = [rate.item() for rate in torch.linspace(0, 0.2, 3)]
        self.gain = float(np.random.rand()) + 0.5
        self.shift = random.random()

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * self.gain + self.shift) * (1 - self.rates[1])


class Generating(Base):
    """It has generators of its own, which training moves on."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.chance, self.dice = np.random.default_rng(1), random.Random(2)
        self.table = self.chance.random((1, channels, 8, 8)).astype(np.float32)

    def forward(self, x: Tensor) -> Tensor:
        x = x + torch.from_numpy(self.table)
        noise = self.chance.random() + self.dice.random() + np.random.rand() if self.training else 0
        return self.body(x * (1 + 0.1 * noise))


class Unseeded(Base):
    """Its constructor draws what no seed of ours reaches."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.gain = float(np.random.default_rng().random()) + 0.5

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x * self.gain)


class Derived(Base):
    """A plain tensor that its constructor computes from a parameter."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.twice = self.fc.bias * 2

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.twice


class Viewing(Base):
    """Two parameters that share memory."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.c = nn.Conv2d(8, 8, 3, padding=1)
        self.c.weight = nn.Parameter(self.b.weight.data)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + self.c.weight.mean()


class Remembering(Base):
    """It keeps the objects of its passes, which are no numbers."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.last: object = None

    def forward(self, x: Tensor) -> Tensor:
        self.last = iter([len(x)])
        return self.body(x)


class Loose(Base):
    """Plain tensors in an attribute, a list and a dictionary, one of them random, and a buffer that is not saved."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.mean = torch.full((1, channels, 1, 1), 0.1)
        self.kernels = [torch.ones(channels, 1, 3, 3) / 9]
        self.more = {"noise": torch.randn(1, channels, 8, 8)}
        self.register_buffer("scale", torch.rand(1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.conv2d(x - self.mean, self.kernels[0], padding=1, groups=x.shape[1])
        return self.body(x * self.scale + self.more["noise"])


class Changing(Base):
    """What its passes change: a count, a running mean that is no buffer, and what they leave behind."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.count, self.mean, self.seen = 0, torch.zeros(channels), None

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.count += 1
            self.mean = 0.9 * self.mean + 0.1 * x.detach().mean((0, 2, 3))
        self.seen = self.a(x)
        return self.body(x - self.mean.view(1, -1, 1, 1)) * (1 + 1 / (1 + self.count))


class Tied(Base):
    """One weight in two layers, and one layer called twice."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.c, self.d = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.d.weight = self.c.weight
        self.again = self.c

    def forward(self, x: Tensor) -> Tensor:
        x = self.d(self.again(self.c(self.a(x)).relu()).relu()).relu()
        out: Tensor = self.fc(self.b(self.bn(x)).relu().mean((2, 3)))
        return out


class Lazy(nn.Module):
    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.a, self.bn, self.fc = nn.LazyConv2d(8, 3), nn.LazyBatchNorm2d(), nn.LazyLinear(classes)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc(self.bn(self.a(x)).relu().flatten(1))
        return out


class Evaluated(Base):
    """Its normalization stays in evaluation mode."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.bn.eval()


class Half(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return weight.tanh()


def normalized(channels: int, classes: int) -> nn.Module:
    model = Base(channels, classes)
    weight_norm(model.a)
    spectral_norm(model.fc)
    return model


def parametrized(channels: int, classes: int) -> nn.Module:
    model = Base(channels, classes)
    parametrizations.weight_norm(model.a)
    parametrizations.spectral_norm(model.b)
    parametrize.register_parametrization(model.fc, "weight", Half())
    return model


class Swapped(Base):
    """Channels last in its own code, and a transposed parameter."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__(channels, classes)
        self.turned = nn.Parameter(torch.randn(channels, 8).t())

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + F.linear(x.mean((2, 3)), self.turned).mean()


def frozen(channels: int, classes: int) -> nn.Module:
    return Frozen(channels, classes)


def drawn(channels: int, classes: int) -> nn.Module:
    return Drawn(channels, classes)


def generating(channels: int, classes: int) -> nn.Module:
    return Generating(channels, classes)


def unseeded(channels: int, classes: int) -> nn.Module:
    return Unseeded(channels, classes)


def derived(channels: int, classes: int) -> nn.Module:
    return Derived(channels, classes)


def viewing(channels: int, classes: int) -> nn.Module:
    return Viewing(channels, classes)


def remembering(channels: int, classes: int) -> nn.Module:
    return Remembering(channels, classes)


def loose(channels: int, classes: int) -> nn.Module:
    return Loose(channels, classes)


def changing(channels: int, classes: int) -> nn.Module:
    return Changing(channels, classes)


def tied(channels: int, classes: int) -> nn.Module:
    return Tied(channels, classes)


def lazy(channels: int, classes: int) -> nn.Module:
    return Lazy(channels, classes)


def evaluated(channels: int, classes: int) -> nn.Module:
    return Evaluated(channels, classes)


def swapped(channels: int, classes: int) -> nn.Module:
    return Swapped(channels, classes)


def plain(channels: int, classes: int) -> nn.Module:
    return Base(channels, classes)


class Standardized(nn.Conv2d):
    """Its weight is standardized before it is convolved."""

    def forward(self, x: Tensor) -> Tensor:
        mean, std = self.weight.mean((1, 2, 3), keepdim=True), self.weight.std((1, 2, 3), keepdim=True)
        return self._conv_forward(x, (self.weight - mean) / (std + 1e-5), self.bias)


class Padded(nn.Conv2d):
    """It pads its input by itself."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias)


def own_forwards(channels: int, classes: int) -> nn.Module:
    model = Base(channels, classes)
    model.a, model.b = Standardized(channels, 8, 3, padding=1), Padded(8, 8, 3, padding=1, stride=2)
    return model


class Reading(Base):
    """One layer's weight is multiplied once more outside of it, and layers are asked about their sizes."""

    def body(self, x: Tensor) -> Tensor:
        assert x.shape[-1] >= self.a.kernel_size[0]
        x = F.conv2d(self.b(self.bn(self.a(x)).relu()).relu(), self.b.weight, padding=1)
        assert x.shape[1] == self.b.out_channels
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


def reading(channels: int, classes: int) -> nn.Module:
    return Reading(channels, classes)
