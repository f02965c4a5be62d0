"""Writing files so that a reader, on this node or another, sees the old content or the new, never half."""

import contextlib
import errno
import json
import os
import re
import resource
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from engine.errors import SecateurError, UsageError
from engine.store.owners import whose
from engine.text.visible import json_text

LONGEST_JSON = 256 << 20
"""Bytes of a JSON file that is read; others may have put it there."""
_EXPLAINED = {
    errno.ENOSPC: ("The disk is full", "Free some space (the workspace can be moved: SECATEUR_HOME)."),
    errno.EDQUOT: ("The disk quota is used up", "Free some space, or move the workspace: SECATEUR_HOME."),
    errno.EROFS: ("The workspace is read-only", "Set SECATEUR_HOME or --workspace to a writable folder."),
    errno.EACCES: ("The workspace is not writable", "Set SECATEUR_HOME or --workspace to a folder of yours."),
    errno.EFBIG: ("A file size limit was met", "Raise the limit (`ulimit -f`), then `secateur resume`."),
    errno.ENOENT: ("A file or folder is missing", "It may have been removed meanwhile: run the study again."),
    errno.ESTALE: ("A file or folder is missing", "It may have been removed meanwhile: run the study again."),
    errno.ENOTDIR: ("A file is where a folder should be", "Set SECATEUR_HOME or --workspace to a folder."),
    errno.EEXIST: ("A file is where a folder should be", "Set SECATEUR_HOME or --workspace to a folder."),
    errno.EIO: (
        "The disk can't be read or written",
        "Look at the machine's log; the workspace can be moved: SECATEUR_HOME.",
    ),
    errno.EPERM: ("The workspace is not writable", "Set SECATEUR_HOME or --workspace to a folder of yours."),
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a full disk, a quota, a read-only or missing folder into an error that says what to do."""
    try:
        yield
    except OSError as error:
        known = explanation(error.errno, str(error.filename or path))
        if known is None:
            raise
        raise known from error


FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what bars the way to a file or folder that the user named into a UsageError that says so of that name."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise unwritable(path, error.errno) from error


def unwritable(path: Path | str, number: int) -> UsageError:
    """What the system's error `number` means for what a user wants written: to the file `path`, or as words name it."""
    why, room = os.strerror(number), ""
    if number in FULL:
        why, room = _EXPLAINED[number][0], "Free some space, or "
    if isinstance(path, Path):
        folder = path.absolute().parent
        if number == errno.ENOENT and not folder.is_dir():
            why = f"There is no folder {folder}"
        elif number in (errno.EACCES, errno.EPERM):
            why = f"{why}: {whose(path.absolute())}"
    remedy = f"{room}choose another name or folder."
    return UsageError(f"{path} can't be written", f"{why}.", remedy[0].upper() + remedy[1:])


def explanation(number: int | None, path: str = "") -> SecateurError | None:
    """What the system's error `number` means for writing `path`; None for one without a known remedy."""
    if number is None or number not in _EXPLAINED:
        return None
    title, remedy = _EXPLAINED[number]
    who = (
        f" {Path(path).name}: {whose(Path(path))}." if path and number in (errno.EACCES, errno.EPERM) else ""
    )
    most = f" The limit is {resource.getrlimit(resource.RLIMIT_FSIZE)[0]} bytes." * (number == errno.EFBIG)
    return SecateurError(title, f"Writing {path or 'a file'}: {os.strerror(number)}.{who}{most}", remedy)


def check_room(folder: Path, needed: int) -> None:
    """Raises SecateurError where so many bytes more can't be written into `folder`, such as for a quota.

    They are taken and given back: what a quota leaves can't be asked for on every file system.
    """
    probe = folder / f".room.{uuid.uuid4().hex[:12]}"
    with explained(folder):
        try:
            with probe.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, needed)
        except OSError as error:
            # A file system may take nothing in advance.
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):
                raise
        finally:
            probe.unlink(missing_ok=True)


def write_atomic(path: Path, text: str, *, durable: bool = True, within: Path | None = None) -> None:
    """Replace `path` by `text`: temporary file, fsync (if `durable`), rename.

    The temporary file lies in the folder `within`, by default beside `path`. Raises SecateurError when the disk is full
    or not writable; the old content stays.
    """
    with explained(path):
        replace(path, text.encode(), durable=durable, within=within)


def write_named(path: Path, content: str | bytes) -> None:
    """Write a file that the user named, the whole of it or nothing; into what is no file, such as /dev/stdout, at once.

    Raises UsageError where it can't be written; the old content stays.
    """
    data = content.encode() if isinstance(content, str) else content
    with writing(path):
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            replace(path.resolve(), data)


def replace(path: Path, content: bytes, *, durable: bool = True, within: Path | None = None) -> None:
    """Replace `path` by `content`, as `write_atomic` does. Raises OSError; the old content stays."""
    temporary = (within or path.parent) / f".{path.name}.{uuid.uuid4().hex[:12]}"
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def as_they_are(*files: Path) -> Callable[[], None]:
    """What makes these files again what they are now; that raises SecateurError where it can't.

    Those that are not there now are gone then.
    """
    contents = {file: file.read_bytes() if file.exists() else None for file in files}

    def put_back() -> None:
        for file, content in contents.items():
            with explained(file):
                if content is None:
                    file.unlink(missing_ok=True)
                else:
                    replace(file, content)

    return put_back


def write_json(path: Path, value: Any, *, durable: bool = True, within: Path | None = None) -> None:
    """`write_atomic` of `value` as JSON."""
    write_atomic(path, json_text(value, 1) + "\n", durable=durable, within=within)


def remember(path: Path, value: Any) -> None:
    """`write_json` of what only saves time, its folder made: what can't be written is found out again the next time."""
    with contextlib.suppress(OSError, SecateurError):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, value, durable=False)


def read_json(path: Path) -> Any | None:
    """The JSON value in `path`; None if it is missing, not whole, or no ordinary file of a size that ours have."""
    try:
        with open_ordinary(path) as file:
            size = os.fstat(file.fileno()).st_size
            return json.loads(file.read()) if size <= LONGEST_JSON else None
    except (OSError, ValueError, RecursionError):
        return None


def read_mapping(path: Path) -> dict[str, Any]:
    """The same where it has to be an object; empty for whatever else is there."""
    value = read_json(path)
    return value if isinstance(value, dict) else {}


def open_ordinary(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError for what is none: a pipe that somebody put there would never answer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not an ordinary file", str(path))
    return os.fdopen(descriptor, "rb")


def sync_folder(folder: Path) -> None:
    """Flush a folder's files and its own entries to disk."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


LAYERS = "layers.json"
"""What was counted of a model's layers, beside its measures."""
CLASSES = "classes.json"
"""How each class of a classifier did, and what it was taken for, beside its measures."""
MEASUREMENTS = "measurements.json"
"""The times that a step measured and decided by, by name: they do not repeat, so a replay is given them."""


TAIL_BYTES = 256 * 1024
"""Bytes of a log in which its last line is looked for."""
LINE_TOLD = 400
"""Letters of a log's line in a message."""


def last_said(log: Path, but: str = "") -> str:
    """The last line of a log that says anything and does not match `but`: a failed start says why there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    said = next((line for text in reversed(lines) if not re.fullmatch(but, line := text.strip())), "")
    return said if len(said) <= LINE_TOLD else f"{said[:LINE_TOLD]}…"
