"""A study that exists stays readable, whatever presets are refused for by now."""

from pathlib import Path

import pytest

from engine.charts import trials
from engine.cli import study_text
from engine.errors import PresetInvalid
from engine.params.preset import Plot
from engine.presets import spec
from engine.studies.rundir import RunDir
from engine.testing.events import measures, study

PRESETS = {
    "plots a latency that is not measured": """\
model: {name: resnet20}
data: {name: digits}
steps: [{train: {}}, {prune.weights: {}}]
sweep: {prune.weights.sparsity: [0.3, 0.5]}
plot: {x: prune.weights.sparsity, y: latency}
""",
    "names a model that is not offered any more": """\
model: {name: resnet21}
data: {name: digits}
steps: [{train: {}}]
""",
    "has steps of which one can't follow the other": """\
model: {name: resnet20}
data: {name: digits}
steps: [{train: {}}, {cluster.weights: {}}, {quantize.weights: {}}]
""",
}


@pytest.mark.parametrize("text", PRESETS.values(), ids=PRESETS)
def test_what_a_new_preset_is_refused_for_locks_no_study(text: str, tmp_path: Path) -> None:
    file = tmp_path / "preset.yaml"
    file.write_text(text)
    with pytest.raises(PresetInvalid):
        spec.read(file)
    read = spec.read_stored(file, "p")
    assert read.name == "p"
    assert len(read.trials) in (1, 2)


def test_what_can_not_be_read_is_refused_all_the_same(tmp_path: Path) -> None:
    file = tmp_path / "preset.yaml"
    file.write_text("model: {name: resnet20}\ndata: {name: digits}\nsteps: [{train: {epochs: many}}]\n")
    with pytest.raises(PresetInvalid, match="epochs"):
        spec.read_stored(file)


def test_a_chart_of_latencies_that_are_not_measured_gives_way_to_accuracy(tmp_path: Path) -> None:
    state = study(
        ({"prune.weights.sparsity": 0.3}, measures(0.9)), ({"prune.weights.sparsity": 0.5}, measures(0.8))
    )
    assert trials.default_plot(state, Plot(x="prune.weights.sparsity", y="latency")) == trials.default_plot(
        state, None
    )
    run = RunDir.of(tmp_path, "s-1")
    run.path.mkdir(parents=True)
    run.preset.write_text(PRESETS["plots a latency that is not measured"])
    chart = study_text.chart_text(run.settings().plot, state)
    assert chart.startswith("accuracy")
    assert chart.endswith("Its preset plots latencies, which no trial measures.")
