"""What is read of studies for those who watch them; called in the watcher's thread."""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from engine.results.failures import ending
from engine.results.kept import repicked
from engine.results.pick import Asked, pick
from engine.results.summary import study_json
from engine.studies import notes, rundir
from engine.studies.listed import Listed
from engine.studies.rundir import RunDir
from engine.studies.state import MALFORMED, Reader, StudyState
from engine.studies.status import OPEN, Status

FINISHED_EVERY_S = 60.0
"""Seconds between two looks at a study in the list that has ended; it could only be resumed elsewhere."""
BREATH_S = 0.002
"""Pause between pieces of a long read, so that the interface gets the interpreter."""

Signature = tuple[int, int, int]


class Following:
    """The events of one study, read as they come."""

    def __init__(self, run: RunDir, ended: Callable[[], bool]) -> None:
        """`ended` says that nobody waits for what is read any more."""
        self._reader = Reader(run)
        self._ended = ended
        self._signature: tuple[object, ...] | None = None
        self.latest: StudyState | None = None

    def look(self) -> bool:
        """Read what is new, and whether anything is; a study that stands still costs one `stat`."""
        run, before = self._reader.run, self.latest
        signature = self._reader.signature()
        if before is None or signature != self._signature:
            self._signature, self.latest = signature, self._read()
            if self.latest.status == "unreadable":
                self._reader = Reader(run)
        else:
            self.latest = self._judged(run, before)
        return self.latest is not before and self.latest != before

    def _judged(self, run: RunDir, state: StudyState) -> StudyState:
        """The same state, unless the engine has gone since, or the folder."""
        if state.status == "unreadable" and any(file.exists() for file in run.event_files()):
            return state
        status = run.read_status()
        if (status.state, status.queue) == (state.status, state.queue):
            return state
        judged = replace(state)
        judged.judge(status)
        return judged

    def _read(self) -> StudyState:
        """A copy of the study as it stands now; `unreadable` if its events make no sense."""
        reader = self._reader
        try:
            reader.poll()
            while not reader.at_end and not self._ended():
                time.sleep(BREATH_S)
                reader.poll()
            state = snapshot(reader.state)
            state.judge(reader.run.read_status())
            pick(state)
            study_json(state)  # what views compute from it must not meet a surprise in the event loop
            ending(state)
        except MALFORMED:
            return StudyState(name=reader.run.name, status="unreadable")
        return state


@dataclass
class _Entry:
    """A study of the list."""

    listed: Listed
    signature: tuple[Signature | None, Signature | None] | None
    """Of its status and of its notes."""
    asked: Asked = None
    look_at: float = 0.0
    read: Status | None = None
    """Its status as it was read, with the pick that it keeps; None until it was."""

    def picked(self, status: Status, asked: Asked) -> Status:
        """Its status now, with the pick by what is `asked` for: that of the last look, while it has finished no more
        trials. Another one is chosen from all of its events."""
        before = self.read
        if before is None or asked != self.asked or _finished(before) != _finished(status):
            return repicked(self.listed.run, status, asked)
        return replace(status, pick=self.listed.status.pick)


class Listing:
    """The studies of a workspace, of each no more than its two small files."""

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._entries: dict[str, _Entry] = {}
        self._folder: Signature | None = None

    @property
    def rows(self) -> tuple[Listed, ...]:
        """The studies, newest first."""
        return tuple(entry.listed for entry in self._entries.values())

    def look(self, asked_of: Callable[[str], Asked], *, everything: bool) -> bool:
        """Bring the list up to date, and whether it changed; unchanged folders are not read again, nor, but for
        `everything`, studies that have ended.

        `asked_of` says what is asked for of a study's pick in place of what its preset says.
        """
        now = time.monotonic()
        changed = self._scan()
        for count, (name, entry) in enumerate(list(self._entries.items())):
            if entry.look_at > now and not everything:
                continue
            if count % 100 == 99:
                time.sleep(BREATH_S)
            run = entry.listed.run
            signature = _signature(run.status), _signature(run.notes)
            state = entry.listed.status.state
            asked = asked_of(name)
            if signature != entry.signature or state in OPEN or asked != entry.asked:
                status = run.read_status()
                listed = Listed(run, entry.picked(status, asked), notes.read(run))
                changed |= _shown(listed) != _shown(entry.listed)
                entry = _Entry(listed, signature, asked, read=status)
            ended = entry.listed.status.state in ("done", "failed", "cancelled")
            self._entries[name] = replace(entry, look_at=now + FINISHED_EVERY_S if ended else 0.0)
        return changed

    def _scan(self) -> bool:
        """Take in studies that came and went; whether any did."""
        folder = _signature(rundir.studies_folder(self._workspace))
        if folder == self._folder:
            return False
        self._folder = folder
        runs = rundir.studies(self._workspace)
        blank = Status("unreadable")
        before = self._entries
        self._entries = {run.name: before.get(run.name) or _Entry(Listed(run, blank), None) for run in runs}
        return self._entries.keys() != before.keys()


def snapshot(state: StudyState) -> StudyState:
    """A copy that applying further events does not change."""
    steps = {}
    for key, step in state.steps.items():
        steps[key] = own = copy.copy(step)
        own.epochs = list(step.epochs)
    trials = [
        replace(
            trial,
            steps=[steps[step.key] for step in trial.steps],
            measure=steps[trial.measure.key],
            latency=steps[trial.latency.key] if trial.latency else None,
            baseline_measure=steps[trial.baseline_measure.key],
            beside=[steps[step.key] for step in trial.beside],
        )
        for trial in state.trials
    ]
    return replace(
        state,
        steps=steps,
        waiting=dict(state.waiting),
        trials=trials,
        notices=list(state.notices),
        proposed=dict(state.proposed),
        tasks={name: copy.copy(task) for name, task in state.tasks.items()},
    )


def _signature(path: Path) -> Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _finished(status: Status) -> tuple[object, ...]:
    """What of a status is another one whenever a trial has ended."""
    return status.state, status.done, status.untimed, status.pick


def _shown(listed: Listed) -> Listed:
    """The study without what changes at every heartbeat and is not shown."""
    return replace(listed, status=replace(listed.status, heartbeat=0, updated=0.0))
