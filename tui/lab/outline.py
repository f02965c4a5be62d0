"""The preset on one page: a line for each section, step and sweep, with what is wrong in it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.errors import Problem
from engine.presets.addresses import ABSENT, AxisNode, axes, axis_at, value_at
from engine.presets.edits import enabled
from engine.presets.steps import Address, StepNode, steps_of
from engine.presets.yaml.tree import Mapping
from engine.text.phrases import counted
from tui.lab.fields import SECTIONS, brief, says_where
from tui.lab.text import sweep_text, text_of

if TYPE_CHECKING:
    from engine.presets.model import Spec

TITLES = {
    "model": "Model",
    "data": "Data",
    "study": "Study",
    "measure": "Measure",
    "executor": "Run on",
    "plot": "Plot",
    "search": "Search",
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


def items(root: Mapping, problems: Iterable[Problem] = (), settled: str = "") -> list[Item]:
    """The lines of a preset's outline; `settled` is the file by which presets that do not say where run by Slurm."""
    every_problem = list(problems)
    swept = axes(root)
    lines = [
        Item(
            name, TITLES[name], section_value(root, name, settled), _count(every_problem, *_paths(root, name))
        )
        for name in SECTIONS
    ]
    lines.append(Item(STEPS_HEAD, "Steps, in order", heading=True))
    for step in steps_of(root)[0]:
        label = f"{step.kind} ({step.id})" if step.id else step.kind
        wrong = _count(every_problem, f"steps[{step.index}]")
        off = not enabled(root, step.index)
        lines.append(Item(f"step:{step.index}", label, _step_value(step, swept), wrong, off))
    lines.append(Item(ADD, "add a step"))
    unswept = "Sweep: nothing, the search chooses" if is_set(root, "search") else "Sweep: nothing, one trial"
    lines.append(Item(SWEEP_HEAD, "Sweep" if swept else unswept, heading=True))
    lines += [
        Item(f"axis:{axis.path}", axis.path, axis_value(axis), _count(every_problem, axis.problem_path))
        for axis in swept
    ]
    return lines


def axis_value(axis: AxisNode) -> str:
    """The values of a sweep in a few words."""
    text = sweep_text(axis.node.plain()).strip("[]")
    return f"together: {text}" if axis.zipped else text


def section_value(root: Mapping, section: str, settled: str = "") -> str:
    """What a section says, in a few words; `settled` as in `items`."""
    match section:
        case "model" | "data":
            axis = axis_at(root, Address(None, f"{section}.name"))
            return axis_value(axis) if axis else _written(root, f"{section}.name", "none chosen")
        case "study":
            device = _written(root, "device", "auto")
            return (
                f"seed {_written(root, 'seed', '0')}, threads {_written(root, 'threads', 'auto')}, {device}"
            )
        case "measure":
            size = value_at(root, Address(None, "measure.size")) is not False
            parts = [*(["size"] if size else []), *(["latency"] if is_set(root, "measure.latency") else [])]
            return ", ".join(["accuracy", *parts])
        case "executor" if settled and not says_where(root):
            return f"Slurm, by {settled}"
        case "executor":
            if is_set(root, "executor.slurm"):
                return f"Slurm, partition {_written(root, 'executor.slurm.partition', 'by default')}"
            parallel = _written(root, "executor.local.parallel", "1")
            return f"this machine,{' not Slurm;' if settled else ''} {parallel} at a time"
        case "search":
            return _search_value(root)
        case _:
            if not isinstance(root.items.get("plot"), Mapping):
                return "by itself"
            by = _written(root, "plot.by", "")
            end = f" by {_last(by)}" if by else ""
            return f"{_written(root, 'plot.y', 'accuracy')} along {_last(_written(root, 'plot.x', '?'))}{end}"


def _search_value(root: Mapping) -> str:
    """What a search looks for, and its budget."""
    if not is_set(root, "search"):
        return "off"
    goal = "most accurate" if value_at(root, Address(None, "search.most_accurate")) is True else "no goal"
    if is_set(root, "search.fastest"):
        goal = f"fastest in {_written(root, 'search.fastest.runtime', 'onnxruntime')}"
    elif smallest := _written(root, "search.smallest", ""):
        goal = f"smallest {smallest}"
    budget = [(_written(root, f"search.budget.{unit}", ""), unit) for unit in ("trials", "hours")]
    units = [
        f"{amount} {unit.removesuffix('s') if amount == '1' else unit}" for amount, unit in budget if amount
    ]
    return ", ".join([goal, *units])


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def is_set(root: Mapping, path: str) -> bool:
    """Whether the preset says anything but null there."""
    return value_at(root, Address(None, path)) not in (ABSENT, None)


def _written(root: Mapping, path: str, otherwise: str) -> str:
    value = value_at(root, Address(None, path))
    return otherwise if value in (ABSENT, None) else text_of(value)


def _step_value(step: StepNode, axes: Iterable[AxisNode]) -> str:
    swept = [axis.address.path for axis in axes if axis.address and axis.address.step == step.index]
    rest = brief({name: node.plain() for name, node in step.params.items.items() if name not in swept}, 60)
    parts = [f"~{path}" for path in swept] + ([rest] if rest else [])
    return ", ".join(parts)


def _paths(root: Mapping, section: str) -> list[str]:
    """The paths of problems that a section's line stands for."""
    if section != "study":
        return [section]
    ours = {"steps", "sweep", *SECTIONS}
    top = [
        *(name for name in root.items if name not in ours),
        "seed",
        "threads",
        "device",
        "about",
        "version",
    ]
    return list(dict.fromkeys([*top, "steps"]))


def _count(problems: list[Problem], *starts: str) -> int:
    return sum(any(_within(problem.path, start) for start in starts) for problem in problems)


def _within(path: str, start: str) -> bool:
    if start == "steps":
        return path == start
    return path == start or path.startswith((f"{start}.", f"{start}["))


def amount_of(spec: "Spec") -> str:
    """How many trials a preset makes, as words; that it is a search, where they are not known before."""
    if spec.space is None or spec.settings.search is None:
        return counted(len(spec.trials), "trial")
    trials = spec.settings.search.budget.trials
    return f"a search of {counted(trials, 'trial')}" if trials else "a search"
