"""Whose files are whose, in a workspace that several users share."""

import os
import stat
from pathlib import Path

from engine.text.users import user_name


def ours(path: Path) -> bool:
    """Whether this user may move and remove `path` without asking: its owner, or the administrator. False if gone."""
    try:
        return os.geteuid() in (0, path.lstat().st_uid)
    except OSError:
        return False


def own(path: Path) -> bool:
    """Whether `path` belongs to the very user that we run as. False if gone."""
    try:
        return os.geteuid() == path.lstat().st_uid
    except OSError:
        return False


def whose(path: Path) -> str:
    """Who owns what bars the way to `path`, and its mode: ``it belongs to anna (-rw-------)``."""
    barring = next((folder for folder in reversed(path.parents) if _shut(folder)), path)
    if not os.path.lexists(barring):  # it can't be made where it would be
        barring = next(folder for folder in path.parents if os.path.lexists(folder))
    status = barring.lstat()
    what = "it" if barring == path else f"the folder {barring}"
    return f"{what} belongs to {user_name(status.st_uid)} ({stat.filemode(status.st_mode)})"


def barred(path: Path) -> bool:
    """Whether it is for want of rights that this user can't read `path`."""
    return any(map(_shut, path.parents)) or (os.path.lexists(path) and not readable(path))


def _shut(folder: Path) -> bool:
    return os.path.lexists(folder) and not os.access(folder, os.X_OK)


def readable(path: Path) -> bool:
    """Whether this user may read `path`; of what is not there, False."""
    return os.access(path, os.R_OK)
