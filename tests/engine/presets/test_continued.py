"""A trial's preset with other steps."""

import pytest

from engine.errors import PresetInvalid
from engine.presets.continued import continued
from engine.presets.spec import parse

SPEC = parse(
    """\
seed: [0, 3]
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 1}
  - prune.weights: {sparsity: 0.5}
  - quantize.static: {enabled: false}
sweep:
  prune.weights.sparsity: [0.5, 0.8]
  data.limit: [100, 200]
plot: {x: prune.weights.sparsity, y: accuracy}
""",
    "p",
)


def test_the_trial_goes_on_as_it_was() -> None:
    text = continued(SPEC, 6, [{"prune.weights": {"sparsity": 0.9}}, {"calibrate": {}}], "about it")
    found = parse(text, "q")
    (trial,) = found.trials
    before = SPEC.trials[6]
    assert (trial.settings.seed, trial.settings.data) == (3, before.settings.data)
    assert trial.steps[:2] == before.steps
    assert [step.address for step in trial.steps[2:]] == ["prune-weights-2", "calibrate"]
    (short,) = parse(continued(SPEC, 0, [{"calibrate": {}}], "", after="train"), "q").trials
    assert [step.kind for step in short.steps] == ["train", "calibrate"]


def test_steps_that_cannot_follow_are_refused() -> None:
    with pytest.raises(PresetInvalid, match="scope"):
        continued(SPEC, 0, [{"prune.channels": {"scope": "solved"}}], "")
