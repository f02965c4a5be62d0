"""Numbers as people read them: one way to write every measure, used by every view.

Prefixes are decimal for bytes too (1 kB = 1000 B): a row shows parameters, MACs and bytes side by
side, and with one kind of prefix 1.08 M parameters of 4 bytes can be seen to be 4.32 MB.
"""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeGuard

Kind = Literal["fraction", "points", "count", "bytes", "milliseconds", "seconds", "ratio", "rate", "number"]
Better = Literal["higher", "lower", ""]
Align = Literal["left", "right"]

MISSING = "–"
"""What stands for a value that is absent or not finite."""
LONGEST = 1e12
"""Seconds beyond which days say no more than the number itself."""
PREFIXES = ("", "k", "M", "G", "T", "P", "E")
NARROWEST = 8
"""Columns below which an abbreviated text column says nothing any more."""


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


def percent(fraction: float | None, decimals: int = 2) -> str:
    """A fraction in 0..1 as a percentage: 0.9137 → `91.37 %`."""
    if not _finite(fraction):
        return MISSING
    return f"{fraction * 100:.{decimals}f} %" if abs(fraction) < 1e4 else f"{number(fraction)} (×100 %)"


def change_text(name: str, change: float | None) -> str:
    """A difference of two values of a measure, with its sign: that of two percentages is in points.

    >>> change_text("accuracy", -0.0035), change_text("parameters", 1200)
    ('-0.35 points', '+1.20 k')
    """
    sign = "+" if _finite(change) and change > 0 else ""
    return sign + measure_text(name, change).replace("%", "points")


def count(value: float | None, unit: str = "") -> str:
    """A count with three significant digits and a decimal prefix: 1 080 000 → `1.08 M`."""
    if not _finite(value):
        return MISSING
    value = float(value)
    divisor, prefix = prefix_of(value)
    text = f"{value:.0f}" if divisor == 1 and value == int(value) else significant(value / divisor, 3)
    return f"{text} {prefix}{unit}".rstrip()


def size(value: float | None) -> str:
    """Bytes: 4 321 000 → `4.32 MB`."""
    return count(value, "B")


def milliseconds(value: float | None) -> str:
    """Milliseconds, never with more digits than a timer earns: `0.68 ms`, `16.9 ms`, `142 ms`."""
    if not _finite(value):
        return MISSING
    return f"{significant(value, 2 if abs(value) < 1 else 3)} ms"


def duration(seconds: float | None) -> str:
    """A length of time in its two largest units: `0.4 s`, `42 s`, `1 m 20 s`, `3 h 5 m`, `2 d 4 h`."""
    if not _finite(seconds):
        return MISSING
    if abs(seconds) > LONGEST:
        return f"{number(seconds)} s"
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} m"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def ratio(value: float | None) -> str:
    """A factor: `1.02×` (near 1 the second decimal decides), `3.7×`, `142×`."""
    if not _finite(value):
        return MISSING
    decimals = 2 if abs(value) < 2 else 1 if abs(value) < 100 else 0
    return f"{value:.{decimals}f}×" if abs(value) < 1e6 else f"{number(value)}×"


def number(value: float | None) -> str:
    """Any other number: whole ones in full, others with four significant digits."""
    if not _finite(value):
        return MISSING
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.4g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


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


def age(seconds: float | None) -> str:
    """How long ago something happened: `just now`, `40 s ago`, `3 h ago`, `5 d ago`."""
    if not _finite(seconds):
        return MISSING
    if seconds < 5:
        return "just now"
    for divisor, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds >= divisor:
            return f"{int(seconds // divisor)} {unit} ago"
    return f"{int(seconds)} s ago"


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


def prefix_of(value: float) -> tuple[float, str]:
    """The decimal prefix that leaves 1 to 999 before the point, after rounding to three digits."""
    rounded = abs(float(f"{value:.3g}"))
    power = 0
    while power < len(PREFIXES) - 1 and rounded >= 1000 ** (power + 1):
        power += 1
    return float(1000**power), PREFIXES[power]


def significant(value: float, digits: int) -> str:
    """A number with that many significant digits, zeros kept: 1.0 with three is `1.00`."""
    if value == 0:
        return "0"
    if not 1e-6 <= abs(value) < 1e6:
        return number(value)
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{value:.{max(0, digits - 1 - exponent)}f}"


def to_ascii(text: str) -> str:
    """The same text for terminals that show ASCII only: `×` → `x`, `±` → `+-`, accents dropped, else `?`."""
    spelled = "".join(ASCII_SPELLING.get(letter, letter) for letter in text)
    letters = (
        letter for letter in unicodedata.normalize("NFKD", spelled) if not unicodedata.combining(letter)
    )
    return "".join(letter if " " <= letter <= "~" else "?" for letter in letters)


ASCII_SPELLING = {"×": "x", "±": "+-", "–": "-", "—": "-", "−": "-", "…": "...", "·": ".", "─": "-", "╌": "-"}


def cell_width(text: str) -> int:
    """Columns a terminal needs for the text: 2 for wide characters, 0 for combining ones."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(_letter_width(letter) for letter in text)


def abbreviate(text: str, width: int, ellipsis: str = "…") -> str:
    """The text in at most `width` columns, its end replaced by an ellipsis where it does not fit."""
    if cell_width(text) <= width:
        return text
    if width <= len(ellipsis):
        return ellipsis[: max(width, 0)]
    kept = ""
    for letter in text:
        if cell_width(kept + letter) > width - len(ellipsis):
            break
        kept += letter
    return kept + ellipsis


def table(
    headers: Sequence[str],
    rows: Sequence[Sequence[str]],
    align: Sequence[Align] = (),
    width: int | None = None,
    ascii_only: bool = False,
) -> str:
    """Columns of text under headers, fitted to `width` columns.

    Too wide a table first abbreviates its left-aligned (text) columns, then drops columns from the
    right and ends the header with an ellipsis. Right-aligned columns are numbers: they are shown whole
    or not at all. Without `align` the first column is text and the others numbers.
    """
    spell = to_ascii if ascii_only else _one_line
    ellipsis = "..." if ascii_only else "…"
    cells = [[spell(str(text)) for text in row] for row in (headers, *rows)]
    columns = max(len(row) for row in cells)
    if not columns:
        return ""
    cells = [row + [""] * (columns - len(row)) for row in cells]
    rest: list[Align] = ["right"] * columns
    sides: list[Align] = [*(align or ("left",)), *rest][:columns]
    widths = [max(cell_width(row[i]) for row in cells) for i in range(columns)]
    if width is not None:
        widths = _fit_columns(widths, sides, width, len(ellipsis))
    dropped = len(widths) < columns
    lines = [_table_line(row, widths, sides, ellipsis) for row in cells]
    rule = "  ".join(("-" if ascii_only else "─") * column for column in widths)
    if dropped:
        lines[0] += f" {ellipsis}"
    lines = [lines[0].rstrip(), rule, *(line.rstrip() for line in lines[1:])]
    return "\n".join(line if width is None else abbreviate(line, width, ellipsis) for line in lines)


def _fit_columns(widths: Sequence[int], sides: Sequence[Align], width: int, ellipsis: int) -> list[int]:
    """Column widths that fit: the last columns go until the rest, its text abbreviated, has room."""
    least = [
        min(column, NARROWEST) if side == "left" else column
        for column, side in zip(widths, sides, strict=True)
    ]
    shown = len(widths)
    while shown > 1 and sum(least[:shown]) > _room(width, shown, len(widths), ellipsis):
        shown -= 1
    fitted = list(widths[:shown])
    while sum(fitted) > _room(width, shown, len(widths), ellipsis):
        texts = [i for i in range(shown) if fitted[i] > least[i]]
        if not texts:
            break
        fitted[max(texts, key=lambda i: fitted[i])] -= 1
    return fitted


def _room(width: int, shown: int, columns: int, ellipsis: int) -> int:
    """Columns of the terminal left for cells, without the gaps and the sign that columns were dropped."""
    return width - 2 * (shown - 1) - (ellipsis + 1 if shown < columns else 0)


def _table_line(row: Sequence[str], widths: Sequence[int], sides: Sequence[Align], ellipsis: str) -> str:
    parts = []
    for text, column, side in zip(row, widths, sides, strict=False):
        short = abbreviate(text, column, ellipsis)
        gap = " " * (column - cell_width(short))
        parts.append(short + gap if side == "left" else gap + short)
    return "  ".join(parts)


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)


def _letter_width(letter: str) -> int:
    if unicodedata.combining(letter) or not letter.isprintable():
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _deviation_decimals(deviation: float) -> int:
    if deviation < 1e-6:
        return 2
    digits = 1 if f"{deviation:.1e}".startswith("1") else 0
    exponent = math.floor(math.log10(float(f"{deviation:.{digits}e}")))
    return max(0, min(6, digits - exponent))


def _finite(value: float | None) -> TypeGuard[float]:
    try:
        return value is not None and math.isfinite(value)
    except OverflowError:  # an int beyond every float
        return False
