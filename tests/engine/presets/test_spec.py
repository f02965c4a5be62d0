"""From a valid preset to its trials."""

from pathlib import Path
from typing import Any

import pytest

from engine.errors import PresetInvalid
from engine.params import Finetune, PruneWeights, Train
from engine.params.pruning import Cubic, Linear, OneShot
from engine.presets import shipped as presets
from engine.presets import spec
from tests.fresh import printed

PRESET = """\
about: Local against global
seed: [0, 1]
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 3}
  - prune.weights: {sparsity: 0.5}
  - finetune
sweep:
  prune.weights.scope: [local, global]
  prune.weights.sparsity: [0, 0.25]
plot: {x: prune.weights.sparsity, by: prune.weights.scope}
"""


def read(text: str = PRESET, *overrides: str) -> spec.Spec:
    found = spec.parse(text, "p", overrides)
    assert spec.parse(spec.to_yaml(found.document), "p") == found, "the document reads back to the same spec"
    return found


def with_steps(steps: str, rest: str = "") -> str:
    return f"model: {{name: resnet20}}\ndata: {{name: digits}}\nsteps: {steps}\n{rest}"


def test_trials_are_the_product_with_the_last_axis_fastest_and_seeds_slowest() -> None:
    found = read()
    assert found.axes == {"prune.weights.scope": ("local", "global"), "prune.weights.sparsity": (0, 0.25)}
    assert [tuple(trial.parameters.values()) for trial in found.trials] == [
        (seed, scope, sparsity) for seed in (0, 1) for scope in ("local", "global") for sparsity in (0, 0.25)
    ]
    assert list(found.trials[0].parameters) == ["seed", "prune.weights.scope", "prune.weights.sparsity"]
    assert [trial.index for trial in found.trials] == list(range(8))


def test_a_trial_has_every_parameter_fixed() -> None:
    trial = read().trials[5]
    assert trial.settings.seed == 1
    assert trial.settings.seeds == (1,)
    train, prune, finetune = trial.steps
    assert train == Train(epochs=3)
    assert prune == PruneWeights(scope="local", sparsity=0.25)
    assert finetune == Finetune()


def test_without_a_sweep_there_is_one_trial() -> None:
    found = read(with_steps("[train]"))
    assert [trial.parameters for trial in found.trials] == [{}]
    assert found.axes == {}


def test_disabled_steps_are_left_out_of_trials() -> None:
    text = with_steps("[train, {prune.weights: {}}, finetune]", "sweep: {finetune.enabled: [true, false]}\n")
    assert [[step.kind for step in trial.steps] for trial in read(text).trials] == [
        ["train", "prune.weights", "finetune"],
        ["train", "prune.weights"],
    ]
    assert len(read(text).steps) == 3


def test_a_step_that_occurs_twice_is_addressed_by_its_id() -> None:
    steps = "[train, finetune, {finetune: {id: last}}]"
    text = with_steps(steps, "sweep: {last.epochs: [1, 2], finetune.epochs: [3]}\n")
    assert [[step.epochs for step in trial.steps[1:]] for trial in read(text).trials] == [[3, 1], [3, 2]]  # type: ignore[union-attr]


def test_a_step_with_an_id_still_answers_to_its_kind() -> None:
    text = with_steps("[{train: {id: base}}]", "sweep: {train.epochs: [1, 2]}\n")
    assert read(text).axes == {"train.epochs": (1, 2)}


def test_a_swept_variant_and_a_parameter_within_it_combine() -> None:
    rest = "sweep:\n  prune.weights.schedule.rounds: [2, 3]\n  prune.weights.schedule: [linear, cubic]\n"
    schedules = [trial.steps[1].schedule for trial in read(with_steps("[train, prune.weights]", rest)).trials]  # type: ignore[union-attr]
    assert schedules == [Linear(rounds=2), Cubic(rounds=2), Linear(rounds=3), Cubic(rounds=3)]


def test_a_swept_kind_keeps_the_parameters_of_the_variant() -> None:
    steps = "[train, {prune.weights: {schedule: {kind: linear, rounds: 7}}}]"
    rest = "sweep: {prune.weights.schedule.kind: [linear, cubic]}\n"
    assert [trial.steps[1].schedule for trial in read(with_steps(steps, rest)).trials] == [  # type: ignore[union-attr]
        Linear(rounds=7),
        Cubic(rounds=7),
    ]


def test_settings_of_model_and_data_can_be_swept() -> None:
    rest = "sweep: {model.arguments.width: [16, 32], data.limit: [100, null]}\n"
    trials = read(with_steps("[train]", rest)).trials
    assert [(t.settings.model.arguments["width"], t.settings.data.limit) for t in trials] == [
        (16, 100),
        (16, None),
        (32, 100),
        (32, None),
    ]


def test_a_required_setting_may_come_from_the_sweep_alone() -> None:
    text = "model: {}\ndata: {name: digits}\nsteps: [train]\nsweep: {model.name: [resnet20, resnet32]}\n"
    assert [trial.settings.model.name for trial in read(text).trials] == ["resnet20", "resnet32"]


def test_zipped_parameters_vary_together() -> None:
    rest = "sweep:\n  zip: {train.epochs: [1, 2], train.batch: [32, 64]}\n  data.limit: [100, 200]\n"
    found = read(with_steps("[train]", rest))
    assert [tuple(trial.parameters.values()) for trial in found.trials] == [
        (1, 32, 100),
        (1, 32, 200),
        (2, 64, 100),
        (2, 64, 200),
    ]


VARIANTS = """sweep:
  data.limit: [100, 200]
  zip: {variant: [short, long], train.epochs: [1, 9], train.batch: [32, 64]}
"""


def test_variants_tell_trials_apart_by_their_names() -> None:
    found = read(with_steps("[train]", VARIANTS + "plot: {x: data.limit, y: accuracy, by: variant}\n"))
    assert [trial.parameters for trial in found.trials] == [
        {"data.limit": limit, "variant": name} for limit in (100, 200) for name in ("short", "long")
    ]
    assert [trial.steps[0].epochs for trial in found.trials] == [1, 9, 1, 9]  # type: ignore[union-attr]
    assert spec.parse(spec.to_yaml(found.document), "again").trials == found.trials


def test_a_group_that_may_be_left_out_is_swept_whole() -> None:
    swept = "sweep: {quantize.static.mixed: [null, {max_loss: 0.5}]}\n"
    found = read(with_steps("[train, quantize.static]", swept))
    mixed = [trial.steps[1].mixed for trial in found.trials]  # type: ignore[union-attr]
    assert mixed[0] is None and mixed[1].max_loss == 0.5  # type: ignore[union-attr]


def test_a_plot_of_variants_is_by_their_names_not_by_what_they_set() -> None:
    with pytest.raises(PresetInvalid, match="variant"):
        read(with_steps("[train]", VARIANTS + "plot: {x: data.limit, y: accuracy, by: train.epochs}\n"))


def test_fixing_all_that_variants_set_leaves_no_names_behind() -> None:
    found = read(with_steps("[train]", VARIANTS), "train.epochs=3")
    assert [trial.parameters["variant"] for trial in found.trials] == ["short", "long"] * 2
    found = read(with_steps("[train]", VARIANTS), "train.epochs=3", "train.batch=16")
    assert [trial.parameters for trial in found.trials] == [{"data.limit": 100}, {"data.limit": 200}]


def test_a_whole_number_will_do_for_a_number() -> None:
    [trial] = read(with_steps("[{train: {learning_rate: 1}}]")).trials
    assert isinstance(trial.steps[0], Train)
    assert trial.steps[0].learning_rate == 1.0


@pytest.mark.parametrize(
    ("overrides", "axes", "trials"),
    [
        (["prune.weights.sparsity=0.5"], {"prune.weights.scope": ("local", "global")}, 4),
        (["prune.weights.scope=local", "seed=3"], {"prune.weights.sparsity": (0, 0.25)}, 2),
        (
            ["prune.weights.sparsity=[0.1]"],
            {"prune.weights.scope": ("local", "global"), "prune.weights.sparsity": (0.1,)},
            4,
        ),
        (
            ["prune.weights.sparsity=0..0.2 by 0.1", "prune.weights.scope=local"],
            {"prune.weights.sparsity": (0.0, 0.1, 0.2)},
            6,
        ),
        (
            ["sweep.prune.weights.sparsity=[0.7]", "sweep.train.epochs=[1]", "prune.weights.scope=local"],
            {"prune.weights.sparsity": (0.7,), "train.epochs": (1,)},
            2,
        ),
        (["prune.weights.scope=local", "prune.weights.sparsity=0.9"], {}, 2),
        (["sweep="], {}, 2),
        (["sweep={train.epochs: [4, 5]}", "seed=0", "plot="], {"train.epochs": (4, 5)}, 2),
    ],
)
def test_overrides_change_the_sweep(overrides: list[str], axes: dict[str, Any], trials: int) -> None:
    found = read(PRESET, *overrides)
    assert found.axes == axes
    assert len(found.trials) == trials


def test_overrides_change_single_values() -> None:
    found = read(
        PRESET, "train.epochs=1", "data.limit=500", "executor.local.parallel=2", "model.arguments.width=32"
    )
    assert isinstance(found.steps[0], Train)
    assert found.steps[0].epochs == 1
    assert found.settings.data.limit == 500
    assert found.settings.executor.local.parallel == 2
    assert found.settings.model.arguments == {"width": 32}


def test_an_override_may_choose_a_variant() -> None:
    found = read(PRESET, "prune.weights.schedule=cubic", "prune.weights.schedule.rounds=9")
    assert isinstance(found.steps[1], PruneWeights)
    assert found.steps[1].schedule == Cubic(rounds=9)
    assert isinstance(read().steps[1], PruneWeights)
    assert read().steps[1].schedule == OneShot()  # type: ignore[union-attr]


def test_a_plot_along_what_an_override_fixed_is_dropped_not_wrong() -> None:
    assert read(PRESET, "prune.weights.sparsity=0.5").settings.plot is None
    plot = read(PRESET, "prune.weights.scope=local").settings.plot
    assert plot is not None
    assert (plot.x, plot.by) == ("prune.weights.sparsity", None)


def test_an_override_of_one_zipped_list_leaves_the_others() -> None:
    text = with_steps("[train]", "sweep:\n  zip: {train.epochs: [1, 2], train.batch: [32, 64]}\n")
    assert read(text, "train.epochs=9").axes == {"train.batch": (32, 64)}
    assert read(text, "train.epochs=[7, 8]").axes == {"train.epochs": (7, 8), "train.batch": (32, 64)}


def test_a_list_for_a_parameter_that_is_a_list_fixes_it() -> None:
    text = with_steps("[train, prune.weights]", "sweep: {prune.weights.skip: [[], [conv1]]}\n")
    assert read(text, "prune.weights.skip=[fc]").axes == {}
    assert read(text, "prune.weights.skip=[[fc], [conv1]]").axes == {
        "prune.weights.skip": (["fc"], ["conv1"])
    }


def test_files_are_found_beside_the_preset_first_then_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    here.mkdir()
    there.mkdir()
    (there / "net.py").touch()
    (there / "preset.yaml").write_text(
        "model: {name: 'net.py:build', weights: w.pth}\ndata: {name: imagefolder, root: images}\n"
        "steps: [finetune]\nsweep: {model.weights: [w.pth, random, pretrained]}\n"
    )
    monkeypatch.chdir(here)
    with pytest.raises(PresetInvalid, match="needs a trained model"):
        spec.read(there / "preset.yaml")
    found = spec.read(Path("../there/preset.yaml"), ["sweep.model.weights=[w.pth, pretrained]"])
    first, second = (trial.settings.model for trial in found.trials)
    assert Path(first.name.removesuffix(":build")).samefile(there / "net.py")
    assert first.weights == str(here / "w.pth")
    assert second.weights == "pretrained"
    assert found.settings.data.root == str(here / "images")
    monkeypatch.chdir(tmp_path)
    assert spec.parse(spec.to_yaml(found.document), "preset") == found


def test_ten_thousand_trials_are_allowed() -> None:
    text = with_steps("[train]", "sweep: {train.epochs: 1..100 by 1, train.batch: 1..100 by 1}\n")
    assert len(spec.parse(text, "p").trials) == 10_000


@pytest.mark.parametrize("shipped", presets.shipped(), ids=lambda preset: preset.name)
def test_every_shipped_preset_is_valid_and_says_what_it_is_for(shipped: presets.Shipped) -> None:
    found = spec.read(shipped.path)
    assert shipped.about == found.settings.about != ""
    assert found.settings.plot is not None or found.settings.search is not None  # a search draws its front
    assert spec.parse(spec.to_yaml(found.document), found.name) == found


def test_reading_a_preset_imports_nothing_heavy() -> None:
    code = (
        "import sys; from engine.presets import shipped, spec; spec.read(shipped.find('quickstart'));"
        "print([name for name in ('torch', 'numpy', 'onnx', 'sklearn', 'pandas') if name in sys.modules])"
    )
    assert printed(code).strip() == "[]"


def test_weights_from_a_file_need_no_name() -> None:
    text = "model: {weights: w.pth}\ndata: {name: digits}\nsteps: [finetune]\n"
    assert read(text).settings.model.name == "auto"
    assert read(text).settings.model.title == "w.pth"
    swept = text + "sweep: {model.weights: [w.pth, random]}\n"
    with pytest.raises(PresetInvalid, match=r"model\.name"):
        read(swept)


@pytest.mark.parametrize(
    ("steps", "weights"),
    [
        ("prune.weights: {scope: sensitivity, sparsity: 0.95}", "random"),
        ("prune.weights: {scope: solved, sparsity: 0.9}", "random"),
        ("prune.weights: {scope: solved, sparsity: 0.95}", "own/"),
    ],
)
def test_a_table_is_enough_where_it_tells_so_much_or_may_not_have_to(steps: str, weights: str) -> None:
    """Weights that come with zeros have lost something before."""
    text = f"""\
model: {{name: resnet20, weights: {weights}}}
data: {{name: digits}}
steps: [train, sensitivity: {{of: weights}}, {steps}]
"""
    assert spec.parse(text, "p").trials
