"""Steps that decide by measured times: alone on the machine, of this host, and repeated by a replay."""

import json
from pathlib import Path

import pytest

from engine.machine import environment
from engine.presets import spec
from engine.reports.remarks import recorded_lines
from engine.runner import replay
from engine.runner.executors.choose import machine
from engine.store.files import MEASUREMENTS
from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.log import EventLog
from engine.studies.plan import Job, Plan, data_id, make
from engine.studies.rundir import RunDir
from engine.studies.status import Status
from engine.testing.events import ENVIRONMENT, finished, measures, started

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 2}
  - prune.channels: {latency: {speedup: 2}}
  - finetune: {epochs: 1}
"""
TIMES = {"pair 1": {"speedup": 1.9}, "layers": [0.25, 0.125]}


def plan(*overrides: str, text: str = PRESET) -> Plan:
    read = spec.parse(text, "p", overrides)
    return make(read, {data_id(trial): "digits" for trial in read.trials}, machine(read.settings))


def kinds(job: Job) -> list[str]:
    return [node.kind for node in job.nodes]


def test_a_step_that_measures_time_runs_alone_between_what_is_before_and_after_it() -> None:
    before, alone, after = plan().jobs
    assert [kinds(job) for job in (before, alone, after)] == [
        ["train", "measure"],
        ["prune.channels"],
        ["finetune", "measure"],
    ]
    assert [job.exclusive for job in (before, alone, after)] == [False, True, False]
    assert alone.nodes[0].exclusive
    assert {node.key for node in alone.nodes} <= after.needs
    assert before.nodes[0].key in alone.needs


def test_a_step_with_a_computed_target_shares_the_machine() -> None:
    text = PRESET.replace("latency: {speedup: 2}", "speedup: 2")
    assert not any(job.exclusive for job in plan(text=text).jobs)


INT8 = PRESET.replace("prune.channels: {latency: {speedup: 2}}", "calibrate: {}").replace(
    "finetune: {epochs: 1}", "quantize.static: {faster: true}"
)


@pytest.mark.parametrize("text", [PRESET, INT8], ids=["channels", "int8"])
def test_every_kind_of_step_that_measures_time_names_the_host_in_its_key(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, described = (
        {job.nodes[0].key for job in plan(text=text).jobs if job.exclusive},
        environment.describe(),
    )
    monkeypatch.setattr(environment, "describe", lambda: described | {"host": "another"})
    elsewhere = {job.nodes[0].key for job in plan(text=text).jobs if job.exclusive}
    assert here
    assert not here & elsewhere


def test_every_job_of_a_sweep_with_measured_times_can_be_done() -> None:
    found = plan("sweep.prune.channels.latency.speedup=[1.5, 2, 3]", "measure.latency={}")
    done: set[str] = set()
    left = list(found.jobs)
    while ready := [job for job in left if job.needs <= done]:
        done |= {node.key for job in ready for node in job.nodes}
        left = [job for job in left if job not in ready]
    assert not left
    assert sum(job.exclusive for job in found.jobs) == 3 + 3
    assert all(len(job.nodes) == 1 for job in found.jobs if job.exclusive)


def test_such_a_step_belongs_to_its_host_and_runtime_and_those_before_it_do_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def keys() -> list[str]:
        return [step.key for step in plan().trials[0].steps]

    here, described, packages = keys(), environment.describe(), environment.packages()
    with monkeypatch.context() as changed:
        changed.setattr(environment, "describe", lambda: described | {"host": "another"})
        elsewhere = keys()
    assert elsewhere[0] == here[0]
    assert not set(elsewhere[1:]) & set(here[1:])
    monkeypatch.setattr(environment, "packages", lambda: packages | {"onnxruntime": "9.9"})
    newer = keys()
    assert newer[0] == here[0]
    assert not set(newer[1:]) & set(here[1:])


def study(workspace: Path, planned: Plan) -> RunDir:
    """A finished study whose pruning recorded TIMES."""
    run = rundir.create(workspace, "s", PRESET, {"name": "s", "private_store": False, "replay_of": None})
    log = EventLog(run.events)
    (trial,) = planned.trials
    events: list[ev.Event] = [
        started(run.name, environment=ENVIRONMENT),
        ev.Planned(trials=[trial.as_dict()]),
    ]
    for node in planned.nodes.values():
        with run.store().writing(node.key) as folder:
            if node.exclusive:
                (folder / MEASUREMENTS).write_text(json.dumps(TIMES))
            run.store().commit(
                node.key, folder, kind=node.kind, material={}, measures=measures(0.9), observations={}
            )
        events.append(finished(node.key, measures(0.9)))
    for event in (*events, ev.StudyFinished(state="done")):
        log.append(event)
    log.close()
    run.write_status(Status("done"))
    return run


def test_a_replay_is_given_the_times_of_its_original_on_another_host_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = study(tmp_path, plan())
    described = environment.describe()
    monkeypatch.setattr(environment, "describe", lambda: described | {"host": "another"})
    there, again = plan(), replay.create(original)
    replay.hand_over(original, there, again.store())
    step = there.trials[0].steps[1]
    assert json.loads((again.store().partial(step.key) / MEASUREMENTS).read_text()) == TIMES
    assert not again.store().partial(there.trials[0].steps[0].key).exists()


def test_a_replay_that_goes_on_keeps_the_times_it_has(tmp_path: Path) -> None:
    original = study(tmp_path, plan())
    again = replay.create(original)
    own = again.store().partial(plan().trials[0].steps[1].key) / MEASUREMENTS
    own.parent.mkdir(parents=True)
    own.write_text("{}")
    replay.hand_over(original, plan(), again.store())
    assert own.read_text() == "{}"


def test_the_verdict_tells_that_times_were_not_measured_anew() -> None:
    assert recorded_lines(0) == []
    (line,) = recorded_lines(2)
    assert "2 steps" in line
