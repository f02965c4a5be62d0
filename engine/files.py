"""Writing files so that a reader, on this node or another, sees the old content or the new, never half."""

import contextlib
import errno
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.errors import SecateurError

_EXPLAINED = {
    errno.ENOSPC: ("The disk is full", "Free some space (the workspace can be moved: SECATEUR_HOME)."),
    errno.EDQUOT: ("The disk quota is used up", "Free some space, or move the workspace: SECATEUR_HOME."),
    errno.EROFS: ("The workspace is read-only", "Set SECATEUR_HOME or --workspace to a writable folder."),
    errno.EACCES: ("The workspace is not writable", "Set SECATEUR_HOME or --workspace to a folder of yours."),
    errno.EPERM: ("The workspace is not writable", "Set SECATEUR_HOME or --workspace to a folder of yours."),
}


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn a full disk, a quota or a read-only folder into an error that says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in _EXPLAINED:
            raise
        title, remedy = _EXPLAINED[error.errno]
        raise SecateurError(title, f"Writing {error.filename or path}: {error.strerror}.", remedy) from error


def write_atomic(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace `path` by `text`: temporary file, fsync (if `durable`), rename.

    Raises SecateurError when the disk is full or not writable; the old content stays.
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}")
    with explained(path):
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            temporary.unlink(missing_ok=True)
            raise


def write_json(path: Path, value: Any, *, durable: bool = True) -> None:
    """`write_atomic` of `value` as JSON."""
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n", durable=durable)


def read_json(path: Path) -> Any | None:
    """The JSON value in `path`; None if it is missing or not whole."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None


def sync_folder(folder: Path) -> None:
    """Flush a folder's files and its own entries to disk."""
    for path in [*folder.iterdir(), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
