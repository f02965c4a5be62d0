"""The bin: studies that were deleted stay there, whole, until `secateur clean` empties it of those of some age.

They hold their results like any other study, so that taking one back gives back all of it, and their names are not
given to new studies meanwhile.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from engine.errors import SecateurError, UsageError
from engine.store import owners
from engine.store.files import explained
from engine.studies.rundir import RunDir, bin_folder, studies_folder

KEPT_FOR = 30 * 86_400.0
"""Seconds after which `clean` removes a study from the bin, unless another age is given."""


@dataclass(frozen=True)
class Binned:
    """A deleted study: its name, its folder, and when it was deleted, in seconds since 1970."""

    name: str
    run: RunDir
    deleted: float

    @property
    def ours(self) -> bool:
        """Whether this user may remove it for good."""
        return owners.ours(self.run.path)

    def age(self, now: float | None = None) -> float:
        return max((time.time() if now is None else now) - self.deleted, 0.0)


def binned(workspace: Path) -> list[Binned]:
    """What is in the bin, the latest first."""
    found = []
    with contextlib.suppress(OSError), os.scandir(bin_folder(workspace)) as entries:
        for entry in entries:
            name, dot, when = entry.name.rpartition(".")
            if dot and when.isdecimal() and entry.is_dir():
                found.append(Binned(name, RunDir(Path(entry.path)), int(when) / 1000))
    return sorted(found, key=lambda one: one.deleted, reverse=True)


def delete(run: RunDir) -> Binned:
    """Move a study into the bin, whole and at once. Raises SecateurError for one that runs or waits to."""
    state = run.read_status().state
    if state in ("running", "queued"):
        raise SecateurError(
            f"Study {run.name} is {state}", "Only a study that has ended can be deleted.", "Cancel it first."
        )
    folder = bin_folder(run.workspace)
    when = time.time_ns() // 1_000_000
    with explained(run.path):
        folder.mkdir(parents=True, exist_ok=True)
        while True:
            target = folder / f"{run.name}.{when}"
            try:
                run.path.rename(target)
            except OSError:
                if not target.exists():
                    raise
                when += 1
            else:
                return Binned(run.name, RunDir(target), when / 1000)


def restore(workspace: Path, name: str) -> RunDir:
    """Take a study out of the bin, of several of one name the one deleted last.

    Raises UsageError where none is there, or another study has the name by now.
    """
    found = next((one for one in binned(workspace) if one.name == name), None)
    if found is None:
        names = ", ".join(dict.fromkeys(one.name for one in binned(workspace)))
        raise UsageError(f"There is no study {name} in the bin", f"It holds {names or 'nothing'}.")
    target = RunDir.of(workspace, name)
    with explained(target.path):
        studies_folder(workspace).mkdir(parents=True, exist_ok=True)
        try:
            found.run.path.rename(target.path)
        except OSError as error:
            if not target.path.exists():
                raise
            remedy = f"Delete or rename that: {target.path}."
            raise UsageError(
                f"There is another study {name} by now", "Nothing was changed.", remedy
            ) from error
    return target


def expired(workspace: Path, age: float = KEPT_FOR, now: float | None = None) -> list[Binned]:
    """What has been in the bin for so many seconds and is this user's to remove."""
    return [one for one in binned(workspace) if one.ours and one.age(now) >= age]


def empty(found: Iterable[Binned]) -> None:
    """Remove studies from the bin for good; what was restored or removed by others meanwhile is passed over."""
    for one in found:
        with explained(one.run.path), contextlib.suppress(FileNotFoundError):
            shutil.rmtree(one.run.path)
