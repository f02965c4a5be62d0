"""Networks proposed without training, from what a `sensitivity` step measured of each layer at each level.

What layers lose and save is taken to add up. For weights, bits and ranks what they save does. A network with fewer
channels costs products of two groups' widths: there the shares that are left are taken to multiply, which is near to
it; what was chosen is counted exactly, and chosen anew until the limits just hold.
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
from engine.results.tolerance import cost_at, drop_curves, quality
from engine.search.solver import Option, solve
from engine.search.widths import WIDTHS, Widths
from engine.text.phrases import names

FLOAT_BITS = 32
"""Bits of a weight that is not rounded; rows of bits tell the share that is removed of them."""
FINER, MOST = 2, 30
"""Levels between two that were measured, fewer where a layer would have more than so many; of bits there are none."""
MEASURES = ("size.packed", "parameters", "macs")
"""What rows have of a network beside its quality, and perhaps a latency; parameters and multiply-accumulates that are
zero don't count."""
TIMES_FEWER = {"macs": "speedup", "parameters": "compression"}
"""Parameters of `prune.channels` that ask for so many times less of a measure."""
LEAST = 1e-6
"""Share of a measure that a network with fewer channels has at least."""
TURNS, NEAR = 6, 0.02
"""Choices of channels at most, and by what share of a limit the last one may be under it."""
QUALITY = "quality"
"""The limit of what may be lost of it, a fraction."""


@dataclass(frozen=True)
class Proposal:
    """Levels for every layer, and what they are predicted to come to.

    `of`: what is removed; `levels`: the share of each layer; `loss`: of quality, a fraction, at most all of it;
    `amounts`: by measure, as those of the network as it is, `before`; `seconds`: that it took to solve; `steps`: those
    of a preset that make about this network, after the sensitivity step: they choose layers anew. `held`: the measures
    of which the network that they make has no more than was asked for.
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
    """A layer at a level: what it loses of quality, and what it saves of each measure (see `Table.saving`)."""

    rate: float
    loss: float
    savings: Mapping[str, float]


class Table:
    """What one sensitivity step found, in the form of `engine.results.sensitivity.found_by`."""

    def __init__(self, scanned: Mapping[str, Any]) -> None:
        self.of, self.scheme = str(scanned["of"]), str(scanned.get("scheme", ""))
        reference, times = scanned["reference"], scanned.get(TIMES)
        self.latency = str(times["name"]) if times else ""
        """What measures call the latency that the step measured; empty where it measured none."""
        self._quality = quality(reference)
        self.before = {
            name: float(reference[name]) for name in (*MEASURES, self.latency) if name in reference
        }
        self._widths = Widths(scanned[WIDTHS], times) if WIDTHS in scanned else None
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
            return math.log(before / max(left, LEAST * before))
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
        found = self._chosen(least, limits)
        if found is None:
            return None
        amounts = self.amounts(found)
        return Proposal(
            self.of,
            {layer: one.rate for layer, one in found.items()},
            min(sum(one.loss for one in found.values()), self._quality),
            amounts,
            dict(self.before),
            time.monotonic() - started,
            self._steps(found, amounts, (least, *limits)),
            [name for name in limits if name in self._held],
        )

    @property
    def _held(self) -> tuple[str, ...]:
        """What the steps can be asked for: sizes go with parameters; of bits only their average, in whole bits."""
        if self.of == "bits":
            return ()
        exact = ("macs", self.latency) if self.of == "channels" else ()
        return (*exact, "parameters", "size.packed")

    def amounts(self, found: Mapping[str, _Level]) -> dict[str, float]:
        """What a network has of each measure, with each layer at a level."""
        saved = {name: sum(one.savings[name] for one in found.values()) for name in self.before}
        amounts = {name: self.amount(name, saved[name]) for name in self.before}
        if self._widths is None:
            return amounts
        units = self._widths.units
        left = {
            name: n - min(round(found[name].rate * n), n - 1) for name, n in units.items() if name in found
        }
        whole, exact = self._widths.whole, self._widths.amounts(left)
        shares = {name: exact[name] / whole[name] for name in exact if whole[name]}
        # Trained weights take about the same bits, whatever layer they are of.
        shares["size.packed"] = shares["parameters"]
        return {
            name: self.before[name] * shares[name] if name in shares else amounts[name] for name in amounts
        }

    def _chosen(self, least: str, limits: Mapping[str, float]) -> dict[str, _Level] | None:
        """A level for each layer, which between them hold the limits by what is counted."""
        counted = [name for name in limits if name != QUALITY]
        if self._widths is None or not counted:
            return self._solved(least, limits)
        if any(self.amounts(self._harshest)[name] > limits[name] for name in counted):
            return None
        # By how much what layers save alone misses their product: `low` gives a network within the limits, `high` none.
        best, at, low, high = None, 1.0, 0.0, math.inf
        for _ in range(TURNS):
            asked = {name: limit * (1 if name == QUALITY else at) for name, limit in limits.items()}
            found = self._solved(least, asked)
            missed = (
                max((self.amounts(found)[name] / limits[name] for name in counted), default=0.0)
                if found
                else 0.0
            )
            if missed > 1:
                high = at
            else:
                low = at
            if found is not None and missed <= 1:
                best = min((one for one in (best, found) if one), key=lambda one: self._has(one, least))
                if missed >= 1 - NEAR:
                    break
            at = 2 * low if high == math.inf else high / 2 if not low else math.sqrt(low * high)
        return best

    @property
    def _harshest(self) -> dict[str, _Level]:
        return {layer: levels[-1] for layer, levels in self.layers.items()}

    def _has(self, found: Mapping[str, _Level], name: str) -> float:
        """What a choice of levels has of a measure, or loses of the quality."""
        return sum(one.loss for one in found.values()) if name == QUALITY else self.amounts(found)[name]

    def _solved(self, least: str, limits: Mapping[str, float]) -> dict[str, _Level] | None:
        """The choice of levels that is best by what layers save alone."""
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
        return {layer: self.layers[layer][int(one.level)] for layer, one in chosen.items()}

    def _steps(
        self, found: Mapping[str, _Level], amounts: Mapping[str, float], asked: Sequence[str]
    ) -> list[dict[str, Any]]:
        """What a preset has after the sensitivity step for about this network; nothing where nothing is removed."""
        kind = next(kind for kind, cls in STEPS.items() if cls.rates_of == self.of)
        share = self.share(found)
        match self.of:
            case "weights":
                given: dict[str, Any] = {"sparsity": share}
            case "channels" if self.latency in asked:
                _, runtime, batch = self.latency.split(".")
                faster = round(self.before[self.latency] / amounts[self.latency], 2)
                given = {"latency": {"speedup": faster, "runtime": runtime, "batch": int(batch)}}
            case "channels":
                # What is asked for of both has to hold of both.
                fewer = ["macs"] if "macs" in asked else []
                fewer += ["parameters"] if not fewer or {"parameters", "size.packed"} & {*asked} else []
                times = {TIMES_FEWER[one]: _rounded_up(self.before[one] / amounts[one]) for one in fewer}
                given = {name: value for name, value in times.items() if value > 1}
            case "rank":
                given = {"scheme": self.scheme, "rank": {"kind": "ratio", "ratio": share}}
            case _:
                given = {"bits": self._average_bits(found)}
        faster = given["latency"]["speedup"] > 1 if "latency" in given else bool(given)
        if not any(one.rate for one in found.values()) or not faster:
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


def _rounded_up(times: float) -> float:
    """To two digits behind the point, so that no more is left than was counted."""
    return math.ceil(100 * times - 1e-6) / 100


def _part(one: _Level, name: str, most: Mapping[str, Sequence[float]], number: int) -> float:
    """What a level adds to a sum that is to be small: the loss, or what it saves less than the layer could."""
    return max(one.loss, 0.0) if name == QUALITY else max(most[name][number] - one.savings[name], 0.0)


def _finer(measured: Sequence[_Level]) -> list[_Level]:
    """With levels between those measured, on straight lines."""
    found = [measured[0]]
    between = max(min(FINER, MOST // (len(measured) - 1) - 1), 0)
    for low, high in pairwise(measured):
        for step in range(1, between + 2):
            part = step / (between + 1)
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
