"""Where a data set lies on this machine."""

import importlib.util
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.datasets.records import Counts, Idx, OwnBoxes, Record
from engine.datasets.table import RECORDS
from engine.errors import SecateurError, UsageError
from engine.params.catalog import own_code
from engine.params.preset import Data
from engine.store.paths import expanded
from engine.store.workspace import workspace as default_workspace
from engine.text.phrases import nearest
from engine.text.visible import visible

SYSTEM_FOLDER = Path("/usr/share/datasets")
"""Where Debian's packages put data sets, such as dataset-fashion-mnist."""


@dataclass(frozen=True)
class Location:
    """A data set that was found.

    `root` is the folder its files lie in; of `yolo` the data.yaml; of a user's own function the Python file, and
    `record` is None then.
    """

    name: str
    root: Path
    record: Record | None


def is_user_function(name: str) -> bool:
    """Whether `name` is ``path/file.py:function``.

    >>> is_user_function("data/mine.py:load"), is_user_function("digits")
    (True, False)
    """
    return own_code(name) is not None


def record_of(name: str) -> Record:
    """The record of a built-in set. Raises UsageError, with what was probably meant, when there is none."""
    if name in RECORDS:
        return RECORDS[name]
    close = nearest(name, RECORDS)
    meant = f" Did you mean {close}?" if close else ""
    raise UsageError(
        f"No data set is called {name!r}.{meant}",
        "Allowed are the names that `secateur data list` shows, and path/file.py:function.",
    )


def data_folder(workspace: Path, name: str) -> Path:
    """The folder in a workspace that `secateur data fetch NAME` fills."""
    return workspace / "data" / name


def locate(params: Data, workspace: Path) -> Location:
    """Find the data set that `params` names.

    Looked at are `params.root` alone if it is given, else `$SECATEUR_DATA/NAME`, `$SECATEUR_DATA`, the
    workspace's `data/NAME` and `data`, and `/usr/share/datasets/NAME`.

    Raises:
        UsageError: no data set has this name, or an image folder has no `root`.
        SecateurError: it is not on this machine; the detail lists every place and what it lacks.
    """
    if is_user_function(params.name):
        return _locate_function(params.name)
    record = record_of(params.name)
    _check_boxes(params, record)
    if record.source.bundled:
        return Location(record.name, bundled_folder(), record)
    if record.source.own:
        listed = isinstance(record.source, OwnBoxes)
        return Location(record.name, _own_list(params) if listed else _own_folder(params, record), record)
    places = list(places_of(record, workspace, params.root))
    for place in places:
        folder = folder_with(record, place)
        if folder is not None:
            return Location(record.name, folder, record)
    raise _not_here(record, places, fetch_command(record, workspace, params.root))


def _check_boxes(params: Data, record: Record) -> None:
    """What would take boxes away from their objects, or does not happen to letterboxed images, is refused."""
    given = {"preprocess": params.preprocess, "resize": params.resize}
    if isinstance(record.source, OwnBoxes):
        given |= {"width": params.width, "interpolation": params.interpolation}
    wrong = [f"data.{name}" for name, value in given.items() if value is not None]
    if record.task == "detection" and wrong:
        raise UsageError(
            f"{' and '.join(wrong)} can't be used with {record.name}",
            "Images with boxes are letterboxed: kept in shape and fitted whole into a square of data.size.",
            "Leave it out.",
        )


def places_of(record: Record, workspace: Path, root: str | None = None) -> Iterator[Path]:
    """The folders in which to look for a set, in this order."""
    if root is not None:
        yield expanded(root)
        return
    shared = os.environ.get("SECATEUR_DATA")
    if shared:
        yield expanded(shared) / record.name
        yield expanded(shared)
    yield data_folder(workspace, record.name)
    yield workspace / "data"
    yield SYSTEM_FOLDER / record.name


def folder_with(record: Record, place: Path) -> Path | None:
    """The folder at or below `place` that holds every file of the set; None when one is missing."""
    folders = [place]
    if isinstance(record.source, Idx):
        folders.append(place / record.source.folder)
    for folder in folders:
        if not missing_files(record, folder):
            return folder
    return None


def missing_files(record: Record, folder: Path) -> list[str]:
    """The files of the set that `folder` lacks."""
    return [name for name in record.files if not stored(folder / name, record.source.packed).exists()]


def stored(path: Path, compressed: bool) -> Path:
    """`path` as it lies on disk: IDX files may carry `.gz`."""
    packed = path.with_name(path.name + ".gz")
    return packed if compressed and packed.exists() else path


def bundled_folder() -> Path:
    """The folder in scikit-learn that holds the digits; scikit-learn itself is not imported."""
    spec = importlib.util.find_spec("sklearn")
    for package in (spec.submodule_search_locations or ()) if spec else ():
        folder = Path(package) / "datasets" / "data"
        if (folder / "digits.csv.gz").is_file():
            return folder
    raise SecateurError(
        "Data set digits is not on this machine",
        "It is part of scikit-learn, which this Python does not have.",
        "Install scikit-learn, or secateur anew.",
    )


def _own_folder(params: Data, record: Record) -> Path:
    if params.root is None:
        raise UsageError(
            f"Data set {record.name} needs data.root",
            "No folder was given.",
            record.note,
        )
    folder = expanded(params.root)
    if not folder.is_dir():
        raise SecateurError(
            f"There is no folder {folder}", f"It was given as data.root of {record.name}.", "Check the path."
        )
    return folder


def _own_list(params: Data) -> Path:
    if params.root is None:
        raise UsageError("Data set yolo needs data.root", "No file was given.", "Name the data.yaml.")
    file = expanded(params.root)
    if not file.is_file():
        raise SecateurError(
            f"There is no file {file}",
            "It was given as data.root of yolo.",
            "Name the data.yaml that lists the images.",
        )
    return file


def _locate_function(name: str) -> Location:
    file = expanded(name.rpartition(":")[0])
    if not file.is_file():
        raise SecateurError(
            f"No file {file} for the data", f"{name} was given.", "Use path/to/file.py:function."
        )
    return Location(name, file, None)


def fetch_command(record: Record, workspace: Path, root: str | None = None) -> str:
    """The command that downloads the set to where it was looked for; empty when it can't be downloaded."""
    if not record.downloads:
        return ""
    command = ["secateur", "data", "fetch", record.name]
    if root is not None:
        command += ["--root", root]
    elif workspace.absolute() != default_workspace():
        command += ["--workspace", str(workspace)]
    return shlex.join(command)


def _not_here(record: Record, places: list[Path], command: str) -> SecateurError:
    lines = [f"  {visible(str(place))}: {_lacks(record, place)}" for place in places]
    size = f", {megabytes(record.download_mb)}" if record.download_mb else ""
    remedy = f"{command}   (on a machine with internet{size})" if command else record.note
    return SecateurError(
        f"Data set {record.name} is not on this machine", "\n".join(["Looked in", *lines]), remedy
    )


def megabytes(amount: int) -> str:
    """A download's size in words.

    >>> megabytes(170), megabytes(2640)
    ('170 MB', '2.6 GB')
    """
    if amount < 1000:
        return f"{amount} MB"
    return f"{amount / 1000:.1f} GB" if amount < 10_000 else f"{amount / 1000:.0f} GB"


def _lacks(record: Record, place: Path) -> str:
    if not place.is_dir():
        return "no such folder"
    inner = [place / record.source.folder] if isinstance(record.source, Idx) else []
    return min((f"no {missing_files(record, folder)[0]}" for folder in (place, *inner)), key=len)


def published(record: Record | None) -> Counts:
    """The published splits of a built-in set; all zero where that depends on the user's files."""
    return record.images if record and record.images else Counts(0)
