"""Which trial of a study is meant: that of a number, or the pick."""

from engine.errors import UsageError
from engine.results import failures, pick
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState


def meant(run: RunDir, state: StudyState, wanted: str, asked: pick.Asked = None) -> TrialState:
    """A trial by its number, or the study's pick (`pick`, or nothing), by what is `asked` for in place of what its
    preset says.

    Raises UsageError where there is no such one.
    """
    if wanted not in ("", pick.PICK):
        return numbered(run, state, wanted)
    choice = pick.asked_for(state, run.settings(), asked)
    if choice is None:
        detail = failures.lines(state) or [f"{pick.without(state)}."]
        raise UsageError(f"Study {run.name} has no pick", "\n".join(detail), f"Name a trial: {run.name}:0.")
    return choice.trial


def numbered(run: RunDir, state: StudyState, wanted: str) -> TrialState:
    """The trial of this number. Raises UsageError where there is none."""
    found = next((trial for trial in state.trials if str(trial.index) == wanted), None)
    if found is None:
        has = f"It has trials 0 to {len(state.trials) - 1}." if state.trials else "None is planned."
        raise UsageError(
            f"Study {run.name} has no trial {wanted}",
            "\n".join([has, *failures.lines(state)]),
            f"`{pick.PICK}` means the one to take.",
        )
    return found
