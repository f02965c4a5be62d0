"""Every value a study would run with, so that a slip is seen before hours of computing."""

from typing import Any

from engine.describe import describe
from engine.spec import Spec
from tui.lab.text import text_of

Entry = tuple[str, str, str]
"""Name, value, and where it comes from: `set`, `default` or `swept`."""


def sections(spec: Spec) -> list[tuple[str, list[Entry]]]:
    """Each section and step with all its values as the trials get them; what is off is left out."""
    found = [("trials", _axes(spec))] if spec.axes else []
    written = {name: value for name, value in spec.document.items() if name not in ("steps", "sweep")}
    settings = spec.settings.model_dump(mode="json")
    order = ("model", "data", "study", "measure", "executor", "plot")
    tops = {name: value for name, value in settings.items() if name not in order and name != "version"}
    values = {**settings, "study": tops}
    for name in order:
        given = written if name == "study" else written.get(name)
        if isinstance(values.get(name), dict):
            found.append((name, _entries(values[name], given, spec, "" if name == "study" else f"{name}.")))
    for index, step in enumerate(spec.steps):
        if not step.enabled:
            found.append((f"step {index + 1}: {step.address} (off, skipped)", []))
            continue
        given = spec.document["steps"][index][step.kind]
        dumped = {row.path: step.model_dump(mode="json").get(row.path) for row in describe(type(step))
                  if "." not in row.path and row.path not in ("id", "enabled")}  # fmt: skip
        found.append((f"step {index + 1}: {step.address}", _entries(dumped, given, spec, f"{step.address}.")))
    return found


def _axes(spec: Spec) -> list[Entry]:
    zipped = spec.document.get("sweep", {}).get("zip", {})
    return [
        (path, text_of(list(values)), "together" if path in zipped else "swept")
        for path, values in spec.axes.items()
    ]


def _entries(values: dict[str, Any], given: Any, spec: Spec, prefix: str, below: str = "") -> list[Entry]:
    entries: list[Entry] = []
    for name, value in values.items():
        written = given.get(name) if isinstance(given, dict) else None
        is_given = isinstance(given, dict) and name in given
        path = f"{below}{name}"
        if f"{prefix}{path}" in spec.axes:
            entries.append((path, text_of(list(spec.axes[f"{prefix}{path}"])), "swept"))
        elif isinstance(value, dict) and value and name != "arguments":
            if set(value) == {"kind"}:
                entries.append((path, str(value["kind"]), "set" if is_given else "default"))
            else:
                kind = {"kind": written} if isinstance(written, str) else written
                entries += _entries(value, kind, spec, prefix, f"{path}.")
        else:
            shown = "none" if value is None else text_of(value) if value != "" else "empty"
            entries.append((path, shown, "set" if is_given else "default"))
    return entries
