"""State is what replaying the events gives, whatever happened in between."""

import time
from dataclasses import replace
from pathlib import Path

import pytest

from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.log import EventLog
from engine.studies.rundir import RunDir
from engine.studies.state import Reader, StudyState, load
from engine.studies.status import Status
from engine.testing.events import began, epoch, finished, measures, planned, replayed, started, study

ONE = [{"sparsity": 0.5}]
TWO = [{"sparsity": 0.5}, {"sparsity": 0.9}]
ERROR = {"title": "No", "detail": "It can't.", "remedy": "Try."}


def folder(path: Path, *events: ev.Event, state: str = "done") -> RunDir:
    run = rundir.create(path, "s", "", {})
    log = EventLog(run.events)
    for event in events:
        log.append(event)
    log.close()
    run.write_status(Status(state))  # type: ignore[arg-type]
    return run


def test_a_trial_is_done_when_it_is_scored_and_its_latency_may_be_to_come() -> None:
    state = replayed(
        started(), planned(ONE, latency=True), finished("t"), finished("tm", measures(0.9)), finished("p0")
    )
    assert (state.done, state.untimed, state.standing(state.trials[0])) == (0, 0, "waiting")
    state.apply(finished("m0", measures(0.8)))
    assert (state.done, state.untimed, state.standing(state.trials[0])) == (1, 1, "scored")
    assert state.counts == "1 of 1 trial done, 1 without latency yet"
    state.apply(finished("l0", observations={"rows": []}))
    assert (state.done, state.untimed, state.trials[0].status) == (1, 0, "done")


def test_a_study_goes_from_planned_to_done() -> None:
    events = [started(), planned(ONE), began("t"), finished("t"), finished("tm", measures(0.9))]
    state = replayed(*events)
    assert (state.status, state.trials[0].status, state.done) == ("running", "waiting", 0)
    state.apply(began("p0"))
    assert state.trials[0].status == "running"
    state.apply(finished("p0"))
    state.apply(finished("m0", measures(0.8), observations={"peak_memory": 5}))
    state.apply(ev.StudyFinished(state="done"))
    assert (state.status, state.trials[0].status, state.done, state.progress) == ("done", "done", 1, 1.0)
    assert state.trials[0].results["accuracy"] == 0.8
    assert state.trials[0].results["peak_memory"] == 5


def test_time_between_engines_and_before_its_turn_is_not_worked() -> None:
    state = replayed(
        replace(started(), time=100.0),
        ev.Notice(level="info", text="It waits", idle=True, time=105.0),
        ev.Notice(level="info", text="Its turn has come", time=1105.0),
        replace(began("t"), time=1107.0),
        replace(started(), time=5000.0),
        ev.Notice(level="info", text="It waits", idle=True, time=5001.0),
        ev.StudyFinished(state="cancelled", time=9000.0),
    )
    assert state.worked == 8.0


def test_epochs_that_come_from_the_store_were_not_worked_since_then() -> None:
    """A search's budget of hours would be used up by the age of what it reuses."""
    state = replayed(
        replace(started(), time=10_000.0),
        replace(epoch("t", 1), time=100.0),
        replace(finished("t", reused=True), time=10_002.0),
    )
    assert state.worked == 2.0


def test_a_task_that_was_lost_has_ended_when_the_study_is_taken_up_again() -> None:
    begun = ev.TaskStarted(task="7_0.0", name="7_0", stage="plan1", host="n1")
    state = replayed(
        replace(started(), time=100.0),
        replace(begun, time=110.0),
        replace(began("t"), time=150.0),
        replace(started(resumed=True), time=90_000.0),
    )
    assert (state.tasks["7_0.0"].ended, state.tasks["7_0.0"].outcome) == (150.0, "")


def test_a_shared_step_that_failed_fails_every_trial_that_needs_it() -> None:
    state = replayed(started(), planned(TWO), ev.StepFailed(key="t", kind="train", error=ERROR))
    assert [trial.status for trial in state.trials] == ["failed", "failed"]
    assert [trial.error for trial in state.trials] == [ERROR, ERROR]
    assert state.failed == 2


def test_a_baseline_that_can_not_be_measured_fails_its_trials() -> None:
    failed = ev.StepFailed(key="tm", kind="measure", error=ERROR)
    state = replayed(started(), planned(TWO), finished("t"), failed)
    assert [(trial.status, trial.error) for trial in state.trials] == [("failed", ERROR)] * 2


def test_a_failure_of_one_trial_leaves_the_others() -> None:
    events = [started(), planned(TWO), finished("t"), finished("tm"), finished("p1"), finished("m1")]
    state = replayed(*events, ev.StepFailed(key="p0", kind="prune.weights", error=ERROR))
    assert [trial.status for trial in state.trials] == ["failed", "done"]


def test_a_resumed_study_forgets_failures_and_what_was_running() -> None:
    failed = ev.StepFailed(key="p0", kind="prune.weights", error=ERROR)
    before = [started(), planned(TWO), finished("t"), failed, began("p1"), epoch("p1", 1)]
    state = replayed(*before, started(resumed=True), planned(TWO))
    assert [trial.status for trial in state.trials] == ["waiting", "waiting"]
    assert [trial.error for trial in state.trials] == [None, None]
    assert state.status == "running"


def test_the_epochs_of_a_resumed_study_are_there_once() -> None:
    told = [epoch("t", 1), epoch("t", 2), epoch("t", 3)]
    once = [started(), planned(ONE), began("t"), *told, finished("t")]
    again = [started(resumed=True), planned(ONE), *told, finished("t", reused=True)]
    assert [e.epoch for e in replayed(*once, *again).steps["t"].epochs] == [1, 2, 3]


def test_a_step_that_begins_again_tells_its_epochs_again() -> None:
    state = replayed(started(), planned(ONE), began("t"), epoch("t", 1), began("t"), epoch("t", 1))
    assert [e.epoch for e in state.steps["t"].epochs] == [1]


def test_steps_of_an_earlier_plan_do_not_count() -> None:
    """Another environment or an edited file gives other keys when a study is resumed."""
    before = planned(TWO)
    state = replayed(started(), before, finished("t"), started(resumed=True), planned(ONE))
    assert set(state.steps) == {"t", "tm", "p0", "m0"}


def test_a_cancelled_study_has_nothing_running() -> None:
    state = replayed(started(), planned(ONE), began("t"), ev.StudyFinished(state="cancelled"))
    assert state.steps["t"].status == "waiting"
    assert state.trials[0].status == "waiting"


def test_time_left_is_known_once_each_kind_of_step_has_been_done() -> None:
    assert study(({"x": 1}, None), ({"x": 2}, None)).remaining_seconds() is None
    state = study(({"x": 1}, measures(0.8)), ({"x": 2}, None))
    assert state.remaining_seconds() == 4.0, "a pruning and a measuring of two seconds"
    state.apply(began("p1"))
    state.apply(ev.StepProgress(key="p1", done=0.5))
    assert state.remaining_seconds() == 3.0
    assert study(({"x": 1}, measures(0.8))).remaining_seconds() == 0.0


def test_what_a_resumed_study_reuses_stands_in_for_kinds_not_computed_yet() -> None:
    """Its shared training was done before; that of the next seed is known to take as long."""
    events = [started(), planned(TWO), finished("t", reused=True), finished("tm", reused=True)]
    events += [finished("p0", reused=True), finished("m0")]
    assert replayed(*events).remaining_seconds() == 4.0, "a pruning and a measuring of two seconds"


def test_reused_results_do_not_tell_how_long_the_rest_takes() -> None:
    events = [started(), planned(TWO), finished("t", reused=True), finished("tm", reused=True)]
    events += [finished("p0", reused=True), finished("m0", reused=True)]
    assert replayed(*events).remaining_seconds() is None


def test_lines_that_can_not_be_read_are_counted_and_skipped(tmp_path: Path) -> None:
    run = folder(tmp_path, started(), planned(ONE))
    with run.events.open("ab") as file:
        file.write(b'garbage\n{"event": "from the future"}\n')
    log = EventLog(run.events)
    log.append(finished("t"))
    log.close()
    state = load(run.path)
    assert (state.unreadable, state.steps["t"].status) == (2, "done")


def test_a_torn_last_line_waits_for_its_rest(tmp_path: Path) -> None:
    run = folder(tmp_path, started(), planned(ONE))
    line = ev.to_line(finished("t"))
    reader = Reader(run)
    with run.events.open("ab", buffering=0) as file:
        file.write(line[:20])
        reader.read_all()
        assert reader.state.steps["t"].status == "waiting"
        file.write(line[20:])
    assert reader.read_all().steps["t"].status == "done"
    assert reader.state.unreadable == 0


def test_a_log_replaced_by_a_shorter_one_is_read_from_its_start(tmp_path: Path) -> None:
    run = folder(tmp_path, started(), planned(TWO), finished("t"))
    reader = Reader(run)
    reader.read_all()
    run.events.write_bytes(ev.to_line(started("other")))
    reader.read_all()
    assert reader.read_all().name == "other"


def test_a_trial_of_a_study_that_is_over_neither_runs_nor_waits() -> None:
    state = replayed(started(), planned(TWO), began("t"), finished("t"), began("p0"))
    assert [state.standing(trial) for trial in state.trials] == ["running", "waiting"]
    state.status = "lost"
    assert [state.standing(trial) for trial in state.trials] == ["unfinished", "not run"]
    assert [state.standing(step) for step in state.trials[0].chain] == ["done", "unfinished", "not run"]


def test_a_study_waits_while_all_that_runs_of_it_does() -> None:
    state = replayed(started(), ev.StepWaits(key="c", text="for a-1 to measure latency"))
    assert state.waits == "for a-1 to measure latency", "its check-up"
    for event in (ev.StepWaits(key="c", text=""), planned(TWO), began("p0"), began("p1")):
        state.apply(event)
    state.apply(ev.StepWaits(key="p0", text="for b-1 to measure latency"))
    assert (state.waits, state.steps["p0"].text) == ("", "waits for b-1 to measure latency")
    state.apply(ev.StepWaits(key="p1", text="for b-1 to measure latency"))
    assert state.waits == "for b-1 to measure latency"
    state.apply(ev.StepWaits(key="p0", text=""))
    assert (state.waits, state.steps["p0"].text) == ("", "")


def test_a_study_whose_engine_is_gone_is_lost(tmp_path: Path) -> None:
    run = folder(tmp_path, started(), planned(ONE), began("t"))
    import os
    import socket

    gone = Status("running", host=socket.gethostname(), pid=os.getpid(), start_ticks=1, boot_id="other")
    run.write_status(gone)
    assert load(run.path).status == "lost"


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"state": "well"}', '{"state": "done", "trials": "many"}', ""]
)
def test_a_damaged_status_is_unreadable_and_no_crash(tmp_path: Path, content: str) -> None:
    run = folder(tmp_path, started(), planned(ONE), finished("t"))
    run.status.write_text(content)
    state = load(run.path)
    assert (state.status, state.steps["t"].status) == ("unreadable", "done")


def test_a_long_log_is_replayed_in_seconds(tmp_path: Path) -> None:
    progress = [ev.StepProgress(key="t", done=n / 20_000, text=f"epoch {n}") for n in range(20_000)]
    run = folder(tmp_path, started(), planned(TWO))
    with run.events.open("ab") as file:
        file.writelines(map(ev.to_line, progress))
    before = time.process_time()
    state = load(run.path)
    assert state.steps["t"].text == "epoch 19999"
    assert time.process_time() - before < 2.0


def test_an_empty_state_has_no_numbers() -> None:
    state = StudyState()
    assert (state.progress, state.done, state.remaining_seconds()) == (0.0, 0, None)


def test_until_steps_tell_the_time_left_is_what_was_expected_whoever_asks(tmp_path: Path) -> None:
    run = folder(tmp_path, started(), planned(TWO), finished("t", reused=True), finished("tm", reused=True))
    run.write_status(replace(run.stored_status(), state="running", expected=60.0, executor="slurm"))
    first, second = load(run.path), load(run.path)
    assert first.remaining_seconds() == second.remaining_seconds() == 60.0 * (1 - first.progress)
