"""Another limit, another answer: what a search's results say then, without computing anything.

The answer is a function of the limits and of the trials' results alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.measures.table import measure_text
from engine.params.preset import Pick as Rule
from engine.params.search import MOST_ACCURATE
from engine.presets.limits import Limit
from engine.results import pick
from engine.results.searches import FINALIST, role
from engine.results.summary import PACKED, measure_value
from engine.studies.state import StudyState
from engine.text.numbers import ratio

POINTS = (0, 0.1, 0.2, 0.3, 0.5, 0.75, 1, 1.5, 2, 2.5, 3, 4, 5, 7.5, 10, 15, 20, 30, 50, 100)
"""Points of quality that may be lost, one step after the other."""
SHARES = tuple(step / 20 for step in range(1, 21))
"""Shares of the baseline's amount."""
STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)
"""Steps of an amount within each power of ten."""


@dataclass(frozen=True)
class Answer:
    """The trial to take within some limits, if there is one; `confirmed`: it was trained on several seeds or chosen
    from those that were."""

    limits: tuple[Limit, ...]
    picked: pick.Pick | None
    confirmed: bool = False

    def __str__(self) -> str:
        within = ", ".join(map(str, self.limits))
        found = self.picked
        if found is None:
            return f"with {within}: no trial yet"
        if not found.within:
            return f"with {within}: no trial yet; nearest is trial {found.trial.index}, {_amount(found)}"
        sure = "" if self.confirmed else ", not confirmed on other seeds"
        return f"with {within}: trial {found.trial.index}, {_amount(found)}{sure}"


def answer(state: StudyState, rule: Rule, limits: Sequence[Limit]) -> Answer:
    """What to take within `limits`, of all that the search has tried; `rule` says what is to be least."""
    found = pick.within_limits(state, rule, limits)
    return Answer(tuple(limits), found, found is not None and role(found.trial) == FINALIST)


def moved(limit: Limit, by: int) -> Limit:
    """The limit one step looser (1) or tighter (-1).

    >>> str(moved(Limit("accuracy", "loss", 0.01), 1)), str(moved(Limit("size.packed", "most", 500e3), -1))
    ('accuracy −1.5 points', 'size.packed at most 400 kB')
    """
    match limit.kind:
        case "loss":
            return replace(limit, value=_next(POINTS, 100 * limit.value, by) / 100)
        case "share":
            return replace(limit, value=_next(SHARES, limit.value, by))
        case "most":
            power = 10.0 ** math.floor(math.log10(limit.value) + 1e-9)
            ladder = [step * scale for scale in (power / 10, power, power * 10) for step in STEPS]
            return replace(limit, value=_next(ladder, limit.value, by))


def _next(ladder: Sequence[float], value: float, by: int) -> float:
    """The nearest step above or below a value; the value itself where there is none."""
    tolerance = 1e-9 * max(abs(value), 1.0)
    if by > 0:
        return float(next((step for step in ladder if step > value + tolerance), value))
    return float(next((step for step in reversed(ladder) if step < value - tolerance), value))


def _amount(found: pick.Pick) -> str:
    """What it has of what is to be least, and how many times less than its baseline."""
    if found.goal == MOST_ACCURATE:
        name = f"validation_{found.quality}"
        size = measure_text(PACKED, measure_value(found.trial.results, PACKED))
        return f"{measure_text(found.quality, measure_value(found.trial.results, name))}, {size}"
    lost = f"{-100 * found.loss:+z.2f}".replace("-", "−")
    comparative = "faster" if found.goal.startswith("latency") else "smaller"
    times = found.times
    first = measure_text(found.goal, measure_value(found.trial.results, found.goal))
    more = f" ({ratio(times)} {comparative})" if times and times > 1 else ""
    return f"{first}{more}, {lost} points"
