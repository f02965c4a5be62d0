"""The results page: a table for each file that a benchmark left in `benchmarks/results/`; and what presets gave."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import yaml

from engine.presets.shipped import FOLDER as PRESETS
from engine.text.numbers import duration
from engine.text.phrases import counted

HOME = Path(__file__).resolve().parent.parent
FOLDER = HOME / "benchmarks" / "results"
PRESET_CURVES = HOME / "docs" / "img" / "presets"


def page() -> str:
    """Every result: what was compared, the table, the command and the machine."""
    return "\n\n".join(
        _section(json.loads(path.read_text("utf-8"))) for path in sorted(FOLDER.glob("*.json"))
    )


def presets() -> str:
    """What presets gave that were run to the end at their full size: verdict, curve, table, time and machine."""
    kept = sorted((FOLDER / "presets").glob("*.json"))
    return "\n\n".join(_preset(json.loads(path.read_text("utf-8"))) for path in kept)


def preset_time(name: str) -> str:
    """What all steps of a preset at its full size took on the machine that its result tells; "" without one."""
    file = FOLDER / "presets" / f"{name}.json"
    return duration(json.loads(file.read_text("utf-8"))["seconds"]) if file.exists() else ""


def preset_digest(text: str) -> str:
    """What tells a preset from others, whatever its comments and layout are."""
    return hashlib.sha256(json.dumps(yaml.safe_load(text), sort_keys=True).encode()).hexdigest()[:16]


def _preset(result: dict[str, Any]) -> str:
    name = result["title"]
    lines = [f"## `{name}`", "", result["about"], ""]
    lines += [f"**{_cell(result['verdict'])}**", ""] if result["verdict"] else []
    if (PRESET_CURVES / f"{name}.svg").exists():
        lines += [f"![{result['about']}](../img/presets/{name}.svg)", ""]
    lines += [*_table(result["rows"]), ""]
    lines += [f"{_cell(line)}  " for line in result["mind"]]
    file = PRESETS / f"{name}.yaml"
    if not file.exists() or preset_digest(file.read_text("utf-8")) != result["preset"]:
        lines.append("The preset has changed since.  ")
    lines.append(
        f"{duration(result['seconds'])} of steps at {counted(result['threads'], 'thread')} · {_machine(result)}"
    )
    return "\n".join(lines)


def headline() -> str:
    """The README's table: a few figures of several files."""
    (small, *_), (whole, file, *_) = (_rows(name) for name in ("deep_compression", "int8"))
    coded = small["times smaller, NNCodec"]
    speed = f"{_hundredths(file['speed over fp32'])} times as fast in ONNX Runtime"
    rows = [
        *_narrowed(),
        *_trained_on(),
        *_sparse(),
        (
            "INT8 file",
            f"{_hundredths(file['test accuracy (%)'])} %",
            f"whole: {_hundredths(whole['test accuracy (%)'])} %; {speed}",
        ),
        (
            "Deep Compression",
            f"{_changed(small['change from as many epochs (points)'])} than the whole network with as many epochs",
            f"{_hundredths(small['times smaller'])} times smaller; coded by NNCodec {_hundredths(coded)}",
        ),
    ]
    lines = ["| ResNet20, compressed by | accuracy on test | compared with |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def _narrowed() -> list[tuple[str, str, str]]:
    """What channels cost where nothing is trained after it."""
    lost = {(row["compression"], row["way"]): row for row in _rows("channels_without_training")}
    column, plain = "lost, test (points)", "l2, statistics anew"
    return [
        (
            f"channels: {macs}, nothing trained after",
            f"{_hundredths(row[column])} points less",
            f"by norm, BatchNorm's statistics anew: {_hundredths(lost[macs, plain][column])} points less",
        )
        for (macs, way), row in lost.items()
        if way == "output, repair"
    ]


def _trained_on() -> list[tuple[str, str, str]]:
    """Channels after training on, beside torch-pruning and the network that was not pruned."""
    rows = {(row["MACs"], row["way"]): row for row in _rows("channels")}
    column, ours, theirs = "trained on, test (%)", "prune.channels", "torch-pruning"
    whole = _hundredths(rows["all", "not pruned"][column])

    def beside(macs: str, way: str) -> str:
        others = {"on labels": rows[macs, theirs]}
        how = way.removeprefix(ours).lstrip(", ")
        if how and (alike := rows.get((macs, f"{theirs}, {how}"))):
            others[how] = alike
        told = [f"{theirs}, {how}: {_hundredths(row[column])} %" for how, row in others.items()]
        return "; ".join([*told, f"not pruned: {whole} %"])

    return [
        (
            f"channels: {macs.replace(' times', ' ×')} MACs, trained on{way.removeprefix(ours).lstrip(',')}",
            f"{_hundredths(row[column])} %",
            beside(macs, way),
        )
        for (macs, way), row in rows.items()
        if way.startswith(ours) and (macs, theirs) in rows
    ]


def _sparse() -> list[tuple[str, str, str]]:
    """Most weights at zero, after training on with a teacher, beside the same at once on labels."""
    rows = {(row["weights at zero (%)"], row["way"]): row for row in _rows("sparse")}
    column, taught = "test (%)", "rounds, with a teacher"
    whole = _hundredths(rows["–", "not pruned"][column])
    return [
        (
            f"weights: {percent} % at zero, in {taught}",
            f"{_hundredths(row[column])} %",
            f"in one shot: {_hundredths(rows[percent, 'one shot'][column])} %; not pruned: {whole} %",
        )
        for (percent, way), row in rows.items()
        if way == taught
    ]


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["rows"]
    return rows


def _section(result: dict[str, Any]) -> str:
    lines = [f"## {result['title']}", ""]
    if result.get("about"):
        lines += [result["about"], ""]
    lines += [*_table(result["rows"]), "", f"`{result['command']}`  ", _machine(result)]
    return "\n".join(lines)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    heads = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    return [*lines, *(f"| {' | '.join(_cell(row.get(name)) for name in heads)} |" for row in rows)]


def _cell(value: Any) -> str:
    """A value as text: mean ± deviation of a pair, nothing for what was not measured."""
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.4g}"
        case [float() as mean, float() as deviation]:
            return _spread(mean, deviation)
        case str() if value.startswith("--"):  # an option, of which typesetting would make a dash
            return f"`{value}`"
        case str() | int():
            return str(value).replace("|", "\\|")
        case _:
            raise TypeError(f"a table has no cell for {value!r}")


def _spread(mean: float, deviation: float) -> str:
    """A mean as far as its deviation tells it apart from others: to two digits of that.

    >>> _spread(37.7161, 0.0510)
    '37.716 ± 0.051'
    """
    places = max(0, 1 - math.floor(math.log10(deviation))) if deviation else 2
    return f"{mean:.{places}f} ± {deviation:.{places}f}"


def _changed(points: list[float]) -> str:
    """A change in points with its deviation, in words.

    >>> _changed([-0.5, 0.1])
    '0.50 ± 0.10 points less'
    """
    mean, deviation = points
    return f"{_hundredths([abs(mean), deviation])} points {'less' if mean < 0 else 'more'}"


def _hundredths(value: Any) -> str:
    """Percent or points, with its deviation if it has one: rows of one table end alike."""
    return " ± ".join(f"{part:.2f}" for part in (value if isinstance(value, list) else [value]))


def _machine(result: dict[str, Any]) -> str:
    made = result["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in made.get("packages", {}).items())
    parts = [made.get("date", ""), f"{counted(made['processors'], 'core')} of {made['processor']}", packages]
    return " · ".join(part for part in [*parts, result.get("origin", "")] if part)
