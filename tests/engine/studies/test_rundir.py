"""Run folders: torn lines, dead engines, names."""

import os
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.machine.process import process_identity
from engine.studies import events as ev
from engine.studies.log import READ_AT_MOST, EventLog, Tail
from engine.studies.rundir import RunDir, create, find, studies, why_lost
from engine.studies.status import Status
from engine.testing import folders


def notice(text: str) -> ev.Notice:
    return ev.Notice(level="info", text=text, time=1.0)


def test_events_come_back_as_they_were_written(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "events.jsonl")
    written: list[ev.Event] = [
        notice("größer\nals <b>"),
        ev.EpochFinished(
            key="k",
            epoch=1,
            epochs=2,
            loss=0.1,
            validation_loss=0.2,
            measures={"validation_accuracy": 0.9},
            learning_rate=0.1,
            seconds=1.5,
        ),
        ev.StudyFinished(state="done"),
    ]
    for event in written:
        log.append(event)
    lines, _ = Tail(tmp_path / "events.jsonl").read()
    assert [ev.parse_line(line) for line in lines] == written


def test_a_torn_last_line_waits_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = ev.to_line(notice("one"))
    path.write_bytes(whole + b'{"event": "noti')
    tail = Tail(path)
    assert len(tail.read()[0]) == 1
    assert tail.read() == ([], False)
    path.write_bytes(whole + ev.to_line(notice("two")))
    lines, _ = tail.read()
    assert ev.parse_line(lines[0]) == notice("two")


def test_a_new_writer_cuts_off_what_a_killed_one_left_torn(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(ev.to_line(notice("one")) + b'{"event": "notice", "te')
    EventLog(path).append(notice("two"))
    lines, _ = Tail(path).read()
    assert [ev.parse_line(line) for line in lines] == [notice("one"), notice("two")]


def test_a_line_longer_than_one_read_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(ev.to_line(notice("x" * 5000)) + ev.to_line(notice("y")))
    lines, _ = Tail(path).read(limit=100)
    assert ev.parse_line(lines[0]) == notice("x" * 5000)


@pytest.mark.parametrize(
    "line", [b"", b"{", b"[]", b'{"event": "unknown"}', b'{"event": "notice"}', b"\xff\xfe"]
)
def test_a_foreign_line_is_no_event_and_no_error(line: bytes) -> None:
    assert ev.parse_line(line) is None


def status_of(pid: int) -> Status:
    import socket

    ticks, boot = process_identity(pid)
    return Status("running", host=socket.gethostname(), pid=pid, start_ticks=ticks, boot_id=boot)


def test_a_study_runs_while_its_engine_does_and_is_lost_after(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    engine = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    run.write_status(status_of(engine.pid))
    assert run.read_status().state == "running"
    engine.kill()
    time.sleep(0.2)
    assert run.read_status().state == "lost", "a zombie is not alive"
    engine.wait()
    assert run.read_status().state == "lost"


def test_a_study_is_lost_whose_engine_never_appeared_though_the_lab_that_started_it_lives(
    tmp_path: Path,
) -> None:
    run, now = RunDir(tmp_path), time.time()
    begun = replace(status_of(os.getpid()), state="queued", updated=now)
    for status, state in (
        (begun, "queued"),
        (replace(begun, updated=now - 3600), "lost"),
        (replace(begun, updated=now - 3600, waits="for its turn"), "queued"),
    ):
        run.write_status(status)
        assert run.read_status().state == state


def test_another_process_with_the_same_number_is_not_the_engine(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.write_status(replace(status_of(os.getpid()), start_ticks=1))
    assert run.read_status().state == "lost"


def test_the_latest_study_is_the_one_begun_or_resumed_last(tmp_path: Path) -> None:
    first, second = (create(tmp_path, name, "about: x\n", {}) for name in ("b", "a"))
    for run, when in ((first, 10), (second, 20)):
        os.utime(run.request, (when, when))
    first.write_status(Status("running"))  # as engines and tasks do, and people who write a note
    first.slurm.mkdir()
    assert find(tmp_path, "latest").name == "a-1"
    first.make_latest()
    assert [run.name for run in studies(tmp_path)] == ["b-1", "a-1"]
    second.request.unlink()
    assert [run.name for run in studies(tmp_path)] == ["b-1", "a-1"], "one without it is listed, as the last"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"state": 1, "x": 2', "{}"])
def test_a_half_written_status_is_unreadable_not_an_error(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    assert RunDir(tmp_path).read_status().state == "unreadable"


def test_a_status_of_an_earlier_version_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text('{"state": "done", "best": {"index": 2}, "course": [0.8, 0.9]}')
    status = RunDir(tmp_path).read_status()
    assert (status.pick, status.qualities) == ({"index": 2}, [0.8, 0.9])


def test_studies_are_numbered_and_found(tmp_path: Path) -> None:
    names = [create(tmp_path, "my sweep!", "about: x\n", {}).name for _ in range(3)]
    assert names == ["my-sweep-1", "my-sweep-2", "my-sweep-3"]
    assert {run.name for run in studies(tmp_path)} == set(names)
    assert find(tmp_path, "my-sweep-2").preset.read_text() == "about: x\n"
    with pytest.raises(UsageError, match="my-sweep"):
        find(tmp_path, "my-swep-2")
    with pytest.raises(UsageError, match="It holds 3 studies"):
        find(tmp_path, "other-2")  # the number alone is like it
    with pytest.raises(UsageError, match="my-sweep-2:0 is a trial"):
        find(tmp_path, "my-sweep-2:0")


def test_a_study_is_found_by_its_workspace_and_name_and_from_a_neighbour(tmp_path: Path) -> None:
    run = create(tmp_path, "s", "about: x\n", {})
    assert RunDir.of(tmp_path, "s-1").path == run.path and run.workspace == tmp_path
    assert RunDir.of(tmp_path, "other").beside("s-1").path == run.path


@pytest.mark.parametrize("private", [False, True])
def test_layers_come_from_the_store_that_the_study_uses(tmp_path: Path, private: bool) -> None:
    run = create(tmp_path, "s", "about: x\n", {"private_store": private})
    assert run.layers("ab12") == [], "not measured yet"
    folder = (run.path if private else tmp_path) / "store" / "objects" / "ab" / "ab12"
    folder.mkdir(parents=True)
    (folder / "layers.json").write_text('[{"name": "conv1"}]')
    assert run.layers("ab12") == [{"name": "conv1"}]
    (folder / "layers.json").write_text('{"torn": ')
    assert run.layers("ab12") == []


@pytest.mark.parametrize("name", ["..", ".", "", "../..", "half"])
def test_a_folder_without_a_preset_is_no_study(tmp_path: Path, name: str) -> None:
    RunDir.of(tmp_path, "half").path.mkdir(parents=True)
    with pytest.raises(UsageError):
        find(tmp_path, name)


def test_a_torn_line_longer_than_a_read_is_cut_off(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "e")
    log.append(notice("whole"))
    log.close()
    whole = (tmp_path / "e").read_bytes()
    with (tmp_path / "e").open("ab") as file:
        file.write(b"x" * (READ_AT_MOST + 10))
    EventLog(tmp_path / "e").close()
    assert (tmp_path / "e").read_bytes() == whole


def test_epochs_of_older_logs_are_read(tmp_path: Path) -> None:
    flat = {
        "event": "epoch-finished",
        "key": "k",
        "epoch": 1,
        "epochs": 2,
        "loss": 0.1,
        "validation_loss": 0.2,
    }
    flat |= {
        "validation_accuracy": 0.9,
        "validation_map50": None,
        "learning_rate": 0.1,
        "seconds": 1.0,
        "time": 5.0,
    }
    event = ev.from_dict(flat)
    assert isinstance(event, ev.EpochFinished)
    assert event.measures == {"validation_accuracy": 0.9}
    assert (event.value("validation_accuracy"), event.value("loss"), event.value("validation_map50")) == (
        0.9,
        0.1,
        None,
    )
    assert ev.from_dict(ev.as_dict(event)) == event


def test_a_study_that_was_killed_is_not_said_to_have_ended_by_its_empty_log(tmp_path: Path) -> None:
    run = folders.Study(tmp_path).start().run
    run.log.write_text("")
    why = why_lost(run, Status("running", host=socket.gethostname()))
    assert "killed" in why and str(run.log) not in why
    run.log.write_text("MemoryError\n")
    assert why_lost(run, Status("running", host=socket.gethostname())).endswith("MemoryError")
