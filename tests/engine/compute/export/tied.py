"""Networks that hold one tensor under several names, as a user's file makes them."""

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """A parameter and a buffer of its own, which another one may share."""

    def __init__(self, of: "Scale | None" = None) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.rand(8, 1, 1)) if of is None else of.gain
        self.shift = torch.nn.Buffer(torch.rand(8, 1, 1)) if of is None else of.shift

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gain + self.shift


class Tied(nn.Module):
    """Tied layers of each kind, a module of two names, and a parameter and a buffer that two modules share."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 8, 3, padding=1)
        self.mix1, self.mix2 = nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)
        self.mix2.weight = self.mix1.weight
        self.blocks = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.BatchNorm2d(8)])
        self.again = self.blocks[0]
        self.blocks[2].running_mean = self.blocks[1].running_mean
        self.wide, self.narrow = nn.Conv2d(8, 12, 3, padding=1), nn.Conv2d(12, 8, 1)
        self.scale = Scale()
        self.rescale = Scale(self.scale)
        self.down = nn.Conv2d(8, 6, 1)
        self.one, self.two = nn.Linear(6, 6), nn.Linear(6, 6, bias=False)
        self.two.weight = self.one.weight
        self.table, self.back = nn.Embedding(classes, 6), nn.Linear(6, classes, bias=False)
        self.back.weight = self.table.weight

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix2(self.mix1(self.stem(x).relu()).relu()).relu()
        x = self.blocks[2](self.again(self.blocks[1](self.blocks[0](x)).relu())).relu()
        x = self.narrow(self.wide(x).relu())
        x = self.down(self.rescale(self.scale(x)).relu()).relu().mean((2, 3))
        x = self.two(self.one(x).relu())
        return self.back(x + self.table((x.sum(1) > 0).long()))


class Flipped(Tied):
    """One whose pass torch.fx can't follow, so that its source is that of its operators."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flip(3) if x.shape[0] > 0 else x)


def tied(channels: int, classes: int) -> nn.Module:
    return Tied(channels, classes)


def flipped(channels: int, classes: int) -> nn.Module:
    return Flipped(channels, classes)
