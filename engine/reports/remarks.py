"""What to remember of a study beside its numbers: the model to take, disturbances, errors, a replay's verdict."""

from typing import Any

from engine.measures import latency
from engine.results import environment, failures, pick, remarks, requests, searches
from engine.studies.state import StudyState
from engine.text.phrases import counted

SHOWN = 20
"""Of how many differences a replay's verdict says what they are."""


def closing(state: StudyState, picked: pick.Pick | None = None) -> list[str]:
    """What to remember of the study: the model to take, errors, the verdict of a replay."""
    lines = searches.lines(state) or reused_lines(state)
    if picked is not None and state.chosen is None:
        lines.append(pick.verdict(picked))
    rows = [row for trial in state.trials for row in latency.measured(trial.results)]
    if beside := latency.disturbance(rows):
        lines.append(
            f"{latency.BESIDE_OTHERS} latency {beside}; on a quiet machine `secateur resume {state.name} --remeasure` "
            "measures those again"
        )
    lines += remarks.closing(state.trials)
    lines += [f"{_which(indices)}: {note}" for note, indices in _latency_notes(state).items()]
    lines += requests.lines(state)
    lines += failures.lines(state)
    if state.verdict:
        lines += verdict_lines(state.verdict.identical, state.verdict.compared, state.verdict.differences)
        lines += [_changed(change) for change in state.verdict.environment]
        lines += recorded_lines(state.verdict.recorded)
    return lines


def reused_lines(state: StudyState) -> list[str]:
    """Which results were in the store already: no number of them was computed by this study."""
    done = [step for step in state.steps.values() if step.status == "done"]
    reused = [step for step in done if step.reused]
    if not reused:
        return []
    names = ", ".join(dict.fromkeys(step.address for step in reused))
    return [f"reused from the store: {len(reused)} of {len(done)} results ({names})"]


def _latency_notes(state: StudyState) -> dict[str, list[int]]:
    """What to know of the latencies, with the trials that it is true of."""
    by_note: dict[str, list[int]] = {}
    for trial in state.trials:
        for note in latency.notes(trial.results):
            by_note.setdefault(note, []).append(trial.index)
    return by_note


def _which(indices: list[int]) -> str:
    """
    >>> _which([3]), _which([0, 1, 2, 5])
    ('trial 3', 'trials 0-2, 5')
    """
    return f"trial{'' if len(indices) == 1 else 's'} {failures.spans(indices)}"


def recorded_lines(steps: int) -> list[str]:
    """What a replay did not measure anew: times do not repeat, decisions made by them do."""
    if not steps:
        return []
    which = counted(steps, "step")
    return [f"  {which} decided by measured times: the replay used the original's, which it recorded"]


def verdict_lines(identical: bool, compared: int, differences: list[dict[str, Any]]) -> list[str]:
    if identical:
        return [f"replay: identical in all {compared} numbers and models"]
    lines = [f"replay: DIFFERENT in {len(differences)} of {compared} numbers and models"]
    for difference in differences[:SHOWN]:
        by = f" (by {difference['by']:.3g})" if difference.get("by") is not None else ""
        lines.append(f"  {difference['where']}: {difference['original']} became {difference['replay']}{by}")
    more = len(differences) - SHOWN
    return [*lines, f"  and {more} more: `--json` has all"] if more > 0 else lines


def _changed(change: dict[str, Any]) -> str:
    name = change["what"]
    was, now = (
        "absent" if change[which] is None else environment.text(name, change[which])
        for which in ("original", "replay")
    )
    return f"another environment: {environment.label(name)} was {was}, is {now}"
