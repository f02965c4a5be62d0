"""What the engine says about the preset as it is now; slow enough (files, 10 000 trials) for a thread."""

from dataclasses import dataclass
from pathlib import Path

from engine.errors import PresetInvalid, Problem, SecateurError, UsageError
from engine.presets import spec
from engine.presets.spec import Spec
from tui.lab.estimate import UNKNOWN, Estimate, History, estimate
from tui.lab.tree import Plain, to_yaml


@dataclass(frozen=True)
class Checked:
    """The outcome for one revision of a document.

    Attributes:
        revision: Of the document that was checked.
        spec: The preset as it would run; None if anything is wrong.
        problems: Everything that is wrong with its values.
        data: Why its data set can't be used on this machine, if so.
        estimate: How long it would take.
        complete: Whether data and estimate belong to this revision; they take longer than the problems.
    """

    revision: int
    spec: Spec | None = None
    problems: tuple[Problem, ...] = ()
    data: SecateurError | None = None
    estimate: Estimate = UNKNOWN
    complete: bool = False

    @property
    def ready(self) -> bool:
        """Whether it could be started."""
        return self.spec is not None and self.data is None


def validate(plain: Plain, name: str, folder: Path | None) -> tuple[Spec | None, tuple[Problem, ...]]:
    """The preset as the engine reads it, or its problems."""
    try:
        return spec.parse(to_yaml(plain), name, folder=folder), ()
    except PresetInvalid as invalid:
        return None, invalid.problems


def check(plain: Plain, name: str, folder: Path | None, revision: int, history: History) -> Checked:
    """Validate, look for the data, and estimate the time from the studies of the workspace."""
    found, problems = validate(plain, name, folder)
    if found is None:
        return Checked(revision, None, problems, complete=True)
    data = missing_data(found, history.workspace)
    return Checked(revision, found, (), data, _estimate(found, history), complete=True)


def runnable(checked: Checked, history: History) -> list[tuple[Spec, Estimate]]:
    """The preset and its quick version, those of them whose data are here, with how long they would take."""
    found = [(checked.spec, checked.estimate)] if checked.spec and checked.data is None else []
    quick = checked.spec.quick if checked.spec else None
    if quick is not None and missing_data(quick, history.workspace) is None:
        found.append((quick, _estimate(quick, history)))
    return found


def missing_data(found: Spec, workspace: Path) -> SecateurError | None:
    """Why one of the data sets of a preset can't be used on this machine."""
    from engine import datasets

    for data in {trial.settings.data for trial in found.trials}:
        try:
            datasets.locate(data, workspace)
        except SecateurError as error:
            return error
        except (OSError, RuntimeError, ValueError) as error:
            # A path that no file system takes, such as `~nobody/images`.
            return UsageError(f"The data of {data.name} can't be looked for", str(error), "Check data.root.")
    return None


def _estimate(found: Spec, history: History) -> Estimate:
    """The estimate; unknown where a file that it needs can't be read."""
    try:
        return estimate(found, history)
    except (OSError, RuntimeError, ValueError):
        return UNKNOWN
