"""Facts of quantization-aware training: gradients, masks, resuming, and a file that is what was trained."""

import copy
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from engine.compute.context import Context, validate
from engine.compute.layers.masks import mask_of, masked
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork
from engine.compute.onnx.graph import Graph
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.steps.apply import apply
from engine.compute.steps.calibration.activations import images
from engine.compute.steps.quantization import qat
from engine.compute.steps.quantization.calibrate import ranges
from engine.compute.steps.quantization.graph import float_graph
from engine.compute.steps.quantization.onnx_training import fake
from engine.compute.steps.quantization.onnx_training.module import TrainableGraph
from engine.compute.steps.quantization.onnx_training.scales import ActivationSteps, WeightSteps
from engine.compute.steps.quantization.onnx_training.write_back import give_back
from engine.compute.steps.quantization.write import quantized, weight_levels
from engine.compute.training import resume
from engine.params import PruneWeights, QuantizeQat, QuantizeStatic, Train
from engine.params.quantization import MinMax
from engine.studies import events as ev
from tests.engine.compute.compute_help import (
    TEMPLATES,
    Interrupted,
    context_for,
    digits,
    small_model,
    stop_in_third_epoch,
)

SHAPE = (1, 8, 8)
SHORT = QuantizeQat(epochs=1, batch=64, images=64, learning_rate=0.01)
SCALES = ["learned", {"kind": "observed", "freeze": 0.7}]


def with_scales(scales: object, **settings: object) -> QuantizeQat:
    return QuantizeQat.model_validate({**SHORT.model_dump(), **settings, "scales": scales})


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A ResNet20 that knows the digits a little."""
    return apply(
        Train(epochs=4, batch=64, learning_rate=0.2), small_model(depth=20, width=4), context_for()
    ).eval()


@pytest.fixture(scope="module")
def graphs(network: nn.Module) -> tuple[onnx.ModelProto, onnx.ModelProto]:
    """The float graph, and the Q/DQ file."""
    floats = float_graph(copy.deepcopy(network), SHAPE, TEMPLATES)
    bounds = ranges(floats, lambda: images(context_for(), 64, "test", 16), MinMax())
    return floats, quantized(floats, bounds)


@pytest.fixture
def trainable(graphs: tuple[onnx.ModelProto, onnx.ModelProto]) -> TrainableGraph:
    return TrainableGraph(graphs[1], graphs[0], levels=weight_levels())


@pytest.fixture(scope="module")
def made(network: nn.Module) -> QuantizedNetwork:
    model = apply(SHORT, copy.deepcopy(network), context_for())
    assert isinstance(model, QuantizedNetwork)
    return model


def pixels(count: int = 64) -> Tensor:
    return next(iter(digits().batches(digits().test, count)))[0]


def test_gradients_of_an_activation_s_rounding_by_hand() -> None:
    """LSQ's equation 3: inside the range what rounding adds, beyond it the bound."""
    values = torch.tensor([[-1.0, 0.13, 0.26, 1.4, 9.0]], requires_grad=True)
    factor = torch.ones((), requires_grad=True)
    output = fake.activation(values, factor, 0.1, 0.1, -2, 15)
    torch.testing.assert_close(output, torch.tensor([[-0.2, 0.1, 0.3, 1.4, 1.5]]))
    output.backward(torch.tensor([[1.0, 2.0, 3.0, 4.0, 5.0]]))  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert factor.grad is not None
    assert values.grad.tolist() == [[0.0, 2.0, 3.0, 4.0, 0.0]]
    by_step = 1 * -2 + 2 * (1 - 1.3) + 3 * (3 - 2.6) + 4 * 0 + 5 * 15
    expected = fake.PACE * by_step / (5 * 17) ** 0.5 / 0.1
    assert float(factor.grad) == pytest.approx(expected, rel=1e-4)


def test_an_activation_s_gradient_does_not_depend_on_the_layout() -> None:
    values, grown = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        factor = torch.ones((), requires_grad=True)
        given = values.detach().clone(memory_format=layout).requires_grad_()
        fake.activation(given, factor, 0.02, 0.02, -60, 40).backward(grown)  # type: ignore[no-untyped-call]
        found.append((given.grad, factor.grad))
    torch.testing.assert_close(found[0], found[1])


def test_gradients_of_a_weight_s_rounding_by_hand() -> None:
    values = torch.tensor([[0.26, -0.5], [4.0, 0.9]], requires_grad=True)
    steps, factor = torch.tensor([[0.1], [0.5]]), torch.ones(2, 1, requires_grad=True)
    output = fake.weight(values, steps, steps, factor, 3)
    torch.testing.assert_close(output, torch.tensor([[0.3, -0.3], [1.5, 1.0]]))
    output.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert factor.grad is not None
    assert values.grad.tolist() == [[1.0, 0.0], [0.0, 1.0]]
    by_step = torch.tensor([[0.4 - 3], [3 + 2 - 1.8]])
    torch.testing.assert_close(factor.grad, fake.PACE * by_step / 6**0.5 / steps)


def test_roundings_are_computed_in_float32_whatever_the_autocast(trainable: TrainableGraph) -> None:
    seen: list[torch.dtype] = []
    trainable.activations.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        trainable(pixels(4)).sum().backward()
    assert set(seen) == {torch.float32}
    assert trainable.get_parameter("conv1.weight").grad is not None


def test_observed_ranges_move_while_they_are_observed() -> None:
    steps = ActivationSteps([0.1], learned=False).train()
    steps.start()
    steps(torch.tensor([[-1.0, 51.0]]), 0, -0, 255)
    assert steps.factors.tolist() == [1.0]
    steps.observing = True
    steps(torch.tensor([[-1.0, 51.0]]), 0, -0, 255)
    assert steps.factors.item() == pytest.approx(0.99 * 1 + 0.01 * 2)
    steps.eval()(torch.tensor([[-1.0, 51.0]]), 0, -0, 255)
    assert steps.factors.item() == pytest.approx(1.01)


def test_the_file_agrees_with_the_network_that_was_trained(network: nn.Module) -> None:
    events: list[ev.Event] = []
    context = context_for(events=events)
    model = apply(SHORT, copy.deepcopy(network), context)
    assert abs(context.observations[qat.DIFFERENCE]) <= 1.5, "at most one of some seventy images"
    description = [event for event in events if isinstance(event, ev.Notice)]
    assert "validation accuracy" in description[-1].text
    assert context.scored is not None
    assert validate(model, context).accuracy == context.scored.accuracy


@pytest.mark.parametrize("scales", SCALES)
def test_training_lowers_the_loss_of_the_rounded_network(
    graphs: tuple[onnx.ModelProto, onnx.ModelProto], scales: object
) -> None:
    """With weights of 3 levels either way, which rounding hurts."""
    params, context = with_scales(scales, epochs=2), context_for()
    trainable = TrainableGraph(graphs[1], graphs[0], levels=3, learned=scales == "learned")
    for module in trainable.modules():
        if isinstance(module, WeightSteps):
            module.calibrated *= weight_levels() / 3
    before = validate(trainable, context).loss
    qat.train_rounded(trainable, params, context)
    assert validate(trainable, context).loss < before


def test_the_file_has_the_nodes_of_the_static_one(network: nn.Module, made: QuantizedNetwork) -> None:
    """So it fuses as that one does, and is as fast."""
    static = apply(
        QuantizeStatic(images=64, equalize="off", bias_correction="off"),
        copy.deepcopy(network),
        context_for(),
    )
    assert isinstance(static, QuantizedNetwork)
    one, two = (onnx.load_model_from_string(file) for file in (made.file, static.file))
    assert list(one.graph.node) == list(two.graph.node)
    types = [{t.name: (t.data_type, tuple(t.dims)) for t in model.graph.initializer} for model in (one, two)]
    assert types[0] == types[1]
    assert one.SerializeToString() != two.SerializeToString()


def test_every_convolution_computes_in_integers(made: QuantizedNetwork, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(made.file, options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert operators.count("QLinearConv") == 21
    assert not {"Conv", "FusedConv", "Add", "Relu", "DequantizeLinear"} & set(operators)


def test_pruned_weights_stay_zero(network: nn.Module) -> None:
    context = context_for()
    pruned = apply(PruneWeights(sparsity=0.6), copy.deepcopy(network), context)
    masks = {name: part.mask.clone() for name, part in masked(pruned).items()}
    skipped = "layer1.0.conv1"
    started = Graph(float_graph(copy.deepcopy(pruned), SHAPE, TEMPLATES)).array(f"{skipped}.weight")
    model = apply(SHORT.model_copy(update={"skip": (skipped,)}), pruned, context)
    assert isinstance(model, QuantizedNetwork)
    file = Graph(onnx.load_model_from_string(model.file))
    for name, mask in masks.items():
        weight = file.array(f"{name}.weight" if name == skipped else f"{name}.weight_int")
        assert not weight[~mask.numpy()].any()
        assert name != skipped or (weight != started).any(), "in float, and yet trained"
        layer = model.network.get_submodule(name)
        assert mask_of(layer) is not None
        assert not layer.get_parameter("parametrizations.weight.original")[~mask].any()
    assert sum(int((~mask).sum()) for mask in masks.values()) > 1000


def test_the_network_is_given_the_trained_weights(
    network: nn.Module, graphs: tuple[onnx.ModelProto, ...]
) -> None:
    """It computes what the float graph does with them, though BatchNorm is folded there."""
    floats, mine = Graph(copy.deepcopy(graphs[0])), copy.deepcopy(network)
    generator = torch.Generator().manual_seed(0)
    trained = {
        name: torch.from_numpy(floats.array(name).copy())
        * (0.5 + torch.rand(floats.array(name).shape, generator=generator))
        for node in floats.weighted()
        for name in node.input[1:3]
    }
    assert give_back(mine, graphs[0], trained, pixels(1)) == []
    for name, values in trained.items():
        floats.put(name, values.numpy())
    with torch.inference_mode():
        found, before = mine(pixels()), network(pixels())
    expected = OnnxModel(floats.model.SerializeToString(), 1)(pixels())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(before, expected, rtol=1e-1)


def test_a_checkpoint_of_it_loads_back(made: QuantizedNetwork, tmp_path: Path) -> None:
    checkpoint.save(made, tmp_path)
    again = checkpoint.load(tmp_path)
    assert isinstance(again, QuantizedNetwork)
    assert again.file == made.file


@pytest.mark.parametrize("scales", SCALES)
def test_an_interrupted_training_goes_on_with_the_same_bits(
    graphs: tuple[onnx.ModelProto, onnx.ModelProto],
    scales: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    params = with_scales(scales, epochs=3, keep="best", augment="crop", precision="bf16")

    def trained(context: Context) -> bytes:
        trainable = TrainableGraph(graphs[1], graphs[0], levels=weight_levels(), learned=scales == "learned")
        qat.train_rounded(trainable, params, context)
        return trainable.written().SerializeToString(deterministic=True)

    undisturbed = trained(context_for())
    monkeypatch.setattr(resume, "EVERY_S", 0.0)
    context = context_for(partial=tmp_path)

    stop_in_third_epoch(context)
    with pytest.raises(Interrupted):
        trained(context)
    assert list(tmp_path.rglob("epoch-00002"))
    assert trained(context_for(partial=tmp_path)) == undisturbed
