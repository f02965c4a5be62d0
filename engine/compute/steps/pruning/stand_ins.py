"""Which modules of a network are blocks that can be dropped, and what takes the place of each: fitted on images."""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.layers.dropped import Dropped
from engine.compute.layers.select import PRUNABLE


def stand_ins(model: nn.Module, batches: Iterable[Tensor]) -> dict[str, Dropped]:
    """What takes the place of each block of `model`, in eval mode, by its name.

    A block is a module of several layers that a pass calls once, and that gives a tensor of the shape of its first
    input. In its place comes what is nearest to what it gives for the images: the input and a constant for each channel
    (a residual block), or the constant alone (a branch).
    """
    fits = {name: _Fit() for name, module in model.named_modules() if name and _has_layers(module)}
    with ExitStack() as hooks, torch.no_grad():
        for name, fit in fits.items():
            module = model.get_submodule(name)
            hooks.callback(module.register_forward_pre_hook(fit.before).remove)
            hooks.callback(module.register_forward_hook(fit.behind).remove)
        for pixels in batches:
            for fit in fits.values():
                fit.calls = 0
            model(pixels)
    return {
        name: fit.stand_in(next(model.get_submodule(name).parameters()))
        for name, fit in fits.items()
        if fit.sums
    }


def _has_layers(module: nn.Module) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return True
    return sum(isinstance(inner, PRUNABLE) for inner in module.modules()) > 1


@dataclass
class _Fit:
    """What was given to a module and what it made of it, summed up so that constants can be fitted.

    `sums` over all but the channels (channels,), by whether the input is taken off and by the dimension that channels
    lie along; `squares` of all, by the former. Of a module that is no block they are empty.
    """

    calls: int = 0
    given: Tensor | None = None
    dims: int = 0
    count: int = 0
    pair: bool = False
    sums: dict[tuple[bool, int], Tensor] = field(default_factory=dict)
    squares: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})
    unfit: bool = False

    def before(self, _module: nn.Module, inputs: tuple[Any, ...]) -> None:
        # A copy: a block may begin with an activation that writes over its input.
        self.given = inputs[0].clone() if inputs and isinstance(inputs[0], Tensor) else None

    def behind(self, _module: nn.Module, _inputs: object, output: Any) -> None:
        self.calls += 1
        self.pair = isinstance(output, tuple) and output[1:] == (None,)
        made, given = output[0] if self.pair else output, self.given
        self.given = None
        fits = isinstance(made, Tensor) and given is not None and made.shape == given.shape
        if self.unfit or self.calls > 1 or not fits or made.ndim not in (2, 3, 4):
            self.unfit = True
            self.sums.clear()
            return
        assert given is not None
        self.dims = made.ndim
        self.count += made.numel()
        # Of four dimensions channels may lie along the second (N, C, H, W) or the last (N, H, W, C).
        along = {1, self.dims - 1} if self.dims == 4 else {self.dims - 1}
        for shortcut, values in ((True, made.double() - given), (False, made.double())):
            self.squares[shortcut] += float(values.square().sum())
            for dim in along:
                own = values.sum([d for d in range(self.dims) if d != dim])
                key = (shortcut, dim)
                self.sums[key] = self.sums[key] + own if key in self.sums else own

    def stand_in(self, like: Tensor) -> Dropped:
        """The nearest one; its constant is of the type of `like` and where that is."""
        shortcut, dim = min(self.sums, key=self._rest)
        total = self.sums[shortcut, dim]
        mean = (total * (len(total) / self.count)).to(like)
        return Dropped(mean.view(-1, *[1] * (self.dims - 1 - dim)), shortcut=shortcut, pair=self.pair)

    def _rest(self, key: tuple[bool, int]) -> float:
        """The squares that are left when the means are taken off."""
        total = self.sums[key]
        return self.squares[key[0]] - float(total.square().sum()) * len(total) / self.count
