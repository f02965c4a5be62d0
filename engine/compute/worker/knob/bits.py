"""Fewer bits: weights rounded to the nearest point of a uniform grid, as `quantize.weights` does with `nearest`."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from engine.compute.layers import overlays
from engine.compute.layers.grids import Grid, GridForm, UniformGrid
from engine.compute.measures.estimate import Stored, stored
from engine.compute.steps.quantization.grids import fit_grid
from engine.compute.worker.knob.dials import Setting, as_step, rewritten
from engine.compute.worker.knob.held import Held
from engine.params.quantize_weights import QuantizeWeights
from engine.studies.knob import Technique

ORDER = (4, 3, 2, 6, 5, 8, 7)
"""In which grids are fitted while nothing is asked: first those that most will look at."""
PIECE = 1 << 17
"""Weights whose grids are fitted at once, in a tenth of a second."""


class Bits:
    """Every layer at the same bits; a grid is fitted once for each layer and number of bits."""

    technique = Technique(
        "bits",
        "bits of a weight",
        "bits",
        2.0,
        8.0,
        1.0,
        8.0,
        how="the same in each layer, to the nearest code",
    )

    def __init__(self, held: Held) -> None:
        self._held = held
        params = self._params(8)
        layers = held.changeable
        overlays.refuse(layers, params, title="Weights that share their values cannot be rounded one by one")
        self._layers = tuple(layers)
        self._fitted: dict[tuple[str, int], tuple[Tensor, Tensor]] = {}
        self._stored: dict[tuple[str, int], Stored] = {}
        self._ahead = self._work_ahead()

    @staticmethod
    def _params(bits: int) -> QuantizeWeights:
        return QuantizeWeights.model_validate(
            {"bits": bits, "rounding": {"kind": "nearest"}, "calibrate": False}
        )

    def prepare(self) -> bool:
        return next(self._ahead, False)

    def _work_ahead(self) -> Iterator[bool]:
        """Fit every grid that no question has asked for yet, in pieces shorter than a question may wait: rows have
        grids of their own."""
        for bits in ORDER:
            for name in self._layers:
                parts = []
                weight = self._held.weights[name]
                for rows in torch.split(weight, max(PIECE // max(weight[0].numel(), 1), 1)):
                    if (name, bits) not in self._fitted:
                        parts.append(fit_grid(rows, GridForm(bits), self._params(bits).clip))
                        yield True
                if (name, bits) not in self._fitted:
                    steps, lows = zip(*parts, strict=True)
                    self._fitted[name, bits] = torch.cat(steps), torch.cat(lows)
                if (name, bits) not in self._stored:
                    self._kept(name, bits, self._rounded(name, bits))
                    yield True

    def set(self, value: float) -> Setting:
        held, bits = self._held, round(value)
        weights = {name: self._rounded(name, bits) for name in self._layers}
        kept = {name: self._kept(name, bits, weight) for name, weight in weights.items()}
        return replace(
            rewritten(held, value, weights, kept),
            levels=dict.fromkeys(weights, float(bits)),
            steps=as_step(self._params(bits)),
        )

    def _grid(self, name: str, bits: int) -> tuple[Tensor, Tensor]:
        if (name, bits) not in self._fitted:
            params = self._params(bits)
            self._fitted[name, bits] = fit_grid(self._held.weights[name], GridForm(bits), params.clip)
        return self._fitted[name, bits]

    def _rounded(self, name: str, bits: int) -> Tensor:
        step, low = self._grid(name, bits)
        with torch.no_grad():
            rounded: Tensor = UniformGrid(step, low, GridForm(bits))(self._held.weights[name])
        return rounded

    def _kept(self, name: str, bits: int, weight: Tensor) -> Stored:
        """How the layer would be stored: as codes, where that is smaller."""
        if (name, bits) not in self._stored:
            self._stored[name, bits] = stored(weight, Grid(GridForm(bits), *self._grid(name, bits)))
        return self._stored[name, bits]
