"""Jobs are dealt out to tasks by the shape of a plan, which no machine changes."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.machine.value import here
from engine.params.slurm import Slurm
from engine.presets import spec
from engine.studies.plan import Job, Plan, data_id, make
from engine.studies.rundir import RunDir
from engine.studies.tasks import AT_MOST, Tasks, deal, deal_round, resolve

PRESET = """\
threads: 1
device: cpu
model: {name: resnet20}
data: {name: digits}
steps: [train, {prune.weights: {sparsity: 0.5}}, {finetune: {epochs: 1}}]
sweep: {prune.weights.sparsity: [SPARSITIES]}
measure: {latency: {runtimes: [torch]}}
"""


def plan(trials: int, *, host: str = "n1", data: str = "d") -> Plan:
    values = ", ".join(f"{number / (trials + 1):.6f}" for number in range(trials))
    read = spec.parse(PRESET.replace("SPARSITIES", values), "p")
    machine = replace(here("cpu", 1, 1), host=host, numerics={"machine": host})
    return make(read, {data_id(trial): data for trial in read.trials}, machine)


def test_stages_follow_from_what_needs_what_and_measuring_is_one_of_its_own() -> None:
    stages = deal(plan(3), Slurm(), (), 1000)
    assert [(s.name, s.exclusive, s.tasks, len(s.jobs)) for s in stages] == [
        ("shared0", False, 1, 1),
        ("trials1", False, 3, 3),
        ("times2", True, 3, 3),
    ]


def test_a_thousand_trials_are_three_arrays_whose_tasks_do_ten_each() -> None:
    stages = deal(plan(1000), Slurm(), (), 1000)
    assert [stage.tasks for stage in stages] == [1, AT_MOST, AT_MOST]
    shares = [place for index in range(AT_MOST) for place in stages[1].share(index)]
    assert sorted(shares) == list(range(1000)), "every job is in exactly one share"


@pytest.mark.parametrize(
    ("asked", "limit", "tasks"),
    [(Slurm(tasks=7), 1000, 7), (Slurm(parallel=300), 1000, 300), (Slurm(parallel=300), 40, 40)],
)
def test_tasks_are_as_many_as_asked_for_and_the_site_takes(asked: Slurm, limit: int, tasks: int) -> None:
    assert deal(plan(400), asked, (), limit)[1].tasks == tasks


def test_what_was_dealt_without_a_machine_is_found_in_the_plan_of_the_one_that_computes(
    tmp_path: Path,
) -> None:
    before, after = plan(4, host="login", data="?"), plan(4, host="n7", data="known")
    run = RunDir(tmp_path)
    Tasks(Slurm(partition="debug"), deal(before, Slurm(), (), 1000)).write(run)
    tasks = Tasks.read(run)
    assert tasks is not None
    assert tasks.asked.model_dump(exclude_unset=True) == {"partition": "debug"}
    found = [job for stage in tasks.stages for job in resolve(stage, after)]
    assert _shape(found) == _shape(after.jobs)


def _shape(jobs: Iterable[Job]) -> set[object]:
    return {(tuple(node.key for node in job.nodes), job.needs, job.exclusive) for job in jobs}


def test_what_is_stored_is_not_dealt_again() -> None:
    planned = plan(3)
    done = {job.number for job in planned.jobs if not job.exclusive}
    (stage,) = deal(planned, Slurm(), done, 1000)
    assert (stage.exclusive, len(stage.jobs)) == (True, 3)


def test_a_damaged_file_is_none(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.tasks.write_text('{"asked": {}, "stages": [[]]}')
    assert Tasks.read(run) is None


def test_a_round_is_an_array_and_a_task_that_measures_and_plans_the_next() -> None:
    stages = deal_round(plan(3), Slurm(), (), 1000, 4)
    assert [(s.name, s.exclusive, s.tasks, len(s.jobs), s.plans) for s in stages] == [
        ("shared3", False, 1, 1, None),
        ("trials3", False, 3, 3, None),
        ("plan4", True, 1, 3, 4),
    ]
    stored = {job.number for job in plan(3).jobs}
    (alone,) = deal_round(plan(3), Slurm(), stored, 1000, 4)
    assert (alone.name, alone.exclusive, alone.jobs) == ("plan4", False, ())
