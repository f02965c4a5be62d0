"""What a search has found so far, from its study's state alone."""

from collections.abc import Sequence

from engine.measures.table import change_text, measure_text
from engine.results.summary import baseline_value, in_words, measure_value, quality_of
from engine.studies.state import StudyState, TrialState
from engine.studies.status import OPEN
from engine.text.numbers import MISSING, ratio
from engine.text.phrases import counted

CANDIDATE, FINALIST, UNCOMPRESSED = "candidate", "finalist", "uncompressed"
"""Roles of a search's trials."""
BASELINE = "baseline"


def is_search(state: StudyState) -> bool:
    """Whether the study's trials are proposed by a search."""
    return bool(state.proposed or state.most_trials)


def searched(state: StudyState) -> int:
    """How many rounds have searched; those that confirm finalists are no such rounds."""
    return sum(one.purpose == "search" for one in state.proposed.values())


def candidates(state: StudyState) -> int:
    """How many candidates were looked at, each once however long it was trained."""
    return len({trial.proposal["candidate"] for trial in state.trials if role(trial) == CANDIDATE})


def role(trial: TrialState) -> str:
    """What a search's trial is there for."""
    return str(trial.proposal.get("role", BASELINE))


def furthest(trials: Sequence[TrialState]) -> list[TrialState]:
    """The trials, but of a candidate that went on as a finalist the finalist alone: it is judged as that."""
    finalists = {trial.proposal["candidate"] for trial in trials if role(trial) == FINALIST}
    return [
        trial for trial in trials if role(trial) != CANDIDATE or trial.proposal["candidate"] not in finalists
    ]


def named(trial: TrialState) -> str:
    """A search's trial in words: as what it was proposed, and how long it is trained.

    `candidate 3, 2 epochs`
    """
    number = trial.proposal.get("candidate")
    epochs = next((value for name, value in trial.parameters.items() if name.endswith(".epochs")), None)
    parts = [role(trial) if number is None else f"{role(trial)} {number}"]
    parts += [counted(epochs, "epoch")] if isinstance(epochs, int) and trial.proposal else []
    parts += [f"seed {trial.parameters['seed']}"] if "seed" in trial.parameters else []
    return ", ".join(parts)


def point(trial: TrialState) -> str:
    """Where in the search's space the trial is: `speedup 2.07, criterion l2, quantize.static off`."""
    return ", ".join(in_words(trial.proposal.get("point") or {}))


def quality(trial: TrialState) -> str:
    """The trial's quality on validation, and what that is more or less than its baseline's."""
    now, before = (quality_of(m, "validation_") for m in (trial.results, trial.baseline_measure.measures))
    if now is None:
        return MISSING
    change = change_text(now[0], now[1] - before[1]) if before and trial.proposal else ""
    return f"{measure_text(now[0], now[1])} {change.removesuffix(' points')}".rstrip()


def amount(trial: TrialState, name: str) -> str:
    """How much of a measure it has, and how many times less than its baseline."""
    now, before = measure_value(trial.results, name), baseline_value(trial, name)
    times = f" {ratio(before / now)}" if now and before and trial.proposal else ""
    return measure_text(name, now) + times


def front(trials: Sequence[TrialState], goal: str) -> list[TrialState]:
    """Of finished trials those that no other beats both on validation and in the goal's measure, the least first."""
    rows = [
        (value, -found[1], trial.index, trial)
        for trial in trials
        if (value := measure_value(trial.results, goal)) is not None
        and (found := quality_of(trial.results, "validation_")) is not None
    ]
    kept: list[TrialState] = []
    best = float("inf")
    for _, negative, _, trial in sorted(rows, key=lambda row: row[:3]):
        if negative < best:
            best = negative
            kept.append(trial)
    return kept


def shared(state: StudyState) -> tuple[int, int]:
    """Of the results that the search's trials go through, one by one: how many came from the store, and how many there
    are. What several trials share, or an earlier study had, is computed once or never."""
    through = [step for trial in state.trials for step in trial.chain if step.status == "done"]
    computed = {step.key for step in through if not step.reused}
    return len(through) - len(computed), len(through)


def doing(state: StudyState) -> str:
    """What a search is at, in words."""
    if state.chosen is not None:
        return "it is through"
    if not state.proposed:
        return "its baseline comes before the first round"
    last = state.proposed[max(state.proposed)]
    trials = [state.trials[told["index"]] for told in last.trials if told["index"] < len(state.trials)]
    ended = sum(trial.status in ("done", "failed") for trial in trials)
    if state.status not in OPEN:
        return f"it stands still after {last.text}: {ended} of {len(last.trials)} done"
    if ended == len(last.trials):
        return f"{last.text}: all done; what follows is being decided"
    return f"{last.text}: {ended} of {len(last.trials)} done"


def lines(state: StudyState) -> list[str]:
    """How far the search is; of one that is through, its answer and why it won."""
    if not is_search(state):
        return []
    stored, through = shared(state)
    told = [
        f"{counted(candidates(state), 'candidate')} in {counted(searched(state), 'round')}, "
        f"{counted(len(state.trials), 'trial')}; {stored} of {counted(through, 'step')} from the store"
    ]
    if state.chosen is None:
        return told
    taken = f"answer.yaml in its folder is the winner as a preset; `secateur export {state.name} model/` takes it away"
    return [*told, *state.chosen.lines, taken]


def test_quality(trial: TrialState) -> str:
    """The quality on the test split, which finalists alone were scored on."""
    found = quality_of(trial.results)
    return measure_text(*found) if found else ""
