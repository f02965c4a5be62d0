"""Networks proposed without training, from what a `sensitivity` step measured of each layer at each level.

What layers lose and save is taken to add up. For weights, bits and ranks what they save does; a network with fewer
channels costs products of two groups' widths, so there the shares that are left multiply, which is near to it.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from engine.errors import UsageError
from engine.params import STEPS
from engine.results.tolerance import cost_at, drop_curves
from engine.search.solver import Option, solve
from engine.text.phrases import names

FLOAT_BITS = 32
"""Bits of a weight that is not rounded; rows of bits tell the share that is removed of them."""
FINER = 2
"""Levels between two that were measured; of bits there are none."""
MEASURES = ("size.packed", "parameters", "macs")
"""What rows have of a network beside its quality; parameters and multiply-accumulates that are zero don't count."""
QUALITY = "quality"
"""The limit of what may be lost of it, a fraction."""


@dataclass(frozen=True)
class Proposal:
    """Levels for every layer, and what they are predicted to come to.

    `of`: what is removed; `levels`: the share of each layer; `loss`: of quality, a fraction; `amounts`: by measure, as
    those of the network as it is, `before`; `seconds`: that it took to solve; `steps`: those of a preset that make
    about this network, after the sensitivity step.
    """

    of: str
    levels: dict[str, float]
    loss: float
    amounts: dict[str, float]
    before: dict[str, float]
    seconds: float
    steps: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Level:
    """A layer at a level: what it loses of quality, and what it saves of each measure (see `Table.saving`)."""

    rate: float
    loss: float
    savings: Mapping[str, float]


class Table:
    """What one sensitivity step found, in the form of `engine.results.sensitivity.found_by`."""

    def __init__(self, scanned: Mapping[str, Any]) -> None:
        self.of, self.scheme = str(scanned["of"]), str(scanned.get("scheme", ""))
        self.before = {
            name: float(scanned["reference"][name]) for name in MEASURES if name in scanned["reference"]
        }
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in scanned["rows"]:
            rows.setdefault(row["layer"], []).append(row)
        curves = drop_curves(scanned)
        self.layers: dict[str, list[_Level]] = {}
        for layer, found in rows.items():
            measured = [_Level(0.0, 0.0, dict.fromkeys(self.before, 0.0))]
            for row in sorted(found, key=lambda row: float(row["rate"])):
                rate = float(row["rate"])
                savings = {name: self._saving(name, float(row[name])) for name in self.before}
                measured.append(_Level(rate, cost_at(curves[layer], rate), savings))
            self.layers[layer] = measured if self.of == "bits" else _finer(measured)

    def _saving(self, name: str, left: float) -> float:
        """What sums over layers: the amount itself, or of channels the logarithm of the share that is left."""
        before = self.before[name]
        if self.of == "channels":
            return math.log(before / max(left, 1.0))
        return before - left

    def amount(self, name: str, saved: float) -> float:
        """What is left of a measure where layers save so much together."""
        before = self.before[name]
        return before * math.exp(-saved) if self.of == "channels" else before - saved

    def propose(self, least: str, limits: Mapping[str, float]) -> Proposal | None:
        """The network that has least of a measure (or loses least, `QUALITY`) within limits: `QUALITY` may be lost, of
        measures there may be at most so much. None where no choice of levels holds them.

        Raises UsageError for a measure that the step did not tell.
        """
        for name in (least, *limits):
            if name != QUALITY and name not in self.before:
                raise UsageError(
                    f"What the sensitivity of {self.of} measured tells nothing of {name}",
                    f"It has {names(list(self.before))}.",
                    "Run the step again where a newer version measures more, or choose one of these.",
                )
        started = time.monotonic()
        most = {
            name: [max(one.savings[name] for one in levels) for levels in self.layers.values()]
            for name in self.before
        }
        bounds = [
            limits[name] if name == QUALITY else sum(most[name]) - self._saving(name, limits[name])
            for name in limits
        ]
        if any(bound < 0 for bound in bounds):
            return None
        options = {
            layer: [
                Option(
                    float(place),
                    _part(one, least, most, number),
                    tuple(_part(one, name, most, number) for name in limits),
                )
                for place, one in enumerate(levels)
            ]
            for number, (layer, levels) in enumerate(self.layers.items())
        }
        chosen = solve(options, bounds)
        if chosen is None:
            return None
        found = {layer: self.layers[layer][int(one.level)] for layer, one in chosen.items()}
        saved = {name: sum(one.savings[name] for one in found.values()) for name in self.before}
        amounts = {name: self.amount(name, saved[name]) for name in self.before}
        return Proposal(
            self.of,
            {layer: one.rate for layer, one in found.items()},
            sum(one.loss for one in found.values()),
            amounts,
            dict(self.before),
            time.monotonic() - started,
            self._steps(found, amounts),
        )

    def _steps(self, found: Mapping[str, _Level], amounts: Mapping[str, float]) -> list[dict[str, Any]]:
        """What a preset has after the sensitivity step for about this network; nothing where nothing is removed."""
        kind = next(kind for kind, cls in STEPS.items() if cls.rates_of == self.of)
        share = self.share(found)
        match self.of:
            case "weights":
                given: dict[str, Any] = {"sparsity": share}
            case "channels":
                given = {"speedup": round(self.before["macs"] / amounts["macs"], 2)}
            case "rank":
                given = {"scheme": self.scheme, "rank": {"kind": "ratio", "ratio": share}}
            case _:
                given = {"bits": self._average_bits(found)}
        if not any(one.rate for one in found.values()) or given.get("speedup", 2.0) <= 1:
            return []
        # Rows were scored with statistics estimated anew; other steps do that themselves.
        anew: list[dict[str, Any]] = [{"calibrate": {}}] if self.of == "weights" else []
        return [{kind: {"scope": "solved", **given}}, *anew]

    def _average_bits(self, found: Mapping[str, _Level]) -> int:
        """Bits of a weight on average, 2 to 8; layers count by what of them their fewest bits save."""
        sizes = {
            layer: levels[-1].savings[self._size] / levels[-1].rate for layer, levels in self.layers.items()
        }
        total = sum(n * FLOAT_BITS * (1 - found[layer].rate) for layer, n in sizes.items())
        return min(max(math.ceil(total / sum(sizes.values())), 2), 8)

    @property
    def _size(self) -> str:
        return "size.packed" if "size.packed" in self.before else "parameters"

    def share(self, found: Mapping[str, _Level]) -> float:
        """Of weights: the share of those of all layers that goes."""
        removed = {layer: one.savings["parameters"] for layer, one in found.items()}
        whole = {
            layer: levels[-1].savings["parameters"] / levels[-1].rate
            for layer, levels in self.layers.items()
            if levels[-1].rate
        }
        return round(sum(removed.values()) / sum(whole.values()), 4) if whole else 0.0


def _part(one: _Level, name: str, most: Mapping[str, Sequence[float]], number: int) -> float:
    """What a level adds to a sum that is to be small: the loss, or what it saves less than the layer could."""
    return max(one.loss, 0.0) if name == QUALITY else max(most[name][number] - one.savings[name], 0.0)


def _finer(measured: Sequence[_Level]) -> list[_Level]:
    """With levels between those measured, on straight lines."""
    found = [measured[0]]
    for low, high in pairwise(measured):
        for step in range(1, FINER + 2):
            part = step / (FINER + 1)
            found.append(
                _Level(
                    low.rate + part * (high.rate - low.rate),
                    low.loss + part * (high.loss - low.loss),
                    {
                        name: low.savings[name] + part * (high.savings[name] - low.savings[name])
                        for name in low.savings
                    },
                )
            )
    return found
