"""The files and folders that a preset names, tried before anything of a study is written; without torch."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from engine import datasets
from engine.errors import SecateurError, UsageError
from engine.params.catalog import GIVEN_BY_NAME, WEIGHT_FILES
from engine.params.distillation import own_teachers
from engine.params.preset import Data, Model
from engine.presets.spec import Spec

SHOWN = 100
"""Characters of a path that messages show."""
KINDS = {
    stat.S_ISFIFO: "a named pipe (FIFO)",
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISSOCK: "a socket",
}


def check_files(spec: Spec, workspace: Path) -> None:
    """Raises UsageError, with what is wrong and what to do, if a file of weights or a set of data can't be used."""
    for weights in dict.fromkeys(model.weights for model in _models(spec)):
        if weights not in GIVEN_BY_NAME:
            _check_weights(Path(weights))
    for data in dict.fromkeys(trial.settings.data for trial in spec.trials):
        _check_data(data, workspace)


def _models(spec: Spec) -> Iterator[Model]:
    for trial in spec.trials:
        yield trial.settings.model
        yield from own_teachers(trial.steps)


def _check_weights(path: Path) -> None:
    title = f"The weights {_shown(path)} can't be read"
    needed = "Name a file that torch or safetensors wrote, or the folder of a checkpoint."
    reason, mode = _looked_at(path)
    if reason:
        raise UsageError(title, f"{reason}.", needed)
    if stat.S_ISDIR(mode):
        if not any(_looked_at(path / name)[0] == "" for name in WEIGHT_FILES):
            if parts := sorted(one.name for one in path.glob("*.index.json")):
                raise UsageError(
                    title,
                    f"It holds weights in several files, which {parts[0]} lists.",
                    "Load them with the library that wrote them, and save one file: "
                    "torch.save(model.state_dict(), 'weights.pth').",
                )
            raise UsageError(title, f"It is a folder without {', '.join(WEIGHT_FILES)}.", needed)
    elif other := next((words for is_one, words in KINDS.items() if is_one(mode)), ""):
        raise UsageError(title, f"It is {other}.", needed)


def _check_data(data: Data, workspace: Path) -> None:
    try:
        datasets.locate(data, workspace)
    except UsageError:
        raise
    except SecateurError as error:
        raise UsageError.of(error) from error
    except (
        OSError,
        RuntimeError,
        ValueError,
    ) as error:  # no file system takes the path, or no user is called so
        said = getattr(error, "strerror", None) or str(error)
        given = f" (data.root is {_shown(Path(data.root))})" if data.root else ""
        raise UsageError(
            f"The data of {data.name} can't be looked for", f"{said}{given}.", "Check data.root."
        ) from error


def _looked_at(path: Path) -> tuple[str, int]:
    """Why there is nothing to be read at `path`, "" if there is; and what kind of thing it is."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        return os.strerror(error.errno or 0), 0
    except ValueError:  # a NUL
        return "No file can have this name", 0
    return ("" if os.access(path, os.R_OK) else "Permission denied"), mode


def _shown(path: Path) -> str:
    text = str(path)
    return text if len(text) <= SHOWN else f"{text[: SHOWN // 2]}…{text[-SHOWN // 2 :]}"
