"""What a layer multiplies with its weight: its input, or what a forward of its own makes of that first (padding)."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from engine.compute.layers.select import weight_of

Product = tuple[Any, ...]
"""The arguments of `torch.conv2d` or `torch.nn.functional.linear`, all of them and in its order."""


def _conv2d(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Product:
    return images, weight, bias, stride, padding, dilation, groups


def _linear(images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Product:
    return images, weight, bias


ARGUMENTS: dict[Any, Callable[..., Product]] = {functional.conv2d: _conv2d, functional.linear: _linear}


class _Reached(Exception):
    """Ends the forward pass: the product is known."""


class _Watch(TorchFunctionMode):
    """Ends the pass at the first product with `weight`, whose arguments are then in `product`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self._weight = weight
        self.product: Product | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in ARGUMENTS:
            product = ARGUMENTS[func](*args, **_renamed(kwargs or {}))
            if product[1].shape == self._weight.shape and torch.equal(product[1], self._weight):
                self.product = product
                raise _Reached
        return func(*args, **(kwargs or {}))


def _renamed(named: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments as the functions above name them: `input`, which is a function of Python's, is `images`."""
    return {"images" if name == "input" else name: value for name, value in named.items()}


def product_of(layer: nn.Module, given: Tensor) -> Product | None:
    """What the layer's forward multiplies for the input `given`, with its weight as it is; None: nothing."""
    watch = _Watch(weight_of(layer))
    with watch, torch.no_grad(), suppress(_Reached):
        layer.forward(given)
    return watch.product


def computed_by_product(_name: str, layer: nn.Module, given: Tensor) -> Tensor | None:
    """The result of `product_of`. It is the layer's own result where the layer does no more than prepare its input."""
    product = product_of(layer, given)
    if product is None or (isinstance(layer, nn.Conv2d) and product[-1] != layer.groups):
        return None
    function = functional.conv2d if isinstance(layer, nn.Conv2d) else functional.linear
    with torch.no_grad():
        result: Tensor = function(*product)
    return result
