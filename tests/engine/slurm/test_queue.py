"""The queue is asked rarely, and its answers are told in words."""

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.slurm import queue
from engine.slurm.queue import Snapshot, look, parse, standing
from engine.slurm.reasons import words

ANSWER = """\
17_[3-99%20]|PENDING|N/A|0:00|5:00||9|JobArrayTaskLimit|/w/studies/a-1
17_2|RUNNING|2026-01-01T10:00:00|2:10|5:00|n1|9|None|/w/studies/a-1
18_[0-9]|PENDING|2026-01-01T12:00:00|0:00|5:00||9|Dependency|/w/studies/a-1
19|COMPLETED|2026-01-01T10:00:00|2:10|5:00|n1|9|None|(null)
20|PENDING|2026-01-01T11:00:00|0:00|5:00||9|Priority|/w/a|b
"""

REASONS = """
AssocGrpCpuLimit AssocGrpMemLimit AssociationJobLimit AssocMaxJobsLimit AssocMaxCpuPerJobLimit
AssociationResourceLimit AssociationTimeLimit BadConstraints BeginTime Cleaning Dependency DependencyNeverSatisfied
FrontEndDown InactiveLimit InvalidAccount InvalidQOS JobArrayTaskLimit JobHeldAdmin JobHeldUser JobHoldMaxRequeue
JobLaunchFailure Licenses MaxCpuPerAccount MaxMemPerLimit NodeDown NonZeroExitCode None PartitionConfig PartitionDown
PartitionInactive PartitionNodeLimit PartitionTimeLimit Priority Prolog QOSGrpNodeLimit QOSJobLimit
QOSMaxWallDurationPerJobLimit QOSMaxJobsPerUserLimit QOSMaxMemoryPerNode QOSMinGRES QOSResourceLimit QOSTimeLimit
QOSUsageThreshold ReqNodeNotAvail Reservation Resources SystemFailure TimeLimit WaitingForScheduling
"""
"""Those of `squeue`'s page, for each pattern of names some."""


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with a line for every time that squeue was asked."""
    said = tmp_path / "asked"
    program = tmp_path / "bin" / "squeue"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/sh\necho asked >> {said}\ncat {tmp_path}/answer\n[ ! -e {tmp_path}/broken ]\n"
    )
    program.chmod(0o755)
    (tmp_path / "answer").write_text(ANSWER)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said.touch()
    return said


def test_it_is_asked_once_a_minute_by_all_programs_together(asked: Path) -> None:
    first = look()
    others = [
        subprocess.Popen([sys.executable, "-c", "from engine.slurm.queue import look; look()"])
        for _ in range(3)
    ]
    assert [other.wait(60) for other in others] == [0, 0, 0]
    assert look() == first
    assert asked.read_text() == "asked\n"
    assert len(first.rows) == 5


def test_a_minute_later_it_is_asked_again(asked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look()
    later = time.time() + queue.EVERY_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert look().asked == later
    assert asked.read_text() == "asked\n" * 2


def test_a_scheduler_that_does_not_answer_is_left_alone_as_long_and_what_was_known_stays(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = look()
    (tmp_path / "broken").touch()
    later = time.time() + queue.EVERY_S + 1
    monkeypatch.setattr(time, "time", lambda: later)
    for _ in range(3):
        found = look()
        assert (found.rows, found.asked) == (known.rows, known.asked)
        assert "squeue refused" in found.problem
    assert asked.read_text() == "asked\n" * 2


def test_accounting_that_lags_behind_the_queue_is_asked_until_it_tells_the_end(
    asked: Path, tmp_path: Path
) -> None:
    accounting = tmp_path / "bin" / "sacct"
    accounting.write_text(f"#!/bin/sh\necho sacct >> {asked}\ncat {tmp_path}/ends\n")
    accounting.chmod(0o755)
    (tmp_path / "answer").write_text("")
    (tmp_path / "ends").write_text("21_0|COMPLETED|n1|0:0\n21_1|RUNNING|n2|0:0\n")
    assert queue.fates(["21"], "/w/studies/b-1") == ""
    (tmp_path / "ends").write_text("21_0|COMPLETED|n1|0:0\n21_1|OUT_OF_MEMORY|n2|0:125\n")
    for _ in range(3):
        assert queue.fates(["21"], "/w/studies/b-1") == "Task 21_1 ran out of memory on n2"
    assert asked.read_text().count("sacct") == 2


def test_the_answer_is_private(asked: Path) -> None:
    look()
    assert stat.S_IMODE(queue.cache().stat().st_mode) == 0o700


def test_a_study_is_found_by_its_jobs_and_by_its_comment() -> None:
    found = Snapshot(1.0, tuple(parse(ANSWER)))
    assert {row.job for row in found.of(["19"], "/w/studies/a-1")} == {"17", "18", "19"}
    assert [row.id for row in found.of([], "/w/a|b")] == ["20"]


def test_how_jobs_stand_is_told_in_words() -> None:
    rows = Snapshot(1.0, tuple(parse(ANSWER))).of(["17", "18"], "")
    found = standing(rows)
    assert (found.running, found.waiting) == (1, 107)
    assert found.text == (
        "1 task runs on n1 (2:10 of 5:00), 107 wait: as many run as the study allows (executor.slurm.parallel)"
    )
    (waits,) = Snapshot(1.0, tuple(parse(ANSWER))).of(["20"], "")
    assert standing([waits]).text == "1 task waits: others come first, expected to start 2026-01-01 11:00:00"


def test_where_nothing_can_be_kept_it_is_a_problem_and_no_error(
    asked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "Not a directory" in look().problem
    queue.forget()


def test_every_reason_of_slurm_s_page_is_told_in_words() -> None:
    for name in REASONS.split():
        told = words(name)
        assert " " in told and not told.startswith(("reason ", name)), told
    assert words("SomethingNew") == "reason SomethingNew"
    assert words("(ReqNodeNotAvail, UnavailableNodes:n1)") == words("ReqNodeNotAvail")


def test_what_was_let_go_is_not_held_whatever_reason_stands_there_still() -> None:
    row = "7|PENDING|N/A|0:00|5:00||{}|JobHeldAdmin|(null)"
    held, released = (standing(list(parse(row.format(priority)))).text for priority in (0, 42))
    assert held == "1 task waits: held by the administrators"
    assert released == "1 task waits: let go, and in the queue again"
