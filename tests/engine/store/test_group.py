"""A store that two users share, as two real users: what one keeps from the other is left alone and worked around."""

import os
import stat
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.store.objects import Store, StoredObject
from engine.studies import rundir
from engine.studies.status import Status

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become two users")

ANNA, BEN, GROUP = 60_001, 60_002, 60_000
KEY, OTHER = "ab" + "0" * 62, "ab" + "1" * 62


def as_user(user: int, umask: int, cwd: Path, do: Callable[[Store], object]) -> str:
    """What `do` gives, as text, done by `user` of the shared group under `umask`.

    In a fork: other users may not be able to start this Python.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        told = ""
        try:
            os.setgroups([])
            os.setgid(GROUP)
            os.setuid(user)
            os.umask(umask)
            os.chdir(cwd)
            told = str(do(Store(cwd / "store", cwd / "study/store")))
        except BaseException:  # noqa: BLE001 - the child must end here, whatever happens
            told = traceback.format_exc()
        finally:
            os.write(writing, told.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        told = file.read().decode()
    os.waitpid(child, 0)
    assert "Traceback" not in told, told
    return told


def put(store: Store, key: str = KEY, content: bytes = b"weights") -> StoredObject:
    with store.writing(key) as folder:
        (folder / "model.bin").write_bytes(content)
        return store.commit(key, folder, kind="train", material={}, measures={"x": 1}, observations={})


@pytest.fixture
def shared() -> Iterator[Path]:
    """A folder of the group's, as `chmod g+s` makes it; pytest's own would be out of the users' reach."""
    with tempfile.TemporaryDirectory(prefix="secateur-group-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        place = Path(folder) / "workspace"
        place.mkdir()
        os.chown(place, ANNA, GROUP)
        place.chmod(0o2775)
        yield place


def begun(umask: int, shared: Path) -> Path:
    """A study of anna's that others may write to, with one result in the store; the file of that result."""

    def begin(store: Store) -> None:
        put(store)
        Path("study").mkdir()
        Path("study").chmod(0o2775)

    as_user(ANNA, umask, shared, begin)
    return shared / "store/objects/ab" / KEY / "model.bin"


def review(store: Store) -> str:
    """Whether the result is there to be used, and what is told."""
    stored, why = store.review(KEY, "train")
    return f"{'used' if stored else 'not used'}: {why}"


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(SecateurError) as error:
        act()
    return error.value.sentence


def test_files_follow_the_umask_also_those_of_safetensors(shared: Path) -> None:
    # Here, as the user that tests run as: not in each process that only collects.
    import torch

    from engine.compute.numerics.aligned import write_tensors

    def write(store: Store) -> None:
        write_tensors({"w": torch.ones(2)}, Path("t.safetensors"))
        put(store)

    as_user(ANNA, 0o002, shared, write)
    files = [found for found in shared.rglob("*") if found.is_file()]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o664}
    assert {file.stat().st_gid for file in files} == {GROUP}


def test_with_a_common_umask_all_use_one_store(shared: Path) -> None:
    begun(0o002, shared)
    assert as_user(BEN, 0o002, shared, review) == "used: None"
    folder = as_user(BEN, 0o002, shared, lambda store: put(store, OTHER).folder)
    assert folder == str(shared / "store/objects/ab" / OTHER)


def test_what_cannot_be_read_stays_and_is_computed_privately(shared: Path) -> None:
    file = begun(0o002, shared)
    file.chmod(0o600)  # as safetensors writes
    assert as_user(BEN, 0o002, shared, lambda store: store.get(KEY)) == "None"
    told = as_user(BEN, 0o002, shared, review)
    assert told.startswith("not used") and f"{file}: it belongs to user {ANNA} (-rw-------)" in told
    assert "chmod -R g+rwX" in told
    private = as_user(BEN, 0o002, shared, lambda store: put(store, KEY, b"mine").folder)
    assert private.startswith(str(shared / "study/store"))
    assert as_user(BEN, 0o002, shared, review) == "used: None"
    assert file.read_bytes() == b"weights" and file.stat().st_uid == ANNA
    assert not (shared / "store/damaged").exists()
    assert as_user(ANNA, 0o002, shared, lambda store: Store(store.root).damage(KEY)) == "None"


def test_a_folder_that_is_shut_is_named_and_used_once_it_is_opened(shared: Path) -> None:
    begun(0o077, shared)
    told = as_user(BEN, 0o002, shared, review)
    assert told.startswith("not used") and f"the folder {shared / 'store'} belongs to user {ANNA}" in told
    subprocess.run(["chmod", "-R", "g+rwX", shared / "store"], check=True)
    assert as_user(BEN, 0o002, shared, review) == "used: None"


def test_what_is_damaged_and_anothers_is_not_moved(shared: Path) -> None:
    file = begun(0o022, shared)
    file.write_bytes(b"flipped")
    told = as_user(BEN, 0o022, shared, review)
    assert "is damaged" in told and f"belongs to user {ANNA}" in told
    private = as_user(BEN, 0o022, shared, lambda store: put(store).folder)
    assert private.startswith(str(shared / "study/store"))
    assert file.read_bytes() == b"flipped" and not (shared / "store/damaged").exists()
    assert "moved to" in as_user(ANNA, 0o022, shared, lambda store: Store(store.root).review(KEY, "train"))


def test_a_store_that_only_its_owner_writes_takes_nothing_and_loses_nothing(shared: Path) -> None:
    begun(0o022, shared)
    for made in (lambda store: put(store, OTHER).folder, lambda store: store.partial(OTHER)):
        assert as_user(BEN, 0o022, shared, made).startswith(str(shared / "study/store"))
    told = as_user(BEN, 0o022, shared, lambda store: refused(lambda: store.remove(KEY)))
    assert "another user's" in told and f"user {ANNA}" in told
    left = shared / "store/tmp/left"
    left.mkdir()
    os.chown(left, ANNA, GROUP)
    os.utime(left, (0, 0))
    left.parent.chmod(0o2775)
    as_user(BEN, 0o022, shared, Store.sweep_temporary)
    assert left.exists()
    as_user(ANNA, 0o022, shared, Store.sweep_temporary)
    assert not left.exists()


def test_without_a_private_place_it_is_refused_with_the_remedy(shared: Path) -> None:
    begun(0o077, shared)
    told = as_user(BEN, 0o002, shared, lambda store: refused(lambda: Store(store.root).review(KEY, "train")))
    assert "can't be read" in told and "chmod -R g+rwX" in told


def test_a_study_of_a_colleague_who_shares_nothing_is_told_as_such(shared: Path) -> None:
    def begin(store: Store) -> None:
        rundir.create(store.root.parent, "p", "", {}, status=Status("done"))

    (shared / "studies").mkdir(mode=0o777)
    (shared / "studies").chmod(0o777)
    as_user(ANNA, 0o077, shared, begin)
    told = as_user(BEN, 0o002, shared, lambda _: rundir.studies(shared)[0].read_status())
    assert "unreadable" in told
    assert f"user {ANNA} (drwx" in told
