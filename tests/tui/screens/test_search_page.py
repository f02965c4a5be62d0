"""A search's page: limits are moved, techniques pinned, trials of the front opened."""

from pathlib import Path

import pytest

from engine.presets import spec
from engine.presets.limits import Limit
from engine.search import held
from engine.studies import events as ev
from engine.studies import rundir
from engine.studies.log import EventLog
from engine.studies.rundir import RunDir
from engine.studies.settings import to_json
from engine.studies.status import Status
from engine.testing import events as made
from tests.tui.screens.test_screens import painted, shows
from tui.app import Lab
from tui.widgets.table import Table

PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 2}
search:
  smallest: size.packed
  within: {accuracy: -1 point}
  budget: {trials: 8}
  batch: 2
  over:
    - prune.weights: {sparsity: 0.1..0.95}
    - quantize.weights: {bits: 2..8, enabled: [true, false]}
"""
TRIALS = ((0.895, 60, True), (0.88, 30, False), (0.84, 10, True))
"""Accuracy, parameters left, and whether weights were quantized, of each candidate; the baseline has 0.9 and 100."""


def wished(run: RunDir) -> dict[str, bool]:
    return held.wished(run, held.space_of(run.spec(), run.name))


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    """A search that has tried three candidates."""
    read = spec.parse(PRESET, "p")
    text = spec.to_yaml(read.document)
    status = Status("cancelled", model="resnet20", data="digits")
    run = rundir.create(tmp_path / "w", "p", text, {"name": "p"}, to_json(read, text), status=status)
    log = EventLog(run.events)
    log.append(made.started("p-1"))
    log.append(ev.Planned(trials=[_trial(0, {})]))
    log.append(made.finished("t"))
    log.append(made.finished("tm", made.measures(0.9, 100)))
    proposals = [
        {
            "candidate": number,
            "role": "candidate",
            "rung": 0,
            "seed": 0,
            "point": {"prune.weights.sparsity": 0.1 * number + 0.1}
            | ({"quantize.weights.bits": 4} if on else {"quantize.weights.enabled": False}),
        }
        for number, (_, _, on) in enumerate(TRIALS)
    ]
    trials = [_trial(number + 1, proposal) for number, proposal in enumerate(proposals)]
    log.append(ev.Proposed(round=0, purpose="search", trials=trials))
    for number, (accuracy, left, _) in enumerate(TRIALS, 1):
        log.append(made.finished(f"p{number}"))
        log.append(made.finished(f"m{number}", made.measures(accuracy, left)))
    log.append(ev.StudyFinished(state="cancelled"))
    log.close()
    return run


def _trial(index: int, proposal: dict[str, object]) -> dict[str, object]:
    own = [{"key": f"p{index}", "kind": "prune.weights", "address": "prune.weights"}] if proposal else []
    return {
        "index": index,
        "parameters": proposal.get("point", {}),
        "steps": [{"key": "t", "kind": "train", "address": "train"}, *own],
        "measure": f"m{index}" if proposal else "tm",
        "latency": None,
        "baseline": "t",
        "baseline_measure": "tm",
        "proposal": proposal,
    }


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_another_limit_gives_another_answer_at_once_and_moves_the_star(
    run: RunDir, size: tuple[int, int]
) -> None:
    app = Lab(None, run.workspace, "curves")
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "cancelled 4/4")
        await shows(pilot, "s search")
        await pilot.press("s")
        await shows(
            pilot, "accuracy −1 point: trial 1,", "after round 0: 3 new: 3 of 3 done", "3 candidates in"
        )
        await pilot.press("plus", "plus", "plus")
        await shows(pilot, "with accuracy −2.5 points: trial 2,", "(3.3× smaller)")
        await pilot.press("minus", "minus", "minus", "minus")
        await shows(pilot, "accuracy −0.75 points: trial 1,")
        await pilot.press("0", "plus", "plus")
        await shows(pilot, "accuracy −2 points: trial 2,", "−1 point")
        assert all(len(line) <= size[0] for line in painted(app).splitlines())
        await pilot.press("escape")
        await shows(pilot, "trial 2:")
        await pilot.press("3")
        await shows(pilot, "1 study", "#2")
        await pilot.press("5")
        await shows(pilot, "p-1  trial 2 (0 to 3)")


async def test_limits_moved_of_another_search_of_that_name_are_dropped(run: RunDir) -> None:
    app = Lab(None, run.workspace, "curves")
    app.session.limits["p-1"] = (Limit("accuracy", "loss", 0.02), Limit("size.packed", "most", 1e6))
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "s search")
        await pilot.press("s")
        await shows(pilot, "accuracy −1 point: trial 1,")
        assert not app.session.limits


async def test_techniques_are_pinned_and_forbidden_but_not_all_of_them(run: RunDir) -> None:
    app = Lab(None, run.workspace, "run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "cancelled 4/4")
        await pilot.press("s")
        await shows(pilot, "free", "2 of 3")
        await pilot.press("p")
        await shows(pilot, "pinned")
        assert wished(run) == {"prune.weights": True}
        await pilot.press("p", "f")
        await shows(pilot, "forbidden")
        app.screen.query_one("#techniques", Table).move_to("quantize.weights")
        await pilot.press("f")
        await shows(pilot, "Nothing would be left that compresses")
        await pilot.press("escape")
        assert wished(run) == {"prune.weights": False}


async def test_a_search_that_is_through_takes_no_wishes(run: RunDir) -> None:
    log = EventLog(run.events)
    log.append(ev.Chosen(trial=2, sure=True, candidates=3, lines=["It won."]))
    log.append(ev.StudyFinished(state="done"))
    log.close()
    app = Lab(None, run.workspace, "run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "p-1")
        await pilot.press("s")
        await shows(pilot, "it is through")
        await pilot.press("p")
        await shows(pilot, "p-1 tries no more candidates", "It is through.", "secateur resume p-1")
        assert wished(run) == {}


async def test_a_trial_of_the_front_is_opened_and_becomes_a_preset(run: RunDir) -> None:
    app = Lab(None, run.workspace, "run")
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "cancelled 4/4")
        await pilot.press("s")
        await shows(pilot, "sparsity 0.2")
        await pilot.press("tab", "tab", "down", "enter")
        await shows(pilot, "trial 2", "Parameters")
        await pilot.press("2")
        await shows(pilot, "cancelled 4/4")
        await pilot.press("s")
        await shows(pilot, "sparsity 0.2")
        await pilot.press("e")
        await shows(pilot, "prune.weights")
    assert spec.read(run.path / "trial-3.yaml").settings.search is None
