"""A trial's network layer by layer, beside what it was in the baseline."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.results import sensitivity, tolerance
from engine.results.layers import Forms, losses, of_layer, of_trial, words
from engine.studies.rundir import RunDir
from engine.studies.state import TrialState


@dataclass(frozen=True)
class Layer:
    """One layer; `before` counts its parameters in the baseline (as many as now where that has none).

    `was` is its weight's shape there; `within` is, by what was removed alone, the share that costs a point; `forms`
    is what steps made of its weights, `lost` the energy that this cost.
    """

    name: str
    type: str
    shape: tuple[int, ...]
    before: int
    parameters: int
    nonzero: int
    sparsity: float
    macs: int
    effective_macs: int
    place: int
    was: tuple[int, ...] = ()
    within: Mapping[str, float] = field(default_factory=dict)
    forms: str = ""
    lost: str = ""

    @property
    def changed(self) -> bool:
        return self.was != self.shape


def joined(
    after: Sequence[Any],
    before: Sequence[Any],
    within: Mapping[str, Mapping[str, float]] | None = None,
    forms: Forms | None = None,
) -> list[Layer]:
    """The layers with what they were, matched by name; what can't be understood is left out.

    `within` is what sensitivity steps found: by what they removed, each layer's share within a point. `forms` is what
    steps made of the layers.
    """
    first = {row.get("name"): row for row in before if isinstance(row, dict)}
    out = []
    for place, row in enumerate(after):
        layer = _layer(row, place)
        if layer is not None:
            then = _layer(first.get(layer.name), place) or layer
            short = layer.name.removesuffix(".weight")
            shares = {of: by_layer[short] for of, by_layer in (within or {}).items() if short in by_layer}
            made = of_layer(forms or {}, layer.name)
            layer = replace(layer, before=then.parameters, was=then.shape, within=shares)
            out.append(replace(layer, forms=words(made), lost=losses(made)))
    return out


def within_a_point(trial: TrialState) -> dict[str, dict[str, float]]:
    """What the trial's sensitivity steps found, for `joined`."""
    return {of: tolerance.within_a_point(scanned) for of, scanned in sensitivity.of_trial(trial).items()}


def _layer(row: Any, place: int) -> Layer | None:
    if not isinstance(row, dict):
        return None
    try:
        parameters, sparsity = int(row["parameters"]), float(row["sparsity"])
        return Layer(
            str(row["name"]),
            str(row["type"]),
            tuple(int(n) for n in row["shape"]),
            parameters,
            parameters,
            int(row.get("nonzero", round(parameters * (1 - sparsity)))),
            sparsity,
            int(row["macs"]),
            int(row["effective_macs"]),
            place,
        )
    except (KeyError, TypeError, ValueError):
        return None


def shape(layer: Layer) -> str:
    """The weight's shape, with what it was where that is another: `16→9×3×3×3`."""
    if not layer.changed or len(layer.was) != len(layer.shape):
        return "×".join(map(str, layer.shape))
    pairs = zip(layer.was, layer.shape, strict=True)
    return "×".join(str(now) if then == now else f"{then}→{now}" for then, now in pairs)


def of(run: RunDir, trial: TrialState) -> list[Layer]:
    """The layers of a study's trial with what they were, as its measuring counted them; none while it has not."""
    return joined(
        run.layers(trial.measure.key),
        run.layers(trial.baseline_measure.key),
        within_a_point(trial),
        of_trial(trial),
    )
