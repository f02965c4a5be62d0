"""Single layers as what their time depends on: type, sizes, and the size of the image that they see."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.layers.passes import evaluating, taken_by
from engine.compute.layers.select import weight_of
from engine.compute.measures.products import Products, unfused_attention

Pair = tuple[int, int]
Groups = int | Literal["depthwise"]
"""How many groups a convolution has (1: dense), or one for each input."""


@dataclass(frozen=True)
class LayerConfig:
    """A convolution or linear layer on one image.

    `inputs`, `outputs` are channels; `height`, `width` those of its input in pixels. A linear layer has as many
    rows as `height` (1 for a classifier's, the number of tokens in a transformer).
    """

    kind: Literal["conv", "linear"]
    inputs: int
    outputs: int
    height: int = 1
    width: int = 1
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: Groups = 1

    def resized(self, inputs: int, outputs: int) -> "LayerConfig":
        """The same layer with other numbers of channels."""
        return replace(self, inputs=inputs, outputs=outputs)

    @property
    def any_width(self) -> "LayerConfig":
        """All but the widths; a depthwise layer's outputs are a multiple of its inputs, and that is part of it."""
        if self.groups == "depthwise":
            return self.resized(1, self.outputs // self.inputs)
        return self.resized(0, 0)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "LayerConfig":
        """From its fields as JSON has them."""
        fields: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in told.items()}
        return cls(**fields)

    @property
    def image(self) -> Pair:
        """Height and width of its output in pixels."""
        if self.kind == "linear":
            return self.height, self.width
        sizes = zip(
            (self.height, self.width), self.kernel, self.stride, self.padding, self.dilation, strict=True
        )
        height, width = (
            (size + 2 * pad - far * (k - 1) - 1) // step + 1 for size, k, step, pad, far in sizes
        )
        return height, width

    @property
    def group_count(self) -> int:
        return self.inputs if self.groups == "depthwise" else self.groups


def chained(config: LayerConfig, rank: int) -> tuple[LayerConfig, LayerConfig]:
    """The two layers of a rank that may take a dense layer's place: with its kernel, then 1×1 (scheme `svd` of
    `engine.compute.layers.factors`)."""
    first = config.resized(config.inputs, rank)
    if config.kind == "linear":
        return first, config.resized(rank, config.outputs)
    return first, LayerConfig("conv", rank, config.outputs, *config.image)


def layer_configs(model: nn.Module, shape: tuple[int, int, int]) -> dict[str, tuple[LayerConfig, ...]]:
    """What each convolution and linear layer of `model` is on an image of `shape` (C, H, W), by its name.

    One entry for each call of the layer in a forward pass. Attention multiplies with its projections without calling
    them: each is one entry, and that of its inputs, which is no layer, has the name of its weight. Others than
    two-dimensional convolutions are left out. The model is left as it was.
    """
    configs: dict[str, list[LayerConfig]] = {}
    with contextlib.ExitStack() as stack:
        for name, module in model.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                hook = _noting(configs.setdefault(name, []))
                stack.callback(module.register_forward_hook(hook).remove)
        for context in (evaluating(model), torch.inference_mode(), parametrize.cached(), unfused_attention()):
            stack.enter_context(context)
        weights = _linear_weights(model)
        products = stack.enter_context(Products(model, weights))
        model(taken_by(model, torch.zeros(1, *shape)))
    for name, weight in weights.items():
        if not configs.get(name) and name in products.by_weight:
            rows = products.by_weight[name].macs // weight.numel()
            configs[name] = [LayerConfig("linear", weight.shape[1], weight.shape[0], height=rows)]
    return {name: tuple(calls) for name, calls in configs.items() if calls}


def all_configs(model: nn.Module, shape: tuple[int, int, int]) -> list[LayerConfig]:
    """Those of `layer_configs` in one list, layer by layer: an entry for each call."""
    return [config for calls in layer_configs(model, shape).values() for config in calls]


def _linear_weights(model: nn.Module) -> dict[str, Tensor]:
    """Weights (outputs, inputs) by the name of the linear layer, or their own where they are no layer's."""
    weights = {name: weight_of(m) for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    for name, module in model.named_modules():
        if isinstance(module, nn.MultiheadAttention) and module.in_proj_weight is not None:
            weights[f"{name}.in_proj_weight"] = module.in_proj_weight
    return weights


def _noting(calls: list[LayerConfig]) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        del output
        calls.append(_config(module, inputs[0]))

    return hook


def _config(module: nn.Module, images: Tensor) -> LayerConfig:
    if isinstance(module, nn.Linear):
        rows = images.numel() // max(images.shape[-1], 1)
        return LayerConfig("linear", module.in_features, module.out_features, height=rows)
    assert isinstance(module, nn.Conv2d)
    depthwise = module.groups == module.in_channels and module.groups > 1
    return LayerConfig(
        "conv",
        module.in_channels,
        module.out_channels,
        images.shape[-2],
        images.shape[-1],
        _pair(module.kernel_size),
        _pair(module.stride),
        _padding(module),
        _pair(module.dilation),
        "depthwise" if depthwise else module.groups,
    )


def _padding(module: nn.Conv2d) -> Pair:
    if module.padding == "valid":
        return (0, 0)
    if isinstance(module.padding, str):  # same
        kernel, dilation = _pair(module.kernel_size), _pair(module.dilation)
        return (dilation[0] * (kernel[0] - 1) // 2, dilation[1] * (kernel[1] - 1) // 2)
    return _pair(module.padding)


def _pair(values: tuple[int, ...]) -> Pair:
    return (int(values[0]), int(values[1]))
