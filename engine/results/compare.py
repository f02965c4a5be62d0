"""Two trials side by side, of one study or of two: what was set otherwise, what came out, layer by layer."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.errors import SecateurError
from engine.measures.table import change_text, measure, measure_text
from engine.presets import spec
from engine.presets.model import Trial
from engine.presets.yaml.flow import as_written
from engine.results import environment, network, pick
from engine.results.meant import meant
from engine.results.network import Layer
from engine.results.summary import dotted, measure_names, measure_value
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState

ABSENT = "–"
"""In place of a parameter that one of the two does not have."""
ASIDE = ("version", "about", "plot", "pick", "executor", "search")
"""Sections of a preset that no trial's result depends on: a search proposes trials, whose steps say what they are."""
STEPS = "steps"


@dataclass(frozen=True)
class Side:
    """One of the two: its study, all its parameters by dotted path, and which of them its preset gives."""

    run: RunDir
    state: StudyState
    trial: TrialState
    parameters: Mapping[str, Any]
    given: frozenset[str]
    where: str = ""
    """The workspace, where two of them have a study of this name."""

    @property
    def name(self) -> str:
        return f"{f'{self.where}: ' if self.where else ''}{self.run.name}:{self.trial.index}"


@dataclass(frozen=True)
class Differing:
    """A parameter, or a part of the environment, of which the two have different values, as text."""

    name: str
    a: str
    b: str


@dataclass(frozen=True)
class Measured:
    """A measure of both; None where it is not there."""

    name: str
    a: float | None
    b: float | None

    @property
    def change(self) -> float | None:
        """From the first to the second."""
        return None if self.a is None or self.b is None else self.b - self.a

    @property
    def better(self) -> bool | None:
        """Whether the second is better; None where they are equal, or neither direction is."""
        known = measure(self.name).better
        return None if not self.change or not known else (self.change > 0) == (known == "higher")

    def cells(self) -> list[str]:
        """Label, both values, the difference."""
        change = "" if self.change is None else change_text(self.name, self.change) if self.change else "="
        return [
            measure(self.name).label,
            measure_text(self.name, self.a),
            measure_text(self.name, self.b),
            change,
        ]


@dataclass(frozen=True)
class Comparison:
    """All of it; `layers` has each layer that one of them has, in the order of the models."""

    a: Side
    b: Side
    parameters: tuple[Differing, ...]
    environment: tuple[Differing, ...]
    measures: tuple[Measured, ...]
    layers: tuple[tuple[Layer | None, Layer | None], ...]

    @property
    def environment_in_words(self) -> tuple[Differing, ...]:
        """The environment's parts by what they are called."""
        return tuple(replace(one, name=environment.label(one.name)) for one in self.environment)


def side(run: RunDir, state: StudyState, wanted: str, asked: pick.Asked = None) -> Side:
    """The trial that is `wanted`; arguments and errors as of `meant`."""
    trial = meant(run, state, wanted, asked)
    given = {**parameters(run, trial, defaults=False), **trial.parameters}
    return Side(run, state, trial, parameters(run, trial), frozenset(given))


def parameters(run: RunDir, trial: TrialState, *, defaults: bool = True) -> dict[str, Any]:
    """Every parameter of a trial by its dotted path; what is swept alone where the preset can't be read any more.

    Without `defaults`, only those that its preset gives.
    """
    try:
        made = _planned(run, trial)
    except (SecateurError, StopIteration):
        return dict(trial.parameters)
    settings = made.settings.model_dump(mode="json", exclude_unset=not defaults)
    out = dotted({k: v for k, v in settings.items() if k not in ASIDE})
    names = [step.id or step.kind for step in made.steps]
    out[STEPS] = ", ".join(names)
    for name, step in zip(names, made.steps, strict=True):
        told = step.model_dump(mode="json", exclude={"id", "enabled"}, exclude_unset=not defaults)
        out |= dotted(told, f"{name}.")
    return out


def _planned(run: RunDir, trial: TrialState) -> Trial:
    """The trial as its preset makes it; of a search, at the point that was proposed."""
    kept = run.spec()
    if trial.proposal:
        return spec.proposed(kept, trial.proposal)
    return next(one for one in kept.trials if one.index == trial.index)


def compare(a: Side, b: Side) -> Comparison:
    """Put two trials side by side."""
    workspaces = [one.run.workspace.absolute() for one in (a, b)]
    if a.name == b.name and workspaces[0] != workspaces[1]:
        common = os.path.commonpath(workspaces)
        a, b = (replace(o, where=str(p.relative_to(common))) for o, p in zip((a, b), workspaces, strict=True))
    names = dict.fromkeys([*measure_names(a.state), *measure_names(b.state)])
    rows = (Measured(n, measure_value(a.trial.results, n), measure_value(b.trial.results, n)) for n in names)
    places = [_written(one.state) for one in (a, b)]
    return Comparison(
        a,
        b,
        tuple(_differing(_beside(a, b), _beside(b, a))),
        tuple(_differing(*places)) if a.run.path != b.run.path else (),
        tuple(row for row in rows if row.a is not None or row.b is not None),
        tuple(_paired(network.of(a.run, a.trial), network.of(b.run, b.trial))),
    )


def as_json(found: Comparison) -> dict[str, Any]:
    """All of it as plain values."""

    def plain(layer: Layer | None) -> dict[str, Any] | None:
        if layer is None:
            return None
        return {
            "shape": list(layer.shape),
            "parameters": layer.parameters,
            "nonzero_parameters": layer.nonzero,
            "sparsity": layer.sparsity,
            "macs": layer.macs,
            "effective_macs": layer.effective_macs,
        }

    return {
        "a": found.a.name,
        "b": found.b.name,
        "parameters": {one.name: [one.a, one.b] for one in found.parameters},
        "environment": {one.name: [one.a, one.b] for one in found.environment},
        "measures": {
            row.name: {"a": row.a, "b": row.b, "change": row.change, "better": row.better}
            for row in found.measures
        },
        "layers": {_name(pair): {"a": plain(pair[0]), "b": plain(pair[1])} for pair in found.layers},
    }


def _name(pair: tuple[Layer | None, Layer | None]) -> str:
    return next(layer.name for layer in pair if layer is not None)


def _beside(one: Side, other: Side) -> dict[str, Any]:
    """Its parameters; of steps and sections that the other has not, those that were given: `steps` tells the rest."""
    return {k: v for k, v in one.parameters.items() if k in other.parameters or k in one.given}


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> Iterator[Differing]:
    for name in dict.fromkeys([*a, *b]):
        first, second = (_text(side, name) for side in (a, b))
        if first != second:
            yield Differing(name, first, second)


def _text(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return ABSENT
    value = values[name]
    return ", ".join(map(as_written, value)) if isinstance(value, list) else as_written(value)


def _written(state: StudyState) -> dict[str, str]:
    return {name: environment.text(name, value) for name, value in environment.found(state).items()}


def _paired(a: Sequence[Layer], b: Sequence[Layer]) -> Iterator[tuple[Layer | None, Layer | None]]:
    """Layers of the same name together, in the order of the first model, then those that the second alone has."""
    second = {layer.name: layer for layer in b}
    for layer in a:
        yield layer, second.pop(layer.name, None)
    for layer in second.values():
        yield None, layer
