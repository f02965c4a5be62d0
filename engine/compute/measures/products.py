"""The convolutions and matrix products of a forward pass, as PyTorch dispatches them.

They are seen whether a module or a function call made them. A product belongs to the weight it uses; a
product of two activations (attention) to the module that is running.
"""

import bisect
import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from engine.compute.layers.passes import running


@dataclass
class Product:
    """Multiply-accumulates, and those of them whose weight is not zero."""

    macs: int = 0
    effective: int = 0


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While active, collects in `by_weight` every product of `model`, by the name of its weight or module.

    `weights` are the tensors that products are recognized by, which must stay where they are in memory.
    """

    def __init__(self, model: nn.Module, weights: dict[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.by_weight: dict[str, Product] = {}
        self._model = model
        placed = sorted((t.data_ptr(), t.nbytes, name) for name, t in weights.items() if t.numel())
        self._starts = [start for start, _, _ in placed]
        self._placed = placed

    def __enter__(self) -> "Products":
        self._hooks = contextlib.ExitStack()
        self._running = self._hooks.enter_context(running(self._model))
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        self._hooks.close()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        for macs, operands in _macs(func._schema.name.removeprefix("aten::"), args, output):
            if macs:
                self._add(macs, operands)
        return output

    def _add(self, macs: int, operands: list[Tensor]) -> None:
        for operand in operands:
            if (name := self._weight_at(operand)) is not None:
                effective = macs // operand.numel() * int(torch.count_nonzero(operand))
                break
        else:
            name, effective = self._running[-1], macs
        product = self.by_weight.setdefault(name, Product())
        product.macs += macs
        product.effective += effective

    def _weight_at(self, operand: Tensor) -> str | None:
        """The weight whose memory `operand` lies in: it, or a view of it (transposed, split)."""
        address = operand.data_ptr()
        position = bisect.bisect_right(self._starts, address) - 1
        if position < 0:
            return None
        start, size, name = self._placed[position]
        return name if address < start + size else None


def _macs(operation: str, args: tuple[Any, ...], output: Any) -> list[tuple[int, list[Tensor]]]:
    """MACs of each product of one dispatched operation, and those of its operands that may be a weight."""
    match operation:
        case "convolution" | "_convolution" | "convolution_overrideable":
            images, weight, transposed = args[0], args[1], args[6]
            # Every weight meets every output position, or every input position if transposed.
            positions = math.prod((images if transposed else output).shape[2:]) * images.shape[0]
            return [(positions * weight.numel(), [weight])]
        case "torchvision::deform_conv2d":
            return [(math.prod(output.shape[2:]) * len(output) * args[1].numel(), [args[1]])]
        case "mm" | "bmm":
            return [(output.numel() * args[0].shape[-1], [args[1], args[0]])]
        case "addmm" | "baddbmm":
            return [(output.numel() * args[1].shape[-1], [args[2], args[1]])]
        case "mv" | "dot":
            return [(args[0].numel(), [args[0], args[1]])]
        case "addmv":
            return [(args[1].numel(), [args[1], args[2]])]
        case "linear":
            return [(output.numel() * args[0].shape[-1], [args[1]])]
        case "_trilinear":  # nn.Bilinear
            return _each_row(args[0], [args[1]])
        case "mkldnn_rnn_layer":
            return _each_row(args[0], args[1:3])
        case "_cudnn_rnn":
            return _each_row(args[0], [weight for weight in args[1] if weight.dim() > 1])
        case _ if operation.startswith("_scaled_dot_product"):
            query, key, value = args[:3]
            rows = math.prod(query.shape[:-1])
            return [(rows * key.shape[-2] * (query.shape[-1] + value.shape[-1]), [])]
        case _:
            return []


def _each_row(given: Tensor, weights: Sequence[Tensor]) -> list[tuple[int, list[Tensor]]]:
    """Every element of each weight meets every row of what is given (…, I): of a recurrent layer, every step of every
    image."""
    rows = given.numel() // given.shape[-1]
    return [(rows * weight.numel(), [weight]) for weight in weights]


@contextlib.contextmanager
def unfused_attention() -> Iterator[None]:
    """Without the fused inference path of nn.MultiheadAttention, which hides its products."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
