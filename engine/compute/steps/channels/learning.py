"""Sparsity learning: training with a penalty that makes channels small before they are removed."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.layers.select import leaf_of
from engine.compute.steps.channels.groups import Cut, Gone, Group
from engine.compute.steps.channels.importance import check_norms, normalized, weighing
from engine.compute.training.loop import fit
from engine.params.channels import (
    GroupLearning,
    GrowingLearning,
    Learning,
    NoLearning,
    ScaleLearning,
    SparsityLearning,
)
from engine.params.training import Finetune
from engine.studies import events as ev

ALPHA = 4.0
"""The weakest unit of a group is penalized 2^ALPHA times as much as the strongest (DepGraph, section 3.3)."""
CEILING = 1.0
"""Penalty in the last epoch of `growing`, the ceiling of GReg (Wang et al. 2021, section 4)."""

Penalty = Callable[[], None]


def learn(
    model: nn.Module,
    groups: list[Group],
    learning: SparsityLearning,
    context: Context,
    choose: Callable[[], Gone],
) -> None:
    """Train `model` in place with the penalty that `learning` asks for, if any.

    `choose` names the units that would go now, which `growing` drives down. Raises SecateurError when the penalty is on
    BatchNorm's scales and there are none.
    """
    match learning:
        case NoLearning():
            return
        case GroupLearning():
            _train(model, learning, context, GroupNorm(model, groups, learning.strength))
        case ScaleLearning():
            _train(model, learning, context, ScaleNorm(model, groups, learning.strength))
        case GrowingLearning():
            growing = Growing(model, groups, choose(), learning)
            _train(model, learning, replace(context, send=growing.counting(context.send)), growing)
        case _:
            assert_never(learning)


def _train(model: nn.Module, learning: Learning, context: Context, penalty: Penalty) -> None:
    params = Finetune(epochs=learning.epochs, learning_rate=learning.learning_rate)
    fit(model, params, context, "learning", keep_last=True, penalty=penalty)


@dataclass(frozen=True)
class _Slice:
    """A cut of a tensor that is trained, with everything on its device."""

    module: nn.Module
    cut: Cut
    positions: Tensor

    @property
    def tensor(self) -> Tensor:
        return leaf_of(self.module, self.cut.name)

    def squares(self) -> Tensor:
        """Σ w² of each unit (units,)."""
        rows = self.tensor.detach().square().movedim(self.cut.dim, 0)
        return rows.reshape(len(rows), -1).sum(1)[self.positions].sum(1)

    def add(self, factors: Tensor, *, sign: bool = False) -> None:
        """Add `factors` (units,) × the weights, or × their signs, to their gradients."""
        tensor = self.tensor
        if tensor.grad is None:
            return
        along = torch.zeros(tensor.shape[self.cut.dim], dtype=tensor.dtype, device=tensor.device)
        along[self.positions] = factors.to(along).unsqueeze(1)
        shape = [1] * tensor.ndim
        shape[self.cut.dim] = -1
        values = tensor.detach().sign() if sign else tensor.detach()
        tensor.grad += along.view(shape) * values


def _slices(model: nn.Module, cuts: list[Cut]) -> list[_Slice]:
    modules = [model.get_submodule(cut.module) for cut in cuts]
    return [
        _Slice(module, cut, cut.positions.to(leaf_of(module, cut.name).device))
        for module, cut in zip(modules, cuts, strict=True)
    ]


class GroupNorm:
    """γ · w on everything coupled, γ growing from 1 to 2^ALPHA the weaker the unit (DepGraph, equation 3)."""

    def __init__(self, model: nn.Module, groups: list[Group], strength: float) -> None:
        self._slices = [_slices(model, list(weighing(group))) for group in groups]
        self._strength = strength

    def __call__(self) -> None:
        for slices in self._slices:
            norms = torch.stack([part.squares() for part in slices]).sum(0).sqrt()
            spread = (norms.max() - norms.min()).clamp_min(torch.finfo(norms.dtype).tiny)
            factors = self._strength * 2 ** (ALPHA * (norms.max() - norms) / spread)
            for part in slices:
                part.add(factors)


class ScaleNorm:
    """The sign of BatchNorm's scales: the gradient of their L1 norm (network slimming, equation 1)."""

    def __init__(self, model: nn.Module, groups: list[Group], strength: float) -> None:
        check_norms(model, groups, "learning", "group_sl")
        self._slices = [part for group in groups for part in _slices(model, normalized(model, group))]
        self._strength = strength

    def __call__(self) -> None:
        for part in self._slices:
            part.add(torch.full((len(part.positions),), self._strength), sign=True)


class Growing:
    """λ · w on the units that will go, λ rising from epoch to epoch by the same factor up to CEILING (GReg)."""

    def __init__(self, model: nn.Module, groups: list[Group], gone: Gone, learning: GrowingLearning) -> None:
        self._parts = []
        for group in groups:
            if group.name in gone:
                chosen = torch.zeros(group.units)
                chosen[gone[group.name]] = 1.0
                self._parts += [(part, chosen) for part in _slices(model, list(weighing(group)))]
        self._learning = learning
        self._epochs = 0

    def counting(self, send: Callable[[ev.Event], None]) -> Callable[[ev.Event], None]:
        """`send` that also counts epochs: a training that goes on tells those that it did before."""

        def counted(event: ev.Event) -> None:
            if isinstance(event, ev.EpochFinished):
                self._epochs = event.epoch
            send(event)

        return counted

    def __call__(self) -> None:
        progress = self._epochs / max(1, self._learning.epochs - 1)
        strength = self._learning.strength ** (1 - progress) * CEILING**progress
        for part, chosen in self._parts:
            part.add(chosen * strength)
