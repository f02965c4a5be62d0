"""What a submission sends, where Slurm's programs are stand-ins that note what they are asked."""

import re
import resource
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from engine.errors import UsageError
from engine.machine.value import here
from engine.params.slurm import Slurm
from engine.presets import spec
from engine.runner import launch
from engine.runner.executors import slurm
from engine.slurm import queue
from engine.store.objects import Store
from engine.studies import basis, rundir
from engine.studies import events as ev
from engine.studies.plan import data_id, make
from engine.studies.rundir import RunDir
from engine.studies.state import Reader
from engine.studies.tasks import Stage, Tasks
from tests.engine.runner.stand_ins import PRESET, answering, standing_in, study

SEARCH = """\
threads: 1
device: cpu
model: {name: resnet8, arguments: {width: 4}}
data: {name: digits, limit: 100}
steps: [train]
search:
  smallest: size.packed
  budget: {trials: 8}
  over:
    - prune.weights: {sparsity: 0.1..0.9}
executor: {slurm: {}}
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A line for every call of sbatch and scancel; no array may have more than 10 tasks."""
    return standing_in(tmp_path, monkeypatch)


@contextmanager
def room(most: int) -> Iterator[None]:
    """Within it no file may have more bytes: as a quota that leaves so many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_each_stage_is_one_call_that_waits_for_the_one_before(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 7)
    launch.start(run)
    first, second = calls.read_text().splitlines()
    assert first.split()[:2] == ["shared0.sh", "0"]
    assert "--dependency" not in first
    assert second.split()[:2] == ["trials1.sh", "6"]
    assert "--dependency=afterany:1 " in second
    status = run.read_status()
    assert (status.state, run.jobs()) == ("queued", ("1", "2"))


def test_a_thousand_trials_are_at_most_five_calls(calls: Path, tmp_path: Path) -> None:
    answering(tmp_path, most=1000)
    run = study(tmp_path, 1000, "measure: {latency: {runtimes: [torch]}}\n")
    launch.start(run)
    assert [line.split()[0] for line in calls.read_text().splitlines()] == [
        "shared0.sh",
        "trials1.sh",
        "times2.sh",
    ]
    tasks = Tasks.read(run)
    assert tasks is not None
    assert sum(len(stage.jobs) for stage in tasks.stages[:2]) == 1001


def test_where_the_site_takes_no_such_array_fewer_tasks_do_more_each(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 60)
    launch.start(run)
    sizes = [int(line.split()[1]) + 1 for line in calls.read_text().splitlines() if "trials1" in line]
    assert sizes == [60, 30, 15, 8]
    tasks = Tasks.read(run)
    assert tasks is not None
    assert [(stage.tasks, len(stage.jobs)) for stage in tasks.stages] == [(1, 1), (8, 60)]


def test_what_was_sent_is_taken_back_when_a_later_stage_is_refused(calls: Path, tmp_path: Path) -> None:
    answering(tmp_path, "Invalid account or account/partition combination specified", most=1)
    run = study(tmp_path, 3)
    with pytest.raises(UsageError) as refused:
        launch.start(run)
    assert "Invalid account" in refused.value.detail
    assert calls.read_text().splitlines()[-1] == "scancel 1"
    assert not run.path.exists(), "a study that has never run leaves nothing"


def test_nothing_is_sent_where_the_workspace_takes_no_results(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 3)
    with room(1 << 20), pytest.raises(UsageError, match="limit was met"):
        launch.start(run)
    assert calls.read_text() == "" and not run.path.exists()


def test_a_second_submission_of_a_study_that_waits_is_refused(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    with pytest.raises(UsageError, match="is queued already"):
        launch.start(run)


def test_a_study_is_resumed_with_another_request_and_with_nothing_else(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 2)
    launch.start(run)
    launch.cancel(run)
    with pytest.raises(UsageError, match=r"train\.epochs=2 can't be set"):
        launch.start(run, overrides=["train.epochs=2"])
    launch.start(run, overrides=["executor.slurm.memory=8G"])
    assert "#SBATCH --mem=8G" in (run.slurm / "trials1.sh").read_text()
    assert run.settings().of_trial(1).executor.slurm == Slurm(memory="8G")
    assert len(run.jobs()) == 4


@pytest.mark.parametrize("override", ["executor.slurm.memory=8G", "executor.slurm=null"])
def test_a_study_that_is_at_work_is_refused_before_anything_of_it_is_changed(
    calls: Path, tmp_path: Path, override: str
) -> None:
    run = study(tmp_path, 2)
    launch.start(run)
    before = run.preset.read_text(), run.kept_settings.read_text(), calls.read_text()
    with pytest.raises(UsageError, match="is queued already"):
        launch.start(run, overrides=[override])
    assert (run.preset.read_text(), run.kept_settings.read_text(), calls.read_text()) == before
    assert run.settings().of_trial(0).executor.slurm == Slurm()


def test_a_study_that_an_engine_began_goes_on_by_slurm(calls: Path, tmp_path: Path) -> None:
    text = PRESET.replace("SPARSITIES", "0.1, 0.2").replace("executor: {slurm: {}}\n", "")
    run = launch.create(spec.parse(text, "p"), tmp_path / "w")
    run.write_status(replace(run.stored_status(), state="cancelled"))
    launch.start(run, overrides=["executor.slurm={}"])
    status = run.stored_status()
    assert (status.state, status.executor, run.jobs()) == ("queued", "slurm", ("1", "2"))


def test_a_study_that_an_engine_began_stays_where_slurm_does_not_take_it(calls: Path, tmp_path: Path) -> None:
    text = PRESET.replace("SPARSITIES", "0.1, 0.2").replace("executor: {slurm: {}}\n", "")
    run = launch.create(spec.parse(text, "p"), tmp_path / "w")
    begun = ev.StudyStarted(study=run.name, preset="p", host="n1", pid=1, environment={})
    run.events.write_bytes(ev.to_line(begun))
    run.write_status(replace(run.stored_status(), state="cancelled"))
    with room(1 << 20), pytest.raises(UsageError, match="limit was met"):
        launch.start(run, overrides=["executor.slurm={}"])
    answering(tmp_path, "Invalid account or account/partition combination specified", most=0)
    with pytest.raises(UsageError, match="does not take"):
        launch.start(run, overrides=["executor.slurm={}"])
    assert ev.to_line(begun) in run.events.read_bytes()
    assert run.stored_status().state == "cancelled"
    assert not run.tasks.exists(), "it has none: nothing was sent"


def test_what_slurm_refuses_leaves_a_study_as_it_was(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 2)
    launch.start(run)
    launch.cancel(run)
    reader = Reader(run)
    cancelled = replace(reader.catch_up())
    before = [file.read_text() for file in (run.preset, run.kept_settings, run.status, run.tasks)]
    answering(tmp_path, "invalid partition specified: nope", most=0)
    with pytest.raises(UsageError, match="does not take"):
        launch.start(run, overrides=["executor.slurm.partition=nope"])
    assert [file.read_text() for file in (run.preset, run.kept_settings, run.status, run.tasks)] == before
    assert run.stop.exists()
    assert reader.catch_up() == cancelled == Reader(run).catch_up()


def test_a_study_that_is_done_and_whole_is_not_sent_again(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 2)
    launch.start(run)
    spec_, store = run.spec(), run.store()
    agreed = basis.Basis(here("cpu", 1, 1), "n1", {data_id(t): "0" * 64 for t in spec_.trials})
    basis.fix(run, 1, agreed)
    plan = make(spec_, agreed.fingerprints, agreed.machine)
    run.write_status(replace(run.stored_status(), state="done"))
    before, told = calls.read_text(), list[str]()
    for node in plan.nodes.values():
        with store.writing(node.key) as folder:
            store.commit(node.key, folder, kind="step", material={}, measures={}, observations={})
    launch.start(run, tell=told.append)
    assert (calls.read_text(), run.read_status().state) == (before, "done")
    assert told == [f"every result of {run.name} is there: nothing is sent"]


def test_nodes_that_failed_under_a_study_are_left_out_as_long_as_they_are_not_well(
    calls: Path, tmp_path: Path
) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    lost = ev.TaskStarted(task="1_0.0", name="1_0", stage="trials0", host="n7")
    (run.task_events / "1_0.0.jsonl").write_bytes(ev.to_line(lost))
    states = tmp_path / "bin" / "sinfo"
    for state, left_out in (("down*", True), ("idle", False)):
        states.write_text(f"#!/bin/sh\necho '{state}'\n")
        states.chmod(0o755)
        launch.cancel(run)
        launch.start(run)
        assert ("#SBATCH --exclude=n7" in (run.slurm / "trials0.sh").read_text()) is left_out


@pytest.mark.parametrize("begin", [launch.prepare, launch.start])
def test_a_new_study_that_no_script_can_be_written_for_is_not_left_behind(
    calls: Path, tmp_path: Path, begin: Callable[[RunDir], None]
) -> None:
    run = study(tmp_path / "two\nlines", 1)
    with pytest.raises(UsageError, match="line break"):
        begin(run)
    assert rundir.studies(run.workspace) == []


def test_variables_that_choose_bits_go_with_the_script(
    calls: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "avx2")
    run = study(tmp_path, 1)
    launch.prepare(run)
    script = (run.slurm / "trials0.sh").read_text()
    assert "export ATEN_CPU_CAPABILITY=avx2" in script
    assert not re.search(r"#SBATCH --(mem|time|partition|cpus)", script)


def test_two_stages_of_which_both_are_cut_down_are_noted_as_they_were_sent(
    calls: Path, tmp_path: Path
) -> None:
    text = PRESET.replace("SPARSITIES", ", ".join(str(n / 100) for n in range(1, 31)))
    text += "measure: {latency: {runtimes: [torch]}}\n"
    run = launch.create(spec.parse(text, "p"), tmp_path / "w")
    launch.start(run)
    tasks = Tasks.read(run)
    assert tasks is not None
    assert [stage.tasks for stage in tasks.stages] == [1, 8, 8]
    for stage in tasks.stages:
        assert f"--array=0-{stage.tasks - 1}\n" in (run.slurm / f"{stage.name}.sh").read_text()


def test_a_study_is_cancelled_though_slurm_has_forgotten_its_jobs(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 1)
    launch.start(run)
    (tmp_path / "bin" / "scancel").write_text("#!/bin/sh\necho Invalid job id >&2\nexit 1\n")
    (tmp_path / "bin" / "squeue").write_text("#!/bin/sh\n")
    launch.cancel(run)
    assert run.read_status().state == "cancelled"


def test_what_was_submitted_by_hand_is_not_submitted_again(calls: Path, tmp_path: Path) -> None:
    run = study(tmp_path, 1)
    launch.prepare(run)
    assert "not submitted yet" in run.read_status().queue
    subprocess.run(["bash", run.slurm / "submit.sh"], check=True, capture_output=True)
    squeue = tmp_path / "bin" / "squeue"
    squeue.write_text(f"#!/bin/sh\necho '1|RUNNING|N/A|0:01|5:00|n1|9|None|{run.path}'\n")
    queue.forget()
    with pytest.raises(UsageError, match="is running already"):
        launch.start(run)


def test_what_failed_and_what_needs_it_is_not_sent_again_within_a_study(tmp_path: Path) -> None:
    read = spec.parse(PRESET.replace("SPARSITIES", "0.3, 0.6"), "p")
    plan = make(read, {data_id(trial): "d" for trial in read.trials}, here("cpu", 1, 1))
    baseline, *trials = plan.jobs
    store = Store(tmp_path / "store")
    assert slurm.settled(plan, store) == set()
    own = trials[0].nodes[0].key
    assert slurm.settled(plan, store, lambda key: key == own) == {trials[0].number}
    shared = baseline.nodes[0].key
    assert slurm.settled(plan, store, lambda key: key == shared) == {job.number for job in plan.jobs}


def test_a_task_that_was_killed_while_it_sent_a_round_sends_what_is_missing_of_it(
    calls: Path, tmp_path: Path
) -> None:
    read = spec.parse(SEARCH, "p")
    run = launch.create(read, tmp_path / "w")
    launch.start(run)
    plan = make(read, {data_id(trial): "d" for trial in read.trials}, here("cpu", 1, 1))

    def dealt() -> tuple[Stage, ...]:
        tasks = Tasks.read(run)
        assert tasks is not None
        return tasks.stages

    def queued(stages: Sequence[Stage]) -> None:
        lines = [f"echo '4{n}|{run.name}.{one.name}|{run.path}'" for n, one in enumerate(stages)]
        (tmp_path / "bin" / "squeue").write_text("\n".join(["#!/bin/sh", *lines, ""]))

    sender = dealt()[-1]
    slurm.send_round(run, plan, 1, run.store(), sender)
    trials, planning = dealt()
    assert (sender.plans, planning.plans) == (0, 1)
    before = calls.read_text()
    queued([trials, planning])
    slurm.send_rest(run, sender)
    assert calls.read_text() == before, "all of it was sent"
    queued([trials])
    slurm.send_rest(run, sender)
    rest = calls.read_text().removeprefix(before)
    assert rest.split()[0] == f"{planning.name}.sh" and "--dependency=afterany:40 " in rest
    slurm.send_round(run, plan, 2, run.store(), planning)
    before, deal = calls.read_text(), run.tasks.read_text()
    queued([])
    slurm.send_rest(run, sender)
    assert (calls.read_text(), run.tasks.read_text()) == (before, deal), "the search has gone on without it"
