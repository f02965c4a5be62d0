"""A study while it runs, as lines of text: how far it is, its steps, what its workers use."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from engine.charts import training
from engine.machine.usage import Gpu, Usage
from engine.plotting.figure import Figure
from engine.results import guessing, searches
from engine.results.summary import quality_name, quality_of
from engine.studies.state import StepState, StudyState, TrialState
from engine.studies.status import OPEN
from engine.text import numbers, tables
from engine.text.bars import bar
from tui.views.trial import SIGNS
from tui.widgets.painted import Line, Span
from tui.widgets.progress import running

STEP_BAR = 10
"""Cells of a step's bar."""
NARROWEST_NAME = 16


@dataclass(frozen=True)
class Load:
    """What the workers of a study use: processors kept busy, memory in bytes, and the GPUs of this machine.

    `share` is None until it was looked at twice.
    """

    share: float | None = None
    memory: int = 0
    processes: int = 0
    gpus: Sequence[Gpu] = field(default=())

    @classmethod
    def between(cls, before: Usage | None, after: Usage, seconds: float, gpus: Sequence[Gpu]) -> "Load":
        """Of two looks so many seconds apart; a worker that began or ended between them counts for nothing."""
        used = None if before is None or before.processes != after.processes else after.cpu_s - before.cpu_s
        share = used / seconds if used is not None and used >= 0 and seconds > 0 else None
        return cls(share, after.memory, after.processes, gpus)


def load_lines(state: StudyState, load: Load | None, width: int) -> list[Line]:
    """What its workers use, and how fast they train."""
    parts: list[tuple[str, str]] = []
    steps = running(state)
    if speeds := [step.speed for step in steps if step.speed]:
        parts.append(("speed", f"{numbers.count(sum(speeds))} images/s"))
    if load is not None and load.processes:
        if load.share is not None:
            parts.append(("processors", f"{load.share:.1f} busy"))
        parts.append(("memory", numbers.size(load.memory)))
    for number, gpu in enumerate(load.gpus if load else ()):
        parts.append(
            (f"GPU {number}", f"{gpu.busy:.0%}, {numbers.size(gpu.used)} of {numbers.size(gpu.total)}")
        )
    hosts = dict.fromkeys(task.host for task in state.tasks.values() if not task.outcome)
    if hosts:
        parts.append(("on", ", ".join(hosts)))
    rate = next((step.epochs[-1].learning_rate for step in steps if step.epochs), None)
    if rate is not None:
        parts.append(("learning rate", numbers.number(rate)))
    spans: list[Span] = []
    lines: list[Line] = []
    used = 0
    for name, value in parts:
        needed = tables.cell_width(f"{name} {value}") + 3
        if used and used + needed > width:
            lines.append(spans)
            spans, used = [], 0
        spans = [*spans, (f"{name} ", "muted"), (f"{value}   ", "")]
        used += needed
    return [*lines, spans] if spans else lines


def trained(state: StudyState) -> list[StepState]:
    """What trains now; where nothing does, what has trained last."""
    trained = [step for step in state.steps.values() if step.epochs]
    now = [step for step in trained if step.status == "running"]
    return now or sorted(trained, key=lambda step: step.epochs[-1].time)[-1:]


def is_trained(state: StudyState) -> bool:
    """Whether no more is trained: it is over, or what is left of its trials is their latency."""
    if state.status not in OPEN:
        return True
    searching = searches.is_search(state) and state.chosen is None
    through = all(trial.scored or trial.status == "failed" for trial in state.trials)
    return bool(state.trials) and through and not searching


def training_figure(state: StudyState, shown: Sequence[StepState]) -> Figure:
    """The curves of these steps."""
    if not shown:
        return Figure()
    names = training.measures([state])
    wanted = f"validation_{quality_name(state)}"
    figure = training.figure(
        [state], wanted if wanted in names else names[0], only={step.key for step in shown}
    )
    epochs = max(step.epochs[-1].epochs for step in shown)
    return training.with_epochs(figure, epochs)


def users(state: StudyState) -> dict[str, list[TrialState]]:
    """Every step by its key, with the trials that go through it, in the order of the work."""
    found: dict[str, list[TrialState]] = {}
    for trial in state.trials:
        beside = list(trial.beside) if trial.index == 0 else []
        if trial.baseline_measure.key not in found:  # finalists of a search have one of their own
            beside = [trial.baseline_measure, *beside]
        for step in (*trial.steps, *beside, *trial.chain):
            owners = found.setdefault(step.key, [])
            if not owners or owners[-1] is not trial:
                owners.append(trial)
    return found


def step_names(state: StudyState) -> dict[str, str]:
    """What each step is called by its key, with what tells its trials from the others."""
    told_by = training.varied(state)
    return {key: _name(state, state.steps[key], trials, told_by) for key, trials in users(state).items()}


class Names:
    """`step_names` of the study that is shown, worked out again only when it has other steps."""

    def __init__(self) -> None:
        self._known: tuple[object, ...] = ()
        self._names: dict[str, str] = {}

    def of(self, state: StudyState | None) -> dict[str, str]:
        """The names; the same object as long as they hold."""
        known = (state.name, len(state.trials), *state.steps) if state else ()
        if known != self._known:
            self._known, self._names = known, step_names(state) if state else {}
        return self._names


def followed(state: StudyState, names: Mapping[str, str], height: int) -> int:
    """The first of the steps in view, by their names, while those that are being done are followed."""
    active = _numbers(state, names, "running")
    ended = _numbers(state, names, "done", "failed")
    first = (active or ended[-1:] or [0])[0]
    return max(0, min(first - height // 3, len(names) - height))


def _numbers(state: StudyState, names: Mapping[str, str], *standing: str) -> list[int]:
    """The steps that stand so, by their place among the names."""
    return [i for i, key in enumerate(names) if state.steps[key].status in standing]


def steps(
    state: StudyState, names: Mapping[str, str], width: int, height: int, top: int | None = None
) -> list[Line]:
    """The study's steps from `top` on, one that trials share once; what is cut is counted. Without `top`, all that are
    being done, and those around the first.

    `names` are its `step_names`.
    """
    rows = [(state.steps[key], name) for key, name in names.items()]
    if not rows:
        return [[("No steps yet.", "muted")]]
    if top is None:
        active = _numbers(state, names, "running")
        shown = _in_view(len(rows), active, followed(state, names, height), height)
    else:
        shown = _in_view(len(rows), (), top, height)
    room = max(NARROWEST_NAME, min(max(map(tables.cell_width, names.values())), width - STEP_BAR - 12))
    lines = [_step_line(state, *rows[i], room, width) for i in shown]
    before, more = shown[0], len(rows) - shown[0] - len(shown)
    above: list[Line] = [[(f"  ↑ {before} before", "muted")]] if before else []
    below: list[Line] = [[(f"  ↓ {more} more", "muted")]] if more else []
    return [*above, *lines, *below][:height]


def _in_view(count: int, wanted: Sequence[int], top: int, height: int) -> list[int]:
    """Which of so many rows are shown: those that are wanted, and those from `top` on.

    >>> _in_view(9, [3, 8], 1, 6)
    [2, 3, 4, 8]
    """
    window = range(top + (top > 0), min(top + height, count) - (top + height < count))
    return sorted(list(dict.fromkeys([*wanted, *window]))[: max(len(window), 1)])


def _name(state: StudyState, step: StepState, trials: Sequence[TrialState], told_by: Collection[str]) -> str:
    if step is trials[0].baseline_measure and step is not trials[0].measure:
        return f"{step.address} the baseline"
    shared = f" ({len(trials)} trials)" if 1 < len(trials) < len(state.trials) else ""
    return training.step_name(state, step, trials, told_by) + shared


def _step_line(state: StudyState, step: StepState, name: str, room: int, width: int) -> Line:
    standing = state.standing(step)
    sign, role = SIGNS[standing]
    label = tables.abbreviate(name, room)
    label += " " * (room - tables.cell_width(label))
    look = "title" if standing == "running" else "muted" if standing == "waiting" else ""
    match standing:
        case "running":
            told = step.text or f"{step.done:.0%}"
            beside: list[Span] = [(bar(step.done, STEP_BAR), "bar"), (f" {told}", "")]
        case "done":
            seconds = "stored" if step.reused else numbers.duration(step.seconds)
            value = quality_of(step.measures, "validation_") if step.epochs else None
            beside = [
                (f"{seconds:>{STEP_BAR}}", "muted"),
                (f"  {numbers.percent(value[1])}" if value else "", ""),
                (f" {guessing.WORDS}" if value and guessing.observed(step) else "", "warn"),
            ]
        case "failed":
            beside = [("failed", "bad")]
        case _:
            beside = [(f"{standing:>{STEP_BAR}}", "muted")]
    return [(f"{sign} ", role), (f"{label} ", look), *beside]
