"""The verdict on a replay: identical to the last bit, or where it differs and by how much."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import SecateurError, UsageError
from engine.runner import replay
from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.events import Verdict
from engine.studies.log import EventLog
from engine.studies.rundir import RunDir
from engine.studies.state import load
from engine.studies.status import Status
from engine.testing.events import ENVIRONMENT, finished, measures, planned, started

PRESET = "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train, prune.weights]\n"


def study(workspace: Path, *, private: bool = False, **changes: Any) -> RunDir:
    """A finished study of one trial, its results in the store; `changes` are of the trial's measures."""
    request = {"name": "s", "private_store": private, "replay_of": "s-1" if private else None}
    run = rundir.create(workspace, "s", PRESET, request)
    log = EventLog(run.events)
    events = [started(run.name, environment=ENVIRONMENT), planned([{}])]
    for key in ("t", "tm", "p0", "m0"):
        found = measures(0.75) | changes if key == "m0" else measures(0.9)
        store = run.store()
        with store.writing(key) as folder:
            (folder / "model.safetensors").write_bytes(key.encode())
            store.commit(key, folder, kind="step", material={}, measures=found, observations={"seconds": 1.0})
        events.append(finished(key, found, observations={"peak_memory": 5}))
    for event in (*events, ev.StudyFinished(state="done")):
        log.append(event)
    log.close()
    run.write_status(Status("done"))
    return run


def verdict(original: RunDir, again: RunDir) -> Verdict:
    return replay.compare(original, again, load(again.path))


def test_the_same_numbers_and_models_are_identical(tmp_path: Path) -> None:
    found = verdict(study(tmp_path), study(tmp_path, private=True))
    assert (found.identical, found.differences, found.environment) == (True, [], [])
    assert found.compared > 20


def test_what_is_observed_may_differ(tmp_path: Path) -> None:
    original, again = study(tmp_path), study(tmp_path, private=True)
    text = original.events.read_text()
    original.events.write_text(
        text.replace('"peak_memory": 5', '"peak_memory": 6').replace('"seconds": 2', '"seconds": 9')
    )
    assert verdict(original, again).identical


def test_a_number_is_told_with_its_place_and_by_how_much_it_differs(tmp_path: Path) -> None:
    found = verdict(study(tmp_path), study(tmp_path, private=True, accuracy=0.5))
    assert not found.identical
    (difference,) = found.differences
    assert difference == {"where": "trial 0 measure accuracy", "original": 0.75, "replay": 0.5, "by": -0.25}


def test_the_last_bit_counts(tmp_path: Path) -> None:
    (found,) = verdict(study(tmp_path, loss=0.3), study(tmp_path, private=True, loss=0.1 + 0.2)).differences
    assert found["where"] == "trial 0 measure loss"
    assert found["by"] == 0.1 + 0.2 - 0.3


def test_a_number_that_is_none_is_equal_to_itself(tmp_path: Path) -> None:
    nan = float("nan")
    assert verdict(study(tmp_path, loss=nan), study(tmp_path, private=True, loss=nan)).identical


def test_a_measure_that_one_side_lacks_is_a_difference(tmp_path: Path) -> None:
    (found,) = verdict(study(tmp_path), study(tmp_path, private=True, extra=1)).differences
    assert (found["where"], found["original"], found["replay"], found["by"]) == (
        "trial 0 measure extra",
        None,
        1,
        None,
    )


@pytest.mark.parametrize("content", [b"p1", None])
def test_a_model_changed_or_removed_on_disk_is_a_difference(tmp_path: Path, content: bytes | None) -> None:
    original, again = study(tmp_path), study(tmp_path, private=True)
    file = original.store().folder("p0") / "model.safetensors"
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    (found,) = verdict(original, again).differences
    assert found["where"] == "trial 0 prune.weights model.safetensors"
    assert found["original"] != found["replay"]


def test_another_environment_is_told(tmp_path: Path) -> None:
    original, again = study(tmp_path), study(tmp_path, private=True)
    again.events.write_text(
        again.events.read_text().replace('"2.14.1"', '"2.15.0"').replace("login1", "login2")
    )
    found = verdict(original, again)
    assert found.identical
    assert found.environment == [{"what": "packages.torch", "original": "2.14.1", "replay": "2.15.0"}]


def test_an_original_without_its_events_is_one_clear_error(tmp_path: Path) -> None:
    original, again = study(tmp_path), study(tmp_path, private=True)
    original.events.unlink()
    with pytest.raises(SecateurError, match="can't be compared"):
        verdict(original, again)


def test_only_a_finished_study_is_replayed(tmp_path: Path) -> None:
    run = study(tmp_path)
    run.write_status(Status("cancelled"))
    with pytest.raises(UsageError, match="cancelled"):
        replay.create(run)


def test_a_replay_reuses_nothing(tmp_path: Path) -> None:
    run = study(tmp_path)
    again = replay.create(run)
    assert again.store().root != run.store().root
    assert again.store().get("t") is None
    assert json.loads(again.request.read_text())["replay_of"] == run.name


def test_the_rows_of_a_table_are_compared_one_by_one(tmp_path: Path) -> None:
    def found(loss: float) -> dict[str, Any]:
        return {"rows": [{"layer": "a", "loss": float("nan")}, {"layer": "b", "loss": loss}]}

    original = study(tmp_path, sensitivity=found(0.5))
    assert verdict(original, study(tmp_path, private=True, sensitivity=found(0.5))).identical
    other = verdict(original, study(tmp_path, private=True, sensitivity=found(0.75)))
    (difference,) = other.differences
    assert difference["where"] == "trial 0 measure sensitivity.rows.1.loss"
    assert difference["by"] == 0.25
