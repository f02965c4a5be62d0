"""Networks of torchvision's families at a size that trains from scratch in minutes on 28 × 28 pixels.

A user's own networks, as presets name them: `benchmarks/small_networks.py:vit`.
"""

from torch import nn
from torchvision.models import ConvNeXt, ResNet, SwinTransformer, VisionTransformer, mobilenet_v3_small
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import Bottleneck


def vit(channels: int, classes: int) -> nn.Module:
    """49 patches of 4 × 4 pixels, four blocks of four heads of 16."""
    model = VisionTransformer(28, 4, 4, 4, hidden_dim=64, mlp_dim=192, num_classes=classes)
    model.conv_proj = nn.Conv2d(channels, 64, 4, 4)
    return model


def swin(channels: int, classes: int) -> nn.Module:
    """14 × 14 patches of 2 × 2 pixels in shifted windows of 7 × 7, four blocks of two or four heads of 16."""
    model = SwinTransformer(
        [2, 2], 32, [2, 2], [2, 4], [7, 7], mlp_ratio=3.0, stochastic_depth_prob=0.0, num_classes=classes
    )
    model.features[0][0] = nn.Conv2d(channels, 32, 2, 2)
    return model


def convnext(channels: int, classes: int) -> nn.Module:
    """14 × 14 patches of 2 × 2 pixels, five blocks; branches count from the start, as of so few they must."""
    stages = [CNBlockConfig(32, 64, 2), CNBlockConfig(64, None, 3)]
    model = ConvNeXt(stages, layer_scale=1.0, num_classes=classes)
    model.features[0][0] = nn.Conv2d(channels, 32, 2, 2)
    return model


def bottlenecks(channels: int, classes: int) -> nn.Module:
    """ResNet-50's blocks, seven of them at a quarter of its inner width."""
    model = ResNet(Bottleneck, [2, 2, 2, 1], width_per_group=16, num_classes=classes)
    model.conv1 = nn.Conv2d(channels, 64, 3, 2, 1, bias=False)
    return model


def mobilenet_v3(channels: int, classes: int) -> nn.Module:
    """MobileNetV3-Small without its first stride: of 28 pixels two are left at the end."""
    model = mobilenet_v3_small(num_classes=classes)
    stem = model.features[0][0]
    model.features[0][0] = nn.Conv2d(channels, stem.out_channels, 3, 1, 1, bias=False)
    return model
