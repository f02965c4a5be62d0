"""Small networks whose channels are coupled in every way that there is."""

import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torchvision.models.maxvit import MaxVit
from torchvision.models.mobilenetv3 import InvertedResidualConfig, MobileNetV3
from torchvision.models.swin_transformer import PatchMergingV2, SwinTransformer, SwinTransformerBlockV2
from torchvision.models.vision_transformer import VisionTransformer

from engine.compute.data import Dataset, load
from engine.compute.models.architecture import Architecture
from engine.compute.models.build import build
from engine.compute.steps.channels.prepare import prepare_for_channels
from engine.datasets import locate
from engine.params.preset import Data

SIZE = 16
SMALL = {
    "resnet20": {"width": 8},
    "torchvision/regnet_y_400mf": {},
    "torchvision/mobilenet_v3_small": {},
    "torchvision/shufflenet_v2_x0_5": {},
    "torchvision/squeezenet1_1": {},
    "torchvision/mnasnet0_5": {},
}


def network(name: str, size: int = 32, channels: int = 3, seed: int = 0, **arguments: object) -> nn.Module:
    """A network with random weights whose BatchNorm layers have statistics."""
    torch.manual_seed(seed)
    model = build(Architecture(name, channels, 10, (size, size), arguments))
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 2)  # type: ignore[arg-type]
    return model.eval()


@cache
def digits() -> Dataset:
    """Few images that these networks take."""
    params = Data(name="digits", size=SIZE, channels=3, limit=48)
    return load(params, locate(params, Path(tempfile.gettempdir())))


def own(maker: Callable[[], nn.Module]) -> nn.Module:
    """One of the networks below, built as a user's own."""
    torch.manual_seed(0)
    return build(Architecture(f"{__file__}:{maker.__name__}", 3, 10, (SIZE, SIZE))).eval()


def ready(maker: Callable[[], nn.Module]) -> nn.Module:
    """The same with weights that tell channels apart, as channels are taken out of it."""
    model = own(maker)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(std=0.2)
    prepare_for_channels(model)
    return model


def vit() -> nn.Module:
    return VisionTransformer(
        SIZE, patch_size=8, num_layers=2, num_heads=3, hidden_dim=24, mlp_dim=32, num_classes=10
    )


def swin() -> nn.Module:
    return SwinTransformer(
        [2, 2], embed_dim=24, depths=[2, 1], num_heads=[3, 6], window_size=[4, 4], num_classes=10
    )


def swin_v2() -> nn.Module:
    return SwinTransformer(
        [2, 2],
        embed_dim=24,
        depths=[2, 1],
        num_heads=[3, 6],
        window_size=[4, 4],
        num_classes=10,
        block=SwinTransformerBlockV2,
        downsample_layer=PatchMergingV2,
    )


def maxvit() -> nn.Module:
    return MaxVit(
        (SIZE, SIZE),
        stem_channels=16,
        partition_size=2,
        block_channels=[16, 32],
        block_layers=[1, 1],
        head_dim=8,
        stochastic_depth_prob=0.0,
        num_classes=10,
    )


def mobile() -> nn.Module:
    """Inverted residuals with gates, one of them residual."""
    make = partial(InvertedResidualConfig, width_mult=1.0)
    blocks = [
        make(16, 3, 16, 16, True, "RE", 2, 1),
        make(16, 3, 32, 16, False, "RE", 1, 1),
        make(16, 5, 48, 24, True, "HS", 2, 1),
    ]
    return MobileNetV3(blocks, 32, num_classes=10)


class Flat(nn.Module):
    """VGG's way: convolutions, flattened into linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(4),
        )
        self.hidden = nn.Linear(12 * 4, 20)
        self.last = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.hidden(self.features(x).flatten(1)).relu())  # type: ignore[no-any-return]


class Dense(nn.Module):
    """DenseNet's way: every layer's channels joined to those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + 4 * i), nn.ReLU(), nn.Conv2d(8 + 4 * i, 4, 3, padding=1))
            for i in range(3)
        )
        self.norm = nn.BatchNorm2d(20)
        self.last = nn.Linear(20, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = torch.cat([x, layer(x)], 1)
        return self.last(self.norm(x).mean((2, 3)))  # type: ignore[no-any-return]


class Grouped(nn.Module):
    """Grouped and depthwise convolutions, GroupNorm, a gate for each channel and one for all."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.grouped = nn.Conv2d(16, 24, 3, padding=1, groups=4)
        self.norm = nn.GroupNorm(4, 24)
        self.depthwise = nn.Conv2d(24, 24, 3, padding=1, groups=24)
        self.squeeze = nn.Conv2d(24, 6, 1)
        self.excite = nn.Conv2d(6, 24, 1)
        self.gate = nn.Conv2d(24, 1, 1)
        self.scale = nn.Parameter(torch.rand(24, 1, 1))
        self.last = nn.Conv2d(24, 10, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.depthwise(self.norm(self.grouped(self.stem(x).relu()))) * self.scale
        weights = self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()
        x = x * weights * self.gate(x).sigmoid()
        return self.last(x).mean((2, 3))  # type: ignore[no-any-return]


class Shuffled(nn.Module):
    """ShuffleNet's way: halves, one of them changed, joined and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 1)
        self.outer = nn.Conv2d(12, 8, 1)
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = self.stem(x).chunk(2, dim=1)
        x = torch.cat([kept, self.outer(self.inner(changed).relu())], 1)
        n, c, h, w = x.shape
        x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
        return self.last(x.mean((2, 3)))  # type: ignore[no-any-return]


class WidthFromInput(nn.Module):
    """Attention as timm writes it, on 4 × 4 places: a head's width is that of the input over the number of heads."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.qkv, self.proj = nn.Linear(24, 72), nn.Linear(24, 24)
        self.hidden, self.back = nn.Linear(24, 40), nn.Linear(40, 24)
        self.last = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        n, length, width = x.shape
        queries, keys, values = self.qkv(x).view(n, length, 3, 3, width // 3).permute(2, 0, 3, 1, 4).unbind()
        weights = (queries @ keys.transpose(-2, -1) / 8**0.5).softmax(-1)
        x = x + self.proj((weights @ values).transpose(1, 2).reshape(n, length, width))
        x = x + self.back(self.hidden(x).relu())
        return self.last(x.mean(1))  # type: ignore[no-any-return]


class ScaledByWidth(WidthFromInput):
    """The same with heads as wide as the layer makes them, whose width scales the logits."""

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        n, length, _ = x.shape
        parts = self.qkv(x).view(n, length, 3, 3, -1).permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(parts[0], parts[1], parts[2])
        x = x + self.proj(mixed.transpose(1, 2).flatten(2))
        x = x + self.back(self.hidden(x).relu())
        return self.last(x.mean(1))  # type: ignore[no-any-return]


class UsesWeightsInTraining(nn.Module):
    """Attention whose weights its network looks at in training alone."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 24, 4, 4)
        self.attention = nn.MultiheadAttention(24, 3, batch_first=True)
        self.last = nn.Linear(24, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x, weights = self.attention(x, x, x)
        if self.training:
            x = x + 0 * weights.mean()
        return self.last(x.mean(1))  # type: ignore[no-any-return]


class Sliced(nn.Module):
    """Takes its first 8 channels by a number written in the code: what fewer channels would break."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.inner = nn.Conv2d(8, 12, 1)
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.inner(self.stem(x)[:, :8]).relu().mean((2, 3)))  # type: ignore[no-any-return]


class SlicedSum(nn.Module):
    """The same of a sum: a second layer makes the channels that stay."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.beside = nn.Conv2d(3, 16, 1)
        self.inner = nn.Conv2d(8, 12, 1)
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        both = self.stem(x) + self.beside(x)
        return self.last(self.inner(both[:, :8]).relu().mean((2, 3)))  # type: ignore[no-any-return]


class Mixed(nn.Module):
    """A mean over all channels goes on: with fewer it would be another number."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.inner = nn.Conv2d(16, 12, 1)
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        return self.last(self.inner(x * x.mean(1, keepdim=True)).relu().mean((2, 3)))  # type: ignore[no-any-return]


class Quiet(nn.Module):
    """The same in a branch that is scaled as LayerScale begins: what goes wrong there is far below rounding."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.inner, self.back = nn.Conv2d(16, 12, 1), nn.Conv2d(12, 16, 1)
        self.scale = nn.Parameter(torch.full((16, 1, 1), scale))
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        branch = self.inner(x).relu()
        x = x + self.scale * self.back(branch * branch.mean(1, keepdim=True))
        return self.last(x.mean((2, 3)))  # type: ignore[no-any-return]


def layer_scaled() -> nn.Module:
    return Quiet(1e-6)


def zero_scaled() -> nn.Module:
    return Quiet(0.0)


class Tied(nn.Module):
    """Two convolutions that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.one, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.two.weight = self.one.weight
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.last = nn.Conv2d(12, 8, 3, padding=1)
        self.head = nn.Linear(8, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.two(self.one(self.stem(x).relu()).relu()).relu()
        return self.head(self.last(self.inner(x).relu()).relu().mean((2, 3)))


class Shifted(nn.Module):
    """Moves a quarter of its channels by a pixel (as TSM does), the quarter being that of the channels there are.

    It keeps the shape of what it moved last.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 1)
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        self.moved = tuple(x.shape)
        quarter = x.shape[1] // 4
        x = torch.cat([x[:, :quarter].roll(1, 2), x[:, quarter:]], 1)
        return self.last(self.inner(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


class Weakly(nn.Module):
    """What makes it another function with fewer channels does little beside all else that they do."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 1)
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = x * (1 + 0.02 * x.mean(1, keepdim=True).tanh())
        return self.last(self.inner(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


class Blurred(nn.Module):
    """One kernel for all channels, repeated for as many as there are."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.inner = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 12, 1)
        self.register_buffer("kernel", torch.ones(1, 1, 3, 3) / 9)
        self.last = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        kernel = self.get_buffer("kernel").expand(x.shape[1], 1, 3, 3)
        x = nn.functional.conv2d(x, kernel, padding=1, groups=x.shape[1])
        return self.last(self.inner(x).relu().mean((2, 3)))  # type: ignore[no-any-return]


class Rms(nn.Module):
    """RMSNorm behind a layer that shrinks."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 16, 4, 4), nn.RMSNorm(16)
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.norm(self.stem(x).flatten(2).mT).relu().mean(1))  # type: ignore[no-any-return]
