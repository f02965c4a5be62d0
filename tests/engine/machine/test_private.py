"""The folder for locks, sockets and compiled code: ours by its owner, whatever others put in its place."""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.machine import private


@pytest.fixture
def common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that everybody may write, in the place of /tmp."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(private, "COMMON", folder)
    monkeypatch.delenv(private.CHOSEN)
    monkeypatch.delenv(private.COMPILED, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "no home"))
    return folder


def usual(common: Path) -> Path:
    return common / f"secateur-{os.getuid()}"


def a_file(path: Path) -> None:
    path.write_text("")


def a_link(path: Path) -> None:
    (path.parent / "elsewhere").mkdir()
    path.symlink_to(path.parent / "elsewhere")


def anothers_folder(path: Path) -> None:
    path.mkdir(mode=0o777)
    os.chown(path, 60002, -1)


root = pytest.mark.skipif(os.getuid() != 0, reason="only root can make what belongs to another")
PUT_FIRST = [a_file, a_link, pytest.param(anothers_folder, marks=root)]


def test_it_is_closed_to_others_and_found_again(common: Path) -> None:
    assert private.folder() == usual(common) == private.folder()
    assert usual(common).stat().st_mode & 0o777 == 0o700
    usual(common).chmod(0o777)
    assert private.folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("put", PUT_FIRST)
def test_what_another_put_in_its_place_is_passed_over(common: Path, put: Callable[[Path], None]) -> None:
    put(usual(common))
    before = usual(common).lstat()
    found = private.folder()
    assert found.parent == common and found != usual(common)
    assert private.folder() == found  # by every later process too
    assert usual(common).lstat() == before
    assert Path(private.variables()[private.COMPILED]).parent == found
    assert "another folder is used" in private.notes()[0]


def test_processes_that_make_one_at_once_agree(common: Path) -> None:
    a_file(usual(common))
    code = (
        "from pathlib import Path; from engine.machine import private; import sys; "
        "private.COMMON = Path(sys.argv[1]); sys.stdin.read(1); private.folder(); print(private.folder())"
    )
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(common)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = {process.communicate("x", timeout=60)[0] for process in started}
    assert len(said) == 1


def test_a_process_that_was_late_takes_the_folder_that_another_has_just_made(
    common: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(usual: Path) -> None:
        usual.mkdir(mode=0o700)  # as the other process does, after our first look

    monkeypatch.setattr(private, "_oldest", late)
    assert private.folder() == usual(common)
    assert list(common.iterdir()) == [usual(common)]


def test_a_common_folder_in_which_others_can_replace_ours_is_not_used(
    common: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common.chmod(0o777)  # without the sticky bit
    with pytest.raises(SecateurError, match="no place"):
        private.folder()
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    assert private.folder().is_relative_to(home / ".cache")
    home.chmod(0o777)
    assert "no place" in private.problems()[0]


@pytest.mark.parametrize("put", [a_file, pytest.param(anothers_folder, marks=root)])
def test_one_that_is_named_and_can_not_be_ours_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path], None]
) -> None:
    put(tmp_path / "named")
    monkeypatch.setenv(private.CHOSEN, str(tmp_path / "named"))
    with pytest.raises(SecateurError, match="lock folder"):
        private.folder()
    assert "lock folder" in private.problems()[0]


def test_compiled_code_that_others_can_write_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(private.COMPILED, str(tmp_path))
    assert private.problems() == []
    tmp_path.chmod(0o777)
    assert "others may write it" in private.problems()[0]


ENGINE = """
import multiprocessing, os, sys, tempfile, time
from engine.machine import private

def work(path):
    open(os.path.join(tempfile.gettempdir(), "left"), "w").close()

if __name__ == "__main__":
    with private.own_temporary():
        process = multiprocessing.get_context("forkserver").Process(target=work, args=("",))
        process.start()
        process.join()
        print(process.exitcode, tempfile.gettempdir(), flush=True)
        if len(sys.argv) > 1:
            os.kill(os.getpid(), 9)
"""


def test_sockets_fit_below_any_temporary_folder_and_nothing_is_left(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    script = tmp_path / "engine_like.py"
    script.write_text(ENGINE)
    locks = Path(tempfile.mkdtemp(prefix="t-"))
    home = Path(__file__).resolve().parents[3]
    environment = {**os.environ, "TMPDIR": str(deep), private.CHOSEN: str(locks), "PYTHONPATH": str(home)}

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, str(script), *arguments],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    done = run()
    assert done.stdout.split()[0] == "0", done.stderr
    assert done.stdout.split()[1].startswith(str(deep))
    assert list(deep.iterdir()) == list(locks.iterdir()) == []
    # What a killed one leaves, the next one takes away, once it is old enough not to be just being made.
    killed = run("killed")
    assert killed.returncode < 0
    left = [*deep.iterdir(), *locks.iterdir()]
    assert len(left) == 2
    for folder in left:
        os.utime(folder, (0, 0))
    assert run().returncode == 0
    assert list(deep.iterdir()) == list(locks.iterdir()) == []
    locks.rmdir()


def test_only_what_nobody_uses_is_swept_however_little_of_it_is_left(tmp_path: Path) -> None:
    others = tmp_path / "x"
    others.mkdir()
    (tmp_path / "x-file").touch()
    for left in (tmp_path / "x-empty", tmp_path / "x-[0]"):
        left.mkdir()
        os.utime(left, (0, 0))
    with private.scratch(tmp_path, "x-") as used:
        assert {path.name for path in tmp_path.iterdir()} == {"x", "x-file", used.name}


def test_what_is_in_use_is_not_swept(tmp_path: Path) -> None:
    with private.scratch(tmp_path, "x-") as used:
        os.utime(used, (0, 0))
        with private.scratch(tmp_path, "x-"):
            assert used.is_dir()


def test_multiprocessing_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(multiprocessing.current_process()._config, "tempdir", "/elsewhere")  # type: ignore[attr-defined]
    before = os.environ.get("TMPDIR"), tempfile.tempdir
    with private.own_temporary():
        assert tempfile.gettempdir() == os.environ["TMPDIR"] != before[0]
    assert (os.environ.get("TMPDIR"), tempfile.tempdir) == before
