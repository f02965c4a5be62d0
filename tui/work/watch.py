"""Follows the workspace from a thread of its own, so that reading files never makes a key wait.

The list reads nothing but `status.json`; events are read for studies that somebody is subscribed to. What
is posted is a copy that nobody changes any more.
"""

import copy
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from textual.message_pump import MessagePump

from engine.results.failures import ending
from engine.results.pick import Asked, pick, repicked
from engine.results.summary import study_json
from engine.studies import notes, rundir
from engine.studies.rundir import RunDir
from engine.studies.state import MALFORMED, Reader, StudyState
from engine.studies.status import OPEN, Status
from tui.work.messages import Listed, StudiesChanged, StudyChanged

TICK_S = 1.0
"""Seconds between two looks."""
FINISHED_EVERY_S = 60.0
"""Seconds between two looks at a study in the list that has ended; it could only be resumed elsewhere."""
BREATH_S = 0.002
"""Pause between pieces of a long read, so that the interface gets the interpreter."""

Signature = tuple[int, int, int]


@dataclass
class _Entry:
    """A study of the list."""

    listed: Listed
    signature: tuple[Signature | None, Signature | None] | None
    """Of its status and of its notes."""
    asked: Asked = None
    look_at: float = 0.0


@dataclass
class _Followed:
    """A study that somebody is subscribed to."""

    reader: Reader
    nodes: set[MessagePump] = field(default_factory=set)
    new: set[MessagePump] = field(default_factory=set)
    signature: tuple[object, ...] | None = None
    latest: StudyState | None = None


class Watcher:
    """Posts `StudyChanged` for studies subscribed to, and `StudiesChanged` to those who watch the list."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._end = False
        self._all = False
        self._followed: dict[str, _Followed] = {}
        self.asked: Callable[[str], Asked] = lambda study: None
        """What is asked for of a study's pick in place of what its preset says."""
        self._list_nodes: set[MessagePump] = set()
        self._list_new: set[MessagePump] = set()
        self._entries: dict[str, _Entry] = {}
        self._folder: Signature | None = None
        # A daemon: a read that hangs in a dead file system must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Look no more; returns at once."""
        self._end = True
        self._wake.set()

    def look(self) -> None:
        """Look now instead of at the next tick, at studies that have ended too."""
        self._all = True
        self._wake.set()

    def subscribe(self, node: MessagePump, run_name: str) -> None:
        """Post `StudyChanged(run_name, state)` to `node` now and whenever the study moves on."""
        with self._lock:
            followed = self._followed.get(run_name)
            if followed is None:
                run = RunDir.of(self.workspace, run_name)
                followed = self._followed[run_name] = _Followed(Reader(run))
            followed.nodes.add(node)
            followed.new.add(node)
        self._wake.set()

    def unsubscribe(self, node: MessagePump, run_name: str | None = None) -> None:
        """Stop posting to `node` about one study, or about everything."""
        with self._lock:
            for name in [run_name] if run_name else list(self._followed):
                if followed := self._followed.get(name):
                    followed.nodes.discard(node)
                    followed.new.discard(node)
                    if not followed.nodes:
                        del self._followed[name]
            if run_name is None:
                self._list_nodes.discard(node)

    def watch_list(self, node: MessagePump) -> None:
        """Post `StudiesChanged` to `node` now and whenever the list changes."""
        with self._lock:
            self._list_nodes.add(node)
            self._list_new.add(node)
        self.look()

    def state(self, run_name: str) -> StudyState | None:
        """The last state posted for a study that somebody is subscribed to."""
        followed = self._followed.get(run_name)
        return followed.latest if followed else None

    def _run(self) -> None:
        while not self._end:
            self._wake.clear()
            self.look_now()
            self._wake.wait(TICK_S)

    def look_now(self) -> None:
        """Look once, in this thread: what has changed is posted when it returns."""
        with self._lock:
            followed = list(self._followed.items())
            listing = bool(self._list_nodes)
        for name, study in followed:
            self._follow(name, study)
        if listing:
            self._list()

    def _follow(self, name: str, study: _Followed) -> None:
        """Read what is new of one study and post it; a study that stands still costs one `stat`."""
        run = study.reader.run
        signature = study.reader.signature()
        before = study.latest
        if before is None or signature != study.signature:
            study.signature, study.latest = signature, self._read(study.reader)
            if study.latest.status == "unreadable":
                study.reader = Reader(run)
        else:
            study.latest = self._judged(run, before)
        with self._lock:
            if study.latest is not before and study.latest != before:
                study.new |= study.nodes
            nodes, study.new = study.new, set()
        for node in nodes:
            node.post_message(StudyChanged(name, study.latest))

    def _judged(self, run: RunDir, state: StudyState) -> StudyState:
        """The same state, unless the engine has gone since, or the folder."""
        if state.status == "unreadable" and any(file.exists() for file in run.event_files()):
            return state
        status = run.read_status()
        if (status.state, status.queue) == (state.status, state.queue):
            return state
        judged = replace(state)
        judged.judge(run, status)
        return judged

    def _read(self, reader: Reader) -> StudyState:
        """A copy of the study as it stands now; `unreadable` if its events make no sense."""
        try:
            reader.poll()
            while not reader.at_end and not self._end:
                time.sleep(BREATH_S)
                reader.poll()
            state = snapshot(reader.state)
            state.judge(reader.run, reader.run.read_status())
            pick(state)
            study_json(state)  # what views compute from it must not meet a surprise in the event loop
            ending(state)
        except MALFORMED:
            return StudyState(name=reader.run.name, status="unreadable")
        return state

    def _list(self) -> None:
        """Bring the list up to date; unchanged folders and ended studies are not read again."""
        now = time.monotonic()
        everything, self._all = self._all, False
        changed = self._scan()
        for count, (name, entry) in enumerate(list(self._entries.items())):
            if entry.look_at > now and not everything:
                continue
            if count % 100 == 99:
                time.sleep(BREATH_S)
            run = entry.listed.run
            signature = _signature(run.status), _signature(run.notes)
            state = entry.listed.status.state
            asked = self.asked(name)
            if signature != entry.signature or state in OPEN or asked != entry.asked:
                listed = Listed(run, repicked(run, run.read_status(), asked), notes.read(run))
                changed |= _shown(listed) != _shown(entry.listed)
                entry = _Entry(listed, signature, asked)
            ended = entry.listed.status.state in ("done", "failed", "cancelled")
            self._entries[name] = replace(entry, look_at=now + FINISHED_EVERY_S if ended else 0.0)
        with self._lock:
            nodes = self._list_nodes if changed else self._list_new
            nodes, self._list_new = set(nodes), set()
        if nodes:
            rows = tuple(entry.listed for entry in self._entries.values())
            for node in nodes:
                node.post_message(StudiesChanged(rows))

    def _scan(self) -> bool:
        """Take in studies that came and went; whether any did."""
        folder = _signature(rundir.studies_folder(self.workspace))
        if folder == self._folder:
            return False
        self._folder = folder
        runs = rundir.studies(self.workspace)
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


def _shown(listed: Listed) -> Listed:
    """The study without what changes at every heartbeat and is not shown."""
    return replace(listed, status=replace(listed.status, heartbeat=0, updated=0.0))
