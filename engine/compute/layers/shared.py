"""Convolutions whose output channels share filters."""

from typing import cast

import torch
from torch import Tensor, nn

from engine.compute.layers.masks import fold_module, mask_of, set_mask
from engine.compute.layers.passes import positions
from engine.compute.layers.select import replace

SAVED_PER_VALUE = 192
"""Multiply-accumulates saved for each output value, from which sharing pays: a repeat moves every value once, and
keeps a runtime from fusing the convolution with the BatchNorm and ReLU behind it."""
SAVED_PER_IMAGE = 4_000_000
"""Multiply-accumulates saved on one image, from which sharing pays: however small the layer, a repeat breaks a
runtime's blocked layout and adds operators. In ONNX Runtime on 2 cores ResNet20 at 28 px, whose layers of 64 channels
save 0.9 million each, was slower by it (ratio 0.93), ResNet18 at 224 px, with 50 million a layer, faster (1.53). Chosen
between, near the loss that was seen and clear of it."""


class SharedConv2d(nn.Conv2d):
    """A convolution with `filters` filters whose results are repeated: (N, I, H, W) → (N, outputs, H', W').

    Output c is that of filter ``index[c]``, times ``scale[c]`` where there are scales, plus ``bias[c]`` where there
    is a bias; each filter is convolved once. `weight` is (filters, I, kh, kw), and gradients reach it from every
    output that uses it; `index` is int64 (outputs,), in [0, filters), and does not train; `out_channels` is the
    number of filters. (Weight sharing among filters: Son et al. 2018, "Clustering Convolutional Kernels to
    Compress Deep Neural Networks", for kernels.)
    """

    index: Tensor
    scale: nn.Parameter | None

    def __init__(self, conv: nn.Conv2d, filters: int, *, outputs: int, scaled: bool = False) -> None:
        """As `conv`, with uninitialized weights on its device."""
        device = conv.weight.device
        super().__init__(
            conv.in_channels,
            filters,
            cast(tuple[int, int], conv.kernel_size),
            cast(tuple[int, int], conv.stride),
            cast("str | tuple[int, int]", conv.padding),
            cast(tuple[int, int], conv.dilation),
            bias=False,
            padding_mode=conv.padding_mode,
            device="meta",
        )
        trained = conv.weight.requires_grad
        self.weight = nn.Parameter(conv.weight.new_empty(self.weight.shape), requires_grad=trained)
        self.register_buffer("index", torch.zeros(outputs, dtype=torch.int64, device=device))
        self.scale = nn.Parameter(conv.weight.new_empty(outputs), requires_grad=trained) if scaled else None
        if conv.bias is not None:
            self.bias = nn.Parameter(conv.weight.new_empty(outputs), requires_grad=conv.bias.requires_grad)

    @property
    def outputs(self) -> int:
        """Number of output channels."""
        return len(self.index)

    def forward(self, images: Tensor) -> Tensor:
        repeated = _repeat(self._conv_forward(images, self.weight, None), self.index)
        if self.scale is not None:
            repeated = repeated * self.scale.view(-1, 1, 1)
        return repeated if self.bias is None else repeated + self.bias.view(-1, 1, 1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, outputs={self.outputs}, scaled={self.scale is not None}"  # type: ignore[no-untyped-call]

    def full_weight(self) -> Tensor:
        """The filters as a plain convolution would have them: (outputs, I, kh, kw)."""
        weight = self.weight[self.index]
        return weight if self.scale is None else weight * self.scale.view(-1, 1, 1, 1)

    def pays(self, positions: int) -> bool:
        """Whether a processor saves more by the filters that are not convolved than it loses by the repeat.

        `positions`: H' · W', the values of each output channel on one image.
        """
        saved = self.weight[0].numel() * (self.outputs - self.out_channels)
        return saved >= SAVED_PER_VALUE * self.outputs and saved * positions >= SAVED_PER_IMAGE

    def expanded(self) -> nn.Conv2d:
        """A plain convolution that computes the same."""
        weight = self.full_weight().detach()
        plain = nn.Conv2d(
            self.in_channels,
            self.outputs,
            cast(tuple[int, int], self.kernel_size),
            cast(tuple[int, int], self.stride),
            cast("str | tuple[int, int]", self.padding),
            cast(tuple[int, int], self.dilation),
            bias=self.bias is not None,
            padding_mode=self.padding_mode,
            device="meta",
        )
        plain.weight = nn.Parameter(weight, requires_grad=self.weight.requires_grad)
        if self.bias is not None:
            plain.bias = nn.Parameter(self.bias.detach().clone(), requires_grad=self.bias.requires_grad)
        return plain


def _repeat(channels: Tensor, index: Tensor) -> Tensor:
    """Channels by `index`, in the memory layout that they have."""
    if channels.is_contiguous(memory_format=torch.channels_last) and not channels.is_contiguous():
        return channels.permute(0, 2, 3, 1).index_select(3, index).permute(0, 3, 1, 2)
    return channels.index_select(1, index)


def whole(conv: nn.Conv2d) -> SharedConv2d:
    """A convolution that shares none of its filters, and so computes what the plain `conv` does."""
    made = SharedConv2d(conv, conv.out_channels, outputs=conv.out_channels)
    with torch.no_grad():
        made.weight.copy_(conv.weight)
        made.index.copy_(torch.arange(conv.out_channels))
        if conv.bias is not None and made.bias is not None:
            made.bias.copy_(conv.bias)
    return made


def share(
    model: nn.Module, name: str, weight: Tensor, index: Tensor, scale: Tensor | None = None
) -> SharedConv2d:
    """Replace the convolution `name` by one with the filters `weight` (k, I, kh, kw), used as `index` says.

    A convolution that shares already gets the new filters: `index` is then over its present filters.
    """
    old = model.get_submodule(name)
    assert isinstance(old, nn.Conv2d)
    index = index.to(old.weight.device)
    if isinstance(old, SharedConv2d):
        scale = _composed(old, scale)
        index = index[old.index]
    new = SharedConv2d(old, len(weight), outputs=len(index), scaled=scale is not None)
    with torch.no_grad():
        new.weight.copy_(weight)
        new.index.copy_(index)
        if scale is not None and new.scale is not None:
            new.scale.copy_(scale)
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    replace(model, name, new)
    return new


def repeat(model: nn.Module, name: str, filters: int, *, scaled: bool) -> None:
    """Make the convolution `name` one that shares, its values still to be filled in (on the meta device too)."""
    conv = model.get_submodule(name)
    assert isinstance(conv, nn.Conv2d)
    outputs = conv.outputs if isinstance(conv, SharedConv2d) else conv.out_channels
    replace(model, name, SharedConv2d(conv, filters, outputs=outputs, scaled=scaled))


def _composed(old: SharedConv2d, scale: Tensor | None) -> Tensor | None:
    """Scales per output, from those there are and those of the filters (`scale`)."""
    if scale is None:
        return old.scale
    of_outputs = scale.to(old.weight.device)[old.index]
    return of_outputs if old.scale is None else of_outputs * old.scale


def expand_(model: nn.Module, shape: tuple[int, int, int]) -> nn.Module:
    """Make plain convolutions, in place, of those that share too little to be worth the repeat at run time.

    They compute the same from as many filters as they have outputs. `shape`: channels, height and width of the
    images that the model will get.
    """
    paying = paying_layers(model, shape)
    for name, layer in shared_layers(model).items():
        if name not in paying:
            replace(model, name, layer.expanded())
    return model


def unshare_(model: nn.Module) -> nn.Module:
    """Make plain convolutions, in place, of all that share; they compute the same, and masks on filters stay."""
    for name in list(shared_layers(model)):
        unshare(model, name)
    return model


def unshare(model: nn.Module, name: str) -> None:
    """Make the convolution `name`, which shares, a plain one (on the meta device too)."""
    layer = model.get_submodule(name)
    mask = mask_of(layer)
    fold_module(layer)
    assert isinstance(layer, SharedConv2d)
    plain = layer.expanded()
    if mask is not None:
        set_mask(plain, mask.mask[layer.index])
    replace(model, name, plain)


def paying_layers(model: nn.Module, shape: tuple[int, int, int]) -> set[str]:
    """Names of the convolutions whose sharing makes the model faster on images of `shape` (C, H, W)."""
    layers = shared_layers(model)
    seen = positions(model, layers, shape) if layers else {}
    return {name for name, each in seen.items() if layers[name].pays(each)}


def shared_layers(model: nn.Module) -> dict[str, SharedConv2d]:
    """Every convolution that shares filters, by name."""
    return {name: m for name, m in model.named_modules() if isinstance(m, SharedConv2d)}
