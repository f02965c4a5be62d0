"""What stays where a block was dropped: its input, or nothing, and a constant for each channel."""

import torch
from torch import Tensor, nn

from engine.compute.layers.select import replace


class Dropped(nn.Module):
    """(…) → (…), of any shape that `bias` fits: with `shortcut` the input and the bias, else the bias alone.

    Called as the module whose place it takes, all but its first input unused; with `pair` it gives None behind the
    tensor, as attention does where no weights are asked for.
    """

    def __init__(self, bias: Tensor, *, shortcut: bool, pair: bool) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.shortcut, self.pair = shortcut, pair

    def forward(self, x: Tensor, *_: object, **__: object) -> Tensor | tuple[Tensor, None]:
        output = (x if self.shortcut else torch.zeros_like(x)) + self.bias
        return (output, None) if self.pair else output

    def extra_repr(self) -> str:
        return f"{tuple(self.bias.shape)}, shortcut={self.shortcut}"


def repeat(model: nn.Module, layer: str, shape: list[int], *, shortcut: bool, pair: bool) -> None:
    """Drop the module `layer` again as a checkpoint tells it; the constant comes later."""
    like = next(model.get_submodule(layer).parameters())
    replace(model, layer, Dropped(like.new_empty(shape), shortcut=shortcut, pair=pair))
