"""What the engine says about the preset as it is now; slow enough (files, 10 000 trials) for a thread."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import PresetInvalid, Problem, SecateurError, UsageError
from engine.presets.yaml.tree import Mapping, to_yaml
from engine.results.estimate import UNKNOWN, Estimate

if TYPE_CHECKING:  # what reads presets and estimates comes with the first check: the first frame does without
    from engine.presets.spec import Spec
    from engine.results.estimates import History


@dataclass(frozen=True)
class Checked:
    """The outcome for one revision of a document.

    Attributes:
        revision: Of the document that was checked.
        spec: The preset as it would run; None if anything is wrong.
        problems: Everything that is wrong with its values.
        unusable: Why a file or data set that it names can't be used on this machine, if so.
        estimate: How long it would take.
        settled: The file by which presets that do not say where run by Slurm here; empty if there is none.
        complete: Whether files and estimate belong to this revision; they take longer than the problems.
    """

    revision: int
    spec: "Spec | None" = None
    problems: tuple[Problem, ...] = ()
    unusable: SecateurError | None = None
    estimate: Estimate = UNKNOWN
    settled: str = ""
    complete: bool = False

    @property
    def ready(self) -> bool:
        """Whether it could be started."""
        return self.spec is not None and self.unusable is None


def validate(root: Mapping, name: str, folder: Path | None) -> "tuple[Spec | None, tuple[Problem, ...]]":
    """The preset as the engine reads it from the file that would be saved, or its problems."""
    from engine.presets import spec

    try:
        return spec.parse(to_yaml(root.plain()), name, folder=folder), ()
    except PresetInvalid as invalid:
        return None, invalid.problems


def valid(root: Mapping, name: str, folder: Path | None, revision: int) -> Checked:
    """What is wrong with its values, which is quick to find; `complete` says whether that is all."""
    read_spec, problems = validate(root, name, folder)
    return Checked(revision, read_spec, problems, settled=_settled(), complete=read_spec is None)


def _settled() -> str:
    from engine.runner.executors import site

    try:
        file = site.by_default()
    except UsageError:  # told with what else can't be used, where the preset would run by it
        return ""
    return site.shown(file) if file is not None else ""


def completed(checked: Checked, history: "History") -> Checked:
    """With the files looked for, and the time estimated from the studies of the workspace."""
    if checked.complete or checked.spec is None:
        return checked
    from engine.runner import launch

    try:
        spec = launch.with_default_executor(checked.spec)
    except UsageError as error:
        return replace(checked, unusable=error, estimate=UNKNOWN, complete=True)
    refused = unusable(spec, history.workspace)
    time = _estimate(spec, history) if refused is None else UNKNOWN
    return replace(checked, spec=spec, unusable=refused, estimate=time, complete=True)


def runnable(checked: Checked, history: "History") -> "list[tuple[Spec, Estimate]]":
    """The preset and its quick version, those of them whose files are here, with how long they would take."""
    specs = [(checked.spec, checked.estimate)] if checked.spec and checked.unusable is None else []
    quick = checked.spec.quick if checked.spec else None
    if quick is not None and unusable(quick, history.workspace) is None:
        specs.append((quick, _estimate(quick, history)))
    return specs


def unusable(spec: "Spec", workspace: Path) -> SecateurError | None:
    """Why a file or data set that a preset names can't be used on this machine."""
    from engine.store.paths import here
    from engine.studies.named_files import check_files
    from engine.studies.plan import sources_of

    try:
        sources_of(spec, here())
        check_files(spec, workspace)
    except SecateurError as error:
        return error
    return None


def _estimate(spec: "Spec", history: "History") -> Estimate:
    """The estimate; unknown where a file that it needs can't be read."""
    from tui.lab.estimate import estimate

    try:
        return estimate(spec, history)
    except (OSError, RuntimeError, ValueError):
        return UNKNOWN
