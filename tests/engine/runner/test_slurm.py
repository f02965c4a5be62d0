"""Studies by Slurm, on a real cluster of two virtual nodes that is started for these tests."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.slurm import queue
from engine.store.files import write_json
from engine.studies import events as ev
from engine.studies.rundir import RunDir
from engine.studies.tasks import Tasks
from tests.study_lab import LATENCY, Lab, processes_of, wait_for
from tools import slurm_cluster
from tools.slurm_cluster import Cluster

pytestmark = pytest.mark.skipif(bool(slurm_cluster.missing()), reason=slurm_cluster.missing())

SLURM = "executor.slurm={time: 5}"
ONE = "sweep.prune.weights.sparsity=[0.5]"
LONG = "train.epochs=400"
SEARCH = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps:
  - train: {epochs: 1, batch: 32}
search:
  smallest: size.packed
  within: {accuracy: -100 points, size.packed: 90 %}
  budget: {trials: 2}
  batch: 2
  finalists: 1
  seeds: 1
  over:
    - prune.weights: {sparsity: 0.2..0.9}
    - finetune: {epochs: 1..2, batch: 32}
"""
both = pytest.mark.parametrize("where", [SLURM, "executor.local.parallel=1"], ids=["slurm", "local"])
"""What every carrier of studies promises."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with tempfile.TemporaryDirectory(prefix="sl-") as folder, pytest.MonkeyPatch.context() as patch:
        made = Cluster(Path(folder), nodes=2, cpus=1)
        for name, value in {**made.variables, "XDG_CACHE_HOME": f"{folder}/cache"}.items():
            patch.setenv(name, value)
        with made:
            yield made


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """What the studies find here: without a cluster, undisturbed."""
    lab = Lab(tmp_path_factory.mktemp("local"))
    lab.run()
    return lab


@pytest.fixture
def lab(cluster: Cluster, tmp_path: Path) -> Iterator[Lab]:
    """A workspace whose studies run on the cluster; nothing of them is left there."""
    queue.forget()
    yield Lab(tmp_path)
    cluster.ask("scancel", "-u", str(os.getuid()))
    wait_for(lambda: not processes_of(tmp_path / "w"))


def submitted(lab: Lab, *changes: str, where: str = SLURM) -> RunDir:
    options = [part for change in (where, *changes) for part in ("--set", change)]
    name = lab.json("run", lab.preset(), *options, "--detach")["study"]
    return lab.study(name)


def ended(run: RunDir) -> str:
    """How the study ended, by what its tasks wrote: nobody asks Slurm."""
    wait_for(lambda: run.stored_status().state not in ("queued", "running"))
    return run.stored_status().state


def seen(run: RunDir) -> str:
    """How the study stands for somebody who looks now, with an answer of Slurm's that is fresh."""
    queue.forget()
    return run.read_status().state


def events(lab: Lab, run: RunDir, *kinds: type) -> list[Any]:
    return [event for event in lab.events(run.name) if isinstance(event, kinds)]


def worker(lab: Lab, run: RunDir) -> int:
    return int(wait_for(lambda: [e.pid for e in events(lab, run, ev.StepStarted) if e.pid])[-1])


def test_it_needs_no_process_here_and_gives_the_bits_of_a_local_run(
    lab: Lab, local: Lab, cluster: Cluster
) -> None:
    run = submitted(lab, LATENCY, "measure.latency.runtimes=[torch]")
    ours = [pid for pid in processes_of(lab.workspace) if "SLURM_JOB_ID" not in _variables(pid)]
    assert ours == [], "whoever submitted may log out"
    assert ended(run) == "done"
    assert lab.objects() == local.objects()
    computed = lab.computed(run.name)
    assert len(computed) == len(set(computed)), "nothing is computed twice"
    tasks = lab.state(run.name).tasks.values()
    assert {task.stage for task in tasks} == {"shared0", "trials1", "times2"}
    assert {task.outcome for task in tasks} == {"done"}
    again = lab.run(SLURM)
    assert again["status"] == "done"
    assert lab.computed(again["study"]) == []
    # Whoever says first what it is planned from may be killed before it has told the plan.
    lab.call("run", lab.preset(), "--set", SLURM, "--prepare")
    third = lab.study("p-3")
    shutil.copy(lab.study(again["study"]).basis(1), third.basis(1))
    cluster.ask("bash", str(third.slurm / "submit.sh"))
    assert ended(third) == "done"


def test_cancelled_tasks_lose_nothing_that_was_finished_and_resuming_gives_the_same_bits(
    lab: Lab, local: Lab, cluster: Cluster
) -> None:
    run = submitted(lab)
    wait_for(lambda: lab.computed(run.name))
    cluster.ask("scancel", *run.jobs())
    wait_for(lambda: seen(run) == "lost")
    finished = set(lab.computed(run.name))
    assert lab.json("resume", run.name)["status"] == "done"
    assert lab.objects() == local.objects()
    computed = lab.computed(run.name)
    assert finished <= set(computed)
    assert len(computed) == len(set(computed))


def test_tasks_that_are_started_again_go_on_by_themselves(lab: Lab, cluster: Cluster) -> None:
    """One is warned of its time limit, one is killed with all it has and then requeued, as when its node fails."""

    def training(seed: int) -> tuple[RunDir, str]:
        """A study that has just begun to train, and its task: alone, so that it still does when it is disturbed."""
        run = submitted(lab, "train.epochs=40", ONE, f"seed={seed}")
        wait_for(lambda: events(lab, run, ev.EpochFinished))
        return run, next(iter(lab.state(run.name).tasks.values())).name

    first, warned = training(1)
    cluster.ask("scancel", "--signal=USR1", "--batch", warned)
    second, killed = training(2)
    for process in processes_of(lab.workspace):
        if f"SLURM_ARRAY_JOB_ID={killed.partition('_')[0]}\0" in _variables(process):
            os.kill(process, signal.SIGKILL)
    # Slurm refuses that while it takes note of the end.
    again = partial(cluster.ask, "scontrol", "requeue", killed)
    wait_for(lambda: "Restarts=1" in cluster.ask("scontrol", "show", "job", killed) or again())
    runs = [first, second]
    assert [ended(run) for run in runs] == ["done", "done"]
    for run in runs:
        assert [task.restart for task in lab.state(run.name).tasks.values()] == [0, 1]
        computed = lab.computed(run.name)
        assert len(computed) == len(set(computed))


def test_a_controller_that_is_gone_for_a_while_changes_nothing(
    lab: Lab, local: Lab, cluster: Cluster
) -> None:
    run = submitted(lab)
    wait_for(lambda: lab.state(run.name).tasks)
    cluster.kill_controller(signal.SIGTERM)
    assert run.read_status().state in ("queued", "running"), "silence of the scheduler is no loss"
    cluster.start_controller()
    assert ended(run) == "done"
    assert lab.objects() == local.objects()


@both
def test_a_killed_worker_is_explained_and_what_needs_it_is_not_tried(lab: Lab, where: str) -> None:
    run = submitted(lab, LONG, where=where)
    first = worker(lab, run)
    os.kill(first, signal.SIGKILL)
    second = wait_for(lambda: (pid := worker(lab, run)) != first and pid)
    (notice,) = [e for e in events(lab, run, ev.Notice) if "SIGKILL" in e.text]
    assert "once more" in notice.text
    os.kill(second, signal.SIGKILL)
    assert ended(run) == "failed"
    (failed,) = events(lab, run, ev.StepFailed)
    assert "SIGKILL" in failed.error["detail"]
    assert lab.computed(run.name) == []


@both
def test_cancel_ends_what_runs_and_what_waits_and_leaves_what_is_finished(
    lab: Lab, cluster: Cluster, where: str
) -> None:
    run = submitted(lab, LONG, where=where)
    wait_for(lambda: events(lab, run, ev.EpochFinished))
    assert lab.json("cancel", run.name)["state"] == "cancelled"
    wait_for(lambda: not cluster.ask("squeue", "-h").strip())
    assert ended(run) == "cancelled"
    assert lab.state(run.name).status == "cancelled"


def test_what_waits_is_held_released_and_throttled_and_told_with_its_reason(
    lab: Lab, cluster: Cluster
) -> None:
    run = submitted(lab, LONG)
    wait_for(lambda: lab.state(run.name).tasks)
    last = run.jobs()[-1]
    assert lab.call("hold", run.name).returncode == 0
    assert "Priority=0" in cluster.ask("scontrol", "show", "job", last)
    assert lab.call("release", run.name).returncode == 0
    assert lab.call("throttle", run.name, "3").returncode == 0
    assert "ArrayTaskThrottle=3" in cluster.ask("scontrol", "show", "job", last)
    # Slurm finds the reason anew once what was held is let go
    wait_for(
        lambda: seen(run) == "running" and "2 wait: waiting for the stage before" in run.read_status().queue
    )
    (found,) = lab.json("list")
    assert found["queue"] == run.read_status().queue


def test_a_request_that_slurm_refuses_is_told_in_its_words_and_leaves_nothing(lab: Lab) -> None:
    done = lab.call("run", lab.preset(), "--set", "executor.slurm.partition=nowhere")
    assert done.returncode == 2
    assert "invalid partition specified: nowhere" in done.stderr
    assert lab.json("list") == []


def test_scripts_that_are_shown_are_those_that_run_by_hand(lab: Lab, cluster: Cluster) -> None:
    options = ("run", lab.preset(), "--set", SLURM)
    shown = lab.call(*options, "--show-script").stdout
    assert lab.json("list") == [], "nothing was written"
    lab.call(*options, "--prepare")
    run = lab.study("p-1")
    for file in run.slurm.glob("*.sh"):
        assert f"# {file}\n{file.read_text()}" in shown
    assert run.read_status().state == "queued"
    jobs = cluster.ask("bash", str(run.slurm / "submit.sh")).split()
    wait_for(lambda: lab.state(run.name).tasks)
    assert seen(run) in ("queued", "running")
    assert lab.json("cancel", run.name)["state"] == "cancelled"
    wait_for(lambda: not cluster.ask("squeue", "-h", "-j", ",".join(jobs)).strip())


def test_a_task_on_another_kind_of_node_computes_nothing_and_says_what_to_ask_for(
    lab: Lab, cluster: Cluster
) -> None:
    options = ("run", lab.preset(), "--set", SLURM)
    lab.call(*options, "--prepare")
    run = lab.study("p-1")
    tasks = Tasks.read(run)
    assert tasks is not None
    write_json(run.basis(1), {"machine": _another_machine(), "host": "n0", "fingerprints": {}})
    cluster.ask("sbatch", "-w", "n1", str(run.slurm / "shared0.sh"))
    (end,) = wait_for(lambda: events(lab, run, ev.TaskEnded))
    assert end.outcome == "other node"
    (notice,) = events(lab, run, ev.Notice)
    assert "model is Abacus there" in notice.text
    assert "executor.slurm.constraint=f0" in notice.text
    assert lab.objects() == {}


def _another_machine() -> dict[str, Any]:
    from engine.machine.value import here

    machine = here("cpu", 1, 1).of_any_node(mixed=False).as_dict()
    machine["numerics"]["machine"]["model"] = "Abacus"
    return machine


def _variables(process: int) -> str:
    try:
        return Path(f"/proc/{process}/environ").read_text(errors="replace")
    except OSError:
        return "SLURM_JOB_ID"


def test_one_training_over_two_nodes_has_the_bits_of_two_processes_on_one(lab: Lab, tmp_path: Path) -> None:
    together = ("distributed.processes=2", ONE)
    own = replace(lab, warm=False)  # its workers have the job's variables, as tasks have
    over_nodes = own.run("executor.slurm={time: 5, nodes: 2}", *together)
    assert over_nodes["status"] == "done", over_nodes
    (tmp_path / "here").mkdir()
    here = Lab(tmp_path / "here")
    here.run(*together)
    assert lab.objects() == here.objects()


def test_a_search_has_the_rounds_and_bits_of_a_local_one_whatever_ends_its_tasks(
    lab: Lab, cluster: Cluster, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    here = Lab(tmp_path / "here")
    here.run(preset=here.preset(SEARCH))
    here.call("resume", "p-1", "--set", "search.budget.trials=4")
    # Nodes of this site may not submit jobs.
    (tmp_path / "bin").mkdir()
    refusing = tmp_path / "bin" / "sbatch"
    refusing.write_text("#!/bin/sh\necho 'sbatch: error: Access/permission denied' >&2\nexit 1\n")
    refusing.chmod(0o755)
    strict = f"executor.slurm={{time: 5, setup: ['export PATH={tmp_path}/bin:$PATH']}}"
    lab.call("run", lab.preset(SEARCH), "--set", strict, "--detach")
    run = lab.study("p-1")
    assert ended(run) == "failed"
    error = lab.state("p-1").error
    assert error is not None and "could not be sent from its node" in error["title"]
    assert "permission denied" in error["detail"] and "secateur resume p-1" in error["remedy"]
    assert lab.proposals("p-1") == here.proposals("p-1")[:3], "the round is told all the same"

    # Where they may, it goes on by itself: with its trials cancelled, and its planning task killed and started again.
    lab.call("resume", "p-1", "--set", SLURM, "--detach")
    trials, _ = run.jobs()[-2:]
    cluster.ask("scancel", trials)

    def computing() -> str:
        stages = {task.task: (task.stage, task.name) for task in lab.state("p-1").tasks.values()}
        steps = [s for s in lab.state("p-1").steps.values() if s.status == "running" and s.task in stages]
        return next((stages[s.task][1] for s in steps if stages[s.task][0] == "plan1"), "")

    planning = wait_for(computing)
    for process in processes_of(lab.workspace):
        if f"SLURM_ARRAY_JOB_ID={planning.partition('_')[0]}\0" in _variables(process):
            os.kill(process, signal.SIGKILL)
    cluster.ask("scontrol", "requeue", planning)
    assert ended(run) == "done"
    before = len(run.jobs())
    assert lab.call("resume", "p-1", "--set", "search.budget.trials=4").returncode == 0
    assert lab.proposals("p-1") == here.proposals("p-1")
    assert lab.objects() == here.objects()
    assert len(run.jobs()) - before <= 6, "two calls for each of two rounds, and one to begin with"
    computed = lab.computed("p-1")
    assert len(computed) == len(set(computed))
