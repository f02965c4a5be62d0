"""What the plan of a study on a cluster is made from: said once, by its first task, and kept in its folder."""

import contextlib
import os
import uuid
from dataclasses import dataclass
from typing import Any

from engine.machine.value import Machine
from engine.store.files import explained, read_json, write_json
from engine.studies.rundir import RunDir


@dataclass(frozen=True)
class Basis:
    """The machine as keys have it, the host that it was found on, and the data's fingerprints by `data_id`."""

    machine: Machine
    host: str
    fingerprints: dict[str, str]


def read(run: RunDir, submission: int) -> Basis | None:
    """The basis of a submission; None while no task has written it."""
    content: Any = read_json(run.basis(submission))
    try:
        return Basis(Machine.from_dict(content["machine"]), content["host"], content["fingerprints"])
    except (KeyError, TypeError):
        return None


def latest(run: RunDir, submission: int) -> Basis | None:
    """The newest basis up to a submission: its machine stays that of the study."""
    return next((basis for n in range(submission, 0, -1) if (basis := read(run, n))), None)


def fix(run: RunDir, submission: int, mine: Basis) -> Basis:
    """Make `mine` the basis, unless another task was first: then it is that one's."""
    target = run.basis(submission)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex[:12]}")
    values = {"machine": mine.machine.as_dict(), "host": mine.host, "fingerprints": mine.fingerprints}
    write_json(temporary, values)
    try:
        with explained(target), contextlib.suppress(FileExistsError):
            os.link(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    return read(run, submission) or mine
