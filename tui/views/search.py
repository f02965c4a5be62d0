"""A search as lines and rows: what it is at, its limits and techniques, its front. Pure functions of its state."""

from collections.abc import Collection, Mapping, Sequence

from engine.errors import sentence
from engine.params.search import MOST_ACCURATE
from engine.presets.limits import Limit
from engine.presets.space import Space
from engine.results import searches
from engine.results.summary import PACKED, measure_value
from engine.search.answers import Answer
from engine.studies.state import StudyState, TrialState
from engine.text.phrases import counted
from tui.widgets.painted import Line
from tui.widgets.table import Column, Row
from tui.widgets.wrap import wrapped

LIMITS = (Column("limit"), Column("asked for", rank=1))
TECHNIQUES = (
    Column("technique"),
    Column("is"),
    Column("tried in", "right", rank=3),
    Column("front", "right", rank=1),
)
FRONT = (
    Column("trial", "right"),
    Column("the front"),
    Column("validation", "right"),
    Column("amount", "right"),
    Column("where", rank=1, widest=120),
)
HELD = {True: ("pinned", "good"), False: ("forbidden", "warn"), None: ("free", "muted")}


def head(state: StudyState, answer: Answer, width: int) -> list[Line]:
    """What it is at, the answer by the limits as they stand, and of one that is through why its winner won, or why it
    failed."""
    stored, through = searches.shared(state)
    tried = (
        f"{counted(searches.candidates(state), 'candidate')} in {counted(searches.searched(state), 'round')}, "
        f"{stored} of {counted(through, 'step')} from the store"
    )
    lines = wrapped(f"{searches.doing(state)}; {tried}", width)
    found = answer.picked is not None and answer.picked.within
    lines += wrapped(str(answer), width, "good" if found else "warn")
    for text in state.chosen.lines if state.chosen else ():
        lines += wrapped(text, width, "muted")
    if state.error:
        lines += wrapped(sentence(state.error), width, "bad")
    return lines


def limit_rows(asked: Sequence[Limit], now: Sequence[Limit]) -> list[Row]:
    """A row for each limit, as it stands and as the preset has it."""
    return [
        Row(one.measure, ((str(one), "title" if one != before else ""), (_was(one, before), "muted")))
        for one, before in zip(now, asked, strict=True)
    ]


def _was(now: Limit, before: Limit) -> str:
    return "" if now == before else str(before).removeprefix(f"{before.measure} ")


def technique_rows(state: StudyState, space: Space, held: Mapping[str, bool], goal: str) -> list[Row]:
    """A row for each technique: whether it is pinned or forbidden, and in how many candidates it is, tried and best."""
    tried = [trial for trial in state.trials if searches.role(trial) == searches.CANDIDATE]
    best = searches.front([trial for trial in tried if trial.status == "done"], least(goal))
    rows = []
    for name in space.techniques:
        word, role = HELD[held.get(name)]
        rows.append(Row(name, (name, (word, role), _share(space, name, tried), _share(space, name, best))))
    return rows


def _share(space: Space, name: str, trials: Collection[TrialState]) -> str:
    step = space.names.index(name)
    return f"{sum(space.enabled(trial.proposal['point'])[step] for trial in trials)} of {len(trials)}"


def least(goal: str) -> str:
    """The measure along which a search's front is drawn."""
    return PACKED if goal == MOST_ACCURATE else goal


def front_rows(state: StudyState, goal: str, picked: int | None) -> list[Row]:
    """The front on validation, the least first, of candidates as far as they went; with it the answer, with a star."""
    amount = least(goal)
    done = [trial for trial in state.trials if trial.status == "done" and trial.proposal]
    front = {trial.index for trial in searches.front(searches.furthest(done), amount)}
    shown = [trial for trial in done if trial.index in front or trial.index == picked]
    rows = []
    for trial in sorted(shown, key=lambda trial: measure_value(trial.results, amount) or 0.0):
        star = "*" if trial.index == picked else ""
        rows.append(
            Row(
                str(trial.index),
                (
                    f"{star}{trial.index}",
                    searches.named(trial),
                    searches.quality(trial),
                    searches.amount(trial, amount),
                    searches.point(trial),
                ),
            )
        )
    return rows
