"""Every measure: its name, label, kind of value, digits and unit, and how it is written."""

import math
from dataclasses import dataclass, replace
from typing import Literal

from engine.text.numbers import (
    MISSING,
    _finite,
    count,
    duration,
    milliseconds,
    number,
    percent,
    prefix_of,
    ratio,
    significant,
    size,
)

Kind = Literal["fraction", "points", "count", "bytes", "milliseconds", "seconds", "ratio", "rate", "number"]


Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Measure:
    """How a measure is called and written, and which direction is better."""

    label: str
    kind: Kind
    better: Better = ""
    unit: str = ""
    from_zero: bool = False
    """Whether an axis of it starts at 0, so that noise in a cost does not look like a difference."""


MEASURE_FORMATS: dict[str, Measure] = {
    "accuracy": Measure("accuracy", "fraction", "higher", "%"),
    "validation_accuracy": Measure("validation accuracy", "fraction", "higher", "%"),
    "map50": Measure("mAP50", "fraction", "higher", "%"),
    "map50_95": Measure("mAP50-95", "fraction", "higher", "%"),
    "validation_map50": Measure("validation mAP50", "fraction", "higher", "%"),
    "validation_map50_95": Measure("validation mAP50-95", "fraction", "higher", "%"),
    "agreement": Measure("agreement with baseline", "fraction", "higher", "%"),
    "teacher_agreement": Measure("agreement with teacher", "fraction", "higher", "%"),
    "teacher_accuracy": Measure("accuracy of the teacher", "fraction", "higher", "%"),
    "distillation_gain": Measure("gain over no teacher", "points", "higher", "points"),
    "sparsity": Measure("sparsity", "fraction", "higher", "%"),
    "rate": Measure("share removed", "fraction", "higher", "%"),
    "loss": Measure("loss", "number", "lower"),
    "validation_loss": Measure("validation loss", "number", "lower"),
    "parameters": Measure("parameters", "count", "lower", from_zero=True),
    "nonzero_parameters": Measure("non-zero parameters", "count", "lower", from_zero=True),
    "macs": Measure("MACs", "count", "lower", "MACs", from_zero=True),
    "effective_macs": Measure("effective MACs", "count", "lower", "MACs", from_zero=True),
    "size.plain": Measure("size, plain", "bytes", "lower", "B", from_zero=True),
    "size.gzip": Measure("size, gzip", "bytes", "lower", "B", from_zero=True),
    "size.packed": Measure("size, sparse-packed", "bytes", "lower", "B", from_zero=True),
    "latency": Measure("latency", "milliseconds", "lower", "ms", from_zero=True),
    "speedup": Measure("speedup", "ratio", "higher", "×", from_zero=True),
    "throughput": Measure("throughput", "rate", "higher", "images/s", from_zero=True),
    "seconds": Measure("time", "seconds", "lower", "s", from_zero=True),
    "peak_memory": Measure("peak memory", "bytes", "lower", "B", from_zero=True),
}


def measure(name: str) -> Measure:
    """The format of a measure or of a swept parameter, by its dotted name.

    >>> measure("latency.onnxruntime.1").label
    'latency, onnxruntime, batch 1'
    >>> measure("throughput.torch.32.bf16.2t").label
    'throughput, torch, batch 32, bf16, 2 threads'
    >>> measure("prune.weights.sparsity").unit
    '%'
    """
    if name in MEASURE_FORMATS:
        return MEASURE_FORMATS[name]
    first, *rest = name.split(".")
    if first in ("latency", "speedup", "throughput"):
        known = MEASURE_FORMATS[first]
        return replace(known, label=", ".join([known.label, *map(row_place, rest)]))
    if rest and rest[-1] in ("sparsity", "accuracy"):
        return replace(MEASURE_FORMATS[rest[-1]], label=name)
    return Measure(name, "number")


def row_place(part: str) -> str:
    """A part of the name of a latency, in words.

    >>> [row_place(part) for part in ("onnxruntime", "1", "bf16", "2t")]
    ['onnxruntime', 'batch 1', 'bf16', '2 threads']
    """
    if part.isdigit():
        return f"batch {part}"
    number = part.removesuffix("t")
    if number != part and number.isdigit():
        return f"{number} thread{'' if number == '1' else 's'}"
    return part


def measure_text(name: str, value: float | None, deviation: float | None = None) -> str:
    """A value of a measure with its unit; with a deviation, as `mean ± deviation`.

    >>> measure_text("accuracy", 0.9137), measure_text("macs", 40_560_000)
    ('91.37 %', '40.6 MMACs')
    """
    if not _finite(value):
        return MISSING
    if _finite(deviation):
        return mean_deviation(value, deviation, name)
    known = measure(name)
    match known.kind:
        case "fraction":
            return percent(value, 1 if known.label.endswith(("sparsity", "removed")) else 2)
        case "points":
            return percent(value).replace("%", "points")
        case "count":
            return count(value, known.unit)
        case "bytes":
            return size(value)
        case "milliseconds":
            return milliseconds(value)
        case "seconds":
            return duration(value)
        case "ratio":
            return ratio(value)
        case "rate":
            return f"{significant(value, 3)} {known.unit}"
        case "number":
            return number(value)


def change_text(name: str, change: float | None) -> str:
    """A difference of two values of a measure, with its sign: that of two percentages is in points.

    >>> change_text("accuracy", -0.0035), change_text("parameters", 1200)
    ('-0.35 points', '+1.20 k')
    """
    sign = "+" if _finite(change) and change > 0 else ""
    return sign + measure_text(name, change).replace("%", "points")


def mean_deviation(mean: float | None, deviation: float | None, name: str = "") -> str:
    """`91.4 ± 0.3 %`: the deviation to one digit (two if it starts with 1), the mean to the same decimals.

    `name` is the measure, which gives the unit; both numbers share the prefix of the mean.
    """
    if not _finite(mean) or not _finite(deviation):
        return measure_text(name, mean)
    divisor, unit = axis_unit(measure(name), mean)
    mean, deviation = mean / divisor, abs(deviation) / divisor
    if max(abs(mean), deviation) >= 1e6:
        return f"{number(mean)} ± {number(deviation)}{unit}"
    decimals = _deviation_decimals(deviation)
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}{unit}"


def axis_unit(known: Measure, largest: float) -> tuple[float, str]:
    """What to divide values by, and the unit to write after them, where the largest is `largest`."""
    match known.kind:
        case "fraction":
            return 0.01, " %"
        case "points":
            return 0.01, " points"
        case "count" | "bytes":
            divisor, prefix = prefix_of(largest)
            return divisor, f" {prefix}{known.unit}".rstrip()
        case "milliseconds" | "seconds" | "rate":
            return 1.0, f" {known.unit}"
        case "ratio":
            return 1.0, known.unit
        case "number":
            return 1.0, ""


def _deviation_decimals(deviation: float) -> int:
    if deviation < 1e-6:
        return 2
    digits = 1 if f"{deviation:.1e}".startswith("1") else 0
    exponent = math.floor(math.log10(float(f"{deviation:.{digits}e}")))
    return max(0, min(6, digits - exponent))


QUALITIES = ("accuracy", "map50_95")
"""What models are judged by, by task: classification, detection. On validation, `validation_` before it."""
