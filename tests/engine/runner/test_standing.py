"""How a study on a cluster stands, and what may be done to its jobs, where Slurm's programs are stand-ins."""

import os
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.results import failures
from engine.runner import launch
from engine.runner.executors import slurm, steering
from engine.runner.progress import Progress
from engine.slurm import queue
from engine.studies import events as ev
from engine.studies.state import load
from tests.engine.runner.stand_ins import standing_in, study


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A line for every call of sbatch and scancel; no array may have more than 10 tasks."""
    return standing_in(tmp_path, monkeypatch)


def test_a_study_that_was_submitted_again_is_told_by_its_new_jobs_alone(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    (first,) = run.jobs()
    launch.cancel(run)
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text(
        f"#!/bin/sh\necho '{first}_0|COMPLETING|N/A|1:26|2:00|n1|9|None|{run.path}'\n"
        f"echo '3|PENDING|N/A|0:00|2:00||9|Resources|{run.path}'\n"
    )
    launch.start(run)
    assert run.jobs() == (first, "3")
    status = run.read_status()
    assert (status.state, status.queue) == ("queued", "1 task waits: waiting for free nodes")


def test_what_a_task_has_told_since_slurm_was_asked_is_newer(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 3)
    launch.start(run)
    assert run.read_status().state == "queued"
    slurm.emit(run, [ev.TaskStarted(task="1_0.0", name="1_0", stage="shared0", host="n1")])
    Progress(run).refresh(at_once=True)
    status = run.read_status()
    assert (status.state, status.queue) == ("running", "1 task runs on n1, 1 waits: others come first")
    slurm.emit(run, [ev.TaskEnded(task="1_0.0", outcome="done", used={})])
    Progress(run).refresh(at_once=True)
    assert run.read_status().state == "queued"


def test_it_is_told_what_tasks_wait_for_while_none_computes(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 3)
    launch.start(run)
    assert run.read_status().state == "queued"
    slurm.emit(
        run,
        [
            ev.TaskStarted(task="1_0.0", name="1_0", stage="shared0", host="n1"),
            ev.StepStarted(key="a", kind="train", task="1_0.0"),
            ev.StepWaits(key="a", text="for other-1 to measure latency"),
        ],
    )
    Progress(run).refresh(at_once=True)
    told = "1 task runs on n1, 1 waits: others come first; what runs waits for other-1 to measure latency"
    assert run.read_status().queue == told
    slurm.emit(run, [ev.StepWaits(key="a", text="")])
    Progress(run).refresh(at_once=True)
    assert run.read_status().queue == "1 task runs on n1, 1 waits: others come first"


def test_tasks_of_a_study_that_has_ended_are_not_steered(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    launch.cancel(run)
    (tmp_path / "bin" / "squeue").unlink()
    for do in (steering.hold, steering.release, partial(steering.throttle, tasks=2)):
        with pytest.raises(UsageError, match="is cancelled"):
            do(run)


def test_a_colleague_s_tasks_are_not_steered(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    monkeypatch.setattr(os, "geteuid", lambda: 60002)
    with pytest.raises(UsageError, match="is not yours"):
        steering.hold(run)


def test_tasks_that_never_began_are_told_with_what_their_log_says_before_slurm_is_asked(
    calls: Path, tmp_path: Path
) -> None:
    run = study(tmp_path, 1)
    override = "executor.slurm.setup=[echo no such module python/9 >&2; exit 3]"
    launch.start(run)
    launch.cancel(run)
    launch.start(run, overrides=[override])
    assert run.read_status().state == "queued"
    job = run.jobs()[-1]
    variables = {**os.environ, "SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": "0"}
    log = run.slurm / f"{run.name}.trials0-{job}_0.log"
    with log.open("w") as file:
        done = subprocess.run(["bash", run.slurm / "trials0.sh"], env=variables, stderr=file, check=False)
    assert done.returncode == 3
    status = run.read_status()
    assert status.state == "lost" and status.lost is not None
    assert f"Task {job}_0 ended with exit code 3 on " in status.lost["title"]
    assert f"{log}: no such module python/9" in status.lost["detail"]
    assert "executor.slurm.setup" in status.lost["remedy"]
    assert failures.of_status(status).count("no such module") == 1
    assert "\n".join(failures.lines(load(run.path))).count("no such module") == 1


def test_a_task_that_never_began_waits_no_longer_though_slurm_was_asked_before(
    calls: Path, tmp_path: Path
) -> None:
    run = study(tmp_path, 10)
    launch.start(run)
    job, *_ = run.jobs()
    row = f"{job}_[0-9%4]|PENDING|N/A|0:00|2:00||9|Priority|{run.path}"
    (tmp_path / "bin" / "squeue").write_text(f"#!/bin/sh\necho '{row}'\n")
    queue.forget()
    assert run.read_status().queue == "10 tasks wait: others come first"
    for task in ("0", "3"):
        (run.unbegun / f"{job}_{task}").write_text("3 n1\n")
    ended = f"task {job}_0 ended with exit code 3 on n1 before it began, and 1 other ended so too"
    assert run.read_status().queue == f"8 tasks wait: others come first; {ended}"


def test_what_a_task_told_last_is_why_a_study_was_lost(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    (job,) = run.jobs()
    begun = ev.TaskStarted(task=f"{job}_0.0", name=f"{job}_0", stage="trials0", host="n1")
    full = ev.Notice(level="error", text=f"Task {job}_0 on n1 gave up: The disk is full")
    (run.task_events / f"{job}_0.0.jsonl").write_bytes(ev.to_line(begun) + ev.to_line(full))
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text(f"#!/bin/sh\necho '{job}_0|FAILED|N/A|0:01|2:00|n1|9|None|{run.path}'\n")
    log = run.slurm / f"{run.name}.trials0-{job}_0.log"
    log.touch()
    queue.forget()
    lost = run.read_status().lost
    detail = f"{full.text}. Its log: {log}"
    assert lost == {"title": f"Task {job}_0 failed on n1", "detail": detail, "remedy": ""}


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make what belongs to another")
def test_a_colleague_s_study_is_not_judged_by_our_queue(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    run.write_status(replace(run.stored_status(), submitted=1.0, updated=1.0))
    os.utime(run.noted_jobs, (1.0, 1.0))
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\n")
    queue.forget()
    assert run.read_status().state == "lost"
    os.chown(run.status, 60002, -1)
    assert run.read_status().state == "queued"
    assert "60002" in run.read_status().queue
