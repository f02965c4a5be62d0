"""A search's space: every point of it is a plain preset that can run."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import PresetInvalid
from engine.params.sensitivity import Sensitivity, Timed
from engine.presets import spec
from engine.presets.space import Dimension

PRESET = """\
model: {name: resnet20}
data: {name: digits}
steps:
  - train: {epochs: 2}
search:
  smallest: size.packed
  within: {accuracy: -1 point, macs: 80 %}
  budget: {trials: 16}
  over:
    - prune.channels: {speedup: 1..8, criterion: [l2, taylor]}
    - prune.weights: {sparsity: 0..0.9 by 0.3, schedule: [one-shot, {kind: cubic, rounds: 2}]}
    - finetune: {epochs: 1..6, learning_rate: 0.01..0.1}
    - quantize.weights: {bits: 3..8, enabled: [true, false]}
"""
READ = spec.parse(PRESET, "p")


@st.composite
def points(draw: st.DrawFn) -> dict[str, Any]:
    assert READ.space is not None
    return {one.path: draw(values(one)) for one in READ.space.dimensions}


def values(one: Dimension) -> st.SearchStrategy[Any]:
    return st.sampled_from(one.values) if one.values else st.floats(0, 1).map(one.between)


@given(points(), st.integers(0, 3))
def test_every_point_is_a_preset_that_reads_back_the_same(point: dict[str, Any], rung: int) -> None:
    found = spec.candidate(READ, point, rung)
    assert "search" not in found.document
    assert spec.parse(spec.to_yaml(found.document), "p") == found


@given(points())
def test_a_longer_training_begins_with_the_shorter_one(point: dict[str, Any]) -> None:
    chains = [
        [s for s in spec.candidate(READ, point, rung).steps if s.kind == "finetune"] for rung in range(4)
    ]
    assert [sum(step.epochs for step in chain) for chain in chains] == [1, 2, 4, 6]
    materials = [[step.key_material() for step in chain] for chain in chains]
    assert all(longer[: len(shorter)] == shorter for shorter, longer in pairwise(materials))


def test_a_step_that_is_plainly_off_runs_nowhere() -> None:
    off = PRESET.replace("speedup: 1..8", "enabled: false, speedup: 1..8")
    read = spec.parse(off.replace("epochs: 1..6", "enabled: false, epochs: 1..6"), "p")
    assert read.space is not None
    assert read.space.techniques == ("prune.weights", "quantize.weights")
    assert read.space.rungs == (0,)
    for point in (read.space.middle(), None):
        kinds = {step.kind for step in spec.candidate(read, point, -1).steps}
        assert kinds.isdisjoint({"prune.channels", "finetune"})


@pytest.mark.parametrize("switch", ["false", "[false]"])
def test_something_has_to_compress(switch: str) -> None:
    over = f"[{{prune.channels: {{speedup: 1..8, enabled: {switch}}}}}, {{finetune: {{epochs: 1..6}}}}]"
    with pytest.raises(PresetInvalid, match="no step that compresses"):
        spec.parse(PRESET.partition("over:")[0] + f"over: {over}\n", "p")


@given(points())
def test_what_is_off_decides_nothing(point: dict[str, Any]) -> None:
    assert READ.space is not None
    canonical = READ.space.canonical(point)
    assert READ.space.canonical(READ.space.canonical(point) | {}) == canonical
    assert spec.candidate(READ, canonical, 0) == spec.candidate(READ, point, 0)
    if not point["quantize.weights.enabled"]:
        assert "quantize.weights.bits" not in canonical


def test_the_baseline_is_what_the_steps_say() -> None:
    assert [step.kind for step in READ.trials[0].steps] == ["train"]
    assert READ.trials[0].validation_only
    plain = spec.candidate(READ, None, -1)
    assert [step.kind for step in plain.steps] == ["train", *["finetune"] * 4]


def test_auto_reads_back_as_the_steps_that_it_stands_for() -> None:
    auto = spec.parse(PRESET.split("  over:")[0] + "  over: auto\n", "p")
    assert auto.space is not None
    assert spec.parse(spec.to_yaml(auto.document), "p") == auto


def recovery(network: str, *steps: str) -> dict[str, Any]:
    """The step that trains again in what `auto` stands for."""
    text = f"model: {network}\ndata: {{name: fashion-mnist}}\nsteps: [{', '.join(steps)}]\n"
    read = spec.parse(text + "search: {smallest: macs, budget: {trials: 8}, over: auto}\n", "p")
    step: dict[str, Any] = read.document["search"]["over"][-1]
    return step


def test_auto_trains_on_as_the_network_was_trained() -> None:
    """At half the rate, which rises first, and on images as they are scored."""
    as_told = recovery(
        "{name: resnet20}", "train: {learning_rate: 0.2, augment: crop-flip, precision: bf16, batch: 64}"
    )
    assert as_told == {
        "finetune": {
            "epochs": "1..8",
            "schedule": "onecycle",
            "learning_rate": 0.1,
            "precision": "bf16",
            "batch": 64,
        }
    }
    by_default = recovery("{name: resnet20}", "train")
    assert by_default["finetune"]["learning_rate"] == 0.05
    with_adamw = recovery(
        "{name: torchvision/vit_b_16}", "train: {optimizer: adamw, learning_rate: 0.001}", "calibrate"
    )
    assert (
        with_adamw["finetune"]["optimizer"] == "adamw" and with_adamw["finetune"]["learning_rate"] == 0.0005
    )


def test_auto_has_a_network_that_came_with_its_weights_teach_itself_at_rates_that_the_search_chooses_from() -> (
    None
):
    brought = "{name: torchvision/resnet18, weights: pretrained}"
    step = recovery(brought)
    assert recovery(brought, "train: {enabled: false}") == step
    assert step == {"distill": {"epochs": "1..8", "schedule": "onecycle", "learning_rate": [0.02, 0.1]}}


def tables(text: str, *, stored: bool = False) -> list[tuple[str, str]]:
    return [(one.address, one.of) for one in spec.parse(text, "p", stored=stored).trials[0].tables]  # type: ignore[union-attr]


def test_a_table_for_what_the_techniques_take_away_unless_it_is_there_or_not_wanted() -> None:
    every = ["channels", "weights", "bits"]
    assert tables(PRESET) == [(f"table-{of}", of) for of in every]
    written = spec.to_yaml(READ.document)
    assert tables(written, stored=True) == tables(PRESET), "the study's own preset says which"
    assert tables(PRESET, stored=True) == [], "a study that began before there were any has none"
    assert tables(PRESET + "  table: none\n") == []
    assert tables(PRESET + "  table: [sensitivity: {of: rank}]\n") == [("sensitivity", "rank")]
    measured = PRESET.replace("search:", "  - sensitivity: {of: bits}\nsearch:")
    assert [of for _, of in tables(measured)] == every[:2]
    assert tables(PRESET.replace("accuracy: -1 point", "accuracy: 0")) == [], "no loss, nothing to predict"


def test_no_table_is_added_that_the_weights_of_the_baseline_would_be_refused_for() -> None:
    """The channels of a network with rounded weights may go, but each alone at each level can't be measured."""
    rounded = PRESET.split("    - prune.weights")[0].replace("search:", "  - quantize.weights\nsearch:")
    assert tables(rounded) == []


def test_a_table_measures_time_where_it_counts_and_costs_a_share_of_the_budget() -> None:
    fast = PRESET.replace("smallest: size.packed", "fastest: {runtime: openvino, batch: 8}")
    of_channels, _, of_bits = spec.parse(fast, "p").trials[0].tables
    assert isinstance(of_channels, Sensitivity) and of_channels.latency == Timed(runtime="openvino", batch=8)
    assert isinstance(of_bits, Sensitivity) and of_bits.latency is None
    (short,), (long,) = (
        spec.parse(PRESET.replace("16", trials), "p").trials[0].tables[:1] for trials in ("8", "80")
    )
    assert short.passes * 10 == pytest.approx(long.passes)  # type: ignore[union-attr, operator]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            "budget: {trials: 16}",
            "budget: {trials: 16}\n  table: [train: {epochs: 1}]",
            "steps of the kind sensitivity",
        ),
        ("budget: {trials: 16}", "budget: {trials: 16}\n  table: always", "one of auto, none"),
        (
            "budget: {trials: 16}",
            "budget: {trials: 16}\n  table: [sensitivity: {of: bits, latency: {}}]",
            "zeros and rounded weights take as long",
        ),
        ("speedup: 1..8", "speedup: 8..1", "a range that rises"),
        ("speedup: 1..8", "speedup: 0.5..8", "given 0.5"),
        ("epochs: 1..6", "epochs: 1..6.5", "whole numbers"),
        ("epochs: 1..6", "epochs: 0..6", "given 0"),
        ("epochs: 1..6", "epochs: -2..6", "given -2"),
        ("criterion: [l2, taylor]", "id: [a, b]", "one name"),
        ("model:", "seed: 2147483646\nmodel:", "at most 2147483645"),
        ("bits: 3..8", "bits: 3..9", "given 9"),
        ("[l2, taylor]", "[l2, tylor]", "did you mean taylor?"),
        ("[l2, taylor]", "[l2, l2]", "each value once"),
        ("criterion", "criterium", "did you mean criterion?"),
        ("smallest: size.packed", "most_accurate: true\n  fastest: {}", "one goal"),
        ("budget: {trials: 16}", "batch: 4", "an end"),
        ("within: {accuracy: -1 point, macs: 80 %}", "within: {macs: 0}", "which no model can have"),
        ("within: {accuracy: -1 point, macs: 80 %}", "within: {macks: 1 M}", "did you mean macs?"),
        ("within: {accuracy: -1 point", "within: {accuracy: -1 point, map50_95: -1 point", "one of the two"),
        (
            "smallest: size.packed\n  within: {accuracy: -1 point, macs: 80 %}",
            "most_accurate: true",
            "a limit",
        ),
        ("- train: {epochs: 2}", "- calibrate", "no baseline"),
        ("search:", "sweep: {train.epochs: [1, 2]}\nsearch:", "a search chooses the trials"),
        ("model:", "seed: [0, 1]\nmodel:", "one seed"),
        (
            "- finetune: {epochs: 1..6,",
            "- prune.weights: {sparsity: 0.5}\n    - finetune: {epochs: 1..6,",
            "an id for each",
        ),
    ],
)
def test_what_can_not_be_searched_is_told_in_a_sentence(before: str, after: str, told: str) -> None:
    assert before in PRESET
    with pytest.raises(PresetInvalid) as caught:
        spec.parse(PRESET.replace(before, after), "p")
    assert any(told in str(problem) for problem in caught.value.problems)
