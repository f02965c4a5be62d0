"""A folder of this user's own on this host: for locks, sockets and compiled code, which must not be another's.

What lies in a folder that everybody may write can be put there first by somebody else: a lock that then blocks, code
that then runs. So our folder is taken for ours by its owner, never by its name, and a name that another has taken is
passed over.

It lies in `/tmp`, because all processes of a user on a host have to find the same one, and only those. Not in
`$XDG_RUNTIME_DIR`, which batch jobs lack and which is removed at log-out, while engines go on; not in `$TMPDIR`, which
jobs set to folders of their own; and not in the home, which hosts share, unless `/tmp` can't be used.
"""

import contextlib
import fcntl
import glob
import os
import pwd
import secrets
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from engine.errors import SecateurError

CHOSEN = "SECATEUR_LOCKS"
"""The variable by which a user names the folder."""
COMMON = Path("/tmp")
SOCKET_PATH = 107
"""Bytes that a UNIX socket's path may have on Linux."""
BELOW = 48
"""Bytes of that which multiprocessing and `scratch` put behind our folder."""
COMPILED = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch.compile keeps the code that it makes, Triton's too. Its own default is a name in the temporary folder
that anybody can foretell."""
SCRATCH = "secateur-tmp-"
"""What temporary folders begin with, and nobody else's: those that are not in use are removed."""
YOUNG_S = 60.0
"""Age below which a folder that nobody holds may be one that is just being made."""
YOUNG_ELSEWHERE_S = 86_400.0
"""The same outside of the temporary folder: hosts may share the disk, and a lock on it hold on one of them alone."""


def folder() -> Path:
    """The folder, which is there and nobody else can write: `$SECATEUR_LOCKS`, or one that is found.

    Raises SecateurError where there can be none.
    """
    chosen = os.environ.get(CHOSEN)
    if not chosen:
        return _existing()
    path = Path(chosen).absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        why = _unfit(path)
    except OSError as error:
        why = f"{error.strerror}"
    if why:
        raise SecateurError(
            "The lock folder can't be used",
            f"{path}: {why}.",
            f"Set {CHOSEN} to a folder on this host that only you can write, or unset it.",
        )
    return path


def for_sockets() -> Path:
    """The same, or another such folder where its path is too long for sockets."""
    path = folder()
    return path if len(os.fsencode(path)) + BELOW <= SOCKET_PATH else _existing()


def variables() -> dict[str, str]:
    """Variables by which our processes use this folder: for compiled code, unless the user has set another one."""
    base = folder()
    chosen = {CHOSEN: str(base)} if os.environ.get(CHOSEN) else {}
    if os.environ.get(COMPILED):
        return chosen
    if not _runs_code(base):  # mounted so that no code of it can run
        base = _in_home() or base
    return chosen | {COMPILED: str(base / "compiled")}


def problems() -> list[str]:
    """What is wrong with where locks and compiled code lie, in sentences."""
    try:
        folder()
    except SecateurError as error:
        return [error.sentence]
    given = os.environ.get(COMPILED)
    if given and Path(given).exists() and (why := _unfit(Path(given))):
        return [f"{COMPILED} is {given}: {why}. Code that lies there runs as you: unset it, or name another"]
    return []


def notes() -> list[str]:
    """What a user may want to know of it."""
    usual = _usual(COMMON)
    if os.path.lexists(usual) and not _is_ours(usual):
        return [f"{usual} is not this user's: another folder is used for locks, sockets and compiled code"]
    return []


def _existing() -> Path:
    """Our folder in `/tmp`, else in the home."""
    if (path := below(COMMON)) is not None or (path := _in_home()) is not None:
        return path
    raise SecateurError(
        "There is no place for locks and sockets",
        f"Neither {COMMON} nor the home folder can be written by this user and be kept from others.",
        f"Set {CHOSEN} to a folder on this host that only you can write.",
    )


def below(parent: Path) -> Path | None:
    """Ours in `parent`, that others may write too: the one of the usual name, else the oldest, else a new one.

    None where none can be made.
    """
    if not _keeps_owners(parent):
        return None
    usual = _usual(parent)
    with contextlib.suppress(OSError):
        if _is_ours(usual):
            return _closed(usual)
        if (oldest := _oldest(usual)) is not None:
            return oldest
        # A name that sorts by age, and that nobody can foretell.
        other = usual.with_name(f"{usual.name}-{time.time_ns()}-{secrets.token_hex(4)}")
        with contextlib.suppress(FileExistsError):
            usual.mkdir(mode=0o700)
        if _is_ours(usual):  # made here, or by another process of ours since the first look
            return usual
        other.mkdir(mode=0o700)
        return _oldest(usual)
    return None


def _oldest(usual: Path) -> Path | None:
    """Of several folders of ours, as two processes may make at once, all processes take the same."""
    ours = sorted(path for path in usual.parent.glob(f"{usual.name}-*") if _is_ours(path))
    return _closed(ours[0]) if ours else None


def _in_home() -> Path | None:
    """One of this host's own in the user's cache; None where there is no home that others can't write."""
    try:
        home = Path(os.environ.get("HOME") or pwd.getpwuid(os.getuid()).pw_dir)
        path = home / ".cache" / "secateur" / socket.gethostname()
        if not home.is_absolute() or _unfit(home):
            return None
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        return path if all(_is_ours(one) for one in (path, path.parent, path.parent.parent)) else None
    except (OSError, KeyError):
        return None


def _usual(parent: Path) -> Path:
    return parent / f"secateur-{os.getuid()}"


def _is_ours(path: Path) -> bool:
    """Whether it is a folder, itself and no link to one, that belongs to this user."""
    try:
        info = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == os.getuid()


def _closed(path: Path) -> Path:
    """The folder, closed to others where it was not: nobody but us has a use for it."""
    if stat.S_IMODE(path.stat().st_mode) != 0o700:
        path.chmod(0o700)
    return path


def _unfit(path: Path) -> str:
    """Why others could put something into the folder; empty where they can't."""
    info = path.stat()
    if not stat.S_ISDIR(info.st_mode):
        return "it is not a folder"
    if info.st_uid != os.getuid():
        return "it belongs to another user"
    if info.st_mode & 0o022:
        return f"others may write it (mode {stat.S_IMODE(info.st_mode):03o})"
    return ""


def _keeps_owners(parent: Path) -> bool:
    """Whether a folder that we make in `parent` stays there and ours: others may not rename what is not theirs."""
    try:
        info = parent.stat()
    except OSError:
        return False
    owned = info.st_uid in (0, os.getuid())
    kept = not info.st_mode & 0o022 or bool(info.st_mode & stat.S_ISVTX)
    return owned and kept and os.access(parent, os.W_OK | os.X_OK)


def _runs_code(path: Path) -> bool:
    return not os.statvfs(path).f_flag & os.ST_NOEXEC


@contextlib.contextmanager
def own_temporary() -> Iterator[None]:
    """For the time of the block, whatever this process and its children leave lying about lies in folders of its own.

    Temporary files are in one folder in the temporary folder, and multiprocessing's sockets in one whose path is short
    enough for them. Both are removed at the end; those that killed processes left are removed at the beginning. To be
    entered before multiprocessing has started anything.
    """
    from multiprocessing import current_process

    before, tempdir = os.environ.get("TMPDIR"), tempfile.tempdir
    with (
        scratch(for_sockets(), "engine-") as sockets,
        scratch() as temporary,
    ):
        current_process()._config["tempdir"] = str(sockets)  # type: ignore[attr-defined]
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        try:
            yield
        finally:
            tempfile.tempdir = tempdir
            os.environ.pop("TMPDIR")
            if before is not None:
                os.environ["TMPDIR"] = before


def beside(target: Path) -> contextlib.AbstractContextManager[Path]:
    """Such a folder beside `target`, for what is written there before it is put in its place."""
    return scratch(target.parent, f".{target.name[:100]}.unfinished-", YOUNG_ELSEWHERE_S)


@contextlib.contextmanager
def scratch(parent: Path | None = None, prefix: str = SCRATCH, young_s: float = YOUNG_S) -> Iterator[Path]:
    """A new folder in `parent`, else in the temporary folder, that goes at the end of the block.

    It is locked meanwhile, by which it differs from those of the same `prefix` that killed processes left: these go at
    the beginning, from the age `young_s` on. So nobody else's folder may begin like that.
    """
    parent = parent or Path(tempfile.gettempdir())
    _sweep(parent, prefix, young_s)
    path = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = _opened(path)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: nothing is swept there
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path
    finally:
        os.close(lock)
        shutil.rmtree(path, ignore_errors=True)


def _sweep(parent: Path, prefix: str, young_s: float) -> None:
    """Remove such folders of processes that ended without doing so."""
    for path in parent.glob(f"{glob.escape(prefix)}*"):
        with contextlib.suppress(OSError):
            if not _is_ours(path) or time.time() - path.lstat().st_mtime < young_s:
                continue
            lock = _opened(path)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)
            finally:
                os.close(lock)


def _opened(folder: Path) -> int:
    return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
