"""What a study is about, once begun: the data as they were first read, and the users' code as it was written then."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

from engine import datasets, sources
from engine.errors import SecateurError, UsageError
from engine.params.preset import Data
from engine.presets.spec import Spec
from engine.sources import Sources
from engine.store.files import explained, read_json, read_mapping, write_atomic, write_json
from engine.store.paths import here
from engine.store.workspace import fingerprints
from engine.studies.plan import data_id, sources_of
from engine.studies.rundir import RunDir
from engine.text.phrases import listed

LISTED = 3
"""Changed files that a notice names."""
_asked: "set[subprocess.Popen[bytes]]" = set()
"""Processes that compute a fingerprint now."""
_PROBE = "from engine.compute.worker.fingerprint import main; main()"


def code_of(run: RunDir, spec: Spec) -> Sources:
    """The users' code that the study runs; a study without a record (of an earlier version) keeps it from now on.

    Raises SecateurError where the record can't be read.
    """
    kept = sources.read(run.code)
    code = kept or sources_of(spec, here())
    if kept is None and code.programs:
        write_atomic(run.code, code.to_json())
    return code


def changes(run: RunDir, code: Sources) -> Iterator[str]:
    """What a user must know who has edited the code since the study began."""
    if changed := code.changed():
        verb = "was" if len(changed) == 1 else "were"
        yield (
            f"{listed(changed, LISTED)} {verb} changed since {run.name} began; it goes on with the code as "
            "it was then: run the preset as a new study for the new code"
        )


def data_of(run: RunDir, spec: Spec, original: str | None) -> dict[str, str]:
    """The fingerprint of each data section by `data_id`; a user's own function has to be run for it.

    Raises SecateurError where the data are not those that the study, or the one it replays, began with.
    """
    begun: dict[str, str] = read_mapping(run.data)
    if not begun and original:
        begun = read_mapping(run.beside(original).data)
    fingerprints: dict[str, str] = {}
    for trial in spec.trials:
        name, data = data_id(trial), trial.settings.data
        if name in fingerprints:
            continue
        fingerprints[name] = _fingerprint(data, run)
        if fingerprints[name] != begun.get(name, fingerprints[name]):
            raise _other_data(run, data, original)
    if fingerprints != read_json(run.data):
        write_json(run.data, begun | fingerprints)
    return fingerprints


def _fingerprint(data: Data, run: RunDir) -> str:
    try:
        location = datasets.locate(data, run.workspace)
        known = datasets.fingerprint(data, location, fingerprints(run.workspace))
        return known or _computed(data.model_dump_json(), run)
    except SecateurError as error:
        raise UsageError.of(error) from error
    except (OSError, ValueError) as error:
        place = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else str(error)
        raise UsageError(f"The data of {data.name} can't be read", f"{place}.", "Check data.root.") from error


def _computed(data: str, run: RunDir) -> str:
    """The fingerprint of data that only a user's function can give, computed in a process of its own.

    Its answer comes through a pipe: whatever the user's code prints, and wherever, belongs into the log.
    """
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as answer:
        try:
            with explained(run.log):
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-P",
                        "-c",
                        _PROBE,
                        data,
                        str(run.workspace),
                        str(run.code),
                        str(theirs),
                    ],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(theirs,),
                )
        finally:
            os.close(theirs)
        _asked.add(process)
        try:
            said = answer.read()
            code = process.wait()
        finally:
            _asked.discard(process)
    try:
        reply = json.loads(said)
    except ValueError:
        raise SecateurError(
            "The data's function could not be run",
            f"Its process ended with code {code}.",
            "The engine's log has more.",
        ) from None
    if "error" in reply:
        raise SecateurError(**reply["error"])
    fingerprint: str = reply["fingerprint"]
    return fingerprint


def give_up() -> None:
    """End what `data_of` waits for in another thread."""
    for process in tuple(_asked):
        process.kill()


def _other_data(run: RunDir, data: Data, original: str | None) -> SecateurError:
    own = datasets.is_user_function(data.name)
    why = "its function gives other data in every call, or " if own else ""
    remedy = "Seed what it draws at random (such as numpy.random.default_rng(0)); then run" if own else "Run"
    return SecateurError(
        f"The data are not those that study {original or run.name} began with",
        f"{data.name}: {why}files were changed since; results on both can't be compared.",
        f"{remedy} the preset as a new study{', or put the files back and replay again' if original else ''}.",
    )
