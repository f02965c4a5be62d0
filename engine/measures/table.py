"""Every measure: its name, label, kind of value, digits and unit, and how it is written."""

import math
from dataclasses import KW_ONLY, dataclass, replace
from typing import Literal

from engine.text.numbers import (
    MISSING,
    count,
    duration,
    is_finite,
    milliseconds,
    number,
    percent,
    points,
    prefix_of,
    ratio,
    significant,
    size,
)

FIELDS = {"latency": "median_ms", "speedup": "speedup", "throughput": "throughput"}
"""Measures of which a trial has a row for each runtime, precision, batch and thread count, and the row's field."""
Kind = Literal["fraction", "points", "count", "bytes", "milliseconds", "seconds", "ratio", "rate", "number"]
Better = Literal["higher", "lower", ""]
Along = Literal["plot", "rate", "epoch"]


@dataclass(frozen=True)
class Measure:
    """How a measure is called and written, and where it is shown.

    `short` heads a narrow column (by default the measure's name). `digits` are a percentage's decimals. `along` says
    what it can be drawn against: other measures and parameters (`plot`), the rate of a sensitivity step (`rate`), the
    epochs of a training (`epoch`).
    """

    label: str
    kind: Kind
    better: Better = ""
    unit: str = ""
    _: KW_ONLY
    short: str = ""
    digits: int = 2
    from_zero: bool = False
    """Whether an axis of it starts at 0, so that noise in a cost does not look like a difference."""
    along: tuple[Along, ...] = ()
    quality: bool = False
    """Whether a task's models are judged by it; on validation, `validation_` stands before its name."""
    column: int = 0
    """Its place in a study's table, from 1; 0: it has none."""
    only_if_changed: bool = False
    """Whether the table leaves it out where no trial differs from its baseline."""


_PLOT: tuple[Along, ...] = ("plot",)
_CURVE: tuple[Along, ...] = ("plot", "epoch")
_RATE: tuple[Along, ...] = ("plot", "rate")
_BOTH: tuple[Along, ...] = ("plot", "rate", "epoch")

TABLE: dict[str, Measure] = {
    "accuracy": Measure(
        "accuracy", "fraction", "higher", "%", short="test acc.", along=_PLOT, quality=True, column=1
    ),
    "validation_accuracy": Measure(
        "validation accuracy", "fraction", "higher", "%", short="validation", along=_BOTH
    ),
    "map50": Measure("mAP50", "fraction", "higher", "%", short="mAP50", along=_PLOT, column=4),
    "map50_95": Measure(
        "mAP50-95", "fraction", "higher", "%", short="mAP50-95", along=_PLOT, quality=True, column=2
    ),
    "validation_map50": Measure("validation mAP50", "fraction", "higher", "%", along=_CURVE),
    "validation_map50_95": Measure(
        "validation mAP50-95", "fraction", "higher", "%", short="validation", along=_BOTH
    ),
    "agreement": Measure("agreement with baseline", "fraction", "higher", "%", along=_PLOT, column=5),
    "teacher_agreement": Measure(
        "agreement with teacher", "fraction", "higher", "%", short="with teacher", along=_PLOT, column=6
    ),
    "teacher_accuracy": Measure("accuracy of the teacher", "fraction", "higher", "%", along=_PLOT),
    "distillation_gain": Measure(
        "gain over no teacher", "points", "higher", "points", short="gain", along=_PLOT, column=7
    ),
    "balanced_accuracy": Measure(
        "balanced accuracy", "fraction", "higher", "%", short="balanced", along=_PLOT, column=16
    ),
    "worst_class": Measure(
        "accuracy of the worst class", "fraction", "higher", "%", short="worst class", along=_PLOT, column=5
    ),
    "top5": Measure("top-5 accuracy", "fraction", "higher", "%", short="top-5", along=_PLOT, column=15),
    "calibration_error": Measure(
        "expected calibration error", "fraction", "lower", "%", short="calib. error", along=_PLOT, column=17
    ),
    "loss": Measure("loss", "number", "lower", along=_CURVE),
    "validation_loss": Measure("validation loss", "number", "lower", along=("rate", "epoch")),
    "learning_rate": Measure("learning rate", "number", along=("epoch",)),
    "parameters": Measure(
        "parameters",
        "count",
        "lower",
        short="params",
        from_zero=True,
        along=_RATE,
        column=9,
        only_if_changed=True,
    ),
    "nonzero_parameters": Measure(
        "non-zero parameters", "count", "lower", short="non-zero", from_zero=True, along=_PLOT
    ),
    "sparsity": Measure(
        "sparsity",
        "fraction",
        "higher",
        "%",
        short="zeros",
        digits=1,
        along=_PLOT,
        column=8,
        only_if_changed=True,
    ),
    "rate": Measure("share removed", "fraction", "higher", "%", digits=1),
    "macs": Measure("MACs", "count", "lower", "MACs", from_zero=True, along=_RATE),
    "effective_macs": Measure(
        "effective MACs",
        "count",
        "lower",
        "MACs",
        short="eff. MACs",
        from_zero=True,
        along=_PLOT,
        column=12,
    ),
    "size.plain": Measure(
        "size, plain", "bytes", "lower", "B", short="plain", from_zero=True, along=_PLOT, column=14
    ),
    "size.gzip": Measure(
        "size, gzip", "bytes", "lower", "B", short="gzip", from_zero=True, along=_PLOT, column=13
    ),
    "size.packed": Measure(
        "size, packed", "bytes", "lower", "B", short="packed", from_zero=True, along=_RATE, column=10
    ),
    "validation_images": Measure("validation images", "count"),
    "validation_agreement": Measure("agreement with baseline on validation", "fraction", "higher", "%"),
    "images_left_out": Measure("images left out as damaged", "count", "lower"),
    "latency": Measure("latency", "milliseconds", "lower", "ms", from_zero=True, along=_PLOT, column=11),
    "speedup": Measure("speedup", "ratio", "higher", "×", from_zero=True, along=_PLOT),
    "throughput": Measure("throughput", "rate", "higher", "images/s", from_zero=True, along=_PLOT),
    "seconds": Measure("time", "seconds", "lower", "s", from_zero=True),
    "peak_memory": Measure("peak memory", "bytes", "lower", "B", from_zero=True),
}
"""Every measure by its name. A new one is a row here and the code that takes it; lists are in the table's order."""


def drawn(along: Along) -> tuple[str, ...]:
    """The measures that can be drawn along epochs, a step's rate, or whatever a plot has.

    >>> drawn("rate")
    ('validation_accuracy', 'validation_map50_95', 'validation_loss', 'parameters', 'macs', 'size.packed')
    """
    return tuple(name for name, known in TABLE.items() if along in known.along)


QUALITIES = tuple(name for name, known in TABLE.items() if known.quality)
"""What models are judged by, by task: classification, detection. On validation, `validation_` before it."""


def measure(name: str) -> Measure:
    """The format of a measure or of a swept parameter, by its dotted name.

    >>> measure("latency.onnxruntime.1").label
    'latency, onnxruntime, batch 1'
    >>> measure("throughput.torch.32.bf16.2t").label
    'throughput, torch, batch 32, bf16, 2 threads'
    >>> measure("prune.weights.sparsity").unit
    '%'
    """
    if name in TABLE:
        return TABLE[name]
    first, *rest = name.split(".")
    if first in FIELDS:
        return replace(TABLE[first], label=", ".join([TABLE[first].label, *map(row_place, rest)]))
    # A parameter that is called as a share is one: `prune.weights.sparsity`.
    if rest and rest[-1] in TABLE and TABLE[rest[-1]].kind == "fraction":
        return replace(TABLE[rest[-1]], label=name)
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
    if not is_finite(value):
        return MISSING
    if is_finite(deviation):
        return mean_deviation(value, deviation, name)
    known = measure(name)
    match known.kind:
        case "fraction":
            return percent(value, known.digits)
        case "points":
            return points(value)
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
    known = measure(name)
    text = points(change, known.digits) if known.kind == "fraction" else measure_text(name, change)
    return f"+{text}" if is_finite(change) and change > 0 else text


def mean_deviation(mean: float | None, deviation: float | None, name: str = "") -> str:
    """`91.4 ± 0.3 %`: the deviation to one digit (two if it starts with 1), the mean to the same decimals.

    `name` is the measure, which gives the unit; both numbers share the prefix of the mean.
    """
    if not is_finite(mean) or not is_finite(deviation):
        return measure_text(name, mean)
    divisor, unit = axis_unit(measure(name), mean)
    mean, deviation = mean / divisor, abs(deviation) / divisor
    if max(abs(mean), deviation) >= 1e6:
        return f"{number(mean)} ± {number(deviation)}{unit}"
    decimals = _deviation_decimals(deviation)
    return f"{mean:z.{decimals}f} ± {deviation:.{decimals}f}{unit}"


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
