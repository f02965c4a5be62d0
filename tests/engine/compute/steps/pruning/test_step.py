"""Masks and pruning: which weights go, and that they stay gone."""

import pytest
import torch
from torch import nn

from engine.compute.layers.masks import Mask, mask_of, masked, set_mask
from engine.compute.layers.select import leaf_of, prunable_layers, weight_of
from engine.compute.models.checkpoint import folded_state
from engine.compute.steps.pruning.step import pattern_mask, prune_weights
from engine.compute.training.loop import fit
from engine.compute.training.schedules import sparsities
from engine.errors import SecateurError
from engine.params.pruning import Cubic, PruneWeights
from engine.params.training import Finetune
from engine.studies import events as ev
from tests.engine.compute.compute_help import context_for, small_model


def zeros(model: nn.Module) -> dict[str, float]:
    layers = prunable_layers(model, ())
    return {name: float((weight_of(m) == 0).float().mean()) for name, m in layers.items()}


def whole(model: nn.Module) -> float:
    weights = torch.cat([weight_of(m).flatten() for m in prunable_layers(model, ()).values()])
    return float((weights == 0).float().mean())


def test_local_takes_the_same_share_of_each_layer() -> None:
    model = prune_weights(small_model(), PruneWeights(scope="local", sparsity=0.75), context_for())
    for name, share in zeros(model).items():
        elements = weight_of(model.get_submodule(name)).numel()
        assert share == pytest.approx(0.75, abs=0.5 / elements)


def test_global_removes_the_smallest_weights_of_all() -> None:
    model = small_model()
    before = {n: weight_of(m).detach().clone() for n, m in prunable_layers(model, ()).items()}
    prune_weights(model, PruneWeights(scope="global", sparsity=0.6), context_for())
    magnitudes = torch.cat([w.abs().flatten() for w in before.values()])
    threshold = magnitudes.kthvalue(round(0.6 * magnitudes.numel())).values
    for name, weight in before.items():
        kept = weight_of(model.get_submodule(name)) != 0
        assert torch.equal(kept, weight.abs() > threshold)
    assert len({round(share, 3) for share in zeros(model).values()}) > 1


def test_masked_weights_are_positive_zero_and_others_untouched() -> None:
    layer = nn.Linear(4, 4)
    before = layer.weight.detach().clone()
    mask = torch.eye(4, dtype=torch.bool)
    set_mask(layer, mask)
    assert torch.equal(layer.weight[mask], before[mask])
    assert not torch.signbit(layer.weight[~mask]).any()
    assert (layer.weight[~mask] == 0).all()


def test_a_second_mask_only_removes_more() -> None:
    layer = nn.Linear(2, 2)
    set_mask(layer, torch.tensor([[True, True], [False, True]]))
    set_mask(layer, torch.tensor([[True, False], [True, True]]))
    found = mask_of(layer)
    assert isinstance(found, Mask)
    assert found.mask.tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_masks_survive_training_with_every_optimizer(optimizer: str) -> None:
    context = context_for()
    model = prune_weights(small_model(), PruneWeights(sparsity=0.8), context)
    before = {name: mask.mask.clone() for name, mask in masked(model).items()}
    trained = fit(model, Finetune(epochs=1, optimizer=optimizer, learning_rate=0.01), context)  # type: ignore[arg-type]
    for name, mask in before.items():
        weight = weight_of(trained.get_submodule(name))
        assert (weight[~mask] == 0).all()
        assert (weight[mask] != 0).any()
    assert whole(trained) >= 0.8 - 1e-3


def test_folding_keeps_the_zeros_under_plain_names() -> None:
    model = prune_weights(small_model(), PruneWeights(sparsity=0.5), context_for())
    state = folded_state(model)
    assert "conv1.weight" in state
    assert not any("parametrizations" in name for name in state)
    assert torch.equal(state["conv1.weight"], weight_of(model.get_submodule("conv1")).detach())


@pytest.mark.parametrize("criterion", ["l1", "taylor", "random"])
def test_every_criterion_reaches_the_sparsity(criterion: str) -> None:
    model = prune_weights(small_model(), PruneWeights(criterion=criterion, sparsity=0.5), context_for())  # type: ignore[arg-type]
    assert whole(model) == pytest.approx(0.5, abs=1e-3)


def test_taylor_keeps_other_weights_than_magnitude() -> None:
    masks = []
    for criterion in ("l1", "taylor"):
        params = PruneWeights(criterion=criterion, sparsity=0.5)  # type: ignore[arg-type]
        model = prune_weights(small_model(), params, context_for())
        masks.append(masked(model)["conv1"].mask)
    assert not torch.equal(masks[0], masks[1])


def test_chance_depends_on_the_seed_alone() -> None:
    def mask(seed: int) -> torch.Tensor:
        params = PruneWeights(criterion="random", sparsity=0.5)
        return masked(prune_weights(small_model(), params, context_for(seed=seed)))["conv1"].mask

    assert torch.equal(mask(1), mask(1))
    assert not torch.equal(mask(1), mask(2))


def test_a_schedule_ends_at_the_sparsity_and_trains_between() -> None:
    context = context_for()
    schedule = Cubic(rounds=3, epochs=1)
    model = prune_weights(small_model(), PruneWeights(sparsity=0.9, schedule=schedule), context)
    assert whole(model) == pytest.approx(0.9, abs=1e-3)
    assert not torch.equal(model.get_submodule("fc").bias, small_model().fc.bias), "biases were trained"


def test_pruning_again_goes_on_from_what_is_masked() -> None:
    context = context_for()
    model = prune_weights(small_model(), PruneWeights(sparsity=0.5, criterion="random"), context)
    first = {n: m.mask.clone() for n, m in masked(model).items()}
    prune_weights(model, PruneWeights(sparsity=0.8), context)
    assert whole(model) == pytest.approx(0.8, abs=1e-3)
    for name, mask in masked(model).items():
        assert not (mask.mask & ~first[name]).any()


@pytest.mark.parametrize("criterion", ["l1", "obs"])
def test_weights_are_refitted_for_the_zeros_that_there_are(criterion: str) -> None:
    """Also where a layer is asked for fewer than are masked already."""
    events: list[ev.Event] = []
    model = prune_weights(small_model(), PruneWeights(sparsity=0.7), context_for())
    params = PruneWeights(sparsity=0.3, scope="local", criterion=criterion, repair=True)  # type: ignore[arg-type]
    model = prune_weights(model, params, context_for(events=events))
    fitted = {name: leaf_of(layer) for name, layer in prunable_layers(model, ()).items()}
    assert all(not weight[~masked(model)[name].mask].any() for name, weight in fitted.items())
    (told,) = [one.text for one in events if isinstance(one, ev.Notice) and one.level == "warning"]
    assert told == "sparsity: asked 0.3, 0.7 stay at zero from before"


def test_cubic_sparsity_follows_zhu_and_gupta() -> None:
    steps = sparsities("cubic", 0.0, 0.9, 10)
    assert steps == pytest.approx([0.9 + (0 - 0.9) * (1 - t / 10) ** 3 for t in range(1, 11)])
    assert steps[-1] == 0.9
    assert sparsities("linear", 0.2, 0.8, 3) == pytest.approx([0.4, 0.6, 0.8])


def test_two_of_four_keeps_the_two_largest_of_neighbouring_inputs() -> None:
    scores = torch.tensor([[4.0, 1.0, 3.0, 2.0, 1.0, 1.0, 9.0, 8.0]])
    assert pattern_mask(scores, 2, 4).tolist() == [[True, False, True, False, False, False, True, True]]


def test_the_pattern_runs_along_input_channels_of_convolutions() -> None:
    model = prune_weights(small_model(), PruneWeights(pattern="2:4"), context_for())
    weight = weight_of(model.get_submodule("layer1.0.conv1"))
    groups = (weight != 0).movedim(1, -1).reshape(-1, 4).sum(1)
    assert (groups == 2).all()
    assert mask_of(model.get_submodule("conv1")) is None, "one input channel: left dense"


def test_layers_are_skipped_by_name_glob_and_type() -> None:
    params = PruneWeights(sparsity=0.5, scope="local", skip=("conv1", "layer3.*", "Linear"))
    shares = zeros(prune_weights(small_model(), params, context_for()))
    left = {name for name, share in shares.items() if share == 0}
    assert left == {"conv1", "fc"} | {name for name in shares if name.startswith("layer3.")}


@pytest.mark.parametrize("skip", [("conv9",), ("Conv2d", "Linear")])
def test_a_skip_that_names_nothing_or_everything_is_refused(skip: tuple[str, ...]) -> None:
    with pytest.raises(SecateurError, match=r"skip names no layer|nothing to prune"):
        prune_weights(small_model(), PruneWeights(skip=skip), context_for())
