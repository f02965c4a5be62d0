"""The preset on one page: a line for each section, step and sweep, with what is wrong in it."""

from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import Problem
from engine.text.numbers import number
from tui.lab import tree
from tui.lab.edits import enabled
from tui.lab.fields import SECTIONS, brief
from tui.lab.text import sweep_text, text_of
from tui.lab.tree import ABSENT, Plain, Spot

TITLES = {
    "model": "Model",
    "data": "Data",
    "study": "Study",
    "measure": "Measure",
    "executor": "Run on",
    "plot": "Plot",
}
"""What the sections are called."""
STEPS_HEAD, SWEEP_HEAD, ADD = "steps", "sweep", "add"


@dataclass(frozen=True)
class Item:
    """A line of the outline.

    Attributes:
        key: A section's name, `step:INDEX`, `axis:PATH`, `add`, or a heading's name.
        label: What it is called.
        value: What is set there, in a few words.
        problems: How many there are in it.
        off: Whether it is switched off.
        heading: Whether it only names what follows.
    """

    key: str
    label: str
    value: str = ""
    problems: int = 0
    off: bool = False
    heading: bool = False

    @property
    def owner(self) -> int | str | None:
        """The form it opens: a step's position or a section's name."""
        if self.key.startswith("step:"):
            return int(self.key.removeprefix("step:"))
        return self.key if self.key in SECTIONS else None

    @property
    def axis(self) -> str | None:
        """The path of the sweep it stands for."""
        return self.key.removeprefix("axis:") if self.key.startswith("axis:") else None


def items(plain: Plain, problems: Iterable[Problem] = ()) -> list[Item]:
    """The lines of a preset's outline."""
    found = list(problems)
    lines = [
        Item(name, TITLES[name], section_value(plain, name), _count(found, *_paths(plain, name)))
        for name in SECTIONS
    ]
    lines.append(Item(STEPS_HEAD, "Steps, in order", heading=True))
    for index, (kind, params) in enumerate(tree.steps(plain)):
        label = f"{kind} ({params['id']})" if params.get("id") else kind
        wrong = _count(found, f"steps[{index}]")
        lines.append(
            Item(f"step:{index}", label, _step_value(plain, index), wrong, not enabled(plain, index))
        )
    lines.append(Item(ADD, "add a step"))
    axes = tree.axes(plain)
    lines.append(Item(SWEEP_HEAD, "Sweep" if axes else "Sweep: nothing, one trial", heading=True))
    lines += [
        Item(f"axis:{axis.path}", axis.path, axis_value(axis), _count(found, axis.problem_path))
        for axis in axes
    ]
    return lines


def axis_value(axis: tree.AxisLine) -> str:
    """The values of a sweep in a few words."""
    text = sweep_text(axis.values).strip("[]")
    return f"together: {text}" if axis.zipped else text


def section_value(plain: Plain, section: str) -> str:
    """What a section says, in a few words."""
    match section:
        case "model" | "data":
            axis = tree.axis_at(plain, Spot(None, f"{section}.name"))
            return axis_value(axis) if axis else _written(plain, f"{section}.name", "none chosen")
        case "study":
            device = _written(plain, "device", "auto")
            return (
                f"seed {_written(plain, 'seed', '0')}, threads {_written(plain, 'threads', 'auto')}, {device}"
            )
        case "measure":
            latency = tree.value(plain, Spot(None, "measure.latency"))
            size = tree.value(plain, Spot(None, "measure.size")) is not False
            parts = [*(["size"] if size else []), *(["latency"] if latency not in (ABSENT, None) else [])]
            return ", ".join(["accuracy", *parts])
        case "executor":
            parallel = _written(plain, "executor.local.parallel", "1")
            return f"this machine, {parallel} at a time"
        case _:
            if not isinstance(plain.get("plot"), dict):
                return "by itself"
            by = _written(plain, "plot.by", "")
            end = f" by {_last(by)}" if by else ""
            return (
                f"{_written(plain, 'plot.y', 'accuracy')} along {_last(_written(plain, 'plot.x', '?'))}{end}"
            )


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _written(plain: Plain, path: str, otherwise: str) -> str:
    value = tree.value(plain, Spot(None, path))
    return otherwise if value in (ABSENT, None) else text_of(value)


def _step_value(plain: Plain, index: int) -> str:
    params = tree.steps(plain)[index][1]
    swept = [axis.spot.path for axis in tree.axes(plain) if axis.spot and axis.spot.step == index]
    rest = brief({name: below for name, below in params.items() if name not in swept}, 60)
    parts = [f"~{path}" for path in swept] + ([rest] if rest else [])
    return ", ".join(parts)


def _paths(plain: Plain, section: str) -> list[str]:
    """The paths of problems that a section's line stands for."""
    if section != "study":
        return [section]
    ours = {"steps", "sweep", *SECTIONS}
    top = [*(name for name in plain if name not in ours), "seed", "threads", "device", "about", "version"]
    return list(dict.fromkeys([*top, "steps"]))


def _count(problems: list[Problem], *starts: str) -> int:
    return sum(any(_within(problem.path, start) for start in starts) for problem in problems)


def _within(path: str, start: str) -> bool:
    if start == "steps":
        return path == start
    return path == start or path.startswith((f"{start}.", f"{start}["))


def trials_text(count: int) -> str:
    """How many trials, as words.

    >>> trials_text(1), trials_text(14)
    ('1 trial', '14 trials')
    """
    return f"{number(count)} trial{'' if count == 1 else 's'}"
