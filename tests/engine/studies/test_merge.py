"""Many event files are one sequence, however they become visible."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.studies import events as ev
from engine.studies.rundir import RunDir
from engine.studies.state import Reader, StudyState, load
from engine.testing.events import planned

KEYS = ("t", "tm", "p0", "m0")
Lines = list[tuple[float, str, str]]
"""Time, what happened, and the key."""

lines = st.lists(
    st.tuples(st.floats(1, 9), st.sampled_from(["began", "epoch", "done", "failed"]), st.sampled_from(KEYS)),
    max_size=8,
)


def event(when: float, what: str, key: str, task: str) -> ev.Event:
    match what:
        case "began":
            return ev.StepStarted(time=when, key=key, kind="step", task=task)
        case "epoch":
            return ev.EpochFinished(
                time=when,
                key=key,
                epoch=1,
                epochs=2,
                loss=when,
                validation_loss=1,
                learning_rate=1,
                seconds=1,
            )
        case "done":
            return ev.StepFinished(time=when, key=key, kind="step", reused=False, seconds=when, measures={})
        case _:
            return ev.StepFailed(time=when, key=key, kind="step", error={"title": str(when)})


def written(found: list[Lines]) -> dict[str, list[bytes]]:
    """Event files of a study: the plan's, and one for each task."""
    plan = ev.Planned(time=1.0, trials=planned([{}]).trials)
    files = {"1_0.0.jsonl": [ev.to_line(plan)]}
    for number, events in enumerate(found):
        task = f"2_{number}.0"
        begin = ev.TaskStarted(time=1.0, task=task, name=f"2_{number}", stage="trials", host="n1")
        files[f"{task}.jsonl"] = [
            ev.to_line(begin),
            *(ev.to_line(event(*one, task)) for one in sorted(events)),
        ]
    return files


def described(state: StudyState) -> object:
    return (
        {key: state.steps[key] for key in sorted(state.steps)},
        state.tasks,
        [t.status for t in state.trials],
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(found=st.lists(lines, min_size=1, max_size=3), choices=st.data())
def test_the_state_is_that_of_the_sorted_whole_in_whatever_order_lines_appear(
    found: list[Lines], choices: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole, growing = (RunDir(tmp_path_factory.mktemp("s")) for _ in range(2))
    files = written(found)
    for run in (whole, growing):
        run.task_events.mkdir()
    for name, content in files.items():
        (whole.task_events / name).write_bytes(b"".join(content))
    reader = Reader(growing)
    left = {name: list(content) for name, content in files.items()}
    while left:
        name = choices.draw(st.sampled_from(sorted(left)))
        with (growing.task_events / name).open("ab") as file:
            file.write(left[name].pop(0))
        if not left[name]:
            del left[name]
        if choices.draw(st.booleans()):
            reader.poll()
    assert described(reader.read_all()) == described(load(whole.path))


def test_a_file_whose_task_has_ended_is_not_looked_at_any_more(tmp_path: Path) -> None:
    run = RunDir(tmp_path)
    run.task_events.mkdir()
    file = run.task_events / "1_0.0.jsonl"
    begin = ev.TaskStarted(task="1_0.0", name="1_0", stage="trials", host="n1")
    file.write_bytes(ev.to_line(begin) + ev.to_line(ev.TaskEnded(task="1_0.0", outcome="done")))
    reader = Reader(run)
    reader.read_all()
    assert [entry[0] for entry in reader.signature()] == ["events.jsonl"]  # type: ignore[index]


def test_what_a_task_left_when_it_ended_or_was_started_again_waits() -> None:
    state = StudyState()
    state.apply(ev.Planned(trials=planned([{}]).trials))

    def start(restart: int) -> None:
        task = f"1_0.{restart}"
        state.apply(ev.TaskStarted(task=task, name="1_0", stage="shared", host="n1", restart=restart))
        state.apply(ev.StepStarted(key="t", kind="train", task=task))

    start(0)
    assert state.steps["t"].status == "running"
    state.apply(ev.TaskStarted(task="1_0.1", name="1_0", stage="shared", host="n2", restart=1))
    assert (state.steps["t"].status, state.tasks["1_0.0"].outcome) == ("waiting", "requeued")
    start(2)
    state.apply(ev.TaskEnded(task="1_0.2", outcome="stopped"))
    assert state.steps["t"].status == "waiting"
