"""The results page: a table for each file that a benchmark left in `benchmarks/results/`."""

import json
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parent.parent
FOLDER = HOME / "benchmarks" / "results"


def page() -> str:
    """Every result: what was compared, the table, the command and the machine."""
    return "\n\n".join(
        _section(json.loads(path.read_text("utf-8")), path) for path in sorted(FOLDER.glob("*.json"))
    )


def headline() -> str:
    """The README's table: a few figures of several files."""
    pruned, small, int8 = (_rows(name) for name in ("channels", "deep_compression", "int8"))
    rows = []
    for row in pruned:
        ours, theirs = ("before training, prune.channels (%)", "before training, torch-pruning (%)")
        rows.append(
            (f"channels: {row['MACs']} MACs, no training after", row[ours], f"torch-pruning: {row[theirs]} %")
        )
    for row in pruned:
        ours, theirs = ("rising rate, prune.channels (%)", "rising rate, torch-pruning (%)")
        rows.append(
            (
                f"channels: {row['MACs']} MACs, four epochs after",
                row[ours],
                f"torch-pruning: {_cell(row[theirs])} %",
            )
        )
    whole, file = int8[0], int8[1]
    speed = f"{_cell(file['speed over fp32'])} times as fast in ONNX Runtime"
    text = f"whole: {_cell(whole['test accuracy (%)'])} %; {speed}"
    rows.append(("INT8 file", file["test accuracy (%)"], text))
    size = f"{_cell(small[0]['times smaller'])} times smaller"
    lines = ["| ResNet20, compressed by | accuracy (%) | beside |", "|---|---|---|"]
    lines += [f"| {name} | {_cell(value)} | {beside} |" for name, value, beside in rows]
    change = _cell(small[0]["change of test accuracy (points)"])
    return "\n".join([*lines, f"| Deep Compression | {change} points more, after ten more epochs | {size} |"])


def _rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))["rows"]
    return rows


def _section(result: dict[str, Any], path: Path) -> str:
    rows = result["rows"]
    heads = list(dict.fromkeys(name for row in rows for name in row))
    lines = [f"## {result.get('title', path.stem)}", ""]
    if result.get("about"):
        lines += [result["about"], ""]
    lines += [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    lines += [f"| {' | '.join(_cell(row.get(name)) for name in heads)} |" for row in rows]
    lines += ["", f"`{result['command']}`  ", _machine(result)]
    return "\n".join(lines)


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
            return f"{_cell(mean)} ± {_cell(deviation)}"
        case str() if value.startswith("-"):
            return f"`{value}`"
        case str() | int():
            return str(value).replace("|", "\\|")
        case _:
            raise TypeError(f"a table has no cell for {value!r}")


def _machine(result: dict[str, Any]) -> str:
    made = result["environment"]
    packages = ", ".join(f"{name} {version}" for name, version in made.get("packages", {}).items())
    parts = [made.get("date", ""), f"{made.get('processors', '?')} cores of {made['processor']}", packages]
    return " · ".join(part for part in [*parts, result.get("origin", "")] if part)
