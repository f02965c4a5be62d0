"""A chart's numbers as tidy CSV: one row a point, floats written so that they read back exactly."""

import csv
import io

from engine.plotting.figure import Figure, X, finite
from engine.text.visible import visible

COLUMNS = ("series", "x", "y", "deviation")


def write(figure: Figure) -> str:
    """Header and rows as text. Missing and non-finite values are empty; a reference line has no x."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for line in figure.series:
        for point in line.points:
            writer.writerow([visible(line.name), _value(point.x), _value(point.y), _value(point.deviation)])
    for reference in figure.references:
        writer.writerow([visible(reference.name), "", _value(reference.y), ""])
    return out.getvalue()


def _value(value: X) -> str:
    if isinstance(value, str):
        return visible(value)
    return "" if finite(value) is None else repr(value)
