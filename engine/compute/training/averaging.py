"""The moving average of a network's weights over the updates of a training, which is what is scored and kept."""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from engine.compute.models import tensors
from engine.params.training import Ema


def decay_after(updates: int, params: Ema) -> float:
    """Share of the average that stays at the update of this number, from 1: it rises from 0, as the first weights are
    chance (ultralytics' ``decay * (1 - exp(-updates / ramp))``).

    >>> [round(decay_after(n, Ema()), 4) for n in (1, 2000, 20000)]
    [0.0005, 0.6321, 0.9999]
    """
    return params.decay * -math.expm1(-updates / params.ramp)


class Average:
    """Averages of what training moves: trained parameters and the statistics of normalization.

    Anything else (frozen weights, masks, tables, counters of the network's own code) stays as the last update left it,
    and so does a single value that is not finite: an average with infinity is none.

    Attributes:
        state: The averages by name, on the network's device.
    """

    def __init__(self, model: nn.Module, params: Ema) -> None:
        self._model = model
        self._params = params
        moved = {name: t for name, t in tensors.saved(model).items() if _is_moved(name, t)}
        self.state = {name: tensor.detach().clone() for name, tensor in moved.items()}
        self._partly = [name for name, tensor in self.state.items() if not bool(tensor.isfinite().all())]

    def _live(self) -> dict[str, Tensor]:
        """The network's tensors as they are now, looked up anew because its own code may exchange them."""
        now = tensors.saved(self._model)
        return {name: now[name] for name in self.state}

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Take in the weights after the update of this number, from 1 over the whole training."""
        live = self._live()
        share = 1 - decay_after(updates, self._params)
        torch._foreach_lerp_(list(self.state.values()), list(live.values()), share)
        for name in self._partly:
            average = self.state[name]
            average.copy_(torch.where(average.isfinite(), average, live[name]))

    @torch.no_grad()
    def fill_(self) -> None:
        """Put the averages into the network."""
        self._put(self.state)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within it the network holds the averages; then the same bits as before."""
        before = {name: tensor.detach().clone() for name, tensor in self._live().items()}
        self.fill_()
        try:
            yield
        finally:
            self._put(before)

    def copy(self) -> dict[str, Tensor]:
        """The averages, on the CPU."""
        return {name: tensor.cpu().clone() for name, tensor in self.state.items()}

    def put_back(self, kept: dict[str, Tensor]) -> None:
        """Go on from averages that `copy` gave."""
        for name, tensor in self.state.items():
            tensor.copy_(kept[name])

    @torch.no_grad()
    def _put(self, state: dict[str, Tensor]) -> None:
        live = self._live()
        for name, tensor in state.items():
            live[name].copy_(tensor)


def _is_moved(name: str, tensor: Tensor) -> bool:
    return tensor.is_floating_point() and (
        tensor.requires_grad or name.rpartition(".")[2] in tensors.STATISTICS
    )
