"""A shared machine: signals, a fork server that is killed, two nodes, other processors, jobs of a scheduler."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.studies import events as ev
from engine.studies import lease
from tests.study_lab import PRESET, Lab, processes_of, wait_for

LONG = PRESET.replace("epochs: 2, batch: 32", "epochs: 2000, batch: 8")
SLOW = """
def load():
    with open("pipe") as never:  # nobody writes there
        return never.read()
"""
MINE = PRESET.replace("{name: digits, limit: 100}", '{name: "slow.py:load"}')


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path)
    yield lab
    for pid in processes_of(lab.workspace):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def begun(lab: Lab, name: str) -> None:
    """Wait until the study trains."""
    run = lab.study(name)
    wait_for(lambda: run.events.exists() and b"step-progress" in run.events.read_bytes())


def ended(lab: Lab, name: str) -> ev.StudyFinished:
    wait_for(lambda: lab.study(name).read_status().state not in ("running", "queued"))
    last = lab.events(name)[-1]
    assert isinstance(last, ev.StudyFinished), last
    return last


@pytest.mark.parametrize(
    ("number", "to_all"), [(signal.SIGTERM, True), (signal.SIGUSR1, True), (signal.SIGHUP, False)]
)
def test_a_signal_keeps_the_running_epoch_and_cancels_with_its_reason(
    lab: Lab, number: signal.Signals, to_all: bool
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("the tests were started by nohup, and with them the engines")
    name = lab.json("run", lab.preset(LONG), "--detach")["study"]
    begun(lab, name)
    engine = lab.study(name).read_status().pid
    for pid in [engine, *processes_of(lab.workspace)] if to_all else [engine]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
    last = ended(lab, name)
    assert (last.state, last.signal) == ("cancelled", number)
    assert last.error is not None
    assert last.error["title"] == f"Ended by {number.name}"
    assert f"process {os.getpid()}" in last.error["detail"]
    assert not any(isinstance(event, ev.StepFailed) for event in lab.events(name))
    assert list((lab.workspace / "store" / "partial").glob("*/fit/*/facts.json")), "the running epoch is kept"
    assert number.name in lab.call("show", name).stdout
    assert lab.call("watch", name).returncode == 128 + number


def test_a_signal_before_there_is_a_plan_cancels_too(lab: Lab) -> None:
    """Sent at once, over and over: whatever the engine is at, it ends as cancelled, never as failed or lost."""
    run = lab.json("run", lab.preset(LONG), "--detach")["study"]
    os.kill(lab.study(run).read_status().pid, signal.SIGTERM)
    assert ended(lab, run).state == "cancelled"


def test_in_a_job_the_one_who_follows_passes_signals_on_and_exits_as_the_study_did(tmp_path: Path) -> None:
    lab = Lab(tmp_path)
    process = subprocess.Popen(
        [sys.executable, "-m", "engine.cli.main", "run", lab.preset(LONG), "--name", "mine"],
        env=lab.environment | {"SLURM_JOB_ID": "77"},
        cwd=lab.folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    begun(lab, "mine")
    process.send_signal(signal.SIGUSR1)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGUSR1
    assert "SIGUSR1" in out
    assert ended(lab, "mine").state == "cancelled"


def test_a_fork_server_that_is_killed_is_replaced_and_the_study_goes_on(tmp_path: Path) -> None:
    lab = Lab(tmp_path, warm=False)
    name = lab.json("run", lab.preset(LONG), "--detach")["study"]
    begun(lab, name)
    for pid, line in processes_of(lab.workspace).items():
        if "forkserver" in line:  # the server, and the worker that was forked from it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def started_anew() -> bool:
        kinds = [type(event) for event in lab.events(name)]
        return kinds.count(ev.StepStarted) > 1 and ev.Notice in kinds

    wait_for(started_anew)
    lab.study(name).stop.touch()
    assert ended(lab, name).state == "cancelled"
    assert not any(isinstance(event, ev.StepFailed) for event in lab.events(name))
    wait_for(lambda: not processes_of(lab.workspace))


def test_a_named_run_goes_on_with_its_own_study_and_no_other(lab: Lab) -> None:
    first = lab.json("run", lab.preset(), "--name", "mine")
    assert (first["study"], first["status"]) == ("mine", "done")
    again = lab.json("run", lab.preset(), "--name", "mine")
    assert again == first, "it was done"
    other = lab.call("run", lab.preset(), "--name", "mine", "--set", "seed=1")
    assert other.returncode == 2
    assert "begun with another preset" in other.stderr
    assert "seed" in other.stderr
    for bad in ("../x", "", ".x", "a b"):
        assert lab.call("run", lab.preset(), "--name", bad).returncode == 2
    assert [study["study"] for study in lab.json("list")] == ["mine"]


def test_tasks_of_one_step_that_start_one_preset_compute_it_once(lab: Lab) -> None:
    step = {"SLURM_JOB_ID": "5", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "2"}
    tasks, command = [], [sys.executable, "-m", "engine.cli.main", "run", lab.preset()]
    for task in range(2):
        environment = lab.environment | step | {"SLURM_PROCID": str(task)}
        tasks.append(
            subprocess.Popen(command, env=environment, cwd=lab.folder, stderr=subprocess.PIPE, text=True)
        )
    said = [task.communicate(timeout=120)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    (study,) = lab.json("list")
    assert study["study"].startswith("p-5.0-")
    computed = lab.computed(study["study"])
    assert len(computed) == len(set(computed)) > 0


def test_in_a_job_nothing_is_left_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "5")
    lab = Lab(tmp_path)
    done = lab.call("run", lab.preset(), "--detach")
    assert done.returncode == 2
    assert "Slurm job 5" in done.stderr
    assert "--detach" in done.stderr
    assert not lab.workspace.exists()


def test_cancel_is_heard_while_data_are_read(lab: Lab) -> None:
    """Opening a FIFO never comes back, as on a mount whose server is gone."""
    os.mkfifo(lab.folder / "pipe")
    (lab.folder / "slow.py").write_text(SLOW)
    # The process that looks at the data is one that the engine itself started.
    alone = replace(lab, warm=False)
    process = alone.start("run", alone.preset(MINE))
    wait_for(lambda: "data" in lab.study("p-1").read_status().waits)
    assert lab.json("cancel", "p-1")["state"] == "cancelled"
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_for(lambda: not processes_of(lab.workspace))


def test_other_processors_are_told_before_anything_is_computed_anew(lab: Lab) -> None:
    """What it began on is made another machine: resume asks, and goes on only where that is wanted."""
    text = PRESET.replace("threads: 1", "threads: auto").replace("[0.5, 0.9]", "[0.5, 0.7, 0.9]")
    name = lab.json("run", lab.preset(text), "--detach")["study"]
    wait_for(lambda: lab.computed(name))
    lab.json("cancel", name)
    run = lab.study(name)
    began = json.loads(run.machine.read_text())
    run.machine.write_text(json.dumps(began | {"threads": 64, "cpus": 64, "host": "big-node"}))
    before = run.events.read_bytes()

    refused = lab.call("resume", name)
    assert refused.returncode == 2
    for said in ("64 threads", "processor", "finished step", "big-node", "--here", "secateur run"):
        assert said in refused.stderr
    assert run.events.read_bytes() == before, "nothing was started"
    for command in ("show", "watch", "plot"):
        assert "Traceback" not in lab.call(command, name).stderr

    here = lab.call("resume", name, "--here")
    assert here.returncode == 0, here.stderr
    assert "goes on here with other bits" in here.stderr
    assert lab.call("watch", name).returncode == 0
    assert json.loads(run.machine.read_text()) == began


def test_threads_of_a_study_are_its_own_where_there_are_more_processors(lab: Lab) -> None:
    name = lab.json("run", lab.preset(PRESET.replace("threads: 1", "threads: auto")))["study"]
    run = lab.study(name)
    began = json.loads(run.machine.read_text())
    keys = set(lab.state(name).steps)
    run.machine.unlink()  # as a study of an earlier version: its events tell
    run.events.write_bytes(
        run.events.read_bytes().replace(b'"available": %d' % began["cpus"], b'"available": 1024')
    )
    assert lab.json("resume", name)["status"] == "done"
    assert set(lab.state(name).steps) == keys
    assert json.loads(run.machine.read_text())["threads"] == began["threads"]


@contextlib.contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def on_node(lab: Lab, node: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """A command on another node: with a host name of its own and a lock folder of its own."""
    if shutil.which("unshare") is None:
        pytest.skip("needs unshare(1)")
    rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    command = f"hostname {node} && exec {sys.executable} -m engine.cli.main {' '.join(arguments)}"
    done = subprocess.run(
        ["unshare", *rights, "--uts", "sh", "-c", command],
        env=lab.environment
        | {"SECATEUR_LOCKS": str(lab.folder / f"locks-{node}"), "SECATEUR_LOST_AFTER": "3"},
        cwd=lab.folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=lab.timeout_s,
    )
    if "unshare" in done.stderr:
        pytest.skip(done.stderr)
    return done


def test_an_engine_suspended_on_another_node_is_superseded_and_writes_nothing_more(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECATEUR_LOST_AFTER", "3")
    assert on_node(lab, "node-a", "run", lab.preset(LONG), "--detach").returncode == 0
    begun(lab, "p-1")
    living = on_node(lab, "node-b", "resume", "p-1")
    assert living.returncode == 75
    assert "node-a" in living.stderr
    run = lab.study("p-1")
    old = run.read_status().pid
    with stopped(old):
        done = on_node(lab, "node-b", "resume", "p-1", "--detach")
        assert done.returncode == 0, done.stderr
        assert "watching" in done.stderr
    wait_for(lambda: old not in processes_of(lab.workspace))
    assert "was taken over by another engine" in run.log.read_text()
    assert json.loads(run.status.read_text())["host"] == "node-b"
    run.stop.touch()
    wait_for(lambda: not processes_of(lab.workspace))
    events = lab.events("p-1")
    assert [e.state for e in events if isinstance(e, ev.StudyFinished)] == ["cancelled"]
    starts = [place for place, event in enumerate(events) if isinstance(event, ev.StudyStarted)]
    assert len(starts) == 2
    times = [event.time for event in events[starts[1] :] if isinstance(event, ev.StepProgress)]
    assert times == sorted(times), "no line of the first engine stands among those of the second"
    by = lease.holder(run.path)
    assert by is not None
    assert (by.process.host, by.ended) == ("node-b", True)
