"""What was asked for against what was used."""

from typing import Any

from engine.results import requests
from engine.studies.state import StudyState, TaskState


def task(number: int, seconds: float, cpu: float, peak_mb: int, restart: int = 0, **given: Any) -> TaskState:
    used = {"seconds": seconds, "cpu_seconds": cpu, "peak_memory": peak_mb << 20}
    ends = {"ends": 1000.0 + given.pop("limit")} if "limit" in given else {}
    values = {"cpus": 4, "memory_mb": 8000} | given | ends
    return TaskState(
        f"1_{number}.0", f"1_{number}", "trials", f"n{number}", 1000.0, restart, values, "done", 0, used
    )


def told(*tasks: TaskState) -> list[str]:
    state = StudyState(status="done")
    state.tasks = {one.task: one for one in tasks}
    return requests.lines(state)


def test_a_study_that_asked_for_too_much_gets_a_better_request() -> None:
    used, better = told(
        task(0, 3600, 4000, 900, limit=36_000), task(1, 1800, 2000, 700, restart=1, limit=36_000)
    )
    assert used == (
        "Slurm: 2 runs of tasks, 1 of them started again on n0, n1; 28 % of 4 processors; 900 of 8000 MB in one "
        "process; the longest took 1 h 0 m of 10 h 0 m"
    )
    assert better == (
        "a better request: --set executor.slurm.cpus=2 --set executor.slurm.memory=1200M "
        "--set executor.slurm.time=1:18:00"
    )


def test_a_request_that_fitted_is_left_alone() -> None:
    (used,) = told(task(0, 3600, 13_000, 6000, limit=4000))
    assert "90 % of 4 processors" in used


def test_a_local_study_is_told_nothing() -> None:
    assert told() == []
