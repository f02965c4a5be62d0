"""What starting an engine does where it can't be started, and how it knows its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from engine.cli.main import main
from engine.errors import SecateurError, UsageError
from engine.presets.spec import parse
from engine.runner import launch
from engine.store.objects import Store
from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.lease import Held, claim
from engine.studies.rundir import RunDir

PRESET = "model: {name: resnet20}\ndata: {name: digits}\nsteps: [train: {epochs: 1}]\n"
LATENCY = "a" * 64


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    return launch.create(parse(PRESET, "p"), tmp_path)


def test_what_only_slurm_can_do_is_refused_elsewhere_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "p.yaml").write_text(PRESET)
    for option in ("--prepare", "--show-script"):
        command = ["run", str(tmp_path / "p.yaml"), option, "--workspace", str(tmp_path / "w")]
        assert main(command) == 2
        assert "does not run by Slurm" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def noisy(run: RunDir) -> Store:
    """A finished study of one trial, whose latency others disturbed."""
    trial = {"index": 0, "parameters": {}, "steps": [], "measure": None, "latency": LATENCY, "baseline": ""}
    found = {"rows": [{"runtime": "torch", "foreign_load": 0.9}]}
    done = ev.StepFinished(
        key=LATENCY, kind="latency", seconds=1.0, measures={}, observations=found, reused=False
    )
    told = (ev.Planned(trials=[trial | {"baseline_measure": None}]), done)
    run.events.write_bytes(b"".join(map(ev.to_line, told)))
    store = run.store()
    with store.writing(LATENCY) as folder:
        store.commit(LATENCY, folder, kind="latency", material={}, measures={}, observations=found)
    return store


def test_what_somebody_resumes_is_the_latest_and_what_is_refused_is_not(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(run: RunDir, *, first: Callable[[], None], **_: object) -> None:
        first()

    monkeypatch.setattr(launch, "_start_engine", start)
    other = launch.create(parse(PRESET, "q"), run.workspace)
    os.utime(run.request, (1, 1))
    with pytest.raises(UsageError):
        launch.begin_now(run)
    assert rundir.find(run.workspace, "latest").name == other.name
    launch.start(run, after=True)
    assert rundir.find(run.workspace, "latest").name == run.name


def test_a_study_that_kept_no_settings_can_be_asked_for_otherwise_too(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of earlier versions; where it is refused, it is as it was."""

    def start(run: RunDir, *, first: Callable[[], None], **_: object) -> None:
        first()
        asked.append(run.settings().of_trial(0).executor.parallel)
        if len(asked) == 1:
            raise UsageError("refused")

    asked: list[int] = []
    run.kept_settings.unlink()
    preset = run.preset.read_text()
    monkeypatch.setattr(launch, "_start_engine", start)
    with pytest.raises(UsageError, match="refused"):
        launch.start(run, overrides=["executor.local.parallel=2"])
    assert run.preset.read_text() == preset and not run.kept_settings.exists()
    launch.start(run, overrides=["executor.local.parallel=3"])
    assert asked == [2, 3] and run.settings().of_trial(0).executor.parallel == 3


def test_nothing_is_measured_again_where_the_study_can_not_go_on(run: RunDir) -> None:
    store = noisy(run)
    assert launch.noisy_latency(run) == [LATENCY]
    lease = claim(run.path, 5.0)
    with pytest.raises(Held):
        launch.start(run, remeasure=True)
    assert store.get(LATENCY) is not None
    lease.release()


def test_an_engine_is_known_by_more_than_its_number_and_a_slow_one_has_not_failed(
    run: RunDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "APPEARS_WITHIN_S", 0.2)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        run.write_status(replace(run.stored_status(), state="running", pid=process.pid, start_ticks=1))
        with pytest.raises(SecateurError, match="is still starting"):
            launch._wait_for(run, process)
        ticks = launch.process_identity(process.pid)[0]
        run.write_status(replace(run.stored_status(), start_ticks=ticks, host=os.uname().nodename))
        launch._wait_for(run, process)
    finally:
        process.communicate()
