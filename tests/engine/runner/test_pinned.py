"""A study that goes on where less is allowed than where it began."""

from dataclasses import replace

import pytest

from engine.machine import limits, value
from engine.params.preset import Executor, Local
from engine.presets import spec
from engine.runner import pinned
from engine.runner.pinned import Pinned

GB = 10**9
PRESET = """\
threads: 2
model: {name: resnet20}
data: {name: digits}
steps: [{train: {epochs: 1}}]
executor: {local: {parallel: 4}}
"""


@pytest.mark.parametrize(
    ("cpus", "memory", "expected", "told"),
    [
        (8, 16 * GB, 4, ""),
        (16, 64 * GB, 4, ""),
        (5, 16 * GB, 2, "5 processors are allowed here, and 8 were where it began"),
        (1, 16 * GB, 1, "1 processor is allowed here, and 8 were where it began"),
        (8, 12 * GB, 3, "12.0 GB of memory are allowed here, and 16.0 GB were where it began"),
        (4, 2 * GB, 1, "2.00 GB of memory are allowed here, and 16.0 GB were where it began"),
    ],
)
def test_trials_at_a_time_are_fewer_where_less_is_allowed(
    monkeypatch: pytest.MonkeyPatch, cpus: int, memory: int, expected: int, told: str
) -> None:
    settings = spec.parse(PRESET, "p").settings
    assert settings.executor == Executor(local=Local(parallel=4))
    now = replace(value.here("cpu", 2, 4), cpus=cpus)
    monkeypatch.setattr(limits, "whole_memory", lambda: memory)
    kept = Pinned("h", "cpu", 2, 8, {}, 16 * GB)
    found, why = pinned.parallel(settings, kept, now)
    assert found == expected
    assert told in why and bool(told) == bool(why)
    assert pinned.parallel(settings, None, now) == (4, ""), "what is asked of a new study is done"
    assert pinned.parallel(settings, replace(kept, cpus=4, memory=0), now)[0] == 4, (
        "they shared them from the start"
    )


@pytest.mark.parametrize(
    ("cpus", "at_a_time", "told"), [(8, 4, ""), (4, 4, "8 threads at a time, and 4"), (4, 2, "")]
)
def test_trials_that_take_turns_on_processors_are_told(cpus: int, at_a_time: int, told: str) -> None:
    settings = spec.parse(PRESET, "p").settings
    said = pinned.crowded(settings, replace(value.here("cpu", 2, 4), cpus=cpus), at_a_time)
    assert told in said and bool(told) == bool(said)
