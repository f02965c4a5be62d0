"""The rows of a latency measurement, read by name: one row is one runtime, precision, batch and thread count.

`latency.onnxruntime.1` names the median of ONNX Runtime at batch 1, `throughput.torch.32.bf16.2t` the images a second
of torch at batch 32 in bf16 on two threads; what is left out matches anything, and the first row that matches is
meant. `speedup` is the baseline's time over the model's.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from engine.measures.table import FIELDS, row_place
from engine.params.runtimes import INT8, LARGEST_BATCH, PRECISIONS, RUNTIMES, ProfiledRuntime
from engine.text.numbers import MISSING, duration, milliseconds, percent, ratio, significant

Row = dict[str, Any]

DIMENSIONS = ("runtime", "precision", "batch", "threads")
"""What tells rows of one trial apart."""
NUMBERS = ("batch", "threads")
"""Dimensions that a chart can be drawn along."""
MOST_OPERATORS = 6
"""Kinds of operators that are named of those that an INT8 file leaves in float."""
FASTER = "; with `faster: true`{where} quantize.static keeps only what saves time"
"""What helps in runtimes that quantize.static measures in."""
NOT_SLOWER = 0.95
"""A float model's speed-up from which on it is not called slower than what it was made from."""
NOT_SLOWER_INT8 = 0.98
"""The same of an INT8 model, which is made to be faster: two timings of one model may differ by as much."""
NOISY_LOAD = 0.1
"""Share of the processors' time that others may take while latency is measured; beyond, it is marked."""
BESIDE_OTHERS = "~"
"""The mark of what was measured beside other programs."""


@dataclass(frozen=True)
class Name:
    """A measure of rows: a field, and what a row must be to be meant."""

    field: str
    wanted: tuple[tuple[str, Any], ...]

    def matches(self, row: Row) -> bool:
        return all(row.get(dimension) == value for dimension, value in self.wanted)


def is_name(name: str) -> bool:
    """Whether a measure's name is one of rows.

    >>> is_name("latency.torch.1"), is_name("size.packed")
    (True, False)
    """
    return name.partition(".")[0] in FIELDS


def parse(name: str) -> Name:
    """A measure's dotted name, taken apart.

    >>> parse("latency.openvino.8.bf16.2t").wanted
    (('runtime', 'openvino'), ('batch', 8), ('precision', 'bf16'), ('threads', 2))
    """
    head, *parts = name.split(".")
    return Name(head, tuple(_wanted(part) for part in parts))


def is_known(name: str) -> bool:
    """Whether every part of a name of rows can be of one, and says something else than the others.

    >>> is_known("latency.openvino.1"), is_known("latency.tensorrt"), is_known("latency.torch.1.p90")
    (True, False, False)
    """
    wanted = parse(name).wanted
    return len(dict(wanted)) == len(wanted) and all(_can_be(*one) for one in wanted)


def _can_be(dimension: str, value: Any) -> bool:
    match dimension:
        case "runtime":
            return value in RUNTIMES
        case "batch":
            return bool(1 <= value <= LARGEST_BATCH)
    return bool(value)


def _wanted(part: str) -> tuple[str, Any]:
    number = re.fullmatch(r"([0-9]{1,9})(t?)", part)
    if number:
        return "threads" if number[2] else "batch", int(number[1])
    return ("precision" if part in (*PRECISIONS, INT8) else "runtime"), part


def measured(results: dict[str, Any]) -> list[Row]:
    """The rows with numbers among a trial's results; what older programs did not write is put in."""
    return [_completed(row) for row in results.get("latency") or [] if "unavailable" not in row]


def unavailable(results: dict[str, Any]) -> list[Row]:
    """The rows that tell why there is no number."""
    return [row for row in results.get("latency") or [] if "unavailable" in row]


def _completed(row: Row) -> Row:
    return {"precision": PRECISIONS[0], "throughput": throughput(row, row["median_ms"])} | row


def throughput(row: Row, median_ms: float) -> float:
    """Images a second, where a call of the row's batch takes so long."""
    return 1000 * row["batch"] / median_ms if median_ms else 0.0


def of_baseline(row: Row) -> Row:
    """The row of the baseline that was measured beside the row's model."""
    median = row["baseline_median_ms"]
    beside = {"runtime": row.get("baseline_runtime", row["runtime"])}
    beside["precision"] = row.get("baseline_precision", row["precision"])
    return row | beside | {"median_ms": median, "speedup": 1.0, "throughput": throughput(row, median)}


def find(results: dict[str, Any], name: str) -> Row | None:
    """The first row that `name` means."""
    wanted = parse(name)
    return next((row for row in measured(results) if wanted.matches(row)), None)


def value(row: Row, field: str) -> float:
    """`latency`, `speedup` or `throughput` of a row."""
    return float(row[FIELDS[field]])


def names(trials: Iterable[dict[str, Any]]) -> list[str]:
    """Names of all rows of some trials' results; precision and threads are in them where a trial has several."""
    rows = [measured(results) for results in trials]
    extra = [
        d for d in ("precision", "threads") if any(len({row.get(d) for row in trial}) > 1 for trial in rows)
    ]
    places = dict.fromkeys(_place(row, extra) for trial in rows for row in trial)
    return [f"{field}.{place}" for field in FIELDS for place in places]


def _place(row: Row, extra: Sequence[str]) -> str:
    parts = [str(row["runtime"]), str(row["batch"])]
    parts += [str(row["precision"])] if "precision" in extra else []
    parts += [f"{row['threads']}t"] if "threads" in extra else []
    return ".".join(parts)


def in_words(row: Row, dimensions: Iterable[str] = DIMENSIONS) -> str:
    """Where a row was measured.

    >>> in_words({"runtime": "torch", "precision": "bf16", "batch": 8, "threads": 1})
    'torch, bf16, batch 8, 1 thread'
    """
    parts = [f"{row[d]}t" if d == "threads" else str(row[d]) for d in dimensions if d in row]
    return ", ".join(row_place(part) for part in parts)


HEADS = ("runtime", "precision", "batch", "thr.", "median", "faster", "images/s", "baseline", "p90", "first")
"""Of a table of rows; what matters most comes first, because what does not fit is left out from the right."""


def cells(row: Row) -> list[tuple[str, str]]:
    """A row's cells under HEADS, each with its head; `first` is the time until the first call's end."""
    before = of_baseline(row)
    texts = (
        str(row["runtime"]),
        str(row["precision"]),
        str(row["batch"]),
        str(row.get("threads", MISSING)),
        f"{BESIDE_OTHERS if disturbed(row) else ''}{milliseconds(row['median_ms'])}",
        ratio(row["speedup"]),
        significant(row["throughput"], 3),
        milliseconds(before["median_ms"]),
        milliseconds(row.get("p90_ms")),
        duration(row["first_ms"] / 1000) if "first_ms" in row else MISSING,
    )
    return list(zip(HEADS, texts, strict=True))


def float_operators_text(row: Row) -> str:
    """The operators of an INT8 file that its runtime computes in float, the most frequent first; may be empty.

    >>> float_operators_text({"float_operators": {"HardSwish": 2, "Conv": 11}})
    '11 Conv, 2 HardSwish'
    """
    counts = row.get("float_operators") or {}
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    parts = [f"{count} {name}" for name, count in ordered[:MOST_OPERATORS]]
    return ", ".join([*parts, "…"] if len(ordered) > MOST_OPERATORS else parts)


def disturbed(row: Row) -> bool:
    """Whether other programs took so much of the processors that the row should be measured again."""
    return float(row.get("foreign_load") or 0.0) > NOISY_LOAD


def disturbance(rows: Iterable[Row]) -> str:
    """What to know of rows that were measured beside other programs; empty where none was.

    >>> disturbance([{"foreign_load": 0.02}, {"foreign_load": 0.88}])
    "measured while other programs took up to 88 % of the processors' time"
    """
    loads = [row["foreign_load"] for row in rows if disturbed(row)]
    most = percent(max(loads), 0) if loads else ""
    return f"measured while other programs took up to {most} of the processors' time" if loads else ""


def remarks(results: dict[str, Any]) -> list[str]:
    """`notes` beside a table of the rows, where those that were disturbed are marked."""
    beside = disturbance(measured(results))
    return [*([f"{BESIDE_OTHERS} {beside}"] if beside else []), *notes(results)]


def notes(results: dict[str, Any]) -> list[str]:
    """What a reader of the rows must know: what was not measured, and why; what of an INT8 file is not integer."""
    missing: dict[str, list[Row]] = {}
    for row in unavailable(results):
        missing.setdefault(row["unavailable"], []).append(row)
    reasons = [f"not measured in {_where(rows, results)}: {why}" for why, rows in missing.items()]
    quantized = [row for row in measured(results) if row["precision"] == INT8]
    described = {row["runtime"] for row in quantized if row["speedup"] < 1}
    others = {
        row["runtime"]: float_operators_text(row) for row in quantized if row["runtime"] not in described
    }
    left = [f"INT8 in {runtime}: {text} stayed in float" for runtime, text in others.items() if text]
    return [*reasons, *slower_texts(measured(results)), *left, *_on_gpus(results), *_shared(results)]


def _on_gpus(results: dict[str, Any]) -> list[str]:
    """The GPUs that rows were measured on, with their clocks, and which runtimes did without."""
    rows = [row for row in measured(results) if "gpu" in row]
    if not rows:
        return []
    texts = dict.fromkeys(gpu_in_words(row["gpu"]) for row in rows)
    others = dict.fromkeys(row["runtime"] for row in measured(results) if "gpu" not in row)
    without = [f"{' and '.join(others)} computed on the processor"] if others else []
    return [f"measured on {'; '.join(texts)}", *without]


def gpu_in_words(gpu: dict[str, Any]) -> str:
    """
    >>> gpu_in_words({"name": "H100", "sm_mhz": 1755.0, "sm_max_mhz": 1980.0, "held_by": ["power limit"]})
    'H100, clock 1755 of at most 1980 MHz, held down by power limit'
    """
    clock = (
        f", clock {gpu['sm_mhz']:.0f} of at most {gpu['sm_max_mhz']:.0f} MHz"
        if {"sm_mhz", "sm_max_mhz"} <= gpu.keys()
        else ""
    )
    held = f", held down by {' and '.join(gpu['held_by'])}" if gpu.get("held_by") else ""
    return f"{gpu['name']}{clock}{held}"


def _shared(results: dict[str, Any]) -> list[str]:
    """What to know of rows that were measured on a node of a cluster beside other jobs."""
    hosts = dict.fromkeys(str(row.get("host")) for row in measured(results) if row.get("shared_node"))
    if not hosts:
        return []
    return [
        f"latency was measured on a shared node ({', '.join(hosts)}): other jobs could run beside it; "
        "`executor.slurm.latency_exclusive: true` asks for whole nodes"
    ]


def _where(rows: list[Row], results: dict[str, Any]) -> str:
    """Runtimes, each with its precision where it has others too."""
    every: list[Row] = results["latency"]
    parts = []
    for row in rows:
        precisions = {one.get("precision") for one in every if one["runtime"] == row["runtime"]}
        mine = {one["precision"] for one in rows if one["runtime"] == row["runtime"]}
        parts.append(in_words(row, ("runtime",) if mine == precisions else ("runtime", "precision")))
    return "; ".join(dict.fromkeys(parts))


def slower_texts(rows: Iterable[Row]) -> list[str]:
    """What to say of a compressed model that is slower than its baseline, and why: a sentence for each runtime.

    It is what its spread can't explain, nor `NOT_SLOWER` of a float model, which may compute as much as the baseline.

    >>> row = {"runtime": "onnxruntime", "precision": "int8", "batch": 1, "speedup": 0.6}
    >>> slower_texts([row | {"float_operators": {"Conv": 11}}, row | {"batch": 8, "speedup": 0.9}])
    ['INT8 is slower than fp32 in onnxruntime at batch 1, 8 (0.60× to 0.90×): 11 Conv stayed in float; with \
`faster: true` quantize.static keeps only what saves time']
    >>> slower_texts([row | {"precision": "fp32", "speedup": 0.8, "speedup_high": 0.85}])
    ['slower than the uncompressed network in onnxruntime at batch 1 (0.80×), whatever its MACs are']
    """
    slower: dict[tuple[str, bool], list[Row]] = {}
    for row in rows:
        quantized = row["precision"] == INT8
        most = NOT_SLOWER_INT8 if quantized else NOT_SLOWER
        if row["speedup"] < most and (row.get("speedup_high") or row["speedup"]) < 1:
            slower.setdefault((row["runtime"], quantized), []).append(row)
    return [_slower(runtime, found, quantized) for (runtime, quantized), found in slower.items()]


def _slower(runtime: str, rows: list[Row], quantized: bool) -> str:
    batches = ", ".join(dict.fromkeys(str(row["batch"]) for row in rows))
    speedups = sorted(row["speedup"] for row in rows)
    described = " to ".join(dict.fromkeys(ratio(speedup) for speedup in (speedups[0], speedups[-1])))
    if not quantized:
        where = f"{runtime} at batch {batches} ({described})"
        return f"slower than the uncompressed network in {where}, whatever its MACs are"
    left = float_operators_text(rows[0])
    why = f": {left} stayed in float" if left else ", though no operator stayed in float"
    remedy = FASTER.format(where="" if runtime == "onnxruntime" else f" and `faster_in: {runtime}`")
    remedy = remedy if runtime in get_args(ProfiledRuntime) else ""
    return f"INT8 is slower than fp32 in {runtime} at batch {batches} ({described}){why}{remedy}"
