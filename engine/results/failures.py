"""How a study ended where it did not end well: every reason once, with the trials that share it, and what to do.

All views tell it from here; they differ in how they name the way on, a command or a key.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from engine.errors import SecateurError, sentence, sentences
from engine.studies.status import Status
from engine.text.phrases import counted
from engine.text.visible import visible

if TYPE_CHECKING:
    from engine.studies.state import StudyState, TrialState

Part = Literal["headline", "reason", "remedy", "onward"]
INDENTS: Mapping[Part, str] = {"headline": "", "reason": "  ", "remedy": "  → ", "onward": ""}
"""What stands before each part of an ending."""
GONE = {"local": "its engine is gone", "slurm": "its jobs have left Slurm's queue before they were done"}
"""What carried a lost study, by executor."""
RESUME = "`secateur resume`"
"""What remedies call the command that goes on; views put theirs in its place."""
_VARYING = re.compile(r"0x[0-9a-fA-F]+|\d+(\.\d+)?")
"""What may differ between two tellings of one reason: an address, a batch, a share."""


@dataclass(frozen=True)
class Reason:
    """Why trials failed, as the first of them tells it.

    Attributes:
        error: `title`, `detail`, `remedy`.
        trials: Indices of the trials that failed so; none where the error is the study's own.
        steps: Addresses of the steps in which they did.
        exact: Whether all tell it in the same words, numbers included.
    """

    error: Mapping[str, str]
    trials: tuple[int, ...] = ()
    steps: tuple[str, ...] = ()
    exact: bool = True

    @property
    def what(self) -> str:
        """Title and detail on one line."""
        return sentences(str(self.error.get("title") or "An error"), str(self.error.get("detail") or ""))

    @property
    def remedy(self) -> str:
        return sentences(str(self.error.get("remedy") or ""))


@dataclass(frozen=True)
class Ending:
    """What became of a study that is not well: in a few words, the reasons, and what resuming it does."""

    headline: str
    reasons: tuple[Reason, ...] = ()
    resumed: str = ""
    """What resuming does, as `goes on where it was`; empty where it cannot be resumed now."""


def ending(state: "StudyState") -> Ending | None:
    """What became of a study; None while all goes well."""
    count, failed = len(state.trials), state.failed
    done = state.counts if count else "before its trials were planned"
    own = (Reason(state.error),) if state.error else ()
    reasons = (*own, *reasons_of(state.trials))
    match state.status:
        case "lost":
            heard = f", last heard of {moment(state.heard)}" if state.heard else ""
            known = state.lost if state.lost and state.lost.get("title") else None
            causes = (Reason(known), *reasons) if known else reasons
            who = GONE.get(state.executor, GONE["local"])
            return Ending(f"Lost: {who}{heard}; {done}", causes, "goes on where it was")
        case "cancelled":
            return Ending(
                f"Cancelled {done if not count else f'with {done}'}", reasons, "goes on where it was"
            )
        case "unreadable":
            return Ending("The files in its folder can't be read as a study")
        case "failed" if own and count:
            also = f", {failed} failed" if failed else ""
            return Ending(f"Failed with {done}{also}", reasons, "goes on where it was")
        case "failed" if not failed:
            return Ending(f"Failed {done if not count else f'with {done}'}", reasons, "tries again")
    if not failed:
        return None
    if state.status in ("queued", "running"):
        return Ending(f"{failed} of {counted(count, 'trial')} failed so far", reasons)
    what = "tries it again" if failed == 1 else "tries them again"
    return Ending(f"{failed} of {counted(count, 'trial')} failed", reasons, what)


def reasons_of(trials: "Iterable[TrialState]") -> tuple[Reason, ...]:
    """The distinct reasons why trials failed, the most frequent first."""
    by_reason: dict[str, list[TrialState]] = {}
    for trial in trials:
        if trial.error:
            by_reason.setdefault(alike(trial.error), []).append(trial)
    reasons = [_shared(trials) for trials in by_reason.values()]
    return tuple(sorted(reasons, key=lambda reason: -len(reason.trials)))


def alike(error: Mapping[str, object]) -> str:
    """The same text for all errors that differ in numbers alone.

    >>> alike({"title": "Batch 32 is too large"}) == alike({"title": "Batch 64 is too large"})
    True
    """
    return _VARYING.sub("#", sentence(error))


def _shared(trials: "Sequence[TrialState]") -> Reason:
    errors = [trial.error or {} for trial in trials]
    steps = tuple(dict.fromkeys(step for trial in trials if (step := failed_step(trial))))
    return Reason(
        errors[0], tuple(trial.index for trial in trials), steps, all(error == errors[0] for error in errors)
    )


def failed_step(trial: "TrialState") -> str:
    """The address of the step that failed."""
    every = (*trial.chain, trial.baseline_measure, *trial.beside)
    return next((step.address for step in every if step.error), "")


def paragraphs_of(end: Ending, onward: str) -> list[tuple[Part, str]]:
    """The ending as paragraphs; `onward` is how the view resumes a study, such as `secateur resume NAME`."""
    shared = len(end.reasons) == 1 and bool(end.reasons[0].trials)
    head = end.headline + (_where(end.reasons[0]) if shared else "")
    numbered = sum(bool(reason.trials) for reason in end.reasons) > 1
    several = f", for {len(end.reasons)} reasons" if numbered and end.reasons[0].trials else ""
    parts: list[tuple[Part, str]] = [("headline", head + several + (":" if end.reasons else ""))]
    number = 0
    for reason in end.reasons:
        number += bool(reason.trials)
        which_one = f"({number}) " if reason.trials and numbered else ""
        whose = f"{which_one}{which(reason.trials)}{_where(reason)}: " if reason.trials and not shared else ""
        others = "" if reason.exact else "In the others the numbers differ"
        parts.append(("reason", whose + sentences(reason.what, others)))
        if reason.remedy:
            parts.append(("remedy", reason.remedy.replace(RESUME, onward)))
    if end.resumed and not any(RESUME in reason.remedy for reason in end.reasons):
        parts.append(("onward", f"{onward} {end.resumed}."))
    return parts


def lines(state: "StudyState") -> list[str]:
    """The ending as the commands print it; nothing while all goes well."""
    end = ending(state)
    return _indented(paragraphs_of(end, _command(state))) if end else []


def trial_lines(state: "StudyState", trial: "TrialState") -> list[str]:
    """What became of one trial, as the commands print it."""
    return _indented(of_trial(state, trial, _command(state)))


def _command(state: "StudyState") -> str:
    return f"`secateur resume {state.name}`"


def _indented(parts: Iterable[tuple[Part, str]]) -> list[str]:
    return [f"{INDENTS[part]}{visible(text)}" for part, text in parts]


def of_trial(state: "StudyState", trial: "TrialState", onward: str) -> list[tuple[Part, str]]:
    """What became of one trial: its own error if it failed, else the study's, with how to go on."""
    end = ending(state)
    if trial.error:
        reason = next(one for one in reasons_of(state.trials) if trial.index in one.trials)
        same = f" ({which(reason.trials)} for this reason)" if len(reason.trials) > 1 else ""
        head = f"Trial {trial.index} failed in {failed_step(trial)}{same}"
        own = Reason(trial.error)
        return paragraphs_of(Ending(head, (own,), end.resumed if end else ""), onward)
    if end is None or trial.status == "done":
        return []
    study = tuple(reason for reason in end.reasons if not reason.trials)
    return paragraphs_of(Ending(end.headline, study, end.resumed), onward)


def brief(end: Ending) -> str:
    """The ending on one line: the headline, what happened most often, and what to do about that."""
    if not end.reasons:
        return end.headline
    first, *others = end.reasons
    more = f" (and {counted(len(others), 'other reason')})" if others else ""
    return f"{end.headline}: {sentences(first.what, first.remedy)}{more}"


def of_status(status: Status) -> str:
    """What became of a study, as far as its status tells: one line for lists; empty while all goes well."""
    if status.state == "lost":
        heard = f", last heard of {moment(status.updated)}" if status.updated else ""
        who = GONE.get(status.executor, GONE["local"])
        lost = f"Lost: {who}{heard}; {status.counts}"
        return f"{lost}: {why}" if status.lost and (why := sentence(status.lost)) else lost
    if status.state == "unreadable":
        return status.why or "The files in its folder can't be read as a study"
    return status.why or (sentence(status.error) if isinstance(status.error, dict) else "")


def without_values(states: "Sequence[StudyState]") -> SecateurError | None:
    """Why there is nothing to draw of studies that ended without a value; None where that is not the reason."""
    if any(trial.results for state in states for trial in state.trials):
        return None
    ended = [state for state in states if state.status not in ("queued", "running") and ending(state)]
    if not ended:
        return None
    names = ", ".join(state.name for state in ended)
    return SecateurError(
        f"There is nothing to plot of {names}", "\n".join(line for state in ended for line in lines(state))
    )


def which(indices: Sequence[int]) -> str:
    """
    >>> which([3]), which([0, 1, 2, 5])
    ('trial 3', '4 trials (0-2, 5)')
    """
    if len(indices) == 1:
        return f"trial {indices[0]}"
    return f"{len(indices)} trials ({spans(indices)})"


def spans(indices: Sequence[int]) -> str:
    """
    >>> spans([0, 1, 2, 5])
    '0-2, 5'
    """
    runs: list[list[int]] = []
    for index in indices:
        if runs and runs[-1][-1] == index - 1:
            runs[-1].append(index)
        else:
            runs.append([index])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def moment(when: float) -> str:
    """Date and time of day on this machine."""
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(when))
    except (ValueError, OverflowError, OSError):
        return "at an unknown time"


def _where(reason: Reason) -> str:
    return f" in {reason.steps[0]}" if len(reason.steps) == 1 else ""
