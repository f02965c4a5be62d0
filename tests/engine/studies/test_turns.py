"""Studies of one machine come one after the other, in the order in which they were asked for."""

from dataclasses import asdict
from pathlib import Path

import pytest

from engine.machine.process import Process
from engine.studies import turns
from engine.studies.rundir import RunDir
from engine.studies.status import Status
from engine.testing import folders as fabricate


def study(workspace: Path, name: str, state: str = "running", **changes: object) -> RunDir:
    """A study whose engine is this process."""
    run = RunDir.of(workspace, name)
    run.path.mkdir(parents=True)
    ours = {k: v for k, v in asdict(Process.this()).items() if k in Status.__dataclass_fields__}
    run.write_status(Status(**{"state": state, **ours, **changes}))  # type: ignore[arg-type]
    return run


def waiting(workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch, since: float) -> RunDir:
    monkeypatch.setattr(turns.time, "time", lambda: since)
    run = study(workspace, name, "queued")
    turns.wait(run)
    return run


def names(before: list[turns.Ahead]) -> list[str]:
    return [one.run.name for one in before]


def test_what_runs_comes_first_then_what_has_waited_longest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = waiting(tmp_path, "second", monkeypatch, 20.0)
    first = waiting(tmp_path, "first", monkeypatch, 10.0)
    running = study(tmp_path, "running")
    assert names(turns.at_work(tmp_path)) == ["running", "first", "second"]
    assert names(turns.ahead(first)) == ["running"]
    assert names(turns.ahead(second)) == ["running", "first"]
    assert turns.ahead(running) == []
    known = turns.ahead(second)[:1]
    assert names(turns.ahead(second, known)) == ["running"], "one of those known is enough to wait for"
    running.write_status(Status("done"))
    assert names(turns.ahead(second, known)) == ["first"], "where all of them are over, all are looked at"


def test_what_a_study_waits_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    second = waiting(tmp_path, "second", monkeypatch, 20.0)
    waiting(tmp_path, "first", monkeypatch, 10.0)
    study(tmp_path, "running")
    assert turns.in_words(turns.ahead(second)) == "for its turn, after running and first"


def test_of_two_asked_for_at_the_same_moment_one_begins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = [waiting(tmp_path, name, monkeypatch, 5.0) for name in ("a", "b")]
    assert [names(turns.ahead(run)) for run in both] == [[], ["a"]]
    turns.begin(both[0])
    assert names(turns.ahead(both[1])) == ["a"]


def test_one_that_was_killed_or_is_elsewhere_or_over_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study(tmp_path, "killed", start_ticks=1)
    study(tmp_path, "elsewhere", host="another", heartbeat=3)
    study(tmp_path, "over", "done")
    study(tmp_path, "submitted", "queued", executor="slurm")
    study(tmp_path, "created", "queued")
    run = waiting(tmp_path, "mine", monkeypatch, 1.0)
    assert turns.ahead(run) == []


def test_one_can_be_let_begin_or_wait_for_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study(tmp_path, "running")
    run = waiting(tmp_path, "mine", monkeypatch, 1.0)
    turns.begin(run)
    assert not turns.waits(run)
    assert turns.ahead(run) == []
    turns.wait(run)
    assert names(turns.ahead(run)) == ["running"]
    turns.forget(run)
    turns.forget(run)
    assert turns.ahead(run) == []


def test_the_time_that_a_running_one_still_takes_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fabricated = fabricate.Study(tmp_path, "first").start()
    fabricated.trial(0)
    run = waiting(tmp_path, "mine", monkeypatch, 1.0)
    assert turns.in_words(turns.ahead(run)).startswith("for its turn, after first-1 (about ")
