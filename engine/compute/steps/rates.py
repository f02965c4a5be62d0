"""From what pruning each layer alone costs to a rate for every layer.

Layers get the rates at which the loss is predicted to rise alike, after Han et al. 2015 ("Learning both Weights
and Connections"), who read such curves by eye: tolerant layers give more, sensitive ones less.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from torch import Tensor, nn

from engine.compute.models import edits
from engine.errors import SecateurError
from engine.results.tolerance import SHAPES, Curve, Row, added_curves, cost_at, loss_curves
from engine.search.solver import Option, solve
from engine.text.phrases import listed

NOTE = "sensitivity"
"""The model's note: what was found, by what was removed."""
HALVINGS = 60
"""Halvings of an interval: enough for every bit that a rate has."""

TINY = 1e-9
"""Share that sums of floats may miss."""
LEVELS = 32
"""Rates of each layer among which the solver chooses, up to the largest one measured."""

Of = Literal["weights", "channels", "bits", "rank"]
Rates = dict[str, float]


def findings(model: nn.Module, of: Of) -> dict[str, Any]:
    """What an earlier `sensitivity` step found on the model: `of`, `criterion`, `reference`, `rows`.

    Raises SecateurError when there was no such step, or layers that it measured are other ones now.
    """
    measured: dict[str, Any] | None = edits.notes(model).get(NOTE, {}).get(of)
    if measured is None:
        raise SecateurError(
            f"There is no sensitivity of the model's {of} to take rates from",
            f"This scope needs what an earlier step `sensitivity: {{of: {of}}}` found.",
            "Put that step before this one, or choose another scope.",
        )
    before = measured.get(SHAPES, {})
    now = shapes(model, before)
    if other := [name.rpartition(".")[0] for name, shape in before.items() if now[name] != shape]:
        raise SecateurError(
            f"The sensitivity of {of} was measured on another network than this one has become",
            f"{listed(other)} had other shapes then, so what it predicts would be wrong.",
            f"Put the step `sensitivity: {{of: {of}}}` right before this one, or choose another scope.",
        )
    return measured


def shapes(model: nn.Module, tensors: Iterable[str]) -> dict[str, list[int]]:
    """The shapes of these weights as they are computed with, by name; none where there is no such weight."""
    modules, found = dict(model.named_modules()), {}
    for name in tensors:
        module, _, tensor = name.rpartition(".")
        weight = getattr(modules.get(module), tensor, None)
        found[name] = list(weight.shape) if isinstance(weight, Tensor) else []
    return found


def rates_for(
    rows: Sequence[Row], sizes: Mapping[str, int], share: float, least: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Rates at one predicted increase of the loss that remove `share` (0 … 1) of all elements together.

    `sizes` has each layer's elements; a layer without rows keeps all of its own. `least` are rates below
    which a layer can't go, because so much is gone already. Where the largest rates measured are not enough,
    all layers go on alike towards 1. Raises SecateurError when even that is not enough.
    """
    curves = {layer: line for layer, line in loss_curves(rows).items() if layer in sizes}
    floor = {layer: (least or {}).get(layer, 0.0) for layer in sizes}

    def removed(rates: Mapping[str, float]) -> float:
        gone = sum(n * max(rates.get(layer, 0.0), floor[layer]) for layer, n in sizes.items())
        return gone / sum(sizes.values())

    low, high = _around(curves, lambda rates: removed(rates) >= share)
    if removed(high) < share - TINY:
        raise SecateurError(
            f"The sensitivity step has too few layers to remove {share:.1%} of the weights",
            f"Without those that it skipped, at most {removed(high):.1%} can go.",
            "Skip the same layers in both steps, or ask for less.",
        )
    _, part = _halved(0.0, 1.0, lambda t: removed(_between(low, high, t)) >= share)
    exact = _between(low, high, part)
    return {layer: max(exact.get(layer, 0.0), floor[layer]) for layer in sizes}


def solved_rates(
    rows: Sequence[Row], sizes: Mapping[str, int], share: float, least: Mapping[str, float] | None = None
) -> dict[str, float]:
    """Rates of least predicted cost in sum that remove `share` (0 … 1) of all elements together.

    What layers cost is taken to add up (SPDY, Frantar & Alistarh 2022): see `added_curves`. Arguments as in
    `rates_for`. Raises SecateurError where the largest rates measured are not enough: nothing is predicted beyond.
    """
    total, floor = sum(sizes.values()), {layer: (least or {}).get(layer, 0.0) for layer in sizes}
    curves = {layer: line for layer, line in added_curves(rows).items() if layer in sizes}
    top = {layer: max(line.rates[-1], floor[layer]) for layer, line in curves.items()}
    most = sum(n * top.get(layer, floor[layer]) for layer, n in sizes.items()) / total
    if most < share - TINY:
        raise SecateurError(
            f"The sensitivity step measured too little to remove {share:.1%} of the weights",
            f"At the largest rates that it measured, {most:.1%} would go, and beyond nothing is predicted.",
            "Add larger values to its rates, skip the same layers in both steps, or ask for less.",
        )
    options = {
        layer: [
            Option(rate, cost_at(line, rate), (n * (1 - rate),))
            for rate in ever_nearer(floor[layer], top[layer], LEVELS)
        ]
        for layer, n in sizes.items()
        if (line := curves.get(layer)) is not None
    }
    fixed = sum(n * (1 - floor[layer]) for layer, n in sizes.items() if layer not in options)
    chosen = solve(options, [max(total * (1 - min(share, most)) - fixed, 0.0) + TINY * total])
    assert chosen is not None, "the largest rates hold the limit"
    rates = {layer: floor[layer] for layer in sizes} | {name: one.level for name, one in chosen.items()}
    return _exactly(rates, floor, sizes, share)


def solved_bits(rows: Sequence[Row], sizes: Mapping[str, int], average: int) -> dict[str, int]:
    """Bits for every layer that has rows, at most `average` over all of their weights (`sizes`), of least predicted
    cost in sum (`added_curves`).

    Raises SecateurError where the fewest bits measured are more than that.
    """
    curves = added_curves(rows)
    measured: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["layer"] in sizes:
            cost = cost_at(curves[row["layer"]], row["rate"])
            measured.setdefault(row["layer"], {})[int(row["bits"])] = cost
    options = {
        layer: [Option(float(bits), cost, (float(sizes[layer] * bits),)) for bits, cost in of.items()]
        for layer, of in measured.items()
    }
    chosen = solve(options, [float(average * sum(sizes[layer] for layer in options))])
    if chosen is None:
        raise SecateurError(
            f"The sensitivity step measured no fewer than {average} bits on average",
            f"Its bits are {', '.join(str(bits) for bits in sorted({b for of in measured.values() for b in of}))}.",
            "Add smaller values to its bits, or ask for more.",
        )
    return {layer: round(one.level) for layer, one in chosen.items()}


def _exactly(rates: Rates, floor: Rates, sizes: Mapping[str, int], share: float) -> Rates:
    """Levels are coarse, so a little too much would go: all that is above the floor is drawn back alike."""
    total = sum(sizes.values())

    def removed(part: float) -> float:
        drawn = _between(floor, rates, part)
        return sum(n * drawn[layer] for layer, n in sizes.items()) / total

    _, part = _halved(0.0, 1.0, lambda t: removed(t) >= share)
    return _between(floor, rates, part)


def ever_nearer(low: float, high: float, count: int) -> list[float]:
    """`count` rates from `low` to `high` (< 1), of which each leaves the same share of what the one before it left.

    Between 0.90 and 0.95 half of what is left goes, which even steps would pass over.

    >>> ever_nearer(0.0, 0.875, 4)
    [0.0, 0.5, 0.75, 0.875]
    """
    left = (1 - high) / (1 - low) if low < high else 1.0
    return [round(1 - (1 - low) * left ** (number / (count - 1)), 12) for number in range(count)]


def _around(curves: Mapping[str, Curve], enough: Callable[[Rates], bool]) -> tuple[Rates, Rates]:
    """The rates at the last level that is not enough, and at the first that is.

    They differ by more than rounding where costs do not rise: a rate then jumps at a level, and all between
    is as good. Below the first level nothing is removed, beyond the last everything is.
    """

    def rates(level: float) -> Rates:
        return {layer: line.rate(level) for layer, line in curves.items()}

    top = max((cost for line in curves.values() for cost in line.costs if math.isfinite(cost)), default=0.0)
    if not enough(rates(top)):
        return rates(top), dict.fromkeys(curves, 1.0)
    if enough(rates(0.0)):
        return dict.fromkeys(curves, 0.0), rates(0.0)
    low, high = _halved(0.0, top, lambda level: enough(rates(level)))
    return rates(low), rates(high)


def _halved(low: float, high: float, enough: Callable[[float], bool]) -> tuple[float, float]:
    """The narrowest interval whose end is `enough` and whose beginning is not, if that holds at first."""
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return low, high


def _between(low: Rates, high: Rates, part: float) -> Rates:
    return {layer: low[layer] + part * (high[layer] - low[layer]) for layer in low}
