"""Results of steps, addressed by content and shared by all studies of a workspace.

An object is a folder `objects/ab/abcd…/` with its files and an `object.json` that names each file's
size and SHA-256. It is written to `tmp/`, flushed, and renamed: there or not there, never half. Two
writers of one key are harmless, the first rename wins. Nothing is locked, so that the workspace may
lie on NFS or Lustre.

Several users may share a store. What one of them can't read, or finds damaged and may not move because it is another's,
stays where it is: a study then computes that key for itself, into a private store in its own folder.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.errors import SecateurError
from engine.store import owners
from engine.store.files import MEASUREMENTS, explained, read_json, sync_folder, write_json
from engine.store.keys import file_hash, key

FORMAT = 1
META = "object.json"
ARTEFACT = "artefact"
"""The kind of a file that is made from a result, its `parent`, and is in no plan: needed as long as that is."""
NEEDED = {"kind", "measures", "observations", "files"}
"""What `object.json` must say to be an object's."""
STALE_AFTER = 7 * 86_400.0
"""Age in seconds at which an abandoned temporary folder is surely no longer being written."""


@dataclass(frozen=True)
class StoredObject:
    """One result: its key, its folder, and what `object.json` says.

    `measures` are numbers that a replay must reproduce bit for bit; `observations` (seconds, memory,
    latency) are not expected to repeat. `files` maps names to their SHA-256. `made_of` has the `content` of each object
    that it was computed from, by key, as that was then.
    """

    key: str
    folder: Path
    kind: str
    measures: dict[str, Any]
    observations: dict[str, Any]
    files: dict[str, str]
    made_of: dict[str, str] = field(default_factory=dict)

    @property
    def content(self) -> str:
        """SHA-256 over the names and hashes of its files, but for times that were measured: what a study's events
        record of the result, and what others that are made of it record too."""
        return key({name: digest for name, digest in self.files.items() if name != MEASUREMENTS})


class Store:
    """The store below one folder.

    `private`: where the one study that asks keeps what it can't have of `root`, because it is another user's.
    """

    def __init__(self, root: Path, private: Path | None = None) -> None:
        self.root = root
        self.private = private
        self._objects = root / "objects"
        self._temporary = root / "tmp"
        self._looked_at: dict[str, tuple[tuple[str, int, int, int], ...]] = {}

    def folder(self, key: str) -> Path:
        """Where the object at `key` is, or would be."""
        if self.private is not None and (own := _place(self.private, key)).is_dir():
            return own
        return _place(self.root, key)

    def get(self, key: str) -> StoredObject | None:
        """The object at `key`, or None if there is none that can be read; its files are not read."""
        folder = self.folder(key)
        meta = read_json(folder / META)
        if not isinstance(meta, dict) or meta.get("format") != FORMAT or not _is_whole(meta):
            return None
        files = {name: entry["sha256"] for name, entry in meta["files"].items()}
        if not all(owners.readable(folder / name) for name in files):
            return None
        made_of = meta.get("made_of", {})
        return StoredObject(key, folder, meta["kind"], meta["measures"], meta["observations"], files, made_of)

    def review(self, key: str, address: str) -> tuple[StoredObject | None, str | None]:
        """The object at `key`, every byte compared; or why the step at `address` is computed anew, if there is one.

        A damaged object is set aside. What can't be read, or is damaged and another user's, is left alone, and from
        then on `key` is private. Raises SecateurError where the store has no private place for it.
        """
        self._reconsider(key)
        if (unreadable := self.unreadable(key)) is not None:
            return None, self._without(key, f"A stored result of {address} can't be read: {unreadable}")
        folder = self.folder(key)
        if not folder.exists():
            return None, None
        damage = self.damage(key)
        stored = self.get(key) if damage is None else None
        if stored is not None:
            self.note_use(key)
            return stored, None
        what = f"A stored result of {address} is damaged ({damage or f'{META} is of another version'})"
        if not owners.ours(folder):
            return None, self._without(key, f"{what}; {owners.whose(folder)}")
        return None, f"{what}; moved to {self.set_aside(key)}, it is computed anew"

    def note_use(self, key: str) -> None:
        """Make the object at `key` young: its age is counted from its last use (`engine.store.inventory`)."""
        with contextlib.suppress(OSError):
            os.utime(self.folder(key) / META)

    def unreadable(self, key: str) -> str | None:
        """What of the object at `key` this user may not read, and whose it is; None if all can be read."""
        folder = self.folder(key)
        try:
            names = [META, *(entry.name for entry in folder.iterdir())]
        except PermissionError:
            return f"{folder}: {owners.whose(folder)}"
        except (FileNotFoundError, NotADirectoryError):
            return None
        shut = next((f for f in (folder / n for n in names) if not owners.readable(f) and _there(f)), None)
        return None if shut is None else f"{shut}: {owners.whose(shut)}"

    def _without(self, key: str, what: str) -> str:
        """Make `key` private from now on; what to tell about it."""
        if self.private is None:
            raise SecateurError(what, "This store has no other place for it.", _opened(self.root))
        own = _place(self.private, key)
        with explained(own):
            own.mkdir(parents=True, exist_ok=True)
        return f"{what}. It is left alone, and computed for this study alone. {_opened(self.root)}"

    def _reconsider(self, key: str) -> None:
        """A private place that nothing was computed into yet is given up: what was in the way may be right now."""
        if self.private is not None:
            with contextlib.suppress(OSError):
                _place(self.private, key).rmdir()

    def damage(self, key: str, *, thorough: bool = True) -> str | None:
        """What is wrong with the object at `key` (a sentence), or None if it is whole.

        Sizes are always compared; with `thorough` every byte is read and hashed.
        """
        meta = read_json(self.folder(key) / META)
        if not isinstance(meta, dict) or not _is_whole(meta):
            return f"{META} can't be read"
        if thorough and meta.get("digest") != _digest(meta):
            return f"the content of {META} has changed since it was written"
        for name, entry in meta["files"].items():
            path = self.folder(key) / name
            try:
                size = path.stat().st_size
                if size != entry["size"]:
                    return f"{name} has {size} bytes, {entry['size']} were written"
                if thorough and file_hash(path) != entry["sha256"]:
                    return f"the content of {name} has changed since it was written"
            except PermissionError:
                return f"{name} can't be read: {owners.whose(path)}"
            except OSError as error:
                return f"{name}: {error.strerror}"
        return self._made_of_others(meta.get("made_of", {}))

    def _made_of_others(self, made_of: dict[str, str]) -> str | None:
        """Whether what stands at a key now is not what this was computed from: then its numbers are not of that."""
        for parent, content in made_of.items():
            now = self.get(parent)
            if now is not None and now.content != content:
                return f"it was computed from another {now.kind} than the one that is stored now ({parent[:12]}…)"
        return None

    def verified(self, key: str, recorded: str = "") -> StoredObject:
        """The object at `key`, every byte of it as it was when it was computed, and of the content `recorded` if given.

        Raises SecateurError, naming what was changed.
        """
        if (shut := self.unreadable(key)) is not None:
            raise SecateurError(
                "A stored result can't be read",
                f"{shut}.",
                f"{_opened(self.root)} Or compute your own: `secateur resume`.",
            )
        stored, stamp = self.get(key), self._stamp(key)
        why = self.damage(key, thorough=stamp != self._looked_at.get(key))
        if why is None and stored is not None and recorded not in ("", stored.content):
            why = "it is whole, but another than the one whose numbers the study recorded"
        if stored is None or why is not None:
            raise SecateurError(
                "A stored result was changed since it was recorded",
                f"{self.folder(key)}: {why}.",
                "`secateur resume` puts it aside and computes it again.",
            )
        self._looked_at[key] = stamp
        return stored

    def _stamp(self, key: str) -> tuple[tuple[str, int, int, int], ...]:
        """Which files the object at `key` has, as the file system tells: while that stays, they are not read again."""
        with contextlib.suppress(OSError), os.scandir(self.folder(key)) as entries:
            files = [(entry.name, entry.stat()) for entry in entries]
            return tuple(sorted((name, s.st_ino, s.st_size, s.st_mtime_ns) for name, s in files))
        return ()

    def set_aside(self, key: str) -> Path:
        """Move a damaged object out of the way (kept for a look), so that it is computed anew."""
        folder = self.folder(key)
        target = folder.parents[2] / "damaged" / f"{key}-{uuid.uuid4().hex[:8]}"
        with explained(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):  # somebody else was faster
                folder.rename(target)
        return target

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[Path]:
        """A temporary folder to fill; removed if not passed to `commit`."""
        root = self._writable("tmp")
        folder = root / f"{key[:16]}-{uuid.uuid4().hex[:12]}"
        with explained(folder):
            folder.mkdir(parents=True)
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)

    def commit(
        self,
        key: str,
        folder: Path,
        *,
        kind: str,
        material: dict[str, Any],
        measures: dict[str, Any],
        observations: dict[str, Any],
        made_of: Iterable[str] = (),
    ) -> StoredObject:
        """Make the filled `folder` the object at `key`; if another writer was first, theirs stays.

        `made_of` are the keys of the objects that it was computed from.
        """
        files = {
            path.name: {"sha256": file_hash(path), "size": path.stat().st_size}
            for path in sorted(folder.iterdir())
        }
        meta = {
            "format": FORMAT,
            "key": key,
            "kind": kind,
            "material": material,
            "measures": measures,
            "observations": observations,
            "files": files,
            "made_of": {one: parent.content for one in made_of if (parent := self.get(one)) is not None},
            "created": time.time(),
        }
        with explained(self.folder(key)):
            write_json(folder / META, meta | {"digest": _digest(meta)})
            sync_folder(folder)
            self._put(folder, key)
        stored = self.get(key)
        if stored is None:
            # What stands there is not an object, or another user's: replace it, or leave it alone.
            place = self.folder(key)
            if owners.ours(place):
                self.set_aside(key)
            else:
                self._without(key, f"A stored result can't be used: {place}: {owners.whose(place)}")
            with explained(place):
                self._put(folder, key)
            stored = self.get(key)
        assert stored is not None
        return stored

    def _put(self, folder: Path, key: str) -> None:
        """Rename the filled `folder` to the place of `key` if it is free; where others shut it, to the private one."""
        target = self.folder(key)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError, NotADirectoryError):
                _rename_new(folder, target)
        except PermissionError:
            if self.private is None or target.is_relative_to(self.private):
                raise
            own = _place(self.private, key)
            own.mkdir(parents=True, exist_ok=True)
            _rename_new(folder, own)

    def _writable(self, name: str) -> Path:
        """The folder `name` of the store; the private store's where another user's keeps this one out."""
        shared = self.root / name
        there = next(folder for folder in (shared, *shared.parents) if _there(folder))
        return shared if self.private is None or os.access(there, os.W_OK | os.X_OK) else self.private / name

    @property
    def claims_root(self) -> Path:
        """Where those meet who compute for this store (`engine.store.claims`)."""
        return self._writable("claims/holders").parents[1]

    @property
    def templates(self) -> Path:
        """Where graphs of exported networks are kept for the next ones: nothing is lost with them but time."""
        return self.root / "templates"

    def partial(self, key: str) -> Path:
        """Where the unfinished work of `key` is kept between interruptions."""
        return self._writable(f"partial/{key}")

    def drop_partial(self, key: str) -> None:
        shutil.rmtree(self.partial(key), ignore_errors=True)

    def remove(self, key: str) -> None:
        """Forget the object at `key`, so that it is computed anew. Raises SecateurError where it is another user's."""
        folder = self.folder(key)
        if _there(folder) and not owners.ours(folder):
            raise SecateurError(
                "A stored result is another user's",
                f"{folder}: {owners.whose(folder)}.",
                "Its owner can do this, or you in a workspace of your own: SECATEUR_HOME.",
            )
        with explained(folder):
            shutil.rmtree(self.set_aside(key), ignore_errors=True)

    def sweep_temporary(self) -> None:
        """Remove this user's temporary folders that a killed process left long ago."""
        if not self._temporary.is_dir():
            return
        for folder in self._temporary.iterdir():
            with contextlib.suppress(OSError):
                if owners.ours(folder) and time.time() - folder.stat().st_mtime > STALE_AFTER:
                    shutil.rmtree(folder, ignore_errors=True)


def _place(root: Path, key: str) -> Path:
    return root / "objects" / key[:2] / key


def _there(path: Path) -> bool:
    """Whether there is something at `path`, be it out of reach."""
    try:
        path.lstat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True


def _opened(root: Path) -> str:
    """What the owner of files does about them."""
    return f"Its owner can open it: `chmod -R g+rwX {root}`, and `umask 002` before the next run."


def _is_whole(meta: dict[str, Any]) -> bool:
    """Whether it says all that an object's does, each of its kind: others may have written it."""
    kinds = [meta.get(name, {}) for name in ("measures", "observations", "files", "made_of")]
    if not meta.keys() >= NEEDED or not all(isinstance(one, dict) for one in kinds):
        return False
    return all(
        isinstance(entry, dict) and entry.keys() >= {"sha256", "size"} and os.sep not in name
        for name, entry in meta["files"].items()
    )


def _digest(meta: dict[str, Any]) -> str:
    """The hash of what `object.json` says, so that a flipped bit in a number is noticed like one in a file."""
    described = json.dumps({name: value for name, value in meta.items() if name != "digest"}, sort_keys=True)
    return hashlib.sha256(described.encode()).hexdigest()


def _rename_new(source: Path, target: Path) -> None:
    """Rename a folder to a name that must not be taken by a filled folder; FileExistsError if it is."""
    try:
        source.rename(target)
    except OSError as error:
        if target.exists():
            raise FileExistsError(target) from error
        raise
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
