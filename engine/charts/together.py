"""Several studies over one pair of axes: which can be drawn together, along what, and what to say of the others."""

from collections.abc import Sequence
from dataclasses import dataclass

from engine.charts import sensitivity, trials
from engine.errors import SecateurError
from engine.measures import latency
from engine.results.summary import measure_names, measure_value, quality_name, trial_value
from engine.studies.state import StudyState

SIZES = ("size.packed", "effective_macs", "nonzero_parameters")
"""Along what studies of different kinds are compared; the first that all have measured."""


@dataclass(frozen=True)
class Together:
    """The studies to draw, along what, and a line about each that is not drawn, or not as chosen."""

    states: Sequence[StudyState]
    x: str
    y: str
    by: tuple[str, ...]
    notes: tuple[str, ...] = ()


def comparable(states: Sequence[StudyState], x: str, y: str, by: Sequence[str] = ()) -> Together:
    """What can be drawn of several studies where `y` along `x`, by `by`, was chosen; of one, what was chosen.

    Those without a finished trial wait. Where one has no such parameter or measure as was chosen, all are drawn by
    quality along size instead; where that is not measured, those that have what was chosen. What none of them has
    stays chosen: drawing it says what there is.
    """
    ready = [state for state in states if any(trial.results for trial in state.trials)]
    if len(states) < 2 or not ready or _along_rates(states, x):
        return Together(states, x, y, tuple(by))
    notes = [
        f"{state.name}: {waiting([state]) or 'no trial was finished'}"
        for state in states
        if state not in ready
    ]
    full_x, full_y = (_full(name, ready) or name for name in (x, y))
    strangers = [state for state in ready if not _has(state, full_x, full_y)]
    if not strangers or len(strangers) == len(ready):
        return Together(ready, x, y, _left(by, states, ready), tuple(notes))
    quality = quality_name(ready[0])
    both = next((name for name in SIZES if all(name in measure_names(state) for state in ready)), None)
    names = ", ".join(state.name for state in strangers)
    if both and all(quality_name(state) == quality for state in ready):
        notes.append(f"{names} has no {y} along {x}: all are drawn by {quality} along {both}")
        return Together(ready, both, quality, _left(by, states, ready), tuple(notes))
    notes.append(f"{names}: no {y} along {x}, not drawn")
    drawn = [state for state in ready if state not in strangers]
    return Together(drawn, x, y, _left(by, states, drawn), tuple(notes))


def waiting(states: Sequence[StudyState]) -> str:
    """What a study without results is doing; empty if none goes on."""
    for state in states:
        if state.status in ("queued", "running"):
            doing = [f"{s.address} {s.text}".strip() for s in state.steps.values() if s.status == "running"]
            return ": ".join(["No trial is finished yet", ", ".join(doing[:3]) or "the engine is starting"])
    return ""


def _along_rates(states: Sequence[StudyState], x: str) -> bool:
    """Whether x is the rate of a sensitivity step, along which layers are drawn."""
    return x in (sensitivity.RATE, *sensitivity.names(states))


def _left(by: Sequence[str], states: Sequence[StudyState], drawn: Sequence[StudyState]) -> tuple[str, ...]:
    """Those of `by` that some drawn study has; a name that no study has stays, to be told."""
    return tuple(
        name
        for name in by
        if name in latency.DIMENSIONS or _full(name, drawn) is not None or _full(name, states) is None
    )


def _full(name: str, states: Sequence[StudyState]) -> str | None:
    """The full name of a parameter or measure that some of the studies have; None where none has it."""
    try:
        return trials.resolve(name, states)
    except SecateurError:
        return None


def _has(state: StudyState, x: str, y: str) -> bool:
    """Whether some trial has what was chosen for both axes; along batch or threads its rows of latency have both."""
    along_rows = x in latency.NUMBERS and latency.is_name(y)
    return any(
        measure_value(trial.results, y) is not None and (along_rows or trial_value(trial, x) is not None)
        for trial in state.trials
    )
