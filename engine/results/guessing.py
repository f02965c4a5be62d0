"""Networks whose answers tell nothing of the classes: what their steps observe, and what to say of their trials."""

from typing import Any

from engine.params import STEPS
from engine.params.training import Fit
from engine.studies.state import StepState, TrialState

OBSERVED = "guessing"
"""Among a step's observations where the answers on validation images of the network that it left tell nothing of their
classes; left out where they do."""
WORDS = "no better than guessing"
LOOK_AT = (
    "look at what it is given (data.mean and data.std; a network that normalizes by itself would do so twice), at its "
    "weights, at the learning rate, and at the labels"
)
THROUGHOUT = f"the network is {WORDS} from its first step to its last: {LOOK_AT}"


def observed(step: StepState) -> bool:
    """Whether the network that the step left guesses."""
    return bool(step.observations.get(OBSERVED))


def throughout(trial: TrialState) -> bool:
    """Whether the network guesses from the trial's first step to its last: no number of it tells of a model's worth."""
    done = [step for step in trial.steps if step.status == "done"]
    trained = trial.scored or any(_trains(step) for step in done)
    return bool(done) and trained and all(map(observed, done))


def remarks(trial: TrialState) -> list[dict[str, Any]]:
    """A network that knows nothing from the first step to the last, and so can't lose anything; a teacher that does.

    As plain JSON; `text` says it in words. One that guesses once it is compressed is an answer like others.
    """
    said = [THROUGHOUT] if throughout(trial) else []
    teachers = [step for step in trial.beside if step.kind == "teacher" and step.status == "done"]
    if any(map(observed, teachers)):
        said.append(f"its teacher is {WORDS} on these images: {LOOK_AT}")
    return [{"remark": WORDS, "text": text} for text in said]


def _trains(step: StepState) -> bool:
    return step.kind in STEPS and issubclass(STEPS[step.kind], Fit)
