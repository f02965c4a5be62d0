"""What may be cleaned away: never what a study that can be read holds, whatever its state, its age or its node."""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.store.keys import key
from engine.store.workspace import shared_store
from engine.studies import events as ev
from engine.studies import holdings
from engine.studies.rundir import RunDir
from engine.studies.status import Status

DAY = 86_400.0
KEYS = [key(number) for number in range(8)]
STATES = ("queued", "running", "done", "failed", "cancelled")


def stored(workspace: Path, name: str, days: float = 2.0, size: int = 100, artefact_of: str = "") -> None:
    """A result, or a file made from one, that was last used so many days ago."""
    folder = shared_store(workspace).folder(name)
    folder.mkdir(parents=True)
    content = b"x" * size
    (folder / "model.bin").write_bytes(content)
    files = {"model.bin": {"size": size, "sha256": hashlib.sha256(content).hexdigest()}}
    meta = {"format": 1, "kind": "train", "measures": {}, "observations": {}, "files": files}
    if artefact_of:
        meta |= {"kind": "artefact", "material": {"parent": artefact_of}}
    (folder / "object.json").write_text(json.dumps(meta))
    aged(folder, days)


def left(folder: Path, days: float = 2.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_bytes(b"x" * 10)
    aged(folder, days)
    return folder


def aged(folder: Path, days: float) -> None:
    for path in (*folder.rglob("*"), folder):
        os.utime(path, (time.time() - days * DAY,) * 2)


def study(
    workspace: Path, name: str, keys: Sequence[str], state: str = "done", host: str = "elsewhere"
) -> RunDir:
    """A study on another node that planned one trial of these steps."""
    run = RunDir.of(workspace, name)
    run.path.mkdir(parents=True)
    status = Status(state, host=host, updated=time.time(), done=1)  # type: ignore[arg-type]
    run.status.write_text(json.dumps(asdict(status)))
    steps = [{"key": one, "kind": "train", "address": "train"} for one in keys]
    trial = {"index": 0, "parameters": {}, "steps": steps, "latency": None, "baseline": keys[0]}
    plan = ev.Planned(
        trials=[trial | {"measure": keys[-1], "baseline_measure": keys[0], "beside": steps[:1]}]
    )
    run.events.write_bytes(ev.to_line(plan))
    return run


def names(items: Sequence[holdings.Item]) -> set[str]:
    return {item.key for item in items}


@settings(max_examples=50)
@given(
    stored_days=st.dictionaries(st.sampled_from(KEYS), st.floats(0, 10), max_size=8),
    partial=st.sets(st.sampled_from(KEYS)),
    plans=st.lists(
        st.tuples(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4), st.sampled_from(STATES)),
        max_size=4,
    ),
    older=st.floats(0, 10),
)
def test_clean_keeps_what_studies_hold_and_what_was_used_and_removes_the_rest(
    stored_days: dict[str, float],
    partial: set[str],
    plans: list[tuple[list[str], str]],
    older: float,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        for name, days in stored_days.items():
            stored(workspace, name, days)
        for name in partial:
            left(workspace / "store/partial" / name)
        for number, (keys, state) in enumerate(plans):
            study(workspace, f"s-{number}", keys, state)
        held = {name for keys, _ in plans for name in keys}
        found = holdings.holdings(workspace)
        holdings.remove(found.left_over(older * DAY), workspace)
        store = shared_store(workspace)
        for name, days in stored_days.items():
            unneeded = name not in held and days > older
            assert (store.get(name) is None) == unneeded or abs(days - older) < 1e-3
        for name in partial:
            kept = (name in held and name not in stored_days) or older > 2
            assert store.partial(name).exists() == kept or abs(older - 2) < 1e-3
        assert not list((workspace / "store/tmp").glob("*")) or older > 0


def test_a_study_that_begins_between_the_look_and_the_removal_keeps_its_results(tmp_path: Path) -> None:
    stored(tmp_path, KEYS[0])
    stored(tmp_path, KEYS[1])
    left_over = holdings.holdings(tmp_path).left_over()
    assert names(left_over) == {KEYS[0], KEYS[1]}
    study(tmp_path, "new", [KEYS[0]], "running")
    assert names(holdings.remove(left_over, tmp_path)) == {KEYS[1]}
    assert shared_store(tmp_path).get(KEYS[0]) is not None and shared_store(tmp_path).get(KEYS[1]) is None


def test_what_is_made_from_a_result_is_needed_as_long_as_that_is(tmp_path: Path) -> None:
    stored(tmp_path, KEYS[2], artefact_of=KEYS[0])
    stored(tmp_path, KEYS[3], artefact_of=KEYS[1])
    left_over = holdings.holdings(tmp_path).left_over()
    study(tmp_path, "new", [KEYS[0]], "running")
    assert names(left_over) == {KEYS[2], KEYS[3]}
    assert names(holdings.holdings(tmp_path).left_over()) == {KEYS[3]}
    assert names(holdings.remove(left_over, tmp_path)) == {KEYS[3]}
    assert shared_store(tmp_path).get(KEYS[2]) is not None


def test_what_is_taken_up_between_the_look_and_the_removal_stays(tmp_path: Path) -> None:
    for name in KEYS[:2]:
        stored(tmp_path, name)
    left_over = holdings.holdings(tmp_path).left_over()
    shared_store(tmp_path).note_use(KEYS[0])
    assert names(holdings.remove(left_over, tmp_path)) == {KEYS[1]}


@pytest.mark.parametrize(
    "broken", [b'{"event": "planned", "trials": 5}\n', b'{"event": "planned", "tri\n', b""]
)
def test_while_a_study_may_hold_anything_no_result_goes(tmp_path: Path, broken: bytes) -> None:
    stored(tmp_path, KEYS[0])
    left(tmp_path / "store/damaged" / f"{KEYS[1]}-1234")
    run = study(tmp_path, "odd", [KEYS[2]])
    run.events.write_bytes(broken)
    found = holdings.holdings(tmp_path)
    assert [one.name for one in found.unknown] == ["odd"]
    assert names(found.left_over()) == {KEYS[1]}


def test_using_a_result_again_makes_it_young(tmp_path: Path) -> None:
    store = shared_store(tmp_path)
    with store.writing(KEYS[0]) as folder:
        (folder / "model.bin").write_bytes(b"x")
        store.commit(KEYS[0], folder, kind="train", material={}, measures={}, observations={})
    aged(store.folder(KEYS[0]), 400)
    assert names(holdings.holdings(tmp_path).left_over()) == {KEYS[0]}
    assert store.review(KEYS[0], "train")[0] is not None
    assert holdings.holdings(tmp_path).left_over() == []


def test_temporary_folders_of_a_running_study_stay_however_old(tmp_path: Path) -> None:
    study(tmp_path, "long", [KEYS[0]], "running")
    left(tmp_path / "store/tmp" / f"{KEYS[0][:16]}-abc", days=30)
    dead = left(tmp_path / "store/tmp" / f"{KEYS[1][:16]}-abc", days=30)
    found = holdings.holdings(tmp_path).left_over()
    assert [item.path for item in found] == [dead]


def test_what_deleting_would_free_is_what_nobody_else_holds(tmp_path: Path) -> None:
    for name in KEYS[:3]:
        stored(tmp_path, name)
    study(tmp_path, "one", KEYS[:2])
    study(tmp_path, "two", KEYS[1:3])
    found = holdings.holdings(tmp_path)
    assert names(found.alone(["one"])) == {KEYS[0]}
    assert names(found.alone(["one", "two"])) == set(KEYS[:3])
    one = next(holder for holder in found.holders if holder.name == "one")
    assert found.held(one) == sum(item.size for item in found.items if item.key in KEYS[:2])


def test_of_another_users_files_nothing_is_removed(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    stored(tmp_path, KEYS[0])
    os.chown(shared_store(tmp_path).folder(KEYS[0]), 60_001, 60_000)
    child = os.fork()
    if child == 0:
        os.setuid(60_002)
        os._exit(len(holdings.holdings(tmp_path).left_over()))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert names(holdings.holdings(tmp_path).left_over()) == {KEYS[0]}


def test_the_command_shows_asks_and_removes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from engine.cli.main import main

    stored(tmp_path, KEYS[0], size=5000)
    stored(tmp_path, KEYS[1])
    study(tmp_path, "kept", [KEYS[1]])
    where = ["--workspace", str(tmp_path)]
    assert main(["clean", *where]) == 0
    assert "in 1 folder are results that no study holds" in (told := capsys.readouterr().out)
    assert "Nothing was removed" in told and shared_store(tmp_path).get(KEYS[0]) is not None
    assert main(["clean", "--older-than", "30d", "--yes", *where]) == 0
    assert "nothing of yours is left over" in capsys.readouterr().out
    assert main(["clean", "--yes", "--json", *where]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [item["key"] for item in found["removed"]] == [KEYS[0]]
    assert found["studies"][0] | {"folder": 0, "created": 0, "in_store": 0, "alone": 0} == {
        "study": "kept",
        "state": "done",
        "unknown": "",
        "deleted": 0.0,
        **dict.fromkeys(("folder", "created", "in_store", "alone"), 0),
    }
    assert shared_store(tmp_path).get(KEYS[0]) is None and shared_store(tmp_path).get(KEYS[1]) is not None


def test_a_search_holds_what_its_rounds_proposed(tmp_path: Path) -> None:
    run = study(tmp_path, "search-1", KEYS[:1])
    [planned] = [event for line in run.events.read_bytes().splitlines() if (event := ev.parse_line(line))]
    assert isinstance(planned, ev.Planned)
    steps = [{"key": KEYS[1], "kind": "finetune", "address": "finetune"}]
    proposed = planned.trials[0] | {"index": 1, "steps": steps, "measure": KEYS[2]}
    with run.events.open("ab") as file:
        file.write(ev.to_line(ev.Proposed(round=0, purpose="search", trials=[proposed])))
    for one in KEYS[:4]:
        stored(tmp_path, one)
    assert names(holdings.holdings(tmp_path).left_over()) == {KEYS[3]}
