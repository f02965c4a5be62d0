"""What sensitivity steps found, as text: a row for every layer, a column for every rate."""

import math
from collections.abc import Iterable

from engine.measures.table import measure
from engine.results.sensitivity import Scan, scans
from engine.results.tolerance import ONE_POINT, drop_curves, quality, quality_name
from engine.studies.state import StudyState
from engine.text import numbers
from engine.text import tables as tables_module


def tables(state: StudyState, width: int | None) -> Iterable[str]:
    """A heading and a table for every sensitivity step of a trial; seeds as their mean. A search's own, which stand
    beside its baseline, are in charts and in `secateur solve`."""
    for scan in (one for one in scans(state) if not one.beside):
        yield f"{heading(scan)}\n{table(scan, width)}"


def heading(scan: Scan) -> str:
    """What was removed and what the numbers are."""
    reference = scan.mean()["reference"]
    name = quality_name(reference)
    ranked = f", by {scan.criterion}" if scan.of in ("weights", "channels") else ""
    which = " ".join(part for part in (scan.address, scan.label and f"({scan.label})") if part)
    return (
        f"{which}: change of {measure(name).label} in points when this share of one layer's {scan.of} alone is "
        f"removed{ranked} (of none: {numbers.percent(quality(reference))})"
    )


def table(scan: Scan, width: int | None) -> str:
    """Layer × rate, after the share that costs at most one point; what has no room goes from the right."""
    mean = scan.mean()
    rates = sorted({float(row["rate"]) for row in mean["rows"]})
    before = quality(mean["reference"])
    values = {(row["layer"], float(row["rate"])): quality(row) - before for row in mean["rows"]}
    curves = drop_curves(mean)
    headers = ["layer", "≤ 1 point", *(numbers.percent(rate, 0) for rate in rates)]
    rows = [
        [
            layer,
            numbers.percent(curves[layer].rate(ONE_POINT), 0),
            *(_points(values.get((layer, rate))) for rate in rates),
        ]
        for layer in scan.layers
    ]
    return tables_module.table(headers, rows, ["left"], width)


def _points(change: float | None) -> str:
    return numbers.MISSING if change is None or math.isnan(change) else f"{100 * change:+z.2f}"
