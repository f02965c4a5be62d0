"""Sensitivity curves: a measure over the share of a layer that is removed, a line for every layer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from engine.charts.lines import mean
from engine.charts.owner import Owner
from engine.errors import UsageError
from engine.measures.table import measure
from engine.plotting.axis import Scale
from engine.plotting.figure import Figure, Reference, Series
from engine.plotting.palette import SHAPES
from engine.results import tolerance
from engine.results.sensitivity import Scan, scans, steps_of
from engine.studies.state import StudyState

RATE = "rate"
"""The x axis's measure; in a study with several sensitivity steps each one's is `STEP.rate`."""
LAYER = "layer"
MOST = len(SHAPES)
"""Lines drawn unless layers are named: as many as markers can tell apart."""
UNPRUNED = "unpruned"
EVERY = ("*",)
"""Layers to name for all of them."""


@dataclass(frozen=True)
class _Drawn:
    """A scan with the layers of it that are drawn, and what its lines' names start with."""

    state: StudyState
    scan: Scan
    layers: list[str]
    prefix: str


def names(states: Sequence[StudyState]) -> list[str]:
    """What can be drawn along: `rate`, or `STEP.rate` where steps have to be told apart."""
    addresses = _addresses(states)
    return [RATE] if len(addresses) == 1 else [f"{address}.{RATE}" for address in addresses]


def is_rate(name: str, states: Sequence[StudyState]) -> bool:
    """Whether the name is the rate of a sensitivity step. Raises UsageError where it may be that of several."""
    addresses = _addresses(states)
    if name == RATE and len(addresses) > 1:
        raise UsageError(
            f"There are {len(addresses)} sensitivity steps", "", f"Choose from {', '.join(names(states))}."
        )
    return bool(addresses) and (name == RATE or name in [f"{address}.{RATE}" for address in addresses])


def without_tables(states: Sequence[StudyState], x: str) -> UsageError | None:
    """Why nothing can be drawn along `x`, the rate of a sensitivity step; None where there is something."""
    if _scans(states, x):
        return None
    found = [name for name in names(states) if _scans(states, name)]
    done = any(
        step.status == "done" for state in states for trial in state.trials for step in steps_of(trial)
    )
    return UsageError(
        f"There are no tables of {x.removesuffix(f'.{RATE}')}",
        "No step has measured them"
        + (", as where a search's budget did not pay for them." if done else " yet."),
        f"Choose --x {' or '.join(found)}." if found else "Leave out --x to draw the trials.",
    )


def measures(states: Sequence[StudyState]) -> list[str]:
    """What can be drawn of each layer."""
    return list(dict.fromkeys(name for state in states for scan in scans(state) for name in scan.measures))


def layers(states: Sequence[StudyState], x: str) -> list[str]:
    """The layers that there are lines of."""
    return list(dict.fromkeys(layer for _, scan in _scans(states, x) for layer in scan.layers))


def within_a_point(states: Sequence[StudyState], x: str) -> dict[str, float]:
    """For every layer the share that costs at most one point; of several scans the least."""
    rates: dict[str, float] = {}
    for _, scan in _scans(states, x):
        for layer, share in tolerance.within_a_point(scan.mean()).items():
            rates[layer] = min(share, rates.get(layer, 1.0))
    return rates


def figure(
    states: Sequence[StudyState], x: str, y: str, wanted: Sequence[str] = (), *, scale: Scale = "linear"
) -> Figure:
    """The curves of the layers that `wanted` names (or globs), of several studies and seeds as their mean.

    A point's owner is its step's trials.
    Without `wanted` at most eight are drawn, chosen evenly from the least to the most sensitive. An unfinished
    step has no lines yet. Raises UsageError when y names nothing measured, or an entry of `wanted` no layer.
    """
    drawn = _chosen(states, x, wanted)
    name = _measure(y, drawn)
    total = len(layers(states, x))
    shown = len({layer for one in drawn for layer in one.layers})
    return Figure(
        title=f"{shown} of {total} layers" if shown < total else "",
        x_label="share of the layer removed",
        y_label=measure(name).label,
        series=tuple(_line(one, layer, name) for one in drawn for layer in one.layers),
        references=tuple(_references(drawn, name)),
        y_scale=scale,
        x_measure=RATE,
        y_measure=name,
    )


def _addresses(states: Sequence[StudyState]) -> list[str]:
    """Every sensitivity step, finished or not."""
    steps = (step for state in states for trial in state.trials for step in steps_of(trial))
    return list(dict.fromkeys(step.address for step in steps))


def _scans(states: Sequence[StudyState], x: str) -> list[tuple[StudyState, Scan]]:
    return [
        (state, scan) for state in states for scan in scans(state) if x in (RATE, f"{scan.address}.{RATE}")
    ]


def _chosen(states: Sequence[StudyState], x: str, wanted: Sequence[str]) -> list[_Drawn]:
    scans = _scans(states, x)
    known = layers(states, x)
    for pattern in wanted if known else ():
        if not any(fnmatchcase(layer, pattern) for layer in known):
            raise UsageError(
                f"There is no layer {pattern}",
                f"Layers: {', '.join(known)}.",
                "Name some of these, or use a pattern such as layer3.*",
            )
    out = []
    for state, scan in scans:
        few = _spread(scan, max(1, MOST // len(scans)))
        shown = [n for n in scan.layers if any(fnmatchcase(n, p) for p in wanted)] if wanted else few
        parts = [state.name if len(states) > 1 else "", scan.label]
        out.append(_Drawn(state, scan, shown, "".join(f"{part} " for part in parts if part)))
    return out


def _spread(scan: Scan, most: int) -> list[str]:
    """At most so many layers, evenly from the least to the most sensitive, in the model's order."""
    layers = scan.layers
    if len(layers) <= most:
        return layers
    curves = tolerance.drop_curves(scan.mean())
    ranked = sorted(layers, key=lambda layer: sum(curves[layer].costs) if layer in curves else 0.0)
    last = len(ranked) - 1
    kept = {ranked[round(i * last / max(most - 1, 1))] for i in range(most)}
    return [layer for layer in layers if layer in kept]


def _measure(y: str, drawn: Sequence[_Drawn]) -> str:
    """`y` as a row has it: measured on validation images; `accuracy` is what the task is judged by."""
    known = list(dict.fromkeys(name for one in drawn for name in one.scan.measures))
    if y in known or not drawn:
        return y
    if f"validation_{y}" in known:
        return f"validation_{y}"
    if y == "accuracy":
        return tolerance.quality_name(drawn[0].scan.runs[0]["reference"])
    raise UsageError(
        f"There is no {y} of a layer that is pruned alone", f"Measures: {', '.join(known)}.", "Choose --y."
    )


def _line(one: _Drawn, layer: str, name: str) -> Series:
    owner = Owner(one.state, one.scan.trials)
    points = tuple(mean([rate], values, owner) for rate, values in one.scan.values(layer, name).items())
    return Series(one.prefix + layer, points)


def _references(drawn: Sequence[_Drawn], name: str) -> Iterable[Reference]:
    for one in drawn:
        value = one.scan.mean()["reference"].get(name)
        if isinstance(value, int | float):
            yield Reference(f"{one.prefix}{UNPRUNED}", float(value))
