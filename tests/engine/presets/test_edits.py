"""Edits of a preset: what each does to values, steps, sweeps, the plot and the quick section."""

from typing import Any

import pytest

from engine.params import STEPS
from engine.presets import edits, shipped, spec
from engine.presets.addresses import axes, axis_at, value_at
from engine.presets.references import without_stale_plot
from engine.presets.steps import Address, Unknown, normalise
from engine.presets.yaml.tree import Listing, Mapping, Node, dotted, load, node_of, to_yaml

SCOPE, SPARSITY = Address(1, "scope"), Address(1, "sparsity")

QUICK = """\
model: {name: resnet20}
data: {name: fashion-mnist}
steps:
- train: {epochs: 10}
- prune.weights: {sparsity: 0.5}
- finetune: {epochs: 3}
quick: {data.name: digits, train.epochs: 1, finetune.epochs: 1, 'sweep.prune.weights.sparsity': [0, 0.5]}
"""


def tree(text: str) -> Mapping:
    root, problems = load(text, lambda line: f"p.yaml:{line}")
    assert not problems
    assert isinstance(root, Mapping)
    return normalise(root)


@pytest.fixture
def quickstart() -> Mapping:
    return tree(shipped.find("quickstart").read_text())


def put(root: Mapping, address: Address, value: object) -> Mapping:
    return without_stale_plot(root, edits.put(root, address, node_of(value)))


def sweep(root: Mapping, address: Address, values: object) -> Mapping:
    return edits.sweep(root, address, node_of(values))


def rename(root: Mapping, step: int, name: str) -> dict[str, Any]:
    return put(root, Address(step, "id"), name).plain()


def valid(root: Mapping) -> bool:
    return bool(spec.parse(to_yaml(root.plain()), "p").trials)


def swept(root: Mapping) -> list[Address | None]:
    return [axis.address for axis in axes(root)]


# Steps


def test_every_kind_of_step_can_be_added_before_or_after_the_pruning(quickstart: Mapping) -> None:
    for kind in STEPS:
        ways = []
        for at in (1, 3):
            root = edits.add_step(quickstart, kind, at)
            assert next(iter(root.plain()["steps"][at])) == kind
            try:
                ways.append(valid(root))
            except spec.PresetInvalid:
                continue
        assert ways, kind


def test_a_copied_step_gets_a_name_of_its_own_and_sweeps_stay(quickstart: Mapping) -> None:
    root = edits.copy_step(quickstart, 1)
    assert root.plain()["steps"][2]["prune.weights"]["id"] == "prune-weights-2"
    assert swept(root) == [SCOPE, SPARSITY]
    assert valid(root)


def test_moving_a_step_takes_its_sweep_along(quickstart: Mapping) -> None:
    root = edits.move_step(edits.copy_step(quickstart, 1), 1, 2)
    assert swept(root) == [Address(2, "scope"), Address(2, "sparsity")]


def test_moving_past_either_end_stops_there(quickstart: Mapping) -> None:
    assert edits.move_step(quickstart, 0, -1).plain() == quickstart.plain()
    assert [*edits.move_step(quickstart, 0, 9).plain()["steps"][2]] == ["train"]


def test_a_step_switched_off_keeps_its_values_and_comes_back_as_it_was(quickstart: Mapping) -> None:
    off = edits.switch_step(quickstart, 2)
    trial = spec.parse(to_yaml(off.plain()), "p").trials[0]
    assert [step.kind for step in trial.steps] == ["train", "prune.weights"]
    assert edits.switch_step(off, 2).plain() == quickstart.plain()


# Names


def test_renaming_a_step_renames_its_sweeps_and_the_plot(quickstart: Mapping) -> None:
    root = put(quickstart, Address(1, "id"), "cut")
    assert [axis.path for axis in axes(root)] == ["cut.scope", "cut.sparsity"]
    assert root.plain()["plot"] == {"x": "cut.sparsity", "y": "accuracy", "by": "cut.scope"}
    assert valid(root)
    assert edits.reset(root, Address(1, "id")).plain() == quickstart.plain()


def test_removing_a_step_removes_its_sweeps_and_the_plot_along_them(quickstart: Mapping) -> None:
    root = edits.remove_step(quickstart, 1)
    assert "sweep" not in root.items
    assert "plot" not in root.items
    assert valid(root)


def test_a_name_that_still_means_the_same_stays_as_it_is_written() -> None:
    root = tree("steps: [train, finetune: {id: tune}]\nsweep: {finetune.epochs: [1, 2]}")
    assert [*edits.move_step(root, 1, 0).plain()["sweep"]] == ["finetune.epochs"]
    assert [*edits.copy_step(root, 1).plain()["sweep"]] == ["tune.epochs"]


def test_the_quick_section_follows_steps_to_their_new_names_and_drops_those_removed() -> None:
    root = put(tree(QUICK), Address(1, "id"), "cut")
    assert "sweep.cut.sparsity" in root.plain()["quick"]
    root = edits.remove_step(root, 2)
    assert list(root.plain()["quick"]) == ["data.name", "train.epochs", "sweep.cut.sparsity"]
    assert spec.parse(to_yaml(root.plain()), "p").quick is not None


def test_the_sweep_and_the_plot_that_quick_puts_in_follow_too() -> None:
    root = tree(
        "steps: [train, prune.weights]\nquick:\n  sweep: {prune.weights.sparsity: [0], zip: {train.epochs: [1],"
        " prune.weights.scope: [local]}}\n  plot.x: prune.weights.sparsity\n  sweep.zip: {prune.weights.skip: []}\n"
    )
    assert rename(root, 1, "cut")["quick"] == {
        "sweep": {"cut.sparsity": [0], "zip": {"train.epochs": [1], "cut.scope": ["local"]}},
        "plot.x": "cut.sparsity",
        "sweep.zip": {"cut.skip": []},
    }
    assert edits.remove_step(root, 1).plain()["quick"] == {"sweep": {"train.epochs": [1]}}


def test_steps_of_quick_s_own_are_what_its_paths_name() -> None:
    root = tree("steps: [train]\nquick: {steps: [train: {id: a}], train.epochs: 1}")
    assert rename(root, 0, "b")["quick"] == root.plain()["quick"]


def test_lines_by_several_parameters_follow_steps_and_lose_those_that_go(quickstart: Mapping) -> None:
    by = ["prune.weights.scope", "seed"]
    root = put(quickstart, Address(None, "plot"), {"x": "size.packed", "y": "accuracy", "by": by})
    assert rename(root, 1, "cut")["plot"]["by"] == ["cut.scope", "seed"]
    assert edits.remove_step(root, 1).plain()["plot"]["by"] == ["seed"]


def test_a_plot_along_the_rates_of_a_sensitivity_step_follows_its_name() -> None:
    root = tree("steps: [train, sensitivity: {id: s}]\nplot: {x: s.rate}")
    assert rename(root, 1, "sens")["plot"] == {"x": "sens.rate"}
    assert "plot" not in edits.remove_step(root, 1).items


def test_values_that_are_no_names_stay(quickstart: Mapping) -> None:
    root = put(quickstart, Address(None, "plot"), {"x": 3, "y": "accuracy", "by": None})
    assert rename(root, 1, "cut")["plot"] == {"x": 3, "y": "accuracy", "by": None}


# Values and sweeps


def test_fixing_a_swept_value_ends_the_sweep_and_the_lines_by_it(quickstart: Mapping) -> None:
    root = put(quickstart, SCOPE, "local")
    assert swept(root) == [SPARSITY]
    assert root.plain()["plot"] == {"x": "prune.weights.sparsity", "y": "accuracy"}
    assert value_at(root, SCOPE) == "local"


def test_sweeping_takes_the_fixed_value_away(quickstart: Mapping) -> None:
    root = sweep(quickstart, Address(2, "epochs"), "1..3 by 1")
    assert "epochs" not in root.plain()["steps"][2]["finetune"]
    axis = axis_at(root, Address(2, "epochs"))
    assert axis is not None
    assert axis.values() == [1, 2, 3]


def test_a_value_within_what_is_swept_is_refused_for_it_would_have_no_effect(quickstart: Mapping) -> None:
    root = sweep(quickstart, Address(1, "schedule"), ["linear", "cubic"])
    with pytest.raises(Unknown, match="lies within"):
        put(root, Address(1, "schedule.rounds"), 3)
    inner = sweep(root, Address(1, "schedule.rounds"), [3, 5])
    assert edits.drop_axis(inner, axes(inner)[-1]).plain() == root.plain()


def test_axes_can_vary_together_and_apart_again(quickstart: Mapping) -> None:
    root = sweep(sweep(quickstart, SCOPE, ["local", "global"]), SPARSITY, [0.5, 0.9])
    both = edits.set_together(edits.set_together(root, SCOPE, True), SPARSITY, True)
    assert list(both.items) == list(quickstart.items)
    assert len(spec.parse(to_yaml(both.plain()), "p").trials) == 2
    apart = edits.set_together(both, SCOPE, False)
    assert apart.plain()["sweep"] == {
        "prune.weights.sparsity": [0.5, 0.9],
        "prune.weights.scope": ["local", "global"],
    }
    assert edits.reset(both, SCOPE).plain()["sweep"] == {"prune.weights.sparsity": [0.5, 0.9]}


def test_a_list_left_alone_varies_where_its_partners_did() -> None:
    root = tree(
        "steps: [train, finetune]\nsweep: {zip: {train.epochs: [1, 2], train.batch: [8, 16]}, seed: [1]}"
    )
    assert list(put(root, Address(0, "epochs"), 3).plain()["sweep"]) == ["train.batch", "seed"]


def test_a_line_of_the_sweep_that_names_nothing_can_be_dropped() -> None:
    root = tree("steps: [train]\nsweep: {nothing.here: [1], zip: 3, train.epochs: [1, 2]}")
    for _ in range(2):
        root = edits.drop_axis(root, axes(root)[0])
    assert root.plain()["sweep"] == {"train.epochs": [1, 2]}
    assert edits.drop_axis(root, axes(root)[0]).plain() == {"steps": [{"train": {"epochs": 1}}]}


def test_resetting_the_last_value_of_a_group_removes_the_group(quickstart: Mapping) -> None:
    root = put(quickstart, Address(None, "distributed.processes"), 2)
    assert root.plain()["distributed"] == {"processes": 2}
    assert edits.reset(root, Address(None, "distributed.processes")).plain() == quickstart.plain()


def test_null_is_not_written_where_it_is_the_default(quickstart: Mapping) -> None:
    assert "plot" not in put(quickstart, Address(None, "plot"), None).items
    assert value_at(put(quickstart, Address(0, "epochs"), None), Address(0, "epochs")) is None


def test_a_plot_that_was_given_stays_whatever_is_swept(quickstart: Mapping) -> None:
    root = edits.put(quickstart, SPARSITY, node_of(0.5))
    assert without_stale_plot(quickstart, root, ["x"]).items["plot"] == root.items["plot"]
    assert "plot" not in without_stale_plot(quickstart, root, ["by"]).items


def test_every_node_knows_its_path_after_edits(quickstart: Mapping) -> None:
    root = edits.move_step(edits.copy_step(quickstart, 1), 0, 2)
    root = put(edits.remove_step(root, 1), Address(0, "id"), "cut")
    root = edits.set_together(sweep(root, Address(1, "batch"), [8, 16]), SPARSITY, True)
    assert misplaced(root) == []


def misplaced(node: Node, path: str = "") -> list[tuple[str, str]]:
    below: list[tuple[str | int, Node]] = []
    if isinstance(node, Mapping):
        below = [*node.items.items()]
    elif isinstance(node, Listing):
        below = [*enumerate(node.items)]
    here = [] if node.path == path else [(path, node.path)]
    return here + [found for key, one in below for found in misplaced(one, dotted(path, key))]


def test_a_layer_in_a_mapping_is_one_name_whatever_dots_it_has() -> None:
    root = tree("model: {name: resnet20}\ndata: {name: digits}\nsteps: [train, prune.weights]\n")
    first, second = (Address(1, f"layers.layer{n}.0.conv1") for n in (1, 2))
    both = put(put(root, first, 0.5), second, 0.7)
    assert value_at(both, Address(1, "layers")) == {"layer1.0.conv1": 0.5, "layer2.0.conv1": 0.7}
    assert valid(both) and value_at(both, second) == 0.7
    assert value_at(edits.reset(both, first), Address(1, "layers")) == {"layer2.0.conv1": 0.7}
    varied = sweep(both, first, [0.3, 0.6])
    assert [trial.steps[1].named for trial in spec.parse(to_yaml(varied.plain()), "p").trials] == [
        {"layer1.0.conv1": rate, "layer2.0.conv1": 0.7} for rate in (0.3, 0.6)
    ]
