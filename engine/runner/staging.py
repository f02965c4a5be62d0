"""Images on the node's own disk: copied there once per node and job, so that a shared file system is read once."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine import datasets
from engine.datasets.locate import Location, stored
from engine.datasets.records import Bundled, Idx, OwnBoxes, OwnFolders, Scenes
from engine.params.preset import Data
from engine.store.files import explained
from engine.studies.job import JobRequest
from engine.text.numbers import size

DISKS = ("SLURM_TMPDIR", "LOCAL_SCRATCH", "TMPDIR")
"""Variables by which sites name a job's folder on the node's disk, the most telling first."""
WHOLE = ".whole"
"""Marks a copy that is complete."""


def node_disk(variables: Mapping[str, str] = os.environ) -> Path | None:
    """The folder on the node's disk that this job has; None where the site names none."""
    found = (Path(value) for name in DISKS if (value := variables.get(name)))
    return next((path for path in found if path.is_dir() and os.access(path, os.W_OK)), None)


def stage(data: Data, workspace: Path, disk: Path | None) -> tuple[str | None, str]:
    """The folder of the copy on `disk`, made by the first task that comes; None, with the reason, if there is none."""
    location = datasets.locate(data, workspace)
    if disk is None:
        return None, f"no folder on the node's disk is named by {', '.join(DISKS)}"
    if location.record is None or isinstance(location.record.source, Bundled | Scenes | OwnBoxes):
        return None, f"of {location.name} there is no one folder to copy"
    parts = _parts(location, data)
    target = disk / f"secateur-{os.getuid()}" / hashlib.sha256(str(location.root).encode()).hexdigest()[:16]
    with explained(target):
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (target.parent / f"{target.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not (target / WHOLE).exists():
                needed = sum(map(_bytes, parts))
                free = shutil.disk_usage(target).free
                if needed > free:
                    return None, f"{location.name} has {size(needed)}, {target} has room for {size(free)}"
                for part in parts:
                    _copy(part, target / part.name)
                (target / WHOLE).touch()
    return str(target), ""


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
    own = isinstance(record.source, OwnFolders) or data.root is not None or root.name == record.name
    if own or not record.files:
        return sorted(root.iterdir())
    named = [stored(root / name, isinstance(record.source, Idx)) for name in record.files]
    return sorted({root / path.relative_to(root).parts[0] for path in named})


def _bytes(path: Path) -> int:
    if path.is_file():
        return path.stat().st_size
    return sum(one.stat().st_size for one in path.rglob("*") if one.is_file())


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy2(source, target)
