"""The live knob: its answers are what a run of the same preset gives, and its process goes when it is left."""

import pytest
import yaml

from engine.runner.knob import Answer, Knob
from tests.study_lab import Lab, wait_for

PRESET = """\
seed: 0
threads: 1
device: cpu
model: {name: resnet20, arguments: {width: 4}}
data: {name: digits, limit: 300}
steps:
  - train: {epochs: 4, batch: 32}
"""
WITHIN_S = 60.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.run(preset=lab.preset(PRESET))
    return lab


@pytest.fixture(scope="module")
def knob(lab: Lab) -> "Knob":
    with Knob(lab.study("p-1"), 0, threads=1) as knob:
        wait_for(lambda: bool(knob.answers() or knob.state != "starting"), WITHIN_S)
        assert knob.state == "ready", knob.reason
        yield knob


def final(knob: Knob, technique: str, value: float) -> Answer:
    number, found = knob.ask(technique, value), []
    wait_for(lambda: any(one.final for one in found) or found.extend(knob.answers()), WITHIN_S)
    assert {one.number for one in found} == {number}
    return found[-1]


@pytest.mark.parametrize(("technique", "value"), [("weights", 0.7)])
def test_a_run_of_its_preset_gives_the_same_network(
    lab: Lab, knob: Knob, technique: str, value: float
) -> None:
    answer = final(knob, technique, value)
    preset = yaml.safe_load(PRESET)
    preset["steps"] += answer.steps()
    done = lab.run(preset=lab.preset(yaml.safe_dump(preset), technique))
    results = done["trials"][0]["results"]
    assert answer.value == value and answer.error == 0.0
    assert answer.quality == pytest.approx(results["validation_accuracy"], abs=1e-12)
    counts = {name: results[name] for name in ("parameters", "nonzero_parameters", "macs", "effective_macs")}
    assert {name: getattr(answer, name) for name in counts} == counts
    assert answer.size_plain == results["size"]["plain"]
    assert answer.size_packed == pytest.approx(results["size"]["packed"], rel=0.1)
