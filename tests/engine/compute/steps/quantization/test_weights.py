"""quantize.weights: weights on a grid of few bits, that stay on it in training, load back and pack small."""

import copy
import hashlib

import pytest
import torch
from torch import nn

from engine.compute.context import validate
from engine.compute.layers.grids import GridForm, grid_of, grids, rounded, set_grid
from engine.compute.layers.masks import masked
from engine.compute.layers.select import leaf_of, prunable_layers, weight_of
from engine.compute.measures import packed
from engine.compute.measures.counts import count
from engine.compute.measures.sizes import sizes
from engine.compute.models import checkpoint
from engine.compute.onnx.export import export
from engine.compute.onnx.onnxruntime import OnnxSession
from engine.compute.steps.channels.step import prune_channels
from engine.compute.steps.clustering.kernels import cluster_kernels
from engine.compute.steps.clustering.weights import cluster_weights
from engine.compute.steps.factorization.step import factorize
from engine.compute.steps.pruning.step import prune_weights
from engine.compute.steps.quantization.grids import fit_grid
from engine.compute.steps.quantization.weights import quantize_weights
from engine.compute.steps.sensitivity import sensitivity
from engine.compute.training.loop import fit
from engine.errors import SecateurError
from engine.params.channels import PruneChannels
from engine.params.cluster_weights import ClusterWeights
from engine.params.clustering import ClusterKernels
from engine.params.factorization import Factorize
from engine.params.pruning import PruneWeights
from engine.params.quantize_weights import Gptq, Nearest, QuantizeWeights
from engine.params.sensitivity import Sensitivity
from engine.params.training import Finetune
from engine.studies import events as ev
from tests.engine.compute.compute_help import TEMPLATES, context_for, small_model
from tests.engine.compute.measures.packed_help import unpacked

NEAREST, FEW = Nearest(), Gptq(images=4)
FORMS = [
    QuantizeWeights(bits=4, rounding=NEAREST),
    QuantizeWeights(bits=8, clip="minmax", rounding=FEW),
    QuantizeWeights(bits=3, symmetric=False, group=16, rounding=FEW),
    QuantizeWeights(bits=2, learn_steps=True, rounding=NEAREST),
    QuantizeWeights(bits=4, symmetric=False, group=7, learn_steps=True, rounding=NEAREST),
]
"""What can differ: bits, sides, groups (also such as divide no filter), clipping, rounding, learned steps."""


LAYERS = 10
"""That a ResNet8 has: nine convolutions, two of them projections, and a linear layer."""


def made(params: QuantizeWeights = FORMS[0], sparsity: float = 0.0, width: int = 8) -> nn.Module:
    model = small_model(width=width, depth=8)
    if sparsity:
        prune_weights(model, PruneWeights(sparsity=sparsity), context_for())
    return quantize_weights(model, params.model_copy(update={"calibrate": False}), context_for())


def most_values(params: QuantizeWeights) -> int:
    return 2**params.bits - params.symmetric


def groups_of(weight: torch.Tensor, params: QuantizeWeights) -> list[torch.Tensor]:
    return [part for row in weight.detach().flatten(1) for part in row.split(params.group or len(row))]


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("params", FORMS, ids=str)
def test_weights_stay_on_a_grid_and_zeros_stay_zero_in_training(params, sparsity) -> None:
    model = made(params, sparsity)
    masks = {name: mask.mask.clone() for name, mask in masked(model).items()}
    steps = {name: grid.step.clone() for name, grid in rounded(model).items()}
    below = {name: leaf_of(model.get_submodule(name)).detach().clone() for name in steps}
    assert len(steps) == LAYERS
    fit(model, Finetune(epochs=1, learning_rate=0.01, weight_decay=0.1), context_for())
    for name, grid in rounded(model).items():
        weight = weight_of(model.get_submodule(name))
        assert all(len(part.unique()) <= most_values(params) for part in groups_of(weight, params))
        assert not torch.equal(leaf_of(model.get_submodule(name)), below[name]), "what lies below was trained"
        assert torch.equal(grid.step, steps[name]) != params.learn_steps
        if sparsity:
            assert (weight[~masks[name]] == 0).all()


@pytest.mark.parametrize("sparsity", [0.0, 0.8])
@pytest.mark.parametrize("params", FORMS, ids=str)
def test_a_checkpoint_loads_back_bit_equal_and_trains_on(tmp_path, params, sparsity) -> None:
    model = made(params, sparsity)
    checkpoint.save(model, tmp_path)
    again = checkpoint.load(tmp_path)
    assert rounded(again).keys() == rounded(model).keys() and masked(again).keys() == masked(model).keys()
    one, two = (fit(m, Finetune(epochs=1), context_for()) for m in (model, again))
    first, second = checkpoint.folded_state(one), checkpoint.folded_state(two)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any("parametrizations" in name for name in first)


@pytest.mark.parametrize("sparsity", [0.0, 0.9])
@pytest.mark.parametrize("params", FORMS, ids=str)
def test_the_packed_file_takes_a_code_for_each_weight_and_loads_back_bit_equal(params, sparsity) -> None:
    model = made(params, sparsity)
    state, found = checkpoint.folded_state(model), grids(model)
    data = packed.dump(state, found)
    again = unpacked(data)
    assert again.keys() == state.keys()
    assert all(torch.equal(again[n].view(torch.int32), state[n].view(torch.int32)) for n in found)
    weights = sum(state[name].numel() for name in found)
    steps = sum(grid.steps.numel() for grid in found.values())
    rest = len(packed.dump({name: tensor for name, tensor in state.items() if name not in found}))
    assert len(data) - rest <= weights * params.bits / 8 + 5 * steps + 60 * len(found)
    assert len(data) < len(packed.dump(state))
    assert sizes(state, grids=found)["packed"] == len(data)
    if sparsity:
        assert len(data) - rest < 0.5 * weights * params.bits / 8 + 5 * steps + 60 * len(found)


def test_a_grid_that_does_not_fit_is_not_used() -> None:
    model = made(width=16)
    found = grids(model)
    other = {name: tensor + 1e-3 for name, tensor in checkpoint.folded_state(model).items()}
    assert packed.dump(other, found) == packed.dump(other)
    assert unpacked(packed.dump(other))["fc.weight"].equal(other["fc.weight"])


def test_a_damaged_grid_is_told_as_one() -> None:
    state, found = checkpoint.folded_state(made(width=16)), grids(made(width=16))
    body = packed.dump(state, found)[:-32]
    cut = body[:-1]
    with pytest.raises(ValueError, match="damaged"):
        unpacked(cut + hashlib.sha256(cut).digest())


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_minmax_is_off_by_half_a_step_at_most_and_mse_has_no_larger_error(bits: int, symmetric: bool) -> None:
    torch.manual_seed(0)
    weight = torch.randn(6, 5, 3, 3) + 0.5
    weight[0] = 0.0
    errors = {}
    for clip in ("minmax", "mse"):
        layer = nn.Conv2d(5, 6, 3)
        layer.weight = nn.Parameter(weight.clone())
        form = GridForm(bits, symmetric, 10)
        set_grid(layer, *fit_grid(weight, form, clip), form)  # type: ignore[arg-type]
        difference = (weight_of(layer) - weight).detach()
        errors[clip] = form.cut(difference).square().sum(1)
        if clip == "minmax":
            step = form.spread(grid_of(layer).steps, (6, 5, 3, 3))  # type: ignore[union-attr]
            # The zero point of an asymmetric grid is a whole code, which takes up to half a step from one end.
            assert (difference.abs() <= step * (0.5001 if symmetric else 1.0001)).all()
    assert (errors["mse"] <= errors["minmax"] * 1.000001).all()
    assert errors["mse"].sum() < errors["minmax"].sum()
    assert errors["mse"][0] == 0


def test_the_step_of_three_points_for_normal_weights_is_max_s() -> None:
    """Max 1960, table II: the best uniform quantizer of three levels has a step of 1.224 deviations."""
    weight = torch.randn(1, 100_000, generator=torch.Generator().manual_seed(0))
    step, low = fit_grid(weight, GridForm(2), "mse")
    assert step.item() == pytest.approx(1.224, rel=0.02) and low.item() == 1


def test_the_gradient_goes_straight_through_but_not_past_the_ends() -> None:
    layer = nn.Linear(4, 1, bias=False)
    layer.weight = nn.Parameter(torch.tensor([[-0.4, 0.2, 0.9, 5.0]]))
    form = GridForm(3, learned=True)
    set_grid(layer, torch.tensor([0.5]), torch.tensor([3], dtype=torch.uint8), form)
    assert weight_of(layer).tolist() == [[-0.5, 0.0, 1.0, 1.5]]
    (layer.weight * torch.tensor([[1.0, 2.0, 3.0, 4.0]])).sum().backward()
    held = layer.parametrizations["weight"]  # type: ignore[index]
    assert held.original.grad.tolist() == [[1.0, 2.0, 3.0, 0.0]]  # type: ignore[union-attr]
    # Each weight's rounding error in steps (the clipped one's code) times its gradient, over sqrt(weights · top).
    expected = (-0.2 * 1 - 0.4 * 2 + 0.2 * 3 + 3 * 4) / (4 * 3) ** 0.5
    assert held[0].step.grad.item() == pytest.approx(expected)  # type: ignore[index, union-attr]


def test_training_below_the_rounding_wins_accuracy_back() -> None:
    model = fit(small_model(), Finetune(epochs=8, learning_rate=0.1, batch=64), context_for())
    quantize_weights(model, QuantizeWeights(bits=2, rounding=NEAREST), context_for())
    before = validate(model, context_for()).loss
    fit(model, Finetune(epochs=3, learning_rate=0.02, batch=64), context_for())
    assert validate(model, context_for()).loss < before


def test_compensated_rounding_keeps_outputs_and_means_and_moves_weights_below_no_further_than_it_has_to() -> (
    None
):
    model = fit(small_model(), Finetune(epochs=6, learning_rate=0.1, batch=64), context_for())
    original = copy.deepcopy(model).eval()
    losses, off = {}, {}
    for rounding in (NEAREST, Gptq(images=128)):
        rounded_ = quantize_weights(
            copy.deepcopy(model), QuantizeWeights(bits=2, rounding=rounding), context_for()
        )
        losses[rounding.kind] = validate(rounded_, context_for()).loss
        below = leaf_of(rounded_.get_submodule("layer2.0.conv1"))
        off[rounding.kind] = (below - weight_of(original.get_submodule("layer2.0.conv1"))).abs().max()
    assert losses["gptq"] < 0.5 * losses["nearest"]
    assert off["nearest"] == 0 < off["gptq"]


def test_layers_of_other_kinds_take_the_nearest_points() -> None:
    class Mixed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(1, 2, 2, stride=2)
            self.same = nn.Conv2d(2, 2, 3, padding="same")
            self.fc = nn.Linear(512, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.fc(self.same(self.up(x)).flatten(1))
            return out

    torch.manual_seed(0)
    model = Mixed()
    events: list[ev.Event] = []
    form = QuantizeWeights(bits=3, rounding=FEW)
    nearest = quantize_weights(
        copy.deepcopy(model), form.model_copy(update={"rounding": NEAREST}), context_for()
    )
    compensated = quantize_weights(model, form, context_for(events=events))
    for name in ("up", "same"):
        one, two = (weight_of(m.get_submodule(name)) for m in (nearest, compensated))
        assert torch.equal(one, two)
    assert not torch.equal(weight_of(nearest.fc), weight_of(compensated.fc))
    assert any(isinstance(e, ev.Notice) and "up, same" in e.text and "nearest" in e.text for e in events)


def test_counts_and_zeros_are_those_of_the_rounded_weights() -> None:
    plain, found = count(small_model(depth=8), (1, 8, 8)), count(made(FORMS[3]), (1, 8, 8))
    assert (found.parameters, found.macs) == (plain.parameters, plain.macs)
    zeros = [weight_of(m) == 0 for m in prunable_layers(made(FORMS[3]), ()).values()]
    assert found.sparsity == pytest.approx(torch.cat([z.flatten() for z in zeros]).float().mean().item())
    assert found.sparsity > 0.2


def test_the_onnx_file_computes_what_the_model_does(tmp_path) -> None:
    model = made(FORMS[2], sparsity=0.5).eval()
    images = torch.rand(3, 1, 8, 8)
    path = export(model, (1, 8, 8), tmp_path / "model.onnx", templates=TEMPLATES)
    with torch.inference_mode():
        torch.testing.assert_close(
            OnnxSession(path, images, 1, "cpu").run(images), model(images), rtol=1e-3, atol=1e-4
        )


def test_pruning_after_rounding_keeps_the_grids() -> None:
    model = made(QuantizeWeights(bits=6, rounding=NEAREST))
    prune_weights(model, PruneWeights(sparsity=0.6), context_for())
    assert len(rounded(model)) == len(masked(model)) == LAYERS
    assert count(model, (1, 8, 8)).sparsity == pytest.approx(0.6, abs=1e-2)
    assert packed.dump(checkpoint.folded_state(model), grids(model))[8] == packed.VERSION


def test_rounding_again_starts_from_the_weights_below() -> None:
    again = QuantizeWeights(bits=6, rounding=NEAREST)
    twice = quantize_weights(made(QuantizeWeights(bits=3, rounding=NEAREST)), again, context_for())
    once = made(QuantizeWeights(bits=6, rounding=NEAREST))
    for name in rounded(once):
        assert torch.equal(weight_of(twice.get_submodule(name)), weight_of(once.get_submodule(name)))


def test_channels_are_removed_after_the_grids_were_folded_and_the_user_is_told(tmp_path) -> None:
    events: list[ev.Event] = []
    model = prune_channels(
        made(sparsity=0.5), PruneChannels(ratio=0.3, calibrate=False), context_for(events=events)
    )
    assert not rounded(model) and masked(model)
    assert any(isinstance(e, ev.Notice) and "put quantize.weights after" in e.text for e in events)
    checkpoint.save(model, tmp_path)


def test_factorizing_folds_the_grids(tmp_path) -> None:
    model = factorize(made(), Factorize(), context_for())
    checkpoint.save(model, tmp_path)


def test_sensitivity_of_rounded_weights_is_measured() -> None:
    context = context_for()
    model = made(QuantizeWeights(bits=4, skip=("fc",), rounding=NEAREST))
    before = checkpoint.folded_state(model)
    sensitivity(model, Sensitivity(of="weights", rates=(0.5,), images=50, skip=("layer*",)), context)
    after = checkpoint.folded_state(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    with pytest.raises(SecateurError, match=r"Put sensitivity before quantize\.weights\."):
        sensitivity(model, Sensitivity(of="channels"), context)


def test_a_weight_has_one_code_a_grid_or_a_codebook() -> None:
    with pytest.raises(SecateurError, match="Use one of the two steps"):
        cluster_weights(made(), ClusterWeights(), context_for())
    with pytest.raises(SecateurError, match="Use one of the two steps"):
        quantize_weights(
            cluster_weights(small_model(), ClusterWeights(), context_for()), QuantizeWeights(), context_for()
        )
    with pytest.raises(SecateurError, match="Use one of the two steps"):
        cluster_kernels(made(), ClusterKernels(entries=4), context_for())


def test_both_codes_in_different_layers_load_back(tmp_path) -> None:
    model = cluster_weights(small_model(depth=20), ClusterWeights(skip=("layer*",)), context_for())
    quantize_weights(model, QuantizeWeights(skip=("conv1", "fc"), rounding=FEW), context_for())
    checkpoint.save(model, tmp_path)
    assert len(rounded(checkpoint.load(tmp_path))) == len(rounded(model)) >= 18


def test_what_is_lost_is_reported_and_skipped_layers_stay() -> None:
    context = context_for(events=(events := []))
    model = quantize_weights(
        small_model(), QuantizeWeights(bits=2, skip=("conv1", "fc"), rounding=NEAREST), context
    )
    rows = context.observations["rounding"]
    assert {row["name"] for row in rows} == rounded(model).keys() and "conv1" not in rounded(model)
    assert all(0 < row["lost"] < 0.5 and row["bits"] == 2 for row in rows)
    assert any(isinstance(e, ev.Notice) and "rounded to 2 bits" in e.text for e in events)
