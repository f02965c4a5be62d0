"""What to try next, computed from what a study found: each is its preset with an edit, ready to run.

A suggestion that the edited preset would be refused for is never made.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from engine.errors import SecateurError
from engine.measures.table import measure
from engine.params import STEPS
from engine.params.rows import Row
from engine.params.training import Fit
from engine.presets import auto
from engine.presets.addresses import AxisNode, axes, axis_at, row_at
from engine.presets.edits import Edit, add_step, sweep
from engine.presets.steps import Address, steps_of
from engine.presets.yaml.tree import Mapping, node_of
from engine.results import edited, pick
from engine.results.pick import Pick, loss
from engine.results.summary import PACKED, but_seed, measure_value
from engine.studies.rundir import RunDir
from engine.studies.state import StepState, StudyState, TrialState
from engine.text.numbers import number, percent, points

MOST = 3
"""Suggestions at a time: more is a list to choose from, not advice."""
BETWEEN = 4
"""New values between two that were tried."""
LAST_SHARE = 4
"""A training's last part is a quarter of its epochs."""
RISING = 0.002
"""By how much of accuracy (0 … 1) a training's last part has to be better than the one before to be rising still."""
GENTLE = 4
"""Times smaller than the rate of the training before, from where that of the training after compression is gentle."""
CLOSE = 0.3
"""Share of the allowed loss that the pick may be from the limit before other seeds are worth trying."""
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Suggestion:
    """What to try, why, and the preset that does."""

    title: str
    why: str
    preset: str

    def __str__(self) -> str:
        return f"{self.title}: {self.why}"

    def as_dict(self) -> dict[str, str]:
        return {"title": self.title, "why": self.why, "preset": self.preset}


def suggestions(run: RunDir, state: StudyState, choice: Pick | None) -> list[Suggestion]:
    """The two or three most worth trying after a study that is done and has a pick; none otherwise."""
    if choice is None or state.status != "done":
        return []
    found = _Found(run, state, choice)
    if found.root is None:
        return []
    out: list[Suggestion] = []
    for make in (_knee, _training, _eight_bits, _codebooks, _seeds):
        for title, why, edits in make(found):
            if len(out) < MOST and (text := found.edited(title, edits)):
                out.append(Suggestion(title, why, text))
    return out


def without(state: StudyState, choice: Pick | None) -> str:
    """Why there are none, in words."""
    if state.status != "done":
        return "it is not finished"
    return "nothing in its results calls for more" if choice else pick.without(state)


Idea = tuple[str, str, Sequence[Edit]]


@dataclass(frozen=True)
class _Found:
    """A study with its preset as a tree, which edits are made to."""

    run: RunDir
    state: StudyState
    choice: Pick

    @cached_property
    def root(self) -> Mapping | None:
        try:
            return edited.tree_of(self.run)
        except SecateurError:
            return None

    @property
    def trial(self) -> TrialState:
        return self.choice.trial

    def loss(self, trials: Sequence[TrialState]) -> float:
        """What they lose on validation, on average."""
        return loss(trials, self.choice.quality)

    def loses_too_much(self, trials: Sequence[TrialState]) -> bool:
        return not self.choice.allows(self.loss(trials))

    def amount(self, trials: Sequence[TrialState]) -> float:
        """How much of the goal's measure they have, on average."""
        return statistics.fmean(measure_value(trial.results, self.choice.goal) or 0.0 for trial in trials)

    def line(self, path: str) -> dict[float, list[TrialState]]:
        """The trials that differ from the pick in this parameter (and seed) alone, by its value, ascending."""
        found: dict[float, list[TrialState]] = {}
        others = {name: text for name, text in but_seed(self.trial) if name != path}
        for trial in self.state.trials:
            own = {name: text for name, text in but_seed(trial) if name != path}
            value = trial.parameters.get(path)
            if own == others and isinstance(value, int | float) and trial.measure.status == "done":
                found.setdefault(value, []).append(trial)
        return dict(sorted(found.items()))

    def fixed(self, but: str = "") -> list[Edit]:
        """Edits that leave the pick alone of all trials, its value of the parameter `but` excepted."""
        root = self.root
        assert root is not None
        return edited.fixed(root, self.trial, but)

    def edited(self, title: str, edits: Sequence[Edit]) -> str:
        """The preset with the edits as YAML; empty where it can't be made or would be refused."""
        root = self.root
        assert root is not None
        try:
            return edited.text_of(root, edits, self.run, f"After {self.run.name}: {title}")
        except SecateurError:
            return ""


def _knee(found: _Found) -> Iterator[Idea]:
    """Where the loss gets too large there may be a smaller model: between two values, or beyond those tried."""
    root = found.root
    assert root is not None
    for axis in axes(root):
        line = found.line(axis.path)
        here = found.trial.parameters.get(axis.path)
        if axis.address is None or axis.zipped or len(line) < 2 or here not in line:
            continue
        row = row_at(root, axis.address)
        first, second, *_ = line
        upwards = found.amount(line[second]) < found.amount(line[first])
        values = sorted(line, reverse=not upwards)  # from the largest model to the smallest
        harmless = _last_harmless(found, values[: values.index(here) + 1], line)
        if harmless is None and row is not None:
            yield from _gentler(found, axis, values[0], not upwards, row)
        elif harmless is not None and harmless != values[-1]:
            after = values[values.index(harmless) + 1]
            if found.loses_too_much(line[after]):
                yield from _finer(found, axis, harmless, after, row)
        elif harmless is not None and row is not None and found.choice.within:
            yield from _further(found, axis, here, upwards, row)
        return


def _last_harmless(
    found: _Found, values: Sequence[float], line: dict[float, list[TrialState]]
) -> float | None:
    """The last of the values whose trials lose no more than they may; None where all lose more."""
    return next((value for value in reversed(values) if not found.loses_too_much(line[value])), None)


def _finer(found: _Found, axis: AxisNode, here: float, after: float, row: Row | None) -> Iterator[Idea]:
    line = found.line(axis.path)
    steps = [here + (after - here) * k / (BETWEEN + 1) for k in range(1, BETWEEN + 1)]
    values = (
        [round(value) for value in steps] if row and row.type == "integer" else [_short(v) for v in steps]
    )
    values = [value for value in dict.fromkeys(values) if value not in line]
    if values:
        what, unit = _named(axis.path)
        first, last = (unit(one) for one in (here, after))
        lost = points(found.loss(line[after]))
        yield (
            f"Sweep {what} more finely between {first} and {last}",
            f"at {last} it loses {lost}, at {first} no more than it may",
            [*found.fixed(axis.path), _swept(axis, values)],
        )


def _further(found: _Found, axis: AxisNode, here: float, upwards: bool, row: Row) -> Iterator[Idea]:
    if values := _beyond(here, upwards, row):
        what, unit = _named(axis.path)
        yield (
            f"Go on with {what} beyond {unit(here)}",
            "the last value tried loses no more than it may: the curve does not break yet",
            [*found.fixed(axis.path), _swept(axis, values)],
        )


def _gentler(found: _Found, axis: AxisNode, first: float, upwards: bool, row: Row) -> Iterator[Idea]:
    """The gentlest value of the sweep already loses too much."""
    if values := _beyond(first, upwards, row):
        what, unit = _named(axis.path)
        lost = points(found.loss(found.line(axis.path)[first]))
        yield (
            f"Try {what} {'above' if upwards else 'below'} {unit(first)}",
            f"at {unit(first)} it loses {lost} already, and nothing gentler was tried",
            [*found.fixed(axis.path), _swept(axis, values)],
        )


def _beyond(here: float, upwards: bool, row: Row) -> list[float]:
    """A few values on that side of `here`, within the parameter's bound.

    >>> _beyond(3, False, Row("bits", "integer", minimum=1, maximum=8))
    [2, 1]
    """
    bound = row.maximum if upwards else row.minimum
    if row.type == "integer":
        wanted: list[float] = [here + (k if upwards else -k) for k in (1, 2, 3)]
    elif bound is not None and bound - here <= 1:
        wanted = [_short(here + (bound - here) * share) for share in (0.3, 0.55, 0.75)]
    else:
        wanted = [_short(here * times if upwards else here / times) for times in (1.25, 1.5, 2)]
    return [value for value in wanted if row.holds(value)]


def _swept(axis: AxisNode, values: Sequence[float]) -> Edit:
    assert axis.address is not None
    address = axis.address

    def edit(root: Mapping) -> Mapping:
        now = axis_at(root, address)
        return sweep(root, address, node_of(list(values)), now.path if now else axis.path)

    return edit


def _short(value: float) -> float:
    """A value with three significant digits: those of a sweep are read."""
    return float(f"{value:.3g}")


def _named(path: str) -> tuple[str, Any]:
    """A parameter's last name, and how its values are written."""
    known = measure(path)
    return path.rpartition(".")[2], (lambda v: percent(v, 1)) if known.kind == "fraction" else number


def _training(found: _Found) -> Iterator[Idea]:
    """The training after compression: at a higher rate, or else for longer."""
    yield from [*_higher(found)] or _longer(found)


def _higher(found: _Found) -> Iterator[Idea]:
    """It is far gentler than the training before, which a rate that rises first need not be."""
    root = found.root
    assert root is not None
    ran = {step.address for step in found.trial.steps}
    nodes = [node for node in steps_of(root)[0] if node.name in ran]
    first = next((at for at, node in enumerate(nodes) if node.cls and node.cls.compresses), len(nodes))
    before, after = (
        [node for node in part if node.cls and issubclass(node.cls, Fit) and not node.cls.compresses]
        for part in (nodes[:first], nodes[first:])
    )
    if not before or not after or f"{after[-1].name}.learning_rate" in found.trial.parameters:
        return
    last, again = before[-1], after[-1]
    trained, now = last.value("learning_rate"), again.value("learning_rate")
    if last.value("optimizer") == again.value("optimizer") and trained >= GENTLE * now:
        rising = auto.after(trained)
        yield (
            f"Let the rate of {again.name} rise to {number(rising['learning_rate'])}",
            f"it trains at {number(now)} what was trained at {number(trained)}: more of what compression took "
            "comes back at a higher rate, which rises first",
            [edited.put(Address(again.index, name), value) for name, value in rising.items()],
        )


def _longer(found: _Found) -> Iterator[Idea]:
    """The pick's last training got better until its end."""
    root = found.root
    assert root is not None
    for step in reversed(found.trial.steps):
        gained = _rise(step)
        if gained is None:
            continue
        index = next((node.index for node in steps_of(root)[0] if node.name == step.address), None)
        if gained >= RISING and index is not None:
            epochs = len(step.epochs)
            yield (
                f"Give {step.address} {2 * epochs} epochs",
                f"its last {max(epochs // LAST_SHARE, 1)} of {epochs} epochs still gained "
                f"{points(gained)} on validation",
                [*found.fixed(), edited.put(Address(index, "epochs"), 2 * epochs)],
            )
        return


def _rise(step: StepState) -> float | None:
    """By how much the best epoch of a training's last part is better than the best before; None if it trained not."""
    values = [
        v for epoch in step.epochs for name, v in epoch.measures.items() if name.startswith("validation_")
    ]
    if len(step.epochs) < 2 or len(values) < len(step.epochs):
        return None
    per = len(values) // len(step.epochs)
    values = values[per - 1 :: per]
    last = max(len(values) // LAST_SHARE, 1)
    return max(values[-last:]) - max(values[:-last])


def _eight_bits(found: _Found) -> Iterator[Idea]:
    """No step rounds to 8 bits yet."""
    kinds = [step.kind for step in found.trial.steps]
    rounded = any(kind in STEPS and STEPS[kind].family == "quantization" for kind in kinds)
    if not rounded and found.choice.harmless:
        yield (
            "Quantize the pick to INT8",
            "no step rounds yet: 8 bits a weight take a quarter of the room of float ones, and less time where the "
            "processor has instructions for them",
            [*found.fixed(), _appended("quantize.static")],
        )


def _codebooks(found: _Found) -> Iterator[Idea]:
    """Nothing shares values yet, and the goal is a small file."""
    kinds = [step.kind for step in found.trial.steps]
    compressed = any(kind.startswith(("cluster.", "quantize.")) for kind in kinds)
    if found.choice.goal == PACKED and not compressed and found.choice.harmless:
        yield (
            "Let the pick's weights share few values",
            "no step clusters yet: codebooks store an index of few bits for each weight, and make small files smaller",
            [*found.fixed(), _appended("cluster.weights")],
        )


def _appended(kind: str) -> Edit:
    return lambda root: add_step(root, kind, len(steps_of(root)[0]))


def _seeds(found: _Found) -> Iterator[Idea]:
    """The pick is near what it may lose, by one seed."""
    allowed = found.choice.allowed
    if found.choice.seeds < 2 and found.choice.within and found.choice.loss > (1 - CLOSE) * allowed:
        yield (
            f"Repeat the pick with {len(SEEDS)} seeds",
            f"it loses {points(found.choice.loss)} of {number(100 * allowed)} allowed, by one "
            "seed: another may lose more",
            [*found.fixed(), edited.put(Address(None, "seed"), list(SEEDS))],
        )
