"""Deleted studies come back whole, and go for good only after a while and when somebody says so."""

import json
import os
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.errors import SecateurError, UsageError
from engine.studies import bin, holdings
from engine.studies.rundir import RunDir, bin_folder, next_name, studies
from engine.testing import folders


def made(folder: Path, name: str = "a") -> RunDir:
    return folders.Study(folder, name, sparsities=(0.0, 0.5)).start().finish().run


def test_a_deleted_study_comes_back_whole(tmp_path: Path) -> None:
    run = made(tmp_path)
    before = {file.relative_to(run.path): file.read_bytes() for file in run.path.rglob("*") if file.is_file()}
    held = holdings.holdings(tmp_path)
    bin.delete(run)
    assert studies(tmp_path) == [] and not run.path.exists()
    (gone,) = holdings.holdings(tmp_path).holders
    assert gone.title == "a-1" and gone.keys == held.holders[0].keys and gone.deleted
    assert holdings.holdings(tmp_path).left_over(-1.0) == []  # its results are held still
    assert next_name(tmp_path, "a") == "a-2"
    again = bin.restore(tmp_path, "a-1")
    assert {f.relative_to(again.path): f.read_bytes() for f in again.path.rglob("*") if f.is_file()} == before
    with pytest.raises(UsageError, match="no study a-1 in the bin"):
        bin.restore(tmp_path, "a-1")


def test_of_one_name_the_last_comes_back_and_replaces_nothing(tmp_path: Path) -> None:
    run = made(tmp_path)
    bin.delete(run)
    made(tmp_path, "b").path.rename(run.path)  # another of the same name
    with pytest.raises(UsageError, match="another study"):
        bin.restore(tmp_path, "a-1")
    second = bin.delete(run)
    assert [one.name for one in bin.binned(tmp_path)] == ["a-1", "a-1"]
    assert bin.restore(tmp_path, "a-1").read_status().preset == "b"
    assert second.deleted > bin.binned(tmp_path)[0].deleted


def test_what_runs_is_not_deleted(tmp_path: Path) -> None:
    with pytest.raises(SecateurError, match="is running"):
        bin.delete(folders.Study(tmp_path, "a").start().run)


def test_what_others_restored_meanwhile_does_not_keep_the_rest_in_the_bin(tmp_path: Path) -> None:
    found = [bin.delete(made(tmp_path, name)) for name in ("a", "b")]
    (bin_folder(tmp_path) / "c-1.²").mkdir()  # not a time, though a digit
    assert len(bin.binned(tmp_path)) == 2
    bin.restore(tmp_path, "a-1")
    bin.empty(found)
    assert bin.binned(tmp_path) == [] and [run.name for run in studies(tmp_path)] == ["a-1"]


def test_the_bin_is_emptied_by_age_and_on_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SECATEUR_HOME", str(tmp_path))
    run = made(tmp_path)
    made(tmp_path, "b")
    assert main(["delete", "a-1", "--json"]) == 0 and json.loads(capsys.readouterr().out) == {
        "deleted": ["a-1"]
    }
    assert bin.expired(tmp_path) == [] and len(bin.expired(tmp_path, 0)) == 1
    assert main(["restore"]) == 0 and "a-1" in capsys.readouterr().out
    assert main(["clean", "--yes", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["emptied"] == [] and bin.binned(tmp_path)
    assert main(["clean", "--bin", "0d"]) == 0  # not at a terminal: it shows, and removes nothing
    assert "in the bin long enough" in capsys.readouterr().out and bin.binned(tmp_path)
    old = run.store().root
    for folder, _, names in os.walk(old):
        for name in (".", *names):
            os.utime(Path(folder, name), (1, 1))
    assert main(["clean", "--bin", "0d", "--yes", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["emptied"] == ["a-1"] and found["removed"] and not bin.binned(tmp_path)
    assert main(["doctor", "--json"]) in (0, 1)
    assert json.loads(capsys.readouterr().out)["disk_use"]["bin"] == 0
    kept = holdings.holdings(tmp_path)
    assert kept.holders[0].name == "b-1" and kept.held(kept.holders[0]) > 0
