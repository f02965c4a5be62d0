"""Candidates of a search measured against the original, one after the other."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.compute.context import Context
from engine.compute.latency.pair import Side, becomes_quiet, measure_pair
from engine.compute.models import checkpoint
from engine.compute.models.architecture import architecture
from engine.compute.onnx.shape import Shape
from engine.compute.runtimes.base import artefact
from engine.errors import SecateurError
from engine.measures.latency import NOISY_LOAD
from engine.params.channels import LatencyTarget
from engine.params.preset import Latency

DISTURBED_TRIES = 3
"""Measurements of a speed-up that others disturb; the quietest counts."""
PATIENCE_S = 5.0
"""How long a search waits, in all, for others to leave the machine alone before it measures again: where they never do,
three measurements are as disturbed as one."""
BLOCKS, BLOCK_MS, WARMUP_MS = 16, 30.0, 100.0
"""Of one measurement of a speed-up: about a second for both networks."""


class Bench:
    """Measures models against the original, which is made ready once, when it is first needed."""

    def __init__(self, target: LatencyTarget, original: nn.Module, folder: Path, context: Context) -> None:
        arch = architecture(original)
        self._shape: Shape = (arch.channels, *arch.size)
        self._target = target
        self._original = original
        self._folder = folder
        self._context = context
        self._sides: dict[int | None, Side] = {}
        self._patience = PATIENCE_S
        self.disturbance = 0.0
        """Largest share of the processors' time that others took during a measurement."""

    def row(self, number: int, model: Callable[[], nn.Module]) -> dict[str, Any]:
        """The quietest of a few measurements of the model of this `number`, in the words of `measure_pair`.

        `model` makes it; it is written for the runtime once, however often it is measured.
        """
        before = self._side(None, lambda: self._original)
        after = self._side(number, model)
        rows: list[dict[str, Any]] = []
        while not rows or (len(rows) < DISTURBED_TRIES and self._is_worth_another(rows[-1])):
            rows.append(self._measured(before, after))
        if why := rows[-1].get("unavailable"):
            raise SecateurError(
                f"No latency in {self._target.runtime}", why, "Choose another latency.runtime."
            )
        quietest = min(rows, key=lambda row: float(row["foreign_load"]))
        self.disturbance = max(self.disturbance, quietest["foreign_load"])
        return quietest

    def _is_worth_another(self, row: dict[str, Any]) -> bool:
        """Whether others disturbed the measurement, and are quiet now."""
        if row.get("foreign_load", 0.0) <= NOISY_LOAD:
            return False
        started = time.monotonic()
        quiet = becomes_quiet(NOISY_LOAD, started + self._patience)
        self._patience = max(self._patience - (time.monotonic() - started), 0.0)
        return quiet

    def _measured(self, before: Side, after: Side) -> dict[str, Any]:
        target = self._target
        params = Latency(
            runtimes=(target.runtime,),
            batch=(target.batch,),
            blocks=BLOCKS,
            block_ms=BLOCK_MS,
            warmup_ms=WARMUP_MS,
        )
        threads, device = torch.get_num_threads(), str(self._context.device)
        (row,) = measure_pair(before, after, params=params, shape=self._shape, threads=threads, device=device)
        return row

    def _side(self, number: int | None, model: Callable[[], nn.Module]) -> Side:
        if number not in self._sides:
            folder = self._folder / f"model-{len(self._sides)}"
            folder.mkdir()
            made = model()
            if self._target.runtime == "torch":
                checkpoint.save(made, folder)
            # Of a network that the study measures too, or that was measured before: both are exported once.
            file = artefact(
                self._target.runtime, made, self._shape, folder, templates=self._context.templates
            )
            self._sides[number] = Side({self._target.runtime: file})
        return self._sides[number]
