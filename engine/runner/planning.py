"""What a plan needs to know of the data: the fingerprint of each data section, which may take long to read."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from engine import datasets
from engine.errors import SecateurError
from engine.presets.spec import Spec
from engine.runner.stopping import LOOK_EVERY_S, StopRequest
from engine.store.workspace import fingerprints
from engine.studies.plan import data_id


def data_fingerprints(
    spec: Spec, workspace: Path, stop: StopRequest, tell: Callable[[str], None]
) -> dict[str, str]:
    """The fingerprint by each trial's `data_id`; `tell` hears what is being read.

    Raises Stop as soon as the study is to stop, though a read may hang.
    """
    found: dict[str, str] = {}
    for trial in spec.trials:
        if data_id(trial) in found:
            continue
        data = trial.settings.data
        tell(f"for the data set {data.name} to be read")

        def read(data=data) -> str | None:  # type: ignore[no-untyped-def]
            location = datasets.locate(data, workspace)
            return datasets.fingerprint(data, location, fingerprints(workspace))

        found[data_id(trial)] = stop.leave(read) or _computed(data.model_dump_json(), workspace, stop)
    return found


def _computed(data: str, workspace: Path, stop: StopRequest) -> str:
    """The fingerprint of data that only a user's function can give, computed in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "engine.compute.worker.fingerprint", data, str(workspace)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        said = _said(process, stop)
    finally:
        process.kill()
    answer = said.strip().splitlines()[-1:] or [""]
    try:
        reply = json.loads(answer[0])
    except ValueError:
        raise SecateurError(
            "The data's function could not be run",
            f"Its process ended with code {process.returncode}.",
            "The engine's log has more.",
        ) from None
    if "error" in reply:
        raise SecateurError(**reply["error"])
    fingerprint: str = reply["fingerprint"]
    return fingerprint


def _said(process: "subprocess.Popen[str]", stop: StopRequest) -> str:
    while True:
        try:
            return process.communicate(timeout=LOOK_EVERY_S)[0]
        except subprocess.TimeoutExpired:
            stop.check()
