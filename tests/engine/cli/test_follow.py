"""What is told while a study is followed: of each event its lines, and nothing twice."""

from engine.cli.follow import Known, told
from engine.reports.remarks import closing
from engine.studies import events as ev
from engine.testing.events import finished, planned, replayed, started


def test_what_was_in_the_store_is_told_as_reused() -> None:
    again = finished("t", {"validation_accuracy": 0.5}, reused=True)
    state = replayed(started(), planned([{}]), again, finished("p0"))
    assert list(told(again, state, Known())) == ["train: validation 50.00 % (reused)"]
    assert "reused from the store: 1 of 2 results (train)" in closing(state)


def test_on_a_terminal_a_trial_is_told_once_and_so_is_what_every_trial_says() -> None:
    values = [
        {"quantize.weights.bits": 4, "quantize.weights.enabled": True, "prune.enabled": False},
        {"x": 1},
    ]
    events = [finished("p0", {"validation_accuracy": 0.5}), finished("m0"), finished("p1")]
    notice = ev.Notice(level="info", text="All channels stay in fc", key="p0")
    state = replayed(started(), planned(values), *events)
    known = Known()
    lines = [
        list(told(one, state, known, brief=True)) for one in (events[0], notice, events[1], notice, events[2])
    ]
    assert lines[0] == ["trial 0: bits 4, prune off", "trial 0 prune.weights: validation 50.00 % (2.0 s)"]
    assert lines[1] == ["info: All channels stay in fc"] and not lines[3]
    assert all(line.startswith("trial 0 ") for line in lines[2]) and len(lines[2]) == 1
    assert lines[4][0] == "trial 1: x 1"


def test_epochs_that_a_worker_takes_up_are_told_once() -> None:
    first, second = (
        ev.EpochFinished(
            key="t", epoch=n, epochs=2, loss=1.0, validation_loss=1.0, learning_rate=0.1, seconds=1.0
        )
        for n in (1, 2)
    )
    state, known = replayed(started(), planned([{}])), Known()
    lines = [list(told(event, state, known)) for event in (first, first, second)]
    assert list(map(len, lines)) == [1, 0, 1]


def test_whose_a_step_is_is_known_of_the_trials_as_they_are_planned_now() -> None:
    known, trained = Known(), finished("t", {"validation_accuracy": 0.5})
    for trials, who in (([{"x": 1}], "trial 0 train"), ([{"x": 1}, {"x": 2}], "train (shared by 2 trials)")):
        *_, line = told(trained, replayed(started(), planned(trials), trained), known)
        assert line.startswith(f"{who}: ")


def test_a_reason_that_trials_share_is_told_in_full_once() -> None:
    failed = [
        ev.StepFailed(key=key, kind="p", error={"title": "No", "detail": "Too large.", "remedy": "Less."})
        for key in ("p0", "p1")
    ]
    state, known = replayed(started(), planned([{"x": 1}, {"x": 2}]), *failed), Known()
    lines = [list(told(event, state, known))[-1] for event in failed]
    assert "Too large." in lines[0]
    assert lines[1] == "FAILED trial 1 prune.weights: for the same reason as before"
