"""Whatever is killed, torn, full, read-only or gone: a clear error, a good state, and the same bits at the end."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import faults
from engine.studies import events as ev
from tests.study_lab import HOME, PRESET, Lab, processes_of, wait_for

LONGER = (
    PRESET.replace("resnet8", "resnet20")
    .replace("epochs: 2", "epochs: 6")
    .replace("[0.5, 0.9]", "[0.3, 0.6, 0.9]")
    .replace("sparsity: 0.5}", "sparsity: 0.5, schedule: {kind: cubic, rounds: 3}}")
)
"""Its pruning keeps its state after each round, as a long training does after some seconds; its network fills disks."""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A workspace in which the small sweep ran undisturbed; to be looked at only."""
    lab = Lab(tmp_path_factory.mktemp("quiet"))
    lab.run(preset=lab.preset(LONGER))
    return lab


@pytest.fixture(scope="module")
def undisturbed(quiet: Lab) -> dict[str, Any]:
    """Every object that the small sweep puts into its store."""
    return quiet.objects()


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


@pytest.fixture
def alone(tmp_path: Path) -> Lab:
    """With processes of its own: they are what is killed, and none may be left."""
    return Lab(tmp_path, warm=False)


@pytest.mark.long
def test_faults_at_random_moments_lose_nothing_and_change_no_bit(tmp_path: Path) -> None:
    """The quick version of `benchmarks/faults.py`, which says what is counted; a warm lab does its undisturbed run."""
    (tmp_path / "f" / "quiet").mkdir(parents=True)
    quiet = Lab(tmp_path / "f" / "quiet")
    quiet.run(preset=quiet.preset(faults.QUICK, "sweep"))
    command = [sys.executable, "-m", "benchmarks.faults", "--quick", "--folder", str(tmp_path / "f")]
    done = subprocess.run(command, cwd=HOME, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "every bit is the same" in done.stdout


def test_a_killed_engine_takes_its_workers_with_it_and_is_lost(alone: Lab) -> None:
    process = alone.start("run", alone.preset(LONGER))
    run = alone.study("p-1")
    wait_for(lambda: run.events.exists() and b"step-started" in run.events.read_bytes())
    os.kill(run.read_status().pid, signal.SIGKILL)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "secateur resume p-1" in out + err
    assert alone.json("list")[0]["state"] == "lost"
    wait_for(lambda: not processes_of(alone.workspace), 20)


@contextlib.contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own at `folder`; skips the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting a file system needs root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_one_sentence_and_space_is_all_it_takes(lab: Lab, undisturbed: dict[str, Any]) -> None:
    with mounted(lab.workspace, "size=600k"):
        failed = lab.run(preset=lab.preset(LONGER), code=1)
        told = [failed.get("error"), *(trial.get("error") for trial in failed["trials"])]
        assert any(error and error["title"] == "The disk is full" for error in told), told
        subprocess.run(["mount", "-o", "remount,size=50m", str(lab.workspace)], check=True)
        assert lab.json("resume", "p-1")["status"] == "done"
        assert lab.objects() == undisturbed
        assert not list((lab.workspace / "store" / "tmp").iterdir())


def test_a_disk_with_no_byte_left_is_told_and_starts_nothing(lab: Lab) -> None:
    with mounted(lab.workspace, "size=64k"):
        with contextlib.suppress(OSError), (lab.workspace / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        done = lab.call("run", lab.preset())
        assert done.returncode == 1
        assert "The disk is full" in done.stderr
        assert "Traceback" not in done.stderr
        assert lab.json("list") == []


def test_a_read_only_workspace_is_told_and_can_still_be_looked_at(lab: Lab, quiet: Lab) -> None:
    with mounted(lab.workspace, "size=1m"):
        subprocess.run(["mount", "--bind", str(quiet.workspace), str(lab.workspace)], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,ro,bind", str(lab.workspace)], check=True)
            for command in (["run", lab.preset()], ["resume", "p-1"], ["replay", "p-1"]):
                done = lab.call(*command)
                assert (done.returncode, done.stdout) == (1, ""), command
                assert "The workspace is read-only" in done.stderr
                assert "Traceback" not in done.stderr
            assert lab.json("show", "p-1")["status"] == "done"
        finally:
            subprocess.run(["umount", "-l", str(lab.workspace)], check=True)


def test_a_file_where_the_workspace_should_be_is_told(lab: Lab) -> None:
    lab.workspace.write_text("")
    done = lab.call("run", lab.preset())
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--workspace" in done.stderr


def test_a_damaged_store_log_and_status_heal(lab: Lab, quiet: Lab, undisturbed: dict[str, Any]) -> None:
    """One study, everything in its folders damaged: each result is checked, set aside and computed anew."""
    shutil.copytree(quiet.workspace, lab.workspace)
    run, state = lab.study("p-1"), lab.state("p-1")
    folders = [lab.workspace / "store" / "objects" / key[:2] / key for key in state.steps]
    flipped, changed, emptied = (folders[0] / "model.safetensors", *(f / "object.json" for f in folders[-2:]))
    _flip_a_bit(flipped)
    meta = json.loads(changed.read_text())
    meta["measures"]["accuracy"] = 1.0
    changed.write_text(json.dumps(meta))
    emptied.write_text("")
    with run.events.open("ab") as file:
        file.write(b'{"event": "step-finished", "key": "')
    run.status.write_text('{"state": "running", "pid"')
    assert lab.json("list")[0]["state"] == "unreadable"

    found = lab.json("resume", "p-1")
    assert (found["status"], [trial["status"] for trial in found["trials"]]) == ("done", ["done"] * 3)
    warnings = [event.text for event in lab.events("p-1") if isinstance(event, ev.Notice)]
    assert len([text for text in warnings if "computed anew" in text]) == 3
    assert lab.state("p-1").unreadable == 0
    assert lab.objects() == undisturbed
    assert len(list((lab.workspace / "store" / "damaged").iterdir())) == 3


def _flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def test_a_study_deleted_while_it_runs_ends_and_what_it_did_is_kept(alone: Lab, lab: Lab) -> None:
    process = alone.start("run", alone.preset(LONGER))
    run = alone.study("p-1")
    wait_for(lambda: run.events.exists() and b"step-finished" in run.events.read_bytes())
    shutil.rmtree(run.path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "The folder of study p-1 is gone" in err
    assert "Traceback" not in err
    wait_for(lambda: not processes_of(alone.workspace), 20)
    kept = set(alone.objects())
    assert kept
    again = lab.run(preset=lab.preset(LONGER))  # in the same workspace
    assert again["status"] == "done"
    assert not kept & set(lab.computed(again["study"]))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere: see the read-only mount")
def test_a_workspace_of_someone_else_is_told(lab: Lab) -> None:
    lab.workspace.mkdir()
    lab.workspace.chmod(0o500)
    done = lab.call("run", lab.preset())
    assert (done.returncode, done.stdout) == (1, "")
    assert "The workspace is not writable" in done.stderr
