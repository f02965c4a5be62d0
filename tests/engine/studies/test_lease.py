"""One engine a study: who gets the lease, who loses it, and what one that lost it can still write."""

import json
import os
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import SecateurError
from engine.machine.process import Process
from engine.studies import events as ev
from engine.studies import lease as leases
from engine.studies import lives
from engine.studies.lease import Held, Lease, Superseded, claim, holder
from engine.studies.log import EventLog
from engine.studies.rundir import RunDir
from engine.studies.state import Reader
from engine.studies.status import Status


def elsewhere(run: Path, **changes: str) -> None:
    """Make the latest lease that of a process on another node."""
    file = sorted((run / "lease").iterdir())[-1] / "holder.json"
    kept = json.loads(file.read_text())
    kept["process"] |= {"host": "another-node"} | changes
    file.write_text(json.dumps(kept))


def taken_over(run: Path) -> Lease:
    """The lease of this process, which has taken over from another node that fell silent."""
    elsewhere(run)
    seen = holder(run)
    assert seen is not None
    return claim(run, 5.0, silent=seen.counter)


def said(text: str) -> ev.Notice:
    return ev.Notice(level="info", text=text)


def test_of_many_that_want_it_at_once_one_gets_the_lease(tmp_path: Path) -> None:
    got: list[Lease] = []
    refused: list[Held] = []
    start = threading.Barrier(12)

    def want() -> None:
        start.wait()
        try:
            got.append(claim(tmp_path, 5.0))
        except Held as error:
            refused.append(error)

    threads = [threading.Thread(target=want) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 11)
    assert [entry.name for entry in (tmp_path / "lease").iterdir()] == ["000001"], "no draft is left"


def test_a_lease_that_was_given_back_or_whose_process_is_gone_is_free(tmp_path: Path) -> None:
    first = claim(tmp_path, 5.0)
    with pytest.raises(Held):
        claim(tmp_path, 5.0)
    first.release()
    command = f"from engine.studies.lease import claim; from pathlib import Path; claim(Path({str(tmp_path)!r}), 5.0)"
    subprocess.run([sys.executable, "-c", command], check=True)
    third = claim(tmp_path, 5.0)
    assert third.cut_off, "the second ended without a word"
    third.check()
    with pytest.raises(Superseded):
        first.check()


def test_a_suspended_engine_that_goes_on_after_it_was_superseded_writes_nothing(tmp_path: Path) -> None:
    """It is stopped before, between and after the looks for its lease: whatever it was about to write is fenced off."""
    run = RunDir(tmp_path)
    old = claim(tmp_path, 5.0)
    log = EventLog(run.events, old)
    log.append(said("old"))
    run.write_status(Status("running", pid=1), within=old.folder)
    half = old.folder / "half"  # a status that it has written and was about to put in place
    half.write_text("{}")
    new = taken_over(tmp_path)
    newer = EventLog(run.events, new)
    newer.append(said("new"))
    run.write_status(Status("running", pid=2), within=new.folder)

    with pytest.raises(Superseded):
        log.append(said("late"))
    os.write(log._file.fileno(), ev.to_line(said("late, after its look")))
    with pytest.raises(FileNotFoundError):
        half.replace(run.status)
    with pytest.raises(SecateurError):
        run.write_status(Status("done", pid=1), within=old.folder)
    with pytest.raises(Superseded):
        old.beat()
    old.release()
    reader = Reader(run)
    assert [event.text for event in reader.poll() if isinstance(event, ev.Notice)] == ["old", "new"]
    assert json.loads(run.status.read_text())["pid"] == 2
    new.check()


def test_a_reader_that_had_seen_late_lines_reads_the_new_log_from_its_start(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    old = claim(tmp_path, 5.0)
    log = EventLog(run.events, old)
    log.append(said("old"))
    reader = Reader(run)
    reader.poll()
    new = EventLog(run.events, taken_over(tmp_path))
    new.append(said("new"))
    assert [event.text for event in reader.poll() if isinstance(event, ev.Notice)] == ["old", "new"]
    assert [notice.text for notice in reader.state.notices] == ["old", "new"]


def test_an_engine_whose_counter_moved_meanwhile_is_not_superseded(tmp_path: Path) -> None:
    old = claim(tmp_path, 5.0)
    elsewhere(tmp_path)
    seen = holder(tmp_path)
    assert seen is not None
    old.beat()
    with pytest.raises(Held):
        claim(tmp_path, 5.0, silent=seen.counter)
    old.check()


def test_a_job_that_was_started_again_has_no_engine_of_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    claim(tmp_path, 5.0)
    elsewhere(tmp_path)
    with pytest.raises(Held):
        claim(tmp_path, 5.0)
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    claim(tmp_path, 5.0).check()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[float]:
    monkeypatch.setenv("SECATEUR_LOCKS", str(tmp_path / "locks"))
    now = [1000.0]
    monkeypatch.setattr(lives.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(lives, "seen", lives.Lives())
    return now


def watched(run: RunDir, clock: list[float], seconds: float, every: float = 1.0) -> str:
    """The state after so many seconds of looking."""
    for _ in range(int(seconds / every)):
        clock[0] += every
        run.read_status()
    return run.read_status().state


@pytest.mark.parametrize("skew", [-1e6, 0.0, 1e6])
def test_an_engine_on_another_node_is_judged_by_its_counter_whatever_its_clock(
    tmp_path: Path, clock: list[float], skew: float
) -> None:
    run, engine = RunDir(tmp_path / "s-1"), None
    run.path.mkdir()
    engine = claim(run.path, 5.0)
    run.write_status(Status("running", host="another-node", updated=time.time() + skew))
    elsewhere(run.path)
    for _ in range(10):
        assert watched(run, clock, 60) == "running"
        engine.beat()
    assert watched(run, clock, 70) == "running"
    assert watched(run, clock, 10) == "lost"
    engine.beat()
    assert run.read_status().state == "running", "it was only slow"
    engine.release()
    assert run.read_status().state == "lost", "it has ended, and its last status could not be written"


def test_an_engine_on_another_node_that_may_be_gone_is_told_as_such_at_the_first_look(
    tmp_path: Path, clock: list[float]
) -> None:
    run = RunDir(tmp_path / "s-1")
    run.path.mkdir()
    engine = claim(run.path, 5.0)
    run.write_status(Status("running", host="another-node", updated=time.time() - 3600))
    elsewhere(run.path)
    found = run.read_status()
    assert found.state == "running"
    assert "Perhaps gone" in found.doubt and "1 h ago" in found.doubt
    engine.beat()
    clock[0] += 5
    assert run.read_status().doubt == "", "its clock is wrong, and it lives"
    clock[0] += 120  # nobody looked meanwhile
    found = run.read_status()
    assert found.state == "running"
    assert "2 m ago" in found.doubt
    run.write_status(found)
    assert run.stored_status().doubt == "", "that is for who looks, not for the file"


def test_an_engine_that_beats_slowly_is_given_as_many_beats(tmp_path: Path, clock: list[float]) -> None:
    run = RunDir(tmp_path / "s-1")
    run.path.mkdir()
    claim(run.path, 100.0)  # as with a larger SECATEUR_LOST_AFTER where it was started
    run.write_status(Status("running", host="another-node"))
    elsewhere(run.path)
    assert watched(run, clock, 1400, every=10) == "running"
    assert "lost after 1500 s" in run.read_status().doubt
    assert watched(run, clock, 200, every=10) == "lost"


def test_no_beat_follows_the_end(tmp_path: Path) -> None:
    engine = claim(tmp_path, 5.0)
    engine.beat()
    engine.release()
    engine.beat()
    found = holder(tmp_path)
    assert found is not None and found.ended


def test_a_file_system_that_stood_still_makes_no_living_study_lost(
    tmp_path: Path, clock: list[float]
) -> None:
    run = RunDir(tmp_path / "s-1")
    run.path.mkdir()
    engine = claim(run.path, 5.0)
    run.write_status(Status("running", host="another-node"))
    elsewhere(run.path)
    assert watched(run, clock, 20) == "running"
    clock[0] += 900  # our look hung so long, and the engine's writing too
    assert watched(run, clock, 30) == "running"
    engine.beat()
    assert watched(run, clock, 60) == "running"


def test_commands_one_after_the_other_find_out_together(tmp_path: Path, clock: list[float]) -> None:
    run = RunDir(tmp_path / "s-1")
    run.path.mkdir()
    claim(run.path, 5.0)
    run.write_status(Status("running", host="another-node"))
    elsewhere(run.path)
    states = []
    for _ in range(10):
        lives.seen = lives.Lives()  # another process
        states.append(run.read_status().state)
        clock[0] += 30
    assert states == ["running"] * 8 + ["lost"] * 2


def test_a_node_of_the_same_name_is_another_node(tmp_path: Path, clock: list[float]) -> None:
    run = RunDir(tmp_path / "s-1")
    run.path.mkdir()
    claim(run.path, 5.0)
    run.write_status(Status("running", host=Process.this().host))
    elsewhere(run.path, host=Process.this().host, boot_id="b", machine_id="m")
    assert run.read_status().state == "running"
    elsewhere(run.path, host=Process.this().host, boot_id="b", machine_id=Process.this().machine_id)
    assert run.read_status().state == "lost", "this one was started again since"


def test_what_was_not_known_of_a_process_matches_any(tmp_path: Path) -> None:
    ours = Process.this()
    assert ours.fate() == "alive"
    assert replace(ours, machine_id="", pid_space="").fate() == "alive"
    assert replace(ours, start_ticks=1).fate() == "gone"
    assert replace(ours, host="x").fate() == replace(ours, pid_space="pid:[1]").fate() == "elsewhere"
    assert Process.from_dict({"host": "x", "pid": "seven", "colour": 1}) == Process("x")


def test_a_damaged_lease_is_someone_elses(tmp_path: Path) -> None:
    folder = tmp_path / leases.FOLDER / "000003"
    folder.mkdir(parents=True)
    (folder / "holder.json").write_text("[")
    with pytest.raises(Held):
        claim(tmp_path, 5.0)
    seen = holder(tmp_path)
    assert seen is not None
    claim(tmp_path, 5.0, silent=seen.counter).check()
