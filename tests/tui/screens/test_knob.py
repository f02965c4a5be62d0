"""The knob's page with a real worker: what keys ask is answered, made a trial, and the process goes when one leaves."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from engine.studies.knob import Answer
from engine.studies.state import load
from tests import study_lab
from tests.study_lab import wait_for
from tests.tui.screens.test_screens import painted, shows
from tests.tui.terminal import Terminal
from tui.app import Lab
from tui.screens.knob import KnobScreen
from tui.screens.lab import LabScreen
from tui.session import Go

PRESET = f"""\
{study_lab.LEARNED}\
  - prune.weights: {{sparsity: 0.3}}
sweep:
  prune.weights.sparsity: [0, 0.3]
"""
WITHIN_S = 90.0
"""Plenty for a process that imports torch, even where all processors are busy."""
AGAIN_S = 3.0
"""After which a key is tried again that does nothing before there is an answer."""
RIGHT, F5 = b"\x1b[C", b"\x1b[15~"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> study_lab.Lab:
    """A real study of two trials."""
    lab = study_lab.Lab(tmp_path_factory.mktemp("lab"))
    lab.run(preset=lab.preset(PRESET))
    return lab


@pytest.fixture(autouse=True)
def _own_folders(study: study_lab.Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "SECATEUR_TESTS_FORKSERVER", "SECATEUR_HOME", "SECATEUR_LOCKS"):
        monkeypatch.setenv(name, study.environment[name])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def app(study: study_lab.Lab) -> Iterator[Lab]:
    """The lab at the study's last trial; no worker is left behind."""
    app = Lab(None, study.workspace, "trial")
    app.session.study, app.session.trial = "p-1", 1
    yield app
    wait_for(lambda: not workers(study))


def workers(study: study_lab.Lab) -> list[int]:
    """The processes that hold a model of the study for a knob."""
    running = study_lab.processes_of(study.workspace).items()
    return [pid for pid, command in running if "engine.compute.worker.knob.process" in command]


async def until(pilot: Pilot[None], true: Callable[[], object]) -> None:
    end = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end, painted(pilot.app)  # type: ignore[arg-type]
        await pilot.pause(0.02)


async def words(pilot: Pilot[None], *wanted: str) -> str:
    await until(pilot, lambda: all(word in painted(pilot.app) for word in wanted))  # type: ignore[arg-type]
    return painted(pilot.app)  # type: ignore[arg-type]


def answer(app: Lab) -> Answer | None:
    """What is known of the value on the page, once nothing finer follows."""
    screen = app.here
    assert isinstance(screen, KnobScreen)
    known = screen._answer()
    return known if known is not None and known.final else None


async def test_keys_turn_it_enter_gives_the_preset_and_leaving_ends_the_process(
    app: Lab, study: study_lab.Lab
) -> None:
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "p-1  trial 1")
        await pilot.press("K")
        await words(pilot, "A worker of its own loads torch", "takes some seconds")
        await pilot.press("escape")  # before it has even started
        await until(pilot, lambda: app.current_mode == "trial" and not workers(study))
        await pilot.press("K")
        await words(pilot, "weights at zero 30 %", "as this trial", "channels", "rank", "bits")
        await pilot.press("pageup", "right", "right", "left")
        await words(pilot, "weights at zero 41 %", "packed", "scored on")
        await pilot.press("tab", "right")
        await words(pilot, "times fewer multiply-accumulates 1.10×", "scored on", "conv1")
        await pilot.press("up", "up", "end")
        await words(pilot, "bits of a weight 2", "2 bits in each of")
        (process,) = workers(study)
        await pilot.press("question_mark")
        await words(pilot, "Keys that work here", "Start the worker again")
        await pilot.press("escape")
        await words(pilot, "bits of a weight 2")
        assert workers(study) == [process]  # a question over the page is no leaving
        await pilot.press("down", "right")  # after bits come weights again
        await until(pilot, lambda: answer(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LabScreen) and not workers(study))
        await words(pilot, "not saved")
        assert isinstance(app.screen, LabScreen)
        document = app.screen.document.root.plain()
        assert document["steps"][1] == {"prune.weights": {"sparsity": 0.3}} and "sweep" not in document
        assert document["steps"][2] == {"prune.weights": {"id": "prune-weights-2", "sparsity": 0.42}}
    assert not app.return_code


async def test_a_killed_worker_is_told_and_another_goes_on_and_makes_the_trial(
    app: Lab, study: study_lab.Lab
) -> None:
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "p-1  trial 1")
        await pilot.press("K")
        await words(pilot, "weights at zero 30 %", "as this trial")
        await pilot.press(*["pageup"] * 3)
        await until(pilot, lambda: answer(app))
        (process,) = workers(study)
        os.kill(process, signal.SIGKILL)
        await words(pilot, "The knob's worker ended", "a tries again")
        await pilot.press("a")
        text = await words(pilot, "weights at zero 60 %", "scored on", "beside the trial")
        assert all(len(line) <= 80 for line in text.splitlines())
        await pilot.press("right")
        await until(pilot, lambda: answer(app))
        told = answer(app)
        assert told is not None and told.value == 0.61

        await pilot.press("r")
        await until(pilot, lambda: app.current_mode == "run" and app.session.study == "p-2")
        run = app.session.run("p-2")
        await until(pilot, lambda: run.read_status().state == "done")
        (trial,) = load(run.path).trials
        assert abs(trial.results["validation_accuracy"] - told.quality) <= told.error + 1e-9
        assert trial.results["nonzero_parameters"] == told.costs.nonzero_parameters
        assert [step.reused for step in trial.steps] == [True, True, False, False]  # the trial, then the knob


async def test_where_no_trial_was_chosen_the_model_is_the_studys_pick(app: Lab, study: study_lab.Lab) -> None:
    """Not the first trial, which is another one here."""
    app.session.trial = None
    app.session.within = 100.0  # what is smallest may lose all that it knows
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "p-1  trial 1")
        app.screen.post_message(Go("knob"))
        await until(pilot, lambda: isinstance(app.screen, KnobScreen) and app.screen.ready())
        assert isinstance(app.screen, KnobScreen) and app.screen._turning is not None
        assert app.screen._turning.trial == app.session.trial == 1


def test_keys_held_down_in_a_terminal(study: study_lab.Lab) -> None:
    """25 keys in one write are 25 steps, from what is at zero already, and a killed lab leaves no process behind."""
    terminal = Terminal(study.workspace, (80, 24), "--open", "studies")
    try:
        terminal.ready("p-1")
        os.write(terminal.file, b"/p-1\r")
        terminal.settle()
        os.write(terminal.file, b"K")
        terminal.until("weights at zero", "this trial", seconds=WITHIN_S)
        terminal.settle()
        os.write(terminal.file, RIGHT * 25)
        asked, end = 0.0, time.monotonic() + WITHIN_S
        # From 30 % of the study's pick, or from 61 % of the trial that the test before this one makes of it.
        turned = (b"sparsity 0.55", b"sparsity 0.86")
        while not any(map(terminal.seen.__contains__, turned)):  # in the lab, once there is an answer
            assert time.monotonic() < end, terminal.text()[-2000:]
            if time.monotonic() > asked + AGAIN_S:
                os.write(terminal.file, b"\r")
                asked = time.monotonic()
            terminal.read(0.1)
        wait_for(lambda: not workers(study))
        os.write(terminal.file, F5)
        terminal.until("Parameters", seconds=10)
        os.write(terminal.file, b"K")
        wait_for(lambda: workers(study))
    finally:
        terminal.kill()
    wait_for(lambda: not workers(study))
