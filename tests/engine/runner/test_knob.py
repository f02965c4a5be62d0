"""The live knob: its answers are what a run of the same preset gives, and its process goes when it is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from engine.errors import SecateurError
from engine.runner.knob import Answer, Knob
from tests.study_lab import LEARNED, Lab, wait_for

WITHIN_S = 60.0


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    lab = Lab(tmp_path_factory.mktemp("lab"))
    lab.run(preset=lab.preset(LEARNED))
    return lab


@pytest.fixture(scope="module")
def knob(lab: Lab) -> Iterator[Knob]:
    with Knob(lab.study("p-1"), 0, threads=1) as knob:
        wait_for(lambda: bool(knob.answers() or knob.state != "starting"), WITHIN_S)
        assert knob.state == "ready", knob.reason
        yield knob


def final(knob: Knob, technique: str, value: float) -> Answer:
    number, found = knob.ask(technique, value), []
    wait_for(lambda: any(one.final for one in found) or found.extend(knob.answers()), WITHIN_S)
    assert {one.number for one in found} == {number}
    return found[-1]


@pytest.mark.parametrize(("technique", "value"), [("channels", 2.0)])
def test_a_run_of_its_preset_gives_the_same_network(
    lab: Lab, knob: Knob, technique: str, value: float
) -> None:
    answer = final(knob, technique, value)
    preset = yaml.safe_load(LEARNED)
    preset["steps"] += answer.steps()
    done = lab.run(preset=lab.preset(yaml.safe_dump(preset), technique))
    results = done["trials"][0]["results"]
    assert answer.value == value and answer.error == 0.0
    assert answer.quality == pytest.approx(results["validation_accuracy"], abs=1e-12)
    counts = {name: results[name] for name in ("parameters", "nonzero_parameters", "macs", "effective_macs")}
    assert {name: getattr(answer.costs, name) for name in counts} == counts
    assert answer.costs.size_plain == results["size"]["plain"]
    assert answer.costs.size_packed == pytest.approx(results["size"]["packed"], rel=0.1)


def test_the_newest_question_wins(knob: Knob) -> None:
    """However many come, and whoever looks late: answers are of the last one only, and end with all images."""
    for value in range(90):
        knob.ask("weights", value / 100)
    assert final(knob, "weights", 0.5).value == 0.5
    assert final(knob, "bits", 4.2).value == 4.0


def test_every_technique_says_what_it_can_do(knob: Knob) -> None:
    assert [one.name for one in knob.techniques] == ["weights", "channels", "rank", "bits"]
    assert knob.baseline is not None and knob.baseline.images > 0
    for technique in knob.techniques:
        assert not technique.why_not and technique.least < technique.most
        start = final(knob, technique.name, technique.start)
        if technique.name != "bits":
            assert (start.quality, start.steps(), start.error) == (knob.baseline.quality, [], 0.0)
            assert start.costs.size_plain == knob.baseline.costs.size_plain


def test_an_unknown_technique_is_refused_at_once(knob: Knob) -> None:
    with pytest.raises(SecateurError, match="no technique"):
        knob.ask("sorcery", 1.0)


def test_it_is_gone_with_its_maker(lab: Lab) -> None:
    maker = (
        "import sys, time; from engine.runner.knob import Knob; from engine.studies.rundir import RunDir\n"
        "from pathlib import Path\n"
        "knob = Knob(RunDir(Path(sys.argv[1])), 0, threads=1)\n"
        "print(knob.process, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", maker, str(lab.study("p-1").path)],
        stdout=subprocess.PIPE,
        env=lab.environment,
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    assert alive(worker)
    process.kill()
    process.wait()
    process.stdout.close()
    wait_for(lambda: not alive(worker))


def test_why_there_is_no_model_is_told_in_words(lab: Lab) -> None:
    from engine.compute.worker.knob.held import hold  # imports torch: not in each process that only collects

    with pytest.raises(SecateurError, match="no trial 7"):
        hold(lab.study("p-1"), 7)


def test_why_it_ended_is_told_in_words(knob: Knob) -> None:
    """The last test of this knob: its worker is killed, then it is closed."""
    assert alive(knob.process)
    os.kill(knob.process, signal.SIGKILL)
    wait_for(lambda: knob.answers() or knob.state == "ended")
    assert "ended" in knob.reason
    knob.ask("weights", 0.5)  # and nothing is raised
    knob.close()
    assert not alive(knob.process)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
