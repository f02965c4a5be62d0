"""Imports ultralytics when a detector is first needed: quietly, offline, and without a trace in the user's home."""

import contextlib
import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from PIL import Image

from engine.errors import SecateurError
from engine.machine import private

OFFLINE = {
    "YOLO_OFFLINE": "1",  # no look-up of a host name to find out whether there is internet
    "YOLO_AUTOINSTALL": "0",  # no installation of packages
    "YOLO_VERBOSE": "0",  # no lines on stdout
}
"""What ultralytics reads from the environment when it is imported, for the rest of the process."""


@cache
def library() -> ModuleType:
    """The module `engine.compute.yolo.ultra`. Raises SecateurError when ultralytics is not installed.

    It writes a settings file when it is imported, sets environment variables that child processes would inherit,
    replaces `torch.save` and PIL's `Image.open` (which then asks for a package where a file is no image), and changes
    how tensors are printed: all of that is undone.
    """
    printing = torch._tensor_str.PRINT_OPTS
    before = (printing.linewidth, printing.precision)
    save, open_image = torch.save, Image.open
    try:
        with (
            private.scratch() as folder,
            _environment(folder),
            _plainly(),
        ):
            from engine.compute.yolo import ultra
    except ImportError as error:
        raise SecateurError(
            "YOLO models need the package ultralytics",
            f"Importing it says: {error}.",
            "pip install 'secateur[yolo]' (ultralytics is under the AGPL-3.0 licence).",
        ) from error
    torch.save, Image.open = save, open_image
    torch.set_printoptions(linewidth=before[0], precision=before[1])  # type: ignore[no-untyped-call]
    return ultra


@contextlib.contextmanager
def _plainly() -> Iterator[None]:
    """On the CPU even while a network is built without memory: tensors made by the import are used for good."""
    with torch.device("cpu"), np.printoptions():
        yield


@contextlib.contextmanager
def _environment(folder: Path) -> Iterator[None]:
    """Its settings in `folder`, which goes afterwards, and its switches; then every variable as it was."""
    before = dict(os.environ)
    os.environ.update(OFFLINE, YOLO_CONFIG_DIR=str(folder))
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)
