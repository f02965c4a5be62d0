"""An event file: written whole line by whole line by one process, read by any number as it grows."""

import os
import shutil
import uuid
from pathlib import Path

from engine.errors import SecateurError
from engine.store.files import explained, open_ordinary
from engine.studies import events, lease

READ_AT_MOST = 256 * 1024
"""Bytes read of an event file at a time, so that no reader stalls on a long one."""


class EventLog:
    """The one writer of `events.jsonl`: whole lines, flushed.

    With an engine's `guard`, nothing is written after its lease is lost. Where the engine before may still write, the
    log is a copy in place of the file that it has open.
    """

    def __init__(self, path: Path, guard: lease.Lease | None = None) -> None:
        self._path = path
        self._guard = guard
        with explained(path):
            if guard is not None and guard.cut_off and path.exists():
                copy = guard.folder / uuid.uuid4().hex
                shutil.copyfile(path, copy)
                copy.replace(path)
            self._repair()
            self._file = path.open("ab", buffering=0)

    def _repair(self) -> None:
        """Cut off a line that a killed writer left torn; no reader has gone past it."""
        if not self._path.exists():
            return
        with self._path.open("r+b") as file:
            end = file.seek(0, os.SEEK_END)
            while end:
                start = max(0, end - READ_AT_MOST)
                file.seek(start)
                whole = file.read(end - start).rfind(b"\n") + 1
                end = start + whole
                if whole:
                    break
            file.truncate(end)

    def append(self, event: events.Event) -> None:
        """Write one event. Raises SecateurError on a full disk; the log stays whole lines."""
        line = events.to_line(event)
        if self._guard is not None:
            self._guard.check()
        with explained(self._path):
            before = os.fstat(self._file.fileno()).st_size
            try:
                written = self._file.write(line)
            except OSError:
                os.ftruncate(self._file.fileno(), before)
                raise
            if written != len(line):
                os.ftruncate(self._file.fileno(), before)
                raise SecateurError(
                    "The disk is full", f"Writing {self._path}.", "Free some space, then `secateur resume`."
                )

    def flush(self) -> None:
        """Have what was written so far seen by readers on other nodes."""
        with explained(self._path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self.flush()
        self._file.close()


class Tail:
    """Reads a log as it grows; `offset` is where it has read up to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.offset = 0
        self._file: tuple[int, int] | None = None

    def read(self, limit: int = READ_AT_MOST) -> tuple[list[bytes], bool]:
        """The next whole lines, about `limit` bytes of them; a torn last line waits until it is whole.

        True if they are the first ones of another file, or of one that became shorter: what was read before does not
        count any more.
        """
        try:
            with open_ordinary(self.path) as file:
                status = os.fstat(file.fileno())
                same = (status.st_dev, status.st_ino)
                again = self._file not in (None, same) or status.st_size < self.offset
                self.offset, self._file = 0 if again else self.offset, same
                file.seek(self.offset)
                data = file.read(limit)
                while data and b"\n" not in data and (more := file.read(limit)):
                    data += more
        except OSError:
            return [], False
        end = data.rfind(b"\n") + 1
        self.offset += end
        return data[:end].splitlines(), again
