"""Fewer channels: `prune.channels` to so many times fewer multiply-accumulates, nothing refitted."""

import math
from dataclasses import replace

import torch

from engine.compute.context import to_device
from engine.compute.layers.copies import copied
from engine.compute.layers.masks import fold_
from engine.compute.measures.counts import count
from engine.compute.measures.estimate import Stored, plain_bytes
from engine.compute.steps.channels.choose import units_gone
from engine.compute.steps.channels.cost import Predictor
from engine.compute.steps.channels.shrink import shrink
from engine.compute.steps.channels.step import prepared
from engine.compute.worker.knob.dials import Setting, as_step, rewritten
from engine.compute.worker.knob.held import Held, file_of
from engine.errors import SecateurError
from engine.params.channels import PruneChannels
from engine.studies.knob import Costs, Technique

MOST = 16.0
"""Times fewer multiply-accumulates beyond which nothing of use is left without training."""
UNKNOWN_BITS = 27.0
"""Bits that a trained float32 weight takes in a packed file, about, where the tensor was not there before."""


class Channels:
    """Groups and the order in which their units go are found once; what is left is then a choice of its prefix."""

    technique = Technique(
        "channels",
        "times fewer multiply-accumulates",
        "×",
        1.0,
        MOST,
        0.1,
        1.0,
        how="by importance (l2), over all layers",
    )

    def __init__(self, held: Held) -> None:
        self._held = held
        self._model = copied(held.model)
        pruning, graph = prepared(self._model, self._params(2.0), held.context)
        self._groups = graph.groups
        if not self._groups:
            raise SecateurError(
                "No channel can be removed", "Every layer's channels are coupled to the output's."
            )
        self._budget = pruning.budget
        self._choice = pruning.choice(self._groups, 0, "global")
        self._cost = Predictor(self._model, self._groups, held.shape)
        predicted = held.predicted
        self._latency = predicted.narrower(self._model, self._groups) if predicted else None
        (target,) = self._budget.targets
        least = target.cost({one.name: one.reachable for one in self._choice.candidates})
        most = math.floor(10 * target.before / least) / 10
        if most <= 1:
            raise SecateurError("No channel can be removed", "Every layer is at its floor.")
        self.technique = replace(Channels.technique, most=min(most, MOST))

    @staticmethod
    def _params(speedup: float) -> PruneChannels:
        return PruneChannels(speedup=speedup, repair=False, calibrate=False)

    def prepare(self) -> bool:
        return False

    def set(self, value: float) -> Setting:
        held, base = self._held, self._held.baseline.costs
        if value <= 1:
            return rewritten(held, value, {}, {})
        params, choice = self._params(value), self._choice
        (target,) = self._budget.targets
        budget = replace(self._budget, targets=(replace(target, times=value),))
        gone = units_gone(budget.taken(choice.candidates, choice.order))
        left = {g.name: g.units - len(gone.get(g.name, ())) for g in self._groups}
        model = copied(self._model)
        shrink(model, self._groups, gone)
        model = to_device(fold_(model), held.context.device).eval()
        tensors = file_of(model)
        macs = round(self._cost.macs(left))
        dense = base.effective_macs == base.macs
        return Setting(
            value,
            model,
            {g.name: len(gone[g.name]) / g.units if g.name in gone else 0.0 for g in self._groups},
            as_step(params),
            Costs(
                plain_bytes({name: (t.dtype, tuple(t.shape)) for name, t in tensors.items()}),
                held.packed_bytes(
                    Stored(tensor.numel(), int(torch.count_nonzero(tensor)), self._bits(name))
                    for name, tensor in tensors.items()
                ),
                round(self._cost.parameters(left)),
                sum(int(torch.count_nonzero(parameter)) for parameter in model.parameters()),
                macs,
                # A pass counts them one by one, which takes longer than all else.
                macs if dense else count(model, held.shape).effective_macs,
                self._latency(left) if self._latency else None,
            ),
        )

    def _bits(self, name: str) -> float:
        before = self._held.stored.get(name)
        return before.bits if before is not None else UNKNOWN_BITS
