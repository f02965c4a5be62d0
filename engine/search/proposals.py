"""Networks proposed without training, from what a `sensitivity` step measured of each layer at each level.

What layers lose and save is taken to add up. For weights, bits and ranks what they save does. A network with fewer
channels costs products of two groups' widths: there the shares that are left are taken to multiply, which is near to
it; what was chosen is counted exactly, and chosen anew until the limits just hold.

Which of two networks is better, deviations tell (`added_curves`), as in steps with `scope: solved`: of few images the
quality that layers lose is mostly noise. How much quality is lost, the sum of what rows lost of it tells.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from engine.errors import UsageError
from engine.measures.layer_times import TIMES
from engine.params import STEPS
from engine.params.sensitivity import FLOAT_BITS
from engine.results.tolerance import (
    DEVIATION,
    SHAPES,
    added_curves,
    cost_at,
    drop_curves,
    quality,
)
from engine.search.solver import Option, frontier
from engine.search.widths import WIDTHS, Widths, gone_at
from engine.text.phrases import names

FINER, MOST = 2, 30
"""Levels between two that were measured, fewer where a layer would have more than so many; of bits there are none."""
SIZE = "size.packed"
EXACT = ("parameters", "macs")
MEASURES = (SIZE, *EXACT)
"""Measures of a network that rows have beside its quality, and perhaps a latency. Of parameters and MACs those count
that are not zero."""
DIGITS, ROUNDING = 4, 1e-9
"""Digits of a rate behind the point in presets, enough to tell the widths of ten thousand channels apart; and by how
much sums of floats may be off."""
LEAST = 1e-6
"""Share of a measure that is left at least, so that it has a logarithm."""
TURNS, NEAR = 6, 0.02
"""How often channels are chosen anew at most, and how far under a limit, as a share of it, is near enough to stop."""
QUALITY = "quality"
"""The limit of what may be lost of it, a fraction."""


@dataclass(frozen=True)
class Proposal:
    """Levels for every layer, and what they are predicted to come to.

    `of`: what is removed; `levels`: the share of each layer; `loss`: of quality, a fraction, at most all of it;
    `amounts`: by measure; `before`: the same of the network as it is; `seconds`: how long it took to solve; `steps`:
    what a preset has after the sensitivity step to make this network, or, where milliseconds are limited, one that is
    measured to be as fast, whatever its levels. `held`: measures of which it is sure to have no more than `amounts`
    says; others are predicted.
    """

    of: str
    levels: dict[str, float]
    loss: float
    amounts: dict[str, float]
    before: dict[str, float]
    seconds: float
    steps: list[dict[str, Any]] = field(default_factory=list)
    held: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(vars(self))


@dataclass(frozen=True)
class _Level:
    """A layer at a level: what it loses of quality, what it adds to the sum that is to be least, and what it saves of
    each measure (see `Table.saving`)."""

    rate: float
    loss: float
    cost: float
    savings: Mapping[str, float]


class Table:
    """What one sensitivity step found, in the form of `engine.results.sensitivity.found_by`."""

    def __init__(self, scanned: Mapping[str, Any]) -> None:
        self.of, self.scheme = str(scanned["of"]), str(scanned.get("scheme", ""))
        self._criterion = scanned.get("criterion")
        reference, times = scanned["reference"], scanned.get(TIMES)
        self.latency = str(times["name"]) if times else ""
        """What measures call the latency that the step measured; empty where it measured none."""
        self._quality = quality(reference)
        self.before = {
            name: float(reference[name]) for name in (*MEASURES, self.latency) if name in reference
        }
        self._widths = Widths(scanned[WIDTHS], times) if WIDTHS in scanned else None
        self._shapes: Mapping[str, Sequence[int]] = scanned.get(SHAPES, {})
        self._bytes = _per(reference, scanned["rows"], SIZE, "parameters")
        losses = drop_curves(scanned)
        costs = added_curves(scanned["rows"]) if all(DEVIATION in row for row in scanned["rows"]) else losses
        rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in sorted(scanned["rows"], key=lambda row: float(row["rate"])):
            rows.setdefault(row["layer"], []).append(row)
        self.layers: dict[str, list[_Level]] = {}
        for layer in losses:
            measured = {0.0: dict.fromkeys(self.before, 0.0)}
            for row in rows[layer]:
                measured[float(row["rate"])] = {n: self._saving(n, float(row[n])) for n in self.before}
            self.layers[layer] = [
                _Level(
                    rate,
                    cost_at(losses[layer], rate),
                    cost_at(costs[layer], rate),
                    self._savings(layer, measured, rate),
                )
                for rate in self._rates(layer, [*measured])
            ]

    def _rates(self, layer: str, measured: list[float]) -> list[float]:
        """The levels that a layer may have: those measured, and some between them where it is known what these save."""
        if self.of in ("bits", "rank"):
            return measured
        finer = _finer(measured)
        if self._widths is None or layer not in self._widths.units:
            return finer
        units, step = self._widths.units[layer], self._widths.steps.get(layer, 1)
        fewest = max(math.ceil(units * (1 - measured[-1]) / step - ROUNDING), 1) * step
        left = (min(max(round(units * (1 - rate) / step) * step, fewest), units) for rate in finer)
        return sorted({min(round(1 - one / units, DIGITS), measured[-1]) for one in left})

    def _savings(
        self, layer: str, measured: Mapping[float, Mapping[str, float]], rate: float
    ) -> dict[str, float]:
        """What the layer saves at a rate, on a straight line between two measured ones; of weights counted."""
        low, high = next((pair for pair in pairwise(measured) if rate <= pair[1]), (0.0, 0.0))
        part = (rate - low) / (high - low) if high else 0.0
        found = {n: one + part * (measured[high][n] - one) for n, one in measured[low].items()}
        weights = math.prod(self._shapes.get(f"{layer}.weight", [0]))
        most = max(measured)
        gone = measured[most].get("parameters", 0.0)
        if self.of == "weights" and weights and gone:
            zero = round(most * weights) - gone
            found["parameters"] = max(round(rate * weights) - zero, 0.0)
            found["macs"] = found["parameters"] * (measured[most].get("macs", 0.0) / gone)
        return found

    def _saving(self, name: str, left: float) -> float:
        """What is saved where so much is `left`, in a form that adds up over layers: the amount itself, or of channels
        the logarithm of the share that is left."""
        before = self.before[name]
        if self.of == "channels":
            return math.log(before / max(left, LEAST * before))
        return before - left

    def amount(self, name: str, saved: float) -> float:
        """What is left of a measure where layers save so much together."""
        before = self.before[name]
        return before * math.exp(-saved) if self.of == "channels" else before - saved

    def propose(self, least: str, limits: Mapping[str, float]) -> Proposal | None:
        """The network that has least of a measure (with `QUALITY`: that loses least) within limits: the most that may
        be lost of `QUALITY`, and the most that there may be of other measures. None where no choice of levels holds
        them.

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
        found = self._chosen(least, limits)
        if found is None:
            return None
        amounts = self.amounts(found)
        timed = self.of == "channels" and self.latency in limits
        return Proposal(
            self.of,
            {layer: one.rate for layer, one in found.items()},
            min(sum(one.loss for one in found.values()), self._quality),
            amounts,
            dict(self.before),
            time.monotonic() - started,
            self._as_fast(amounts) if timed else self._steps(found),
            [self.latency] if timed else [name for name in self._counted if name in self.before],
        )

    @property
    def _counted(self) -> tuple[str, ...]:
        """Measures that a network's levels tell exactly. How many weights become zero by rounding, only rounding tells;
        and where a network has zeros already, how many of them go with its channels."""
        if self.of == "bits":
            return ()
        if self.of != "channels":
            return EXACT
        whole = self._widths.whole if self._widths else {}
        return tuple(name for name in EXACT if name in whole and round(whole[name]) == self.before[name])

    def amounts(self, found: Mapping[str, _Level]) -> dict[str, float]:
        """What a network has of each measure, with each layer at a level."""
        saved = {name: sum(one.savings[name] for one in found.values()) for name in self.before}
        amounts = {name: self.amount(name, saved[name]) for name in self.before}
        if self._widths is None:
            return amounts
        units = self._widths.units
        left = {name: n - gone_at(n, found[name].rate) for name, n in units.items() if name in found}
        whole, exact = self._widths.whole, self._widths.amounts(left)
        amounts |= {n: self.before[n] * exact[n] / whole[n] for n in exact if n in amounts and whole[n]}
        if SIZE in amounts:
            amounts[SIZE] = self.before[SIZE] - self._bytes * (
                self.before["parameters"] - amounts["parameters"]
            )
        return amounts

    def _chosen(self, least: str, limits: Mapping[str, float]) -> dict[str, _Level] | None:
        """A level for each layer, so that together they hold the limits as they are counted."""
        counted = [name for name in limits if name != QUALITY]
        if self._widths is None or not counted:
            return self._solved(least, limits)
        if any(self.amounts(self._harshest)[name] > limits[name] for name in counted):
            return None
        # What layers save alone is not what they save together, so the solver is asked for each limit times a factor:
        # with `low` the network counted is within the limits (or none is found), with `high` it is not.
        best, factor, low, high = None, 1.0, 0.0, math.inf
        for _ in range(TURNS):
            asked = {name: limit * (1 if name == QUALITY else factor) for name, limit in limits.items()}
            found = self._solved(least, asked)
            # The share that is used of the limit that is nearest to being exceeded.
            used = max(self.amounts(found)[name] / limits[name] for name in counted) if found else 0.0
            if used > 1:
                high = factor
            else:
                low = factor
            if found is not None and used <= 1:
                best = min((one for one in (best, found) if one), key=lambda one: self._has(one, least))
                if used >= 1 - NEAR:
                    break
            factor = 2 * low if high == math.inf else high / 2 if not low else math.sqrt(low * high)
        return best

    @property
    def _harshest(self) -> dict[str, _Level]:
        return {layer: levels[-1] for layer, levels in self.layers.items()}

    def _has(self, found: Mapping[str, _Level], name: str) -> float:
        """What a choice of levels has of a measure, or of what is to be least where quality is."""
        return sum(one.cost for one in found.values()) if name == QUALITY else self.amounts(found)[name]

    def _solved(self, least: str, limits: Mapping[str, float]) -> dict[str, _Level] | None:
        """The choice of levels that is best by what layers save alone.

        The solver gives networks that each deviate least of those that cost about the same; those that lose more
        quality than allowed are left out here.
        """
        most = {
            name: [max(one.savings[name] for one in levels) for levels in self.layers.values()]
            for name in self.before
        }
        # Without a limit a measure may be what it is.
        limited = {name: limits.get(name, self.before[name]) for name in (*limits, least) if name != QUALITY}
        bounds = [sum(most[name]) - self._saving(name, limit) for name, limit in limited.items()]
        if any(bound < 0 for bound in bounds):
            return None
        options = {
            layer: [
                Option(
                    float(place),
                    one.cost,
                    tuple(max(most[name][number] - one.savings[name], 0.0) for name in limited),
                )
                for place, one in enumerate(levels)
            ]
            for number, (layer, levels) in enumerate(self.layers.items())
        }
        networks = [
            {layer: self.layers[layer][int(one.level)] for layer, one in chosen.items()}
            for chosen in frontier(options, bounds)
        ]
        allowed = limits.get(QUALITY, math.inf)
        within = [found for found in networks if sum(one.loss for one in found.values()) <= allowed]
        return min(within, key=lambda found: self._rank(found, least), default=None)

    def _rank(self, found: Mapping[str, _Level], least: str) -> tuple[float, ...]:
        """Less is better: what it has of what is to be least, by what layers save alone, and what it loses."""
        cost = sum(one.cost for one in found.values())
        return (cost,) if least == QUALITY else (-sum(one.savings[least] for one in found.values()), cost)

    def _steps(self, found: Mapping[str, _Level]) -> list[dict[str, Any]]:
        """What a preset has after the sensitivity step for this network; nothing where nothing is removed."""
        rates = {layer: one.rate for layer, one in found.items() if one.rate}
        if not rates:
            return []
        given: dict[str, Any] = {"layers": rates}
        if self.of == "bits":
            given = {"layers": {layer: round(FLOAT_BITS * (1 - rate)) for layer, rate in rates.items()}}
        elif self.of == "rank":
            given = {"scheme": self.scheme, **given}
        elif self.of == "weights" and self._criterion == "taylor":
            # The zeros that were measured; of channels the step's own default is the better criterion.
            given = {"criterion": "taylor", **given}
        # Rows were scored with statistics estimated anew; other steps do that themselves.
        anew: list[dict[str, Any]] = [{"calibrate": {}}] if self.of == "weights" else []
        return [{self._kind: given}, *anew]

    def _as_fast(self, amounts: Mapping[str, float]) -> list[dict[str, Any]]:
        """The same where milliseconds are limited: they are predicted, so the step measures networks until one takes as
        few."""
        _, runtime, batch = self.latency.split(".")
        faster = round(self.before[self.latency] / amounts[self.latency], 2)
        target = {"speedup": faster, "runtime": runtime, "batch": int(batch)}
        return [{self._kind: {"scope": "solved", "latency": target}}] if faster > 1 else []

    @property
    def _kind(self) -> str:
        return next(kind for kind, cls in STEPS.items() if cls.rates_of == self.of)

    def share(self, levels: Mapping[str, float]) -> float:
        """Of weights: the share of those of all layers that goes, where each loses so much."""
        sizes = {
            layer: one[-1].savings["parameters"] / one[-1].rate
            for layer, one in self.layers.items()
            if one[-1].rate
        }
        gone = sum(size * levels[layer] for layer, size in sizes.items())
        return round(gone / sum(sizes.values()), 4) if sizes else 0.0


def _per(reference: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], name: str, of: str) -> float:
    """How much less there is of a measure for each one less of another, over all rows; 0 where they don't tell.

    A file's bytes go so with parameters: trained weights take about the same bits whatever layer they are of, and what
    stands around tensors stays.
    """
    if not {name, of} <= reference.keys():
        return 0.0
    gone, those = (sum(float(reference[one]) - float(row[one]) for row in rows) for one in (name, of))
    return gone / those if those > 0 else 0.0


def _finer(measured: Sequence[float]) -> list[float]:
    """With rates between those measured, evenly spread."""
    between = max(min(FINER, MOST // (len(measured) - 1) - 1), 0)
    parts = [step / (between + 1) for step in range(1, between + 1)]
    inner = {round(low + part * (high - low), DIGITS) for low, high in pairwise(measured) for part in parts}
    return sorted(inner | {*measured})
