"""Follows the workspace from a thread of its own, so that reading files never makes a key wait.

The list reads nothing but `status.json`; events are read for studies that somebody is subscribed to. What
is posted is a copy that nobody changes any more.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from textual.message_pump import MessagePump

from engine.studies.rundir import RunDir
from tui.work.messages import StudiesChanged, StudyChanged

if TYPE_CHECKING:  # the thread brings along what reads studies: the first frame does without
    from engine.results.pick import Asked
    from engine.studies.state import StudyState
    from tui.work.reading import Following, Listing

TICK_S = 0.5
"""Seconds between two looks: a step that takes a second is seen in work."""


@dataclass
class _Followed:
    """A study that somebody is subscribed to."""

    nodes: set[MessagePump] = field(default_factory=set)
    new: set[MessagePump] = field(default_factory=set)
    following: "Following | None" = None
    """None until it was first looked at."""


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
        self.failed: Callable[[Exception], None] | None = None
        """Told, in the watcher's thread, what ended it; None: the thread's own traceback tells it."""
        self._list_nodes: set[MessagePump] = set()
        self._list_new: set[MessagePump] = set()
        self._listing: Listing | None = None
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
            followed = self._followed.setdefault(run_name, _Followed())
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

    def state(self, run_name: str) -> "StudyState | None":
        """The last state posted for a study that somebody is subscribed to."""
        followed = self._followed.get(run_name)
        return followed.following.latest if followed and followed.following else None

    def _run(self) -> None:
        try:
            while not self._end:
                self._wake.clear()
                self.look_now()
                self._wake.wait(TICK_S)
        except Exception as error:
            if self.failed is None:
                raise
            self.failed(error)

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
        from tui.work.reading import Following

        if study.following is None:
            study.following = Following(RunDir.of(self.workspace, name), lambda: self._end)
        changed = study.following.look()
        state = study.following.latest
        assert state is not None
        with self._lock:
            if changed:
                study.new |= study.nodes
            nodes, study.new = study.new, set()
        for node in nodes:
            node.post_message(StudyChanged(name, state))

    def _list(self) -> None:
        from tui.work.reading import Listing

        if self._listing is None:
            self._listing = Listing(self.workspace)
        everything, self._all = self._all, False
        changed = self._listing.look(self.asked, everything=everything)
        with self._lock:
            nodes = self._list_nodes if changed else self._list_new
            nodes, self._list_new = set(nodes), set()
        if nodes:
            rows = self._listing.rows
            for node in nodes:
                node.post_message(StudiesChanged(rows))
