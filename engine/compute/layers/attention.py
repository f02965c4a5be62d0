"""Self-attention whose heads have widths of their own, in the place of torch's and torchvision's modules.

Those take the number of heads times their width from the width of what they are given, and queries, keys and values are
as wide as each other. Here any head may go, and any of a head's dimensions: those of queries and keys together, those
of values with the inputs of the layer behind them.
"""

import math
from abc import abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2

from engine.compute.layers.masks import mask_of, set_mask
from engine.compute.layers.select import leaf_of, replace

LARGEST_SCALE = math.log(100.0)
"""Of cosine attention's logits (Swin V2, Liu et al. 2022, section 3.3), as torchvision has it."""
MASKED = -100.0
"""What torchvision adds to the logits of tokens that a shift made neighbours."""


class Parts(NamedTuple):
    """Where queries, keys and values lie along the outputs of `qkv`: each head's dimensions together."""

    queries: range
    keys: range
    values: range


class FreeAttention(nn.Module):
    """Attention of a sequence (N, L, E) over itself with `heads` heads; a layer before, `qkv`, and one behind, `out`.

    All heads have the same widths: `query_width` of queries and keys, `value_width` of values. `scale` is what logits
    are multiplied with, and stays when widths change: so do the logits of dimensions that stay.
    """

    OUT: ClassVar[str]
    """What the layer behind is called."""
    qkv: nn.Module
    """A linear layer, as the one behind is, or the chain of such that `factorize` put in its place."""

    def __init__(self, heads: int, width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.scale = 1 / math.sqrt(width)

    @property
    def out(self) -> nn.Module:
        """The layer that takes what all heads give."""
        return self.get_submodule(self.OUT)

    @property
    def gives(self) -> tuple[str, nn.Linear]:
        """The linear layer that gives queries, keys and values, and its name here."""
        return _end("qkv", self.qkv, -1)

    @property
    def takes(self) -> tuple[str, nn.Linear]:
        """The linear layer that takes what all heads give, and its name here."""
        return _end(self.OUT, self.out, 0)

    @property
    @abstractmethod
    def cosine(self) -> bool:
        """Whether logits are cosines of queries and keys, not their products."""

    @abstractmethod
    def of_heads(self) -> dict[str, int]:
        """Tensors beside `qkv` and `out` that have something for each head, and the dimension that heads lie along."""

    @property
    def value_width(self) -> int:
        return self.takes[1].in_features // self.heads

    @property
    def query_width(self) -> int:
        return (self.gives[1].out_features // self.heads - self.value_width) // 2

    @property
    def parts(self) -> Parts:
        queries, values = self.heads * self.query_width, self.heads * self.value_width
        return Parts(range(queries), range(queries, 2 * queries), range(2 * queries, 2 * queries + values))

    def projected(self, tokens: Tensor) -> list[Tensor]:
        """Queries, keys and values (N, heads, L, width) of tokens (N, L, E)."""
        every = self.qkv(tokens)
        # Not split: parts that it makes are told apart by their place alone, whatever their sizes are.
        parts = (every.narrow(-1, part.start, len(part)) for part in self.parts)
        return [part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts]

    def extra_repr(self) -> str:
        return f"heads={self.heads}, query_width={self.query_width}, value_width={self.value_width}"


class FreeMultiheadAttention(FreeAttention):
    """`nn.MultiheadAttention` of a sequence over itself, without a mask: called as that is, gives no weights."""

    OUT = "out_proj"
    out_proj: nn.Module

    def __init__(self, before: nn.MultiheadAttention) -> None:
        """With the tensors of `before`, not copies of them."""
        super().__init__(before.num_heads, before.head_dim, before.dropout)
        self.batch_first = before.batch_first
        self.qkv = _linear(before.in_proj_weight, before.in_proj_bias)
        self.out_proj = _plain(before.out_proj)

    @property
    def cosine(self) -> bool:
        return False

    def of_heads(self) -> dict[str, int]:
        return {}

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, None]:
        if key is not query or value is not query:
            raise ValueError("this attention is of one sequence over itself: query, key and value are one")
        if key_padding_mask is not None or attn_mask is not None or is_causal:
            raise ValueError("this attention takes no mask")
        tokens = query if self.batch_first else query.transpose(0, 1)
        queries, keys, values = self.projected(tokens)
        mixed = functional.scaled_dot_product_attention(
            queries, keys, values, dropout_p=self.dropout if self.training else 0.0, scale=self.scale
        )
        output = self.out_proj(mixed.transpose(1, 2).flatten(2))
        return (output if self.batch_first else output.transpose(0, 1)), None


class FreeWindowAttention(FreeAttention):
    """torchvision's `ShiftedWindowAttention` of either version: (N, H, W, E) → (N, H, W, E).

    Of the second version the bias of keys, which torchvision's never adds, is zero at first, and may be trained.
    """

    OUT = "proj"
    proj: nn.Module
    relative_position_index: Tensor
    relative_position_bias_table: nn.Parameter
    """Of the first version; what follows is the second's."""
    logit_scale: nn.Parameter
    cpb_mlp: nn.Sequential
    relative_coords_table: Tensor

    def __init__(self, before: ShiftedWindowAttention) -> None:
        """With the tensors and layers of `before`, not copies of them."""
        super().__init__(
            before.num_heads, before.qkv.in_features // before.num_heads, before.attention_dropout
        )
        self.window_size, self.shift_size = list(before.window_size), list(before.shift_size)
        self.output_dropout = before.dropout
        self.qkv, self.proj = before.qkv, before.proj
        self.register_buffer("relative_position_index", before.relative_position_index)
        if isinstance(before, ShiftedWindowAttentionV2):
            self.logit_scale, self.cpb_mlp = before.logit_scale, before.cpb_mlp
            self.register_buffer("relative_coords_table", before.relative_coords_table)
            if before.qkv.bias is not None:
                with torch.no_grad():
                    before.qkv.bias[self.parts.keys.start : self.parts.keys.stop] = 0.0
        else:
            self.relative_position_bias_table = before.relative_position_bias_table

    @property
    def cosine(self) -> bool:
        return hasattr(self, "logit_scale")

    def of_heads(self) -> dict[str, int]:
        if not self.cosine:
            return {"relative_position_bias_table": 1}
        return {"logit_scale": 0, f"cpb_mlp.{len(self.cpb_mlp) - 1}.weight": 0}

    def forward(self, images: Tensor) -> Tensor:
        count, height, width, channels = images.shape
        (down, across), shift = self.window_size, list(self.shift_size)
        padded = functional.pad(images, (0, 0, 0, -width % across, 0, -height % down))
        rows, columns = padded.shape[1] // down, padded.shape[2] // across
        # One window as large as the image has no neighbours to be shifted to.
        shift = [0 if pieces == 1 else by for by, pieces in zip(shift, (rows, columns), strict=True)]
        if any(shift):
            padded = torch.roll(padded, (-shift[0], -shift[1]), (1, 2))
        windows = padded.view(count, rows, down, columns, across, channels).permute(0, 1, 3, 2, 4, 5)
        mixed = self._within(windows.reshape(count * rows * columns, down * across, channels), shift, padded)
        channels = mixed.shape[-1]
        whole = mixed.view(count, rows, columns, down, across, channels).permute(0, 1, 3, 2, 4, 5)
        whole = whole.reshape(count, rows * down, columns * across, channels)
        if any(shift):
            whole = torch.roll(whole, (shift[0], shift[1]), (1, 2))
        return whole[:, :height, :width, :].contiguous()

    def _within(self, windows: Tensor, shift: list[int], padded: Tensor) -> Tensor:
        """Attention within each window (N · windows, L, E)."""
        queries, keys, values = self.projected(windows)
        if self.cosine:
            unit = functional.normalize(queries, dim=-1), functional.normalize(keys, dim=-1)
            logits = unit[0] @ unit[1].transpose(-2, -1)
            logits = logits * torch.clamp(self.logit_scale, max=LARGEST_SCALE).exp()
        else:
            logits = (queries * self.scale).matmul(keys.transpose(-2, -1))
        logits = logits + self._position_bias()
        if any(shift):
            mask = self._mask(padded, shift)  # (windows, L, L)
            apart = logits.view(-1, len(mask), *logits.shape[1:]) + mask.unsqueeze(1).unsqueeze(0)
            logits = apart.view(-1, *logits.shape[1:])
        weights = functional.dropout(functional.softmax(logits, dim=-1), self.dropout, self.training)
        output = self.proj(weights.matmul(values).transpose(1, 2).flatten(2))
        return functional.dropout(output, self.output_dropout, self.training)

    def _position_bias(self) -> Tensor:
        """What each pair of positions adds to the logits (1, heads, L, L)."""
        if not self.cosine:
            return self._by_pair(self.relative_position_bias_table)
        table = self.cpb_mlp(self.relative_coords_table).view(-1, self.heads)
        return 16 * torch.sigmoid(self._by_pair(table))

    def _by_pair(self, table: Tensor) -> Tensor:
        """From a row for each offset between positions (offsets, heads) to (1, heads, L, L)."""
        size = self.window_size[0] * self.window_size[1]
        by_pair = table[self.relative_position_index].view(size, size, -1)
        return by_pair.permute(2, 0, 1).contiguous().unsqueeze(0)

    def _mask(self, padded: Tensor, shift: list[int]) -> Tensor:
        """What keeps tokens apart that lie in one window for the shift alone (windows, L, L)."""
        _, height, width, _ = padded.shape
        areas = padded.new_zeros((height, width))
        (down, across), number = self.window_size, 0
        for top, bottom in ((0, -down), (-down, -shift[0]), (-shift[0], None)):
            for left, right in ((0, -across), (-across, -shift[1]), (-shift[1], None)):
                areas[top:bottom, left:right] = number
                number += 1
        areas = areas.view(height // down, down, width // across, across).permute(0, 2, 1, 3)
        areas = areas.reshape(-1, down * across)
        apart = areas.unsqueeze(1) - areas.unsqueeze(2)
        return apart.masked_fill(apart != 0, MASKED).masked_fill(apart == 0, 0.0)


def freed(module: nn.Module) -> FreeAttention | None:
    """A module that computes what `module` does, with its tensors, and whose heads are free; None where there is none.

    Of `nn.MultiheadAttention` only what the tensors tell is looked at: whether it is called for a sequence over itself,
    a pass must show.
    """
    if module._forward_hooks or module._forward_pre_hooks:
        return None
    if type(module) in (ShiftedWindowAttention, ShiftedWindowAttentionV2):
        assert isinstance(module, ShiftedWindowAttention)
        return FreeWindowAttention(module)
    if type(module) is not nn.MultiheadAttention or module.in_proj_weight is None:
        return None
    if module.bias_k is not None or module.add_zero_attn:
        return None
    if parametrize.is_parametrized(module.out_proj) and mask_of(module.out_proj) is None:
        return None
    return FreeMultiheadAttention(module)


def repeat(model: nn.Module, layer: str) -> None:
    """Put a free attention in the place of the module `layer` again, as a checkpoint tells it."""
    made = freed(model.get_submodule(layer))
    assert made is not None
    replace(model, layer, made)


def _end(name: str, layer: nn.Module, place: int) -> tuple[str, nn.Linear]:
    """The first (0) or last (-1) of the linear layers that a layer is, and its name: of a chain one of its own."""
    while isinstance(layer, nn.Sequential):
        inner, layer = list(layer.named_children())[place]
        name = f"{name}.{inner}"
    assert isinstance(layer, nn.Linear)
    return name, layer


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    """A plain layer with these very tensors."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None, device="meta")
    layer.weight, layer.bias = weight, bias  # type: ignore[assignment]
    return layer


def _plain(layer: nn.Linear) -> nn.Linear:
    """The same of another class of linear layers, under its mask."""
    plain = _linear(leaf_of(layer), layer.bias)
    if (mask := mask_of(layer)) is not None:
        set_mask(plain, mask.mask)
    return plain
