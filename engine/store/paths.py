"""Paths as users write them."""

from pathlib import Path

from engine.errors import UsageError


def expanded(path: str | Path) -> Path:
    """`path` with `~` and `~user` replaced. Raises UsageError for a user without a home folder that is known here."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UsageError(
            f"The home folder in {path} is not known",
            "HOME is not set, or the user is not known on this machine.",
            "Write the whole path.",
        ) from error


def here() -> Path:
    """The working folder. Raises UsageError where it was removed."""
    try:
        return Path.cwd()
    except OSError as error:
        raise UsageError(
            "The working folder is gone", f"The system says: {error.strerror}.", "Go to another folder."
        ) from error


def absolute(path: Path) -> Path:
    """The path from the root on. Raises UsageError for one in a working folder that was removed."""
    return path if path.is_absolute() else here() / path


def home() -> Path | None:
    """The user's home folder; None for one who has none, as in many containers."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def is_file(path: Path) -> bool:
    """Whether there is such a file, as far as this user can tell; no name is too long or out of reach to ask."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """The same of a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """The same of anything."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False
