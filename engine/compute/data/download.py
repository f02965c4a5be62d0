"""Downloading a data set through torchvision: only when asked for, meant for the login node."""

import contextlib
import socket
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from engine.datasets import Record
from engine.datasets.locate import folder_with
from engine.errors import SecateurError
from engine.machine import private

PATIENCE = 30.0
"""Seconds without an answer after which a server counts as out of reach: on a compute node without internet,
connections hang instead of failing."""

FAILURES = (RuntimeError, OSError, ValueError, EOFError, ImportError, tarfile.TarError, zipfile.BadZipFile)
"""What torchvision raises when a server can't be reached, or sends something else."""


def download(record: Record, folder: Path) -> Path:
    """Download a set into `folder` and return where its files lie.

    A new folder appears only once everything is in it.

    Raises SecateurError when the network fails, or what came is not complete.
    """
    with _new_folder(folder) as target:
        try:
            _download(record, target)
        except FAILURES as error:
            raise _failed(record, str(error) or type(error).__name__) from error
        if folder_with(record, target) is None:
            raise _failed(record, "What came is not complete.")
    complete = folder_with(record, folder)
    assert complete is not None
    return complete


def _download(record: Record, folder: Path) -> None:
    import torchvision

    kind = getattr(torchvision.datasets, record.torchvision)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE)
    try:
        # Some of torchvision's classes print; progress belongs on stderr.
        with contextlib.redirect_stdout(sys.stderr):
            for arguments in record.downloads:
                kind(folder, download=True, **arguments)
    finally:
        socket.setdefaulttimeout(before)


@contextlib.contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, renamed to `folder` when all went well; `folder` itself if that exists."""
    if folder.exists():
        yield folder
        return
    with contextlib.ExitStack() as folders:
        try:
            folder.parent.mkdir(parents=True, exist_ok=True)
            partial = folders.enter_context(private.beside(folder))
        except OSError as error:
            raise SecateurError(
                f"{folder} can't be written",
                f"{error.strerror}: {error.filename}",
                "Name another place: --root DIR",
            ) from error
        yield partial
        # Such a folder keeps others out; a data set may be shared.
        partial.chmod(0o755)
        partial.rename(folder)


def _failed(record: Record, detail: str) -> SecateurError:
    lines = [line.strip() for line in detail.splitlines() if line.strip()]
    return SecateurError(
        f"Data set {record.name} could not be downloaded",
        lines[-1] if lines else "",
        "Compute nodes often have no internet: run the command on a login node, or copy the files here and "
        f"set data.root. {record.note}".strip(),
    )
