"""The workspace: the folder that holds studies, the results that they share, and data sets."""

import os
from pathlib import Path

from engine.errors import UsageError
from engine.store.objects import Store
from engine.store.paths import expanded

STORE = "store"
"""What the folder of results is called, in a workspace and in a study that reuses nothing."""


def workspace(given: str | Path | None = None) -> Path:
    """The workspace: `given`, else $SECATEUR_HOME, else ./.secateur; an absolute path, which need not exist.

    Raises UsageError where there is no such path: the working folder is gone, or a home folder is not known.
    """
    path = expanded(given or os.environ.get("SECATEUR_HOME") or ".secateur")
    try:
        return path.absolute()
    except OSError as error:
        raise UsageError(
            "The working folder is gone",
            f"{path} would lie in it.",
            "Go to another folder, or set SECATEUR_HOME.",
        ) from error


def shared_store(workspace: Path, private: Path | None = None) -> Store:
    """The results that the studies of a workspace share; `private` is for those that one of them can't share."""
    return Store(workspace / STORE, private)


def fingerprints(workspace: Path) -> Path:
    """The folder that keeps the hashes of data sets' files."""
    return workspace / STORE / "fingerprints"


def machines(workspace: Path) -> Path:
    """The folder that keeps what the nodes of a cluster are, by what was asked for."""
    return workspace / STORE / "machines"
