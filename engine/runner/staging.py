"""Images on the node's own disk: copied there once per node and job, so that a shared file system is read once."""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from engine import datasets
from engine.datasets.locate import Location, stored
from engine.datasets.records import OwnBoxes
from engine.machine import private
from engine.params.preset import Data
from engine.studies.job import JobRequest
from engine.text.numbers import size

DISKS = ("SLURM_TMPDIR", "LOCAL_SCRATCH", "TMPDIR")
"""Variables by which sites name a job's folder on the node's disk, the most telling first."""
PLACE = "images"
"""The folder of copies in ours."""
_in_use: list[IO[str]] = []
"""Locks of the copies that this process reads; they are given back by its end."""
WHOLE = ".whole"
"""Marks a copy that is complete."""


def node_disk(variables: Mapping[str, str] = os.environ) -> Path | None:
    """The folder on the node's disk that this job has; None where the site names none."""
    disks = (Path(value) for name in DISKS if (value := variables.get(name)))
    return next((path for path in disks if path.is_dir() and os.access(path, os.W_OK)), None)


def stage(data: Data, workspace: Path, disk: Path | None, about: str) -> tuple[str | None, str]:
    """The folder of the copy on `disk`, made by the first task that comes; None, with the reason, if there is none.

    `about` names the job and the images' fingerprint: a copy is of those alone. While this process lives it is in use;
    those of other jobs that nobody uses are removed.
    """
    location = datasets.locate(data, workspace)
    if disk is None:
        return None, f"no folder on the node's disk is named by {', '.join(DISKS)}"
    source = location.record.source if location.record else None
    if source is None or source.bundled or isinstance(source, OwnBoxes):
        return None, f"of {location.name} there is no one folder to copy"
    parts = _parts(location, data)
    ours = private.below(disk)
    if ours is None:
        return None, f"others can replace what lies in {disk}"
    name = hashlib.sha256(f"{about} {location.root}".encode()).hexdigest()[:16]
    target = ours / PLACE / name
    try:
        _sweep(target.parent, name)
        target.parent.mkdir(mode=0o700, exist_ok=True)
        _in_use.append(_locked(target.with_suffix(".lock"), fcntl.LOCK_SH))
        with target.with_suffix(".making").open("a") as making:
            fcntl.flock(making, fcntl.LOCK_EX)
            if not (target / WHOLE).exists() and (why := _fill(target, parts, location.name)):
                return None, why
        return str(target), ""
    except OSError as error:  # shutil's too, which has many
        return None, f"{error.strerror or str(error)[:200]} ({target})"


def _fill(target: Path, parts: list[Path], name: str) -> str:
    """Copy everything; why that can't be, or did not give what is there."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(mode=0o700)
    count, needed = map(sum, zip(*map(_extent, parts), strict=True)) if parts else (0, 0)
    free = shutil.disk_usage(target).free
    if needed > free:
        return f"{name} has {size(needed)}, {target} has room for {size(free)}"
    try:
        for part in parts:
            _copy(part, target / part.name)
    except OSError:
        shutil.rmtree(target, ignore_errors=True)
        raise
    if _extent(target) != (count, needed):
        shutil.rmtree(target, ignore_errors=True)
        return f"{name} changed while it was copied"
    (target / WHOLE).touch()
    return ""


def _locked(path: Path, how: int) -> IO[str]:
    """The lock file at `path`, locked. Raises BlockingIOError where that would have to wait and must not."""
    while True:
        file = path.open("a")
        try:
            fcntl.flock(file, how)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except OSError:
            file.close()
            raise
        file.close()  # whoever had it has removed it


def _sweep(folder: Path, mine: str) -> None:
    """Remove copies that no process uses, of other jobs or other images."""
    for path in folder.glob("*.lock"):
        if path.stem != mine:
            with contextlib.suppress(OSError), _locked(path, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(path.with_suffix(""), ignore_errors=True)
                path.with_suffix(".making").unlink(missing_ok=True)
                path.unlink()


def onto(request: JobRequest, copies: Mapping[str, str]) -> JobRequest:
    """The request with its images read from their copy; `copies` by the data section as JSON."""
    root = copies.get(Data.model_validate(request.settings["data"]).model_dump_json())
    if root is None:
        return request
    settings: dict[str, Any] = request.settings | {"data": request.settings["data"] | {"root": root}}
    return replace(request, settings=settings)


def _parts(location: Location, data: Data) -> list[Path]:
    """What is to be copied: the whole folder if it is the data set's own, else what the set is known to consist of."""
    record, root = location.record, location.root
    assert record is not None
    own = record.source.own or data.root is not None or root.name == record.name
    if own or not record.files:
        return sorted(root.iterdir())
    named = [stored(root / name, record.source.packed) for name in record.files]
    return sorted({root / path.relative_to(root).parts[0] for path in named})


def _extent(path: Path) -> tuple[int, int]:
    """How many files a part has, and their bytes; links are followed, as they are when copied."""
    if not path.is_dir():
        return 1, path.stat().st_size
    files = [
        (Path(where) / name).stat() for where, _, names in os.walk(path, followlinks=True) for name in names
    ]
    return len(files), sum(one.st_size for one in files)


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
