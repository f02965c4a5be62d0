"""How a runtime takes widths that do not fill whole vectors, found by timing a few layers.

Runtimes compute channels in vectors of 16 or 8, some of outputs alone, and some take another way where widths are no
multiples of 4 (ONNX Runtime's convolutions, by up to 5 × in depthwise ones). Which, no grid of whole vectors shows;
but it is the same in all layers of a sort, so that one of each is timed.
"""

from collections.abc import Iterable, Mapping
from typing import Literal

from engine.compute.latency.layers import LayerConfig
from engine.measures.layer_times import ALIGNED, VECTOR, PartVectors

Sort = Literal["depthwise", "1x1", "kernel", "linear"]

Parts = Mapping[Sort | None, tuple[PartVectors, ...]]
"""Of inputs and of outputs, for each sort of layer; of one that is missing, nothing is known."""

WHOLE = 2 * VECTOR
"""Channels that the parts of a third vector are added to."""
FULL = WHOLE + VECTOR
QUARTERS = tuple(range(WHOLE + ALIGNED, FULL, ALIGNED))
UNALIGNED = FULL - ALIGNED - 2
"""Channels that are no multiple of 4."""
SLOWER = 1.15
"""From what factor on such a width goes another way; below, it is noise."""
MOST = 1.5
"""Share of a vector's time that a part of it takes at most; more than 1, where what is left of it is masked."""
LEAST_RISE = 0.05
"""Share of a layer's time that the third vector takes at least, for its parts to be told apart."""
PROBES: dict[Sort, LayerConfig] = {
    "kernel": LayerConfig("conv", 64, 64, 14, 14, (3, 3), padding=(1, 1)),
    "1x1": LayerConfig("conv", 64, 64, 14, 14),
    "linear": LayerConfig("linear", 64, 64, height=49),
    "depthwise": LayerConfig("conv", 64, 64, 14, 14, (3, 3), padding=(1, 1), groups="depthwise"),
}
"""A layer of each sort: usual, and some microseconds long."""


def sort_of(layer: LayerConfig) -> Sort | None:
    """What sort of layer it is; none for convolutions of a few groups, of which part vectors are not known."""
    if layer.kind == "linear":
        return "linear"
    if layer.groups == "depthwise":
        return "depthwise"
    if layer.groups != 1:
        return None
    return "1x1" if layer.kernel == (1, 1) else "kernel"


def part_probes(layers: Iterable[LayerConfig]) -> list[LayerConfig]:
    """What has to be timed to know the `part_vectors` of these layers."""
    sorts = dict.fromkeys(map(sort_of, layers))
    needed = (probe for sort in sorts if sort for widths in _axes(sort) for probe in widths.values())
    return list(dict.fromkeys(needed))


def part_vectors(times: Mapping[LayerConfig, float]) -> Parts:
    """Of each sort of layer of which `times` has the `part_probes`."""
    return {
        sort: tuple(
            _fitted({width: times[probe] for width, probe in widths.items()}) for widths in _axes(sort)
        )
        for sort, probe in PROBES.items()
        if all(one in times for widths in _axes(sort) for one in widths.values())
    }


def _axes(sort: Sort) -> list[dict[int, LayerConfig]]:
    """The probes of inputs, then of outputs, by their width; a depthwise layer has one width only."""
    layer, widths = PROBES[sort], (WHOLE, *QUARTERS, UNALIGNED, FULL)
    if sort == "depthwise":
        return [{width: layer.resized(width, width) for width in widths}]
    return [
        {width: layer.resized(width, layer.outputs) for width in widths},
        {width: layer.resized(layer.inputs, width) for width in widths},
    ]


def _fitted(times: Mapping[int, float]) -> PartVectors:
    start, rise = times[WHOLE], times[FULL] - times[WHOLE]
    shares = [(width - WHOLE) / VECTOR for width in QUARTERS]
    if rise > LEAST_RISE * times[FULL]:
        shares = [min(max((times[width] - start) / rise, 0.0), MOST) for width in QUARTERS]
    in_line = max(times[width] for width in QUARTERS if width > UNALIGNED)
    proportional = start + max(rise, 0.0) * (UNALIGNED - WHOLE) / VECTOR
    slower = times[UNALIGNED] > SLOWER * in_line
    first, second, third = shares
    return PartVectors((first, second, third), times[UNALIGNED] / proportional if slower else 1.0)
