"""Every value a study would run with, so that a slip is seen before hours of computing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.params.rows import describe
from tui.lab.fields import SECTIONS
from tui.lab.text import text_of

if TYPE_CHECKING:
    from engine.presets.spec import Spec

MOST_VALUES, FIRST_VALUES = 24, 6
"""Values of a sweep that are listed all, and of more than these the first that are."""
Entry = tuple[str, str, str]
"""Name, value, and where it comes from: `set`, `default` or `swept`."""


@dataclass(frozen=True)
class Place:
    """What a site and a user have settled of where presets run.

    Attributes:
        by: The file by which this preset runs by Slurm, if it does not say so itself.
        instead: The file by which it would, if it did not say itself that it runs here.
        options: The value of each option of Slurm that a file settles, and the file.
    """

    by: str = ""
    instead: str = ""
    options: Mapping[str, tuple[Any, str]] = field(default_factory=dict)


def sections(spec: "Spec", place: Place = Place()) -> list[tuple[str, list[Entry]]]:
    """Each section and step with all its values as the trials get them, what matters most first."""
    sweep = [("trials", _axes(spec))] if spec.axes else []
    searched = ("search",) if spec.settings.search is not None else ()
    subject = [_section(spec, name) for name in ("model", "data", *searched)]
    rest = [_section(spec, name) for name in ("study", "measure")]
    rest += [("executor", _executor(spec, place)), _section(spec, "plot")]
    return [*sweep, *subject, *(_step(spec, index) for index in range(len(spec.steps))), *rest]


def _executor(spec: "Spec", place: Place) -> list[Entry]:
    """Where it runs, and what is asked for there."""
    slurm = spec.settings.executor.slurm is not None
    where = "Slurm" + (f", by {place.by}" if place.by else "") if slurm else "this machine"
    if place.instead and not slurm:
        where += f"; others by Slurm, by {place.instead}"
    own = "slurm." if slurm else "local."
    entries = [entry for entry in _section(spec, "executor")[1] if entry[0].startswith(own)]
    return [
        ("where", where, "set" if spec.says_where else "default"),
        *(_settled(entry, place) for entry in entries),
    ]


def _settled(entry: Entry, place: Place) -> Entry:
    """An entry of the executor's, with what a file says where the preset says nothing."""
    path, _, origin = entry
    value, file = place.options.get(path.removeprefix("slurm."), (None, ""))
    settled = origin == "default" and file and path.startswith("slurm.")
    return (path, f"{text_of(value)}, by {file}", "set") if settled else entry


def _section(spec: "Spec", name: str) -> tuple[str, list[Entry]]:
    values = spec.settings.model_dump(mode="json")
    if name == "study":
        top = {key: below for key, below in values.items() if key not in SECTIONS and key != "version"}
        return name, _entries(top, spec.document, spec, "")
    below = values[name]
    if not isinstance(below, dict):
        return name, []
    counted = _comparisons(spec) if name == "measure" else []
    return name, [*_entries(below, spec.document.get(name), spec, f"{name}."), *counted]


def _comparisons(spec: "Spec") -> list[Entry]:
    """How often latency is measured: seconds each, and most of a small study's time."""
    latency = spec.settings.measure.latency
    if latency is None:
        return []
    each = len(latency.combinations())
    return [("latency measurements", f"{each} a trial, {each * len(spec.trials)} in all", "set")]


def _step(spec: "Spec", index: int) -> tuple[str, list[Entry]]:
    step = spec.steps[index]
    name = f"step {index + 1}: {step.address}"
    if not step.enabled:
        return f"{name} (off: skipped)", []
    dumped = step.model_dump(mode="json")
    names = [
        row.path for row in describe(type(step)) if row.path in dumped and row.path not in ("id", "enabled")
    ]
    given = spec.document["steps"][index][step.kind]
    return name, _entries({name: dumped[name] for name in names}, given, spec, f"{step.address}.")


def _axes(spec: "Spec") -> list[Entry]:
    zipped = spec.document.get("sweep", {}).get("zip", {})
    return [
        (path, _values(values), "together" if path in zipped else "swept")
        for path, values in spec.axes.items()
    ]


def _values(values: Sequence[Any]) -> str:
    """The values of a sweep; of many the first, the last, and how many they are."""
    if len(values) <= MOST_VALUES:
        return text_of(list(values))
    return f"{text_of(list(values[:FIRST_VALUES]))}, …, {text_of(values[-1])} ({len(values)} values)"


def _entries(values: dict[str, Any], given: Any, spec: "Spec", prefix: str, below: str = "") -> list[Entry]:
    entries: list[Entry] = []
    for name, value in values.items():
        written = given.get(name) if isinstance(given, dict) else None
        is_given = isinstance(given, dict) and name in given
        path = f"{below}{name}"
        if f"{prefix}{path}" in spec.axes:
            entries.append((path, _values(spec.axes[f"{prefix}{path}"]), "swept"))
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
