"""Taking a trial's model away: which trial, in which format, and what its folder tells about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from engine import __version__
from engine.errors import SecateurError, UsageError
from engine.machine import private
from engine.machine.runtimes import missing
from engine.measures.table import QUALITIES
from engine.params import STEPS
from engine.params.preset import Settings
from engine.results import failures, pick
from engine.results.meant import numbered
from engine.results.remarks import remarks
from engine.results.summary import baseline_value, measure_names, measure_value, quality_name
from engine.store.files import read_json, writing
from engine.store.objects import StoredObject
from engine.studies.roots import begun_with
from engine.studies.rundir import RunDir
from engine.studies.state import StudyState, TrialState

Format = Literal["safetensors", "onnx", "pt2", "openvino", "packed", "int8-onnx", "int8-packed"]
FORMATS: dict[Format, str] = {
    "safetensors": "weights, and their source for torch, which can be trained on",
    "onnx": "a graph for ONNX Runtime and other programs",
    "pt2": "a program of torch.export, for torch alone",
    "openvino": "OpenVINO's own files, float or INT8",
    "packed": "the file of size.packed, with a reader in NumPy and the source for torch",
    "int8-onnx": "the INT8 file of a quantized trial, for ONNX Runtime",
    "int8-packed": "the same packed: the file of size.packed, with a reader in NumPy",
}
"""What a model can be taken away as."""
FLOAT: tuple[Format, ...] = ("safetensors", "onnx", "pt2", "openvino", "packed")
INT8: tuple[Format, ...] = ("int8-onnx", "int8-packed", "openvino")
"""Formats of a float model and of an INT8 one, the usual one first. An INT8 model is not exported as the float
network that it was made from: none of its results are that network's."""


@dataclass(frozen=True)
class Order:
    """All that is needed to write one trial's model.

    Attributes:
        model: The folder of the trial's checkpoint.
        files: The SHA-256 of each of its files, as the study recorded them.
        settings: The trial's settings, for its data.
        workspace: Where data sets are looked for.
        preset: The study's preset, as text.
        about: What is known about the trial, as plain JSON: the start of its card.
        choice: Which trial it is and why this one, as a sentence.
        format: What to write.
        out: The folder to write.
        code: The study's record of users' code, if it has any.
        data: The fingerprint of the data that the study began with, where it is known.
    """

    model: Path
    files: Mapping[str, str]
    settings: Settings
    workspace: Path
    preset: str
    about: dict[str, Any]
    choice: str
    format: Format
    out: Path
    code: Path
    data: str | None


def order(
    run: RunDir,
    state: StudyState,
    trial: str,
    form: str | None,
    out: Path,
    force: bool,
    asked: pick.Asked = None,
) -> Order:
    """What to write for `trial` of a study: its number, or `pick`, see `choose`.

    `form` None is the usual format of such a model; `force`: files that are in the folder may be replaced. Raises
    UsageError for a trial that is not there or not finished, for a format that it can't have, and for a folder that is
    in use.
    """
    if form is not None and form not in FORMATS:
        raise UsageError(f"There is no format {form}", f"Formats are {', '.join(get_args(Format))}.")
    chosen, why = choose(run, state, trial, asked)
    fitting = _fitting(chosen, form)
    model = _as_measured(run, chosen)
    check_free(out, force)
    check_writable(out)
    settings = run.settings().of_trial(chosen.index)
    return Order(
        model=model.folder,
        files=model.files,
        settings=settings,
        workspace=run.workspace,
        preset=_text(run.preset),
        about=describe(run, state, chosen),
        choice=why,
        format=fitting,
        out=out,
        code=run.code,
        data=begun_with(read_json(run.data), settings.data),
    )


def _text(preset: Path) -> str:
    try:
        return preset.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise SecateurError(
            "The study's preset can't be read",
            f"{preset}: {getattr(error, 'strerror', None) or 'it is no text'}.",
            "Put it back as it was run: an export holds it.",
        ) from error


def _as_measured(run: RunDir, trial: TrialState) -> StoredObject:
    """The trial's stored model, if it is the one that the trial's results are of. Raises SecateurError otherwise."""
    store, last = run.store(), trial.steps[-1]
    if (shut := store.unreadable(last.key)) is not None:
        raise SecateurError(
            f"The model of trial {trial.index} can't be read",
            f"{shut}.",
            f"Ask its owner to open it, or compute your own: `secateur resume {run.name}`.",
        )
    if not store.folder(last.key).is_dir():
        raise SecateurError(
            f"The model of trial {trial.index} is not in the store any more",
            f"{store.folder(last.key)} is gone.",
            f"`secateur resume {run.name}` computes it again.",
        )
    try:
        model = store.verified(last.key, last.content)
        if store.get(trial.measure.key) is not None:  # which says what model it is of
            store.verified(trial.measure.key, trial.measure.content)
        return model
    except SecateurError as error:
        raise SecateurError(
            f"The model of trial {trial.index} is not the one that was measured",
            f"{error.title}: {error.detail}",
            f"`secateur resume {run.name}` puts aside what was changed and computes it again.",
        ) from error


def formats(trial: TrialState) -> tuple[Format, ...]:
    """What a trial's model can be taken away as, the usual format first."""
    return INT8 if _is_int8(trial) else FLOAT


def _is_int8(trial: TrialState) -> bool:
    """Whether the trial's model is a file that a runtime executes."""
    kind = STEPS.get(trial.steps[-1].kind)
    return kind is not None and kind.file


def _fitting(trial: TrialState, wanted: str | None) -> Format:
    """The format that is wanted. Raises UsageError where the trial's model has no such form."""
    allowed = formats(trial)
    form = next((one for one in allowed if wanted in (None, one)), None)
    if form is None and wanted in INT8:
        made_by = " or ".join(kind for kind, cls in STEPS.items() if cls.file)
        raise UsageError(
            f"Trial {trial.index} has no INT8 file",
            f"It ends with {trial.steps[-1].kind}, and its model is a float network.",
            f"Add {made_by} as the last step of its preset, or choose another format: {', '.join(allowed)}.",
        )
    if form is None:
        raise UsageError(
            f"Trial {trial.index} is an INT8 model, which {wanted} can't hold",
            "Its results are those of its INT8 file, not of the float network that it was made from.",
            f"Choose {' or '.join(allowed)}; for the float network, export a trial without "
            f"{trial.steps[-1].kind}.",
        )
    if form == "openvino" and (reason := missing("openvino", "cpu")):
        raise SecateurError(
            "OpenVINO's files can't be written here", f"{reason}.", f"Install it, or choose {allowed[0]}."
        )
    return form


def choose(run: RunDir, state: StudyState, wanted: str, asked: pick.Asked = None) -> tuple[TrialState, str]:
    """The trial that is meant, and why it is that one, as a sentence.

    `pick` is the study's pick (`engine.results.pick`), by what is `asked` for in place of what its preset says;
    where there is none, the one that is best on validation. Raises UsageError if the
    trial is not there, or not finished.
    """
    if wanted != pick.PICK:
        found = _finished(run, state, wanted)
        return found, pick.describe(found, pick.goal_of(state, [found]), quality_name(state))
    finished = [trial for trial in state.trials if trial.measure.status == "done"]
    if not finished:
        if happened := failures.lines(state):
            raise UsageError(f"No trial of {run.name} is finished", "\n".join(happened))
        raise UsageError(
            f"No trial of {run.name} is finished yet", "", f"`secateur watch {run.name}` follows it."
        )
    best_pick = pick.asked_for(state, run.settings(), asked)
    if best_pick is not None:
        return best_pick.trial, pick.verdict(best_pick)
    best = max(finished, key=_validation)
    return (
        best,
        f"{pick.without(state)}; trial {best.index} is the most accurate on validation",
    )


def _validation(trial: TrialState) -> float:
    """Choices are made on validation, as everywhere."""
    return max(measure_value(trial.results, f"validation_{name}") or 0.0 for name in QUALITIES)


def _finished(run: RunDir, state: StudyState, wanted: str) -> TrialState:
    found = numbered(run, state, wanted)
    if found.measure.status != "done":
        raise UsageError(
            f"Trial {wanted} of {run.name} is not finished",
            f"It is {found.status}.",
            f"`secateur show {run.name}` shows which are.",
        )
    return found


def check_free(out: Path, force: bool) -> None:
    """Raises UsageError for what can be no folder, and for a folder with files unless `force`."""
    try:
        known, used = out.exists(), out.is_dir() and any(out.iterdir())
    except OSError as error:
        raise UsageError(f"{out} can't be used", f"{error.strerror}.", "Name another folder.") from error
    if known and not out.is_dir():
        raise UsageError(f"{out} is not a folder", "The model is written into a folder of its own.")
    if used and not force:
        raise UsageError(
            f"{out} is not empty",
            "Nothing was written.",
            "Name another folder, or replace its files: --force.",
        )


def check_writable(out: Path) -> None:
    """Raises UsageError where no folder can be made beside `out`, or nothing written into it.

    It tries: what permissions say is not what every file system does.
    """
    out = out.absolute()
    with writing(out):
        for folder in [next(path for path in out.parents if path.exists()), *([out] if out.exists() else [])]:
            with private.beside(folder / out.name):
                pass


def describe(run: RunDir, state: StudyState, trial: TrialState) -> dict[str, Any]:
    """What the study knows about a trial, with its baseline beside every result."""
    results = {}
    for name in measure_names(state):
        value = measure_value(trial.results, name)
        if value is not None:
            results[name] = {"model": value, "baseline": baseline_value(trial, name)}
    return {
        "secateur": __version__,
        "study": run.name,
        "preset": state.preset,
        "trial": trial.index,
        "parameters": trial.parameters,
        "steps": [step.address for step in trial.steps],
        "results": results,
        "remarks": remarks(trial),
        "environment": state.environment | state.devices,
    }
