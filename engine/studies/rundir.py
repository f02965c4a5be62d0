"""A study's folder: every file name in one place, and whether its engine is alive."""

import os
import re
import shutil
import socket
import time
import uuid
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from engine.errors import UsageError
from engine.machine.process import process_identity
from engine.slurm import UNBEGUN
from engine.store import owners
from engine.store.files import (
    CLASSES,
    LAYERS,
    explained,
    last_said,
    read_json,
    read_mapping,
    write_atomic,
    write_json,
)
from engine.store.objects import Store
from engine.store.paths import is_file, is_folder
from engine.store.workspace import STORE, shared_store
from engine.studies import lease, lives
from engine.studies.status import Status, doubt, plausible
from engine.text.phrases import counted, nearest

if TYPE_CHECKING:
    from engine.presets.spec import Spec
    from engine.studies.settings import StudySettings

NAME_SHOWN = 80
"""Letters of a name in a message."""
NEEDED_BYTES = 64 * 1024
"""Free space below which an engine can write neither status nor log."""

GIVEN_UP_AFTER_S = 300.0
"""After which an engine that was to be started, and has not said anything yet, is not coming."""


class RunDir:
    """One study's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self.preset = path / "preset.yaml"
        self.request = path / "study.json"
        """What was asked for beside the preset. Its time of change is when the study was begun or resumed last: nothing
        else writes it, while engines and tasks write all others at times of their own."""
        self.kept_settings = path / "settings.json"
        self.machine = path / "machine.json"
        self.code = path / "code.json"
        self.data = path / "data.json"
        self.events = path / "events.jsonl"
        self.status = path / "status.json"
        self.log = path / "engine.log"
        self.stop = path / "stop"
        self.turn = path / "turn.json"
        """Of a study that waits, or waited, for others of its machine: see `engine.studies.turns`."""
        self.answer = path / "answer.yaml"
        """Of a search that is through: its best model as a preset without a search."""
        self.held = path / "held.json"
        """Of a search: techniques that its next rounds must have (true) or not: see `engine.search.held`."""
        self.notes = path / "notes.json"
        self.tasks = path / "tasks.json"
        """Of a study on a cluster: its stages and their tasks."""
        self.task_events = path / "events"
        self.slurm = path / "slurm"

    @classmethod
    def of(cls, workspace: Path, name: str) -> Self:
        """The folder of the workspace's study called `name`, which need not exist."""
        return cls(studies_folder(workspace) / name)

    def make_latest(self) -> None:
        """Have this be the study that somebody began or resumed last, see `studies`."""
        with explained(self.request):
            self.request.touch()

    def beside(self, name: str) -> "RunDir":
        """The folder of another study of the same workspace."""
        return RunDir(self.path.with_name(name))

    @property
    def workspace(self) -> Path:
        return self.path.parent.parent

    def asked(self) -> dict[str, Any]:
        """What was asked for beside the preset; nothing where that is missing or makes no sense."""
        return read_mapping(self.request)

    def spec(self) -> "Spec":
        """The preset as it was checked when the study began. Raises SecateurError where it can't be read."""
        from engine.presets import spec  # as for settings

        return spec.read_stored(self.preset, self.asked().get("name", self.name))

    def store(self) -> Store:
        """The store this study uses: the workspace's, with one of its own beside it for what others keep from it; or
        its own alone if it must reuse nothing."""
        alone = self.asked().get("private_store", False)
        own = self.path / STORE
        return Store(own) if alone else shared_store(self.workspace, own)

    def basis(self, submission: int) -> Path:
        """Of a study on a cluster: what the plan of its n-th submission is made from, the machine and the data's
        fingerprints, as its first task found them."""
        return self.path / f"basis-{submission}.json"

    @property
    def noted_jobs(self) -> Path:
        return self.slurm / "jobs"

    def jobs(self) -> tuple[str, ...]:
        """Of a study on a cluster: the numbers of all jobs that were ever submitted for it, in this order."""
        try:
            return tuple(self.noted_jobs.read_text().split())
        except OSError:
            return ()

    @property
    def unbegun(self) -> Path:
        """Of a study on a cluster: marks of tasks whose batch scripts ended before the task began."""
        return self.path / UNBEGUN

    def failure(self, key: str) -> Path:
        """Of a study on a cluster: the mark of a step that failed, so that no other task tries it as well."""
        return self.path / "failures" / key

    def event_files(self) -> list[Path]:
        """The engine's event file, then those of tasks on a cluster, one for each attempt."""
        try:
            return [self.events, *sorted(self.task_events.glob("*.jsonl"))]
        except OSError:
            return [self.events]

    def logs(self) -> list[Path]:
        """What the engine printed, then what tasks on a cluster did, one file for each."""
        try:
            return [self.log, *sorted(self.slurm.glob("*.log"))]
        except OSError:
            return [self.log]

    def settings(self) -> "StudySettings":
        """The plot and every trial's settings, as validated when the study began.

        Raises SecateurError for a study that has not kept them and whose preset can't be read.
        """
        from engine.studies import settings  # lists of studies need neither presets nor pydantic

        return settings.read(self.kept_settings, self.preset)

    def layers(self, key: str) -> list[dict[str, Any]]:
        """The layers as the measuring `key` counted them; empty while it has not."""
        rows = read_json(self.store().folder(key) / LAYERS)
        return rows if isinstance(rows, list) else []

    def classes(self, key: str) -> dict[str, Any]:
        """How each class did when `key` was measured; empty where that was not told (a detector, an old study)."""
        return read_mapping(self.store().folder(key) / CLASSES)

    def read_status(self) -> Status:
        """The status as written, with `running` turned into `lost` if its engine is gone."""
        status = self.stored_status()
        if status.executor == "slurm":
            from engine.studies import queued  # of lists without a cluster, nothing needs it

            return queued.in_queue(self, status)
        if status.state not in ("running", "queued"):
            return status
        alive, seen, every = self._alive(status)
        if not alive:
            return replace(status, state="lost", lost={"title": why_lost(self, status)})
        if status.waits:
            status = replace(status, queue=f"waits {status.waits}")
        return replace(status, doubt=doubt(status, seen, every)) if seen is not None else status

    def stored_status(self) -> Status:
        """The status as it was written."""
        data = read_json(self.status)
        if not isinstance(data, dict):
            barred = owners.barred(self.status)
            return Status(
                "unreadable", why=f"You may not read it: {owners.whose(self.status)}" if barred else ""
            )
        # Files of earlier versions have these under other names.
        data = {"pick": data.get("best", {}), "qualities": data.get("course", [])} | data
        known = {k: v for k, v in data.items() if k in Status.__dataclass_fields__}
        if "state" not in known or not all(plausible(k, v) for k, v in known.items()):
            return Status("unreadable")
        return Status(**known)

    def _alive(self, status: Status) -> tuple[bool, lives.Seen | None, float]:
        """Whether a study's engine, or what is about to start it, may still run; what is known of its counter, None
        where the process itself is known; and every how many seconds that should move.

        On its own machine the process itself is looked at; one elsewhere is gone if it said so, or if its counter has
        been watched for long and stood still. One that has not appeared for long after it was to be started will not.
        """
        if (
            status.state == "queued"
            and not status.waits
            and 0 < status.updated < time.time() - GIVEN_UP_AFTER_S
        ):
            return False, None, 0.0
        by = lease.holder(self.path) if status.state == "running" else None
        if by is not None and by.ended:
            return False, None, 0.0
        fate = (by.process if by else status.process).fate()
        if fate != "elsewhere":
            return fate == "alive", None, 0.0
        counter, every = (by.counter, by.every) if by else (str(status.heartbeat), 0.0)
        seen = lives.seen.look(self.path, counter, every)
        return seen.silence < lives.lost_after_s(every), seen, every

    def write_status(self, status: Status, within: Path | None = None) -> None:
        """Replace the status; the new file is made in the folder `within`, an engine's own (`engine.studies.lease`)."""
        written = asdict(replace(status, queue="", doubt="", lost=None))
        write_json(self.status, written, durable=status.state != "running", within=within)


def why_lost(run: RunDir, status: Status) -> str:
    """Why the engine of a lost study may have ended without a word, as far as its traces tell."""
    try:
        free = shutil.disk_usage(run.path).free
    except OSError:
        return f"The study's folder is gone: {run.path}"
    if free < NEEDED_BYTES:
        return f"The disk is full: free some space where {run.path} lies"
    if status.host != socket.gethostname():
        return f"Nothing was heard of process {status.pid} on {status.host} while it was watched from here"
    if status.boot_id not in ("", process_identity(os.getpid())[1]):
        return f"{status.host} was started again since"
    said = last_said(run.log)
    return (
        f"The last line of {run.log}: {said}"
        if said
        else "It was killed from outside, before it could say why"
    )


def studies_folder(workspace: Path) -> Path:
    """The folder that holds the folders of a workspace's studies."""
    return workspace / "studies"


def bin_folder(workspace: Path) -> Path:
    """The folder that holds deleted studies, see `engine.studies.bin`."""
    return studies_folder(workspace) / ".bin"


def studies(workspace: Path) -> list[RunDir]:
    """Every study folder of a workspace, the one that was begun or resumed last first."""
    folder = studies_folder(workspace)
    try:
        with os.scandir(folder) as entries:
            runs = [RunDir(folder / e.name) for e in entries if e.is_dir() and not e.name.startswith(".")]
    except OSError:
        return []
    return sorted(runs, key=lambda run: (_begun(run), run.name), reverse=True)


def _begun(run: RunDir) -> float:
    """When the study was begun or resumed last, in seconds since 1970; 0 where that can't be known."""
    try:
        return run.request.stat().st_mtime
    except OSError:
        return 0.0


def named(text: str) -> tuple[str, str]:
    """Study and trial of `STUDY:TRIAL`; an empty trial where a study is named alone.

    >>> named("quickstart-1:3"), named("quickstart-1")
    (('quickstart-1', '3'), ('quickstart-1', ''))
    """
    study, colon, trial = text.rpartition(":")
    return (study, trial) if colon and os.sep not in trial else (text, "")


def find(workspace: Path, name: str) -> RunDir:
    """The study called `name` (or `latest`); UsageError with the nearest names if there is none."""
    all_studies = studies(workspace)
    if name == "latest" and all_studies:
        return all_studies[0]
    path = Path(name) if os.sep in name else RunDir.of(workspace, name).path
    run = RunDir(path.absolute())
    if is_file(run.preset):
        return run
    for folder in (studies_folder(workspace), run.path):
        if os.path.lexists(folder) and not os.access(folder, os.R_OK | os.X_OK):
            raise UsageError(
                f"Study {name[:NAME_SHOWN]} can't be read",
                f"{folder}: {owners.whose(folder)}.",
                "Ask its owner to open it, or name another workspace: --workspace or SECATEUR_HOME.",
            )
    if is_folder(path) and path.parent == studies_folder(workspace):
        raise UsageError(
            f"{name} is not a whole study",
            f"{path} has no {run.preset.name}.",
            "Remove that folder; what it had computed is in the store: run the preset again.",
        )
    study, trial = named(name)
    if trial and (study == "latest" or is_file(RunDir.of(workspace, study).preset)):
        raise UsageError(f"{name} is a trial", "What is meant here is a study.", f"Name it alone: {study}.")
    meant = nearest(_unnumbered(name), [_unnumbered(run.name) for run in all_studies])
    near = nearest(name, [run.name for run in all_studies if _unnumbered(run.name) == meant])
    raise UsageError(
        f"No study {name[:NAME_SHOWN]} in {workspace}",
        f"Did you mean {near}?" if near else f"It holds {counted(len(all_studies), 'study', 'studies')}.",
        "`secateur list` shows them; --workspace or SECATEUR_HOME names another workspace.",
    )


def _unnumbered(name: str) -> str:
    """A study's name without its number, which likens it to all others of that number."""
    return re.sub(r"-\d+$", "", name)


def stem(name: str) -> str:
    """What the folders of studies of a preset called `name` begin with."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "study"


def next_name(workspace: Path, name: str) -> str:
    """What the next study of a preset called `name` will be called, unless another one is faster."""
    first, folder = stem(name), studies_folder(workspace)
    pattern = re.compile(re.escape(first) + r"-(\d+)")
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    if bin_folder(workspace).is_dir():  # those in the bin would get their names back
        names += [path.name.rpartition(".")[0] for path in bin_folder(workspace).iterdir()]
    return f"{first}-{max((int(m[1]) for n in names if (m := pattern.fullmatch(n))), default=0) + 1}"


def create(
    workspace: Path,
    name: str,
    preset: str,
    request: dict[str, Any],
    settings: str | None = None,
    code: str | None = None,
    *,
    status: Status | None = None,
    exact: bool = False,
) -> RunDir:
    """A new study folder `NAME-1`, `NAME-2`, … with the preset, what was asked for, the preset's settings as
    `engine.studies.settings.to_json` writes them, the users' code as `engine.sources` does, and its first status. It
    appears as a whole.

    `exact`: it is called `name` itself. Raises FileExistsError where that is taken.
    """
    folder = studies_folder(workspace)
    with explained(folder):
        folder.mkdir(parents=True, exist_ok=True)
        draft = RunDir(folder / f".{uuid.uuid4().hex[:12]}")
        draft.path.mkdir()
    try:
        write_atomic(draft.preset, preset)
        write_json(draft.request, request)
        if settings is not None:
            write_atomic(draft.kept_settings, settings)
        if code is not None:
            write_atomic(draft.code, code)
        draft.write_status(status or Status("queued"))
        return RunDir(_moved(draft.path, workspace, name, exact))
    finally:
        shutil.rmtree(draft.path, ignore_errors=True)


def _moved(draft: Path, workspace: Path, name: str, exact: bool) -> Path:
    """Rename the whole study to its name, which nobody else can have got: the first free number, or `name` itself."""
    folder = studies_folder(workspace)
    with explained(folder):
        first, _, begin = next_name(workspace, name).rpartition("-")
        number = int(begin)
        while True:
            target = folder / (name if exact else f"{first}-{number}")
            try:
                draft.rename(target)
            except OSError as error:
                if not target.exists():
                    raise
                if exact:
                    raise FileExistsError(target) from error
                number += 1
            else:
                return target
