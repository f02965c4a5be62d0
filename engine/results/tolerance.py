"""How much of a layer may go at a given cost: curves through the rows that a `sensitivity` step found."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from engine.measures import table
from engine.params.preset import Pick

Row = Mapping[str, Any]
"""One layer pruned alone at one rate: `layer`, `rate`, and what was measured."""

INCREASE = "loss_increase"
"""The row's validation loss less that of the unpruned model."""
DEVIATION = "deviation"
"""How far the row's outputs are from those of the unpruned model, relative to how much these differ from image to
image: a mean square, and so never negative, as a small increase of the loss is by chance."""
SHAPES = "shapes"
"""Where a step's findings have the shapes of the weights that it measured, by their names."""
BETWEEN = 4
"""Points of a deviation's curve from one measured rate to the next."""
QUALITIES = tuple(f"validation_{name}" for name in table.QUALITIES)
"""What a row may call the quality that its task is judged by, a fraction."""
ONE_POINT: float = Pick.model_fields["within"].default / 100
"""Quality that a layer may cost to count as prunable in the views."""


@dataclass(frozen=True)
class Curve:
    """The cost of removing a share of one layer: `rates` rise from 0, `costs` from 0 and never fall."""

    rates: tuple[float, ...]
    costs: tuple[float, ...]

    def rate(self, level: float) -> float:
        """The largest rate whose cost is at most `level`, straight lines between the rates measured.

        >>> curve = Curve((0.0, 0.5, 0.9), (0.0, 0.1, 0.3))
        >>> curve.rate(0.05), curve.rate(0.1), curve.rate(9.0), curve.rate(-1.0)
        (0.25, 0.5, 0.9, 0.0)
        """
        within = [i for i, cost in enumerate(self.costs) if cost <= level]
        if not within:
            return 0.0
        here = within[-1]
        if here + 1 == len(self.rates) or math.isinf(self.costs[here + 1]):
            return self.rates[here]
        part = (level - self.costs[here]) / (self.costs[here + 1] - self.costs[here])
        return self.rates[here] + part * (self.rates[here + 1] - self.rates[here])


def rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """`values` made not to fall, at the least weighted squared change; one of infinite weight stays.

    Isotonic regression by pooling adjacent violators (Ayer et al. 1955).

    >>> rising([0.2, 0.6, 0.4, 1.0], [1, 1, 1, 1])
    [0.2, 0.5, 0.5, 1.0]
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        pool = (value, weight, 1)
        while pools and pools[-1][0] > pool[0]:
            before = pools.pop()
            total = before[1] + pool[1]
            mean = before[0] if math.isinf(before[1]) else (before[0] * before[1] + pool[0] * pool[1]) / total
            pool = (mean, total, before[2] + pool[2])
        pools.append(pool)
    return [mean for mean, _, count in pools for _ in range(count)]


def curve(points: Iterable[tuple[float, float]]) -> Curve:
    """The curve nearest to (rate, cost) points that starts at 0 and never falls.

    A cost that is no number counts as infinite.

    >>> curve([(0.3, 0.2), (0.5, 0.1), (0.7, 0.4), (0.1, -0.1)])
    Curve(rates=(0.0, 0.1, 0.3, 0.5, 0.7), costs=(0.0, 0.0, 0.15000000000000002, 0.15000000000000002, 0.4))
    """
    ordered = sorted((rate, math.inf if math.isnan(cost) else cost) for rate, cost in points)
    costs = [max(cost, 0.0) for cost in rising([cost for _, cost in ordered], [1] * len(ordered))]
    return Curve((0.0, *(rate for rate, _ in ordered)), (0.0, *costs))


def cost_at(curve: Curve, rate: float) -> float:
    """The cost of a rate, straight between the rates measured; infinite beyond.

    >>> cost_at(Curve((0.0, 0.5, 0.9), (0.0, 0.1, 0.3)), 0.25)
    0.05
    """
    for (low, cheap), (high, dear) in pairwise(zip(curve.rates, curve.costs, strict=True)):
        if rate <= high:
            return cheap + (dear - cheap) * (rate - low) / (high - low)
    return math.inf


def loss_curves(rows: Iterable[Row]) -> dict[str, Curve]:
    """For every layer, in the order of the rows, the increase of the loss over its rate."""
    return _curves((row["layer"], row["rate"], row[INCREASE]) for row in rows)


def added_curves(rows: Sequence[Row]) -> dict[str, Curve]:
    """For every layer, in the order of the rows, what is least where the sum over layers is least.

    That is the deviation, where the rows tell it: errors of layers that are about independent add up in the square,
    and what a layer adds to the loss is lost in the noise of few images. Of older rows it is the increase of the loss.
    """
    if not rows or any(DEVIATION not in row for row in rows):
        return loss_curves(rows)
    curves = _curves((row["layer"], row["rate"], row[DEVIATION]) for row in rows)
    return {layer: _bent(line) for layer, line in curves.items()}


def drop_curves(scanned: Mapping[str, Any]) -> dict[str, Curve]:
    """For every layer of a sensitivity's findings, what its rate costs in quality (0 … 1)."""
    before = quality(scanned["reference"])
    return _curves((row["layer"], row["rate"], before - quality(row)) for row in scanned["rows"])


def within_a_point(scanned: Mapping[str, Any]) -> dict[str, float]:
    """For every layer the largest share that may go, pruned alone, at a cost of at most one point."""
    return {layer: line.rate(ONE_POINT) for layer, line in drop_curves(scanned).items()}


def quality_name(row: Row) -> str:
    """Which measure of the row is its quality."""
    return next((name for name in QUALITIES if name in row), QUALITIES[0])


def quality(row: Row) -> float:
    """The row's quality, a fraction; NaN where it has none."""
    value = row.get(quality_name(row))
    return float(value) if isinstance(value, int | float) else math.nan


def _bent(measured: Curve) -> Curve:
    """With points between those measured where a power of the rate goes through both ends: what is removed by magnitude
    has about the cube of the rate as its mean square. Up to the first it goes on as from that to the second.

    >>> _bent(Curve((0.0, 0.5, 1.0), (0.0, 0.1, 0.4))).costs[:5]  # 0.4 × rate²
    (0.0, 0.00625, 0.025, 0.05625, 0.1)
    """
    points = list(zip(measured.rates, measured.costs, strict=True))
    made = points[:1]
    for place, (start, end) in enumerate(pairwise(points)):
        power = _power(*points[max(place, 1) :][:2])
        for part in range(1, BETWEEN):
            rate = start[0] + (end[0] - start[0]) * part / BETWEEN
            if power and math.isfinite(end[1]):
                made.append((rate, end[1] * (rate / end[0]) ** power))
        made.append(end)
    return Curve(tuple(rate for rate, _ in made), tuple(cost for _, cost in made))


def _power(*points: tuple[float, float]) -> float:
    """The power of the rate that goes through two points (rate, cost); 0 where there is none."""
    if len(points) < 2 or not all(0 < cost < math.inf for _, cost in points):
        return 0.0
    (low, cheap), (high, dear) = points
    return math.log(dear / cheap) / math.log(high / low) if low < high else 0.0


def _curves(points: Iterable[tuple[str, float, float]]) -> dict[str, Curve]:
    layers: dict[str, list[tuple[float, float]]] = {}
    for layer, rate, cost in points:
        layers.setdefault(layer, []).append((rate, cost))
    return {layer: curve(points_of) for layer, points_of in layers.items()}
