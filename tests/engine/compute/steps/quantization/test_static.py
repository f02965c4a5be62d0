"""Facts of static quantization: the file is all integers, says what is scored, and is the same every time."""

import copy
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
import torch
from torch import Tensor, nn

from engine.compute.context import validate
from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture, architecture, attached
from engine.compute.models.build import build
from engine.compute.models.int8 import FILE, QuantizedNetwork
from engine.compute.numerics.seeds import seed_everything
from engine.compute.onnx.graph import Graph, layer_of
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.runtimes.base import artefact, float_operators, session
from engine.compute.steps.apply import apply
from engine.compute.steps.quantization.bias_correction import bias_corrected, input_means
from engine.compute.steps.quantization.calibrate import Histogram, entropy, mean_square, percentile
from engine.compute.steps.quantization.choose import choose
from engine.compute.steps.quantization.equalization import equalized
from engine.compute.steps.quantization.graph import float_graph
from engine.compute.steps.quantization.write import dequantized_weight
from engine.errors import SecateurError
from engine.params import Calibrate, QuantizeDynamic, QuantizeQat, QuantizeStatic, Step
from tests.engine.compute.compute_help import context_for, digits
from tests.engine.compute.steps.quantization import tiny_residual

SHAPE = (1, 8, 8)
STATIC = QuantizeStatic(images=64, equalize="off", bias_correction="off")


@pytest.fixture(scope="module")
def network() -> nn.Module:
    """A residual network whose BatchNorm knows the digits."""
    seed_everything(0, "test")
    tiny = build(Architecture(f"{Path(tiny_residual.__file__)}:model", 1, 10, (8, 8)))
    return apply(Calibrate(images=200), tiny, context_for()).eval()


@pytest.fixture(scope="module")
def graph(network: nn.Module) -> onnx.ModelProto:
    return float_graph(network, SHAPE)


@pytest.fixture(scope="module")
def static(network: nn.Module) -> QuantizedNetwork:
    model = apply(STATIC, copy.deepcopy(network), context_for())
    assert isinstance(model, QuantizedNetwork)
    return model


def images(count: int = 64) -> Tensor:
    data = digits()
    return next(iter(data.batches(data.test, count, device=torch.device("cpu"))))[0]


def run(model: onnx.ModelProto, given: Tensor) -> Tensor:
    return OnnxModel(model.SerializeToString(), 1)(given)


def test_the_float_graph_computes_what_the_network_does_without_batchnorm(
    network: nn.Module, graph: onnx.ModelProto
) -> None:
    read = Graph(graph)
    layers = [layer_of(node, read) for node in read.weighted()]
    assert "BatchNormalization" not in {node.op_type for node in graph.graph.node}
    assert layers == [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.inference_mode():
        torch.testing.assert_close(run(graph, images()), network(images()), rtol=1e-3, atol=1e-4)


def test_residual_networks_run_in_integers_from_end_to_end(static: QuantizedNetwork, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    ort.InferenceSession(static.file, options, providers=["CPUExecutionProvider"])
    operators = [node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node]
    assert not {"Conv", "FusedConv", "Add", "Relu", "Gemm", "DequantizeLinear"} & set(operators)
    assert operators.count("QLinearConv") == 2
    assert operators.count("QLinearAdd") == 1


def test_the_file_is_close_to_the_network_and_is_what_is_scored(
    network: nn.Module, static: QuantizedNetwork
) -> None:
    with torch.inference_mode():
        one, two = network(images()), static(images())
    assert nn.functional.cosine_similarity(one, two).min() > 0.98
    predictions = torch.from_numpy(
        ort.InferenceSession(static.file).run(None, {"images": _all_validation().numpy()})[0]
    ).argmax(1)
    assert torch.equal(validate(static, context_for()).predictions, predictions)


def _all_validation() -> Tensor:
    data = digits()
    return torch.cat([batch for batch, _ in data.batches(data.validation, 500, device=torch.device("cpu"))])


def test_the_same_seed_gives_the_same_bytes(network: nn.Module, static: QuantizedNetwork) -> None:
    again = apply(STATIC, copy.deepcopy(network), context_for())
    assert isinstance(again, QuantizedNetwork)
    assert again.file == static.file


def test_a_checkpoint_holds_the_file_and_a_runtime_opens_that_very_file(
    static: QuantizedNetwork, tmp_path: Path
) -> None:
    checkpoint.save(static, tmp_path)
    again = checkpoint.load(tmp_path, [architecture(static.network).name])
    assert isinstance(again, QuantizedNetwork)
    assert (tmp_path / FILE).read_bytes() == static.file == again.file
    (tmp_path / "artefact").mkdir()
    path = artefact("onnxruntime", again, SHAPE, tmp_path / "artefact")
    assert path.read_bytes() == static.file
    opened = session("onnxruntime", path, batch=2, shape=SHAPE, threads=1)
    assert torch.equal(opened.run(images(3)), static(images(3)))


def test_an_int8_file_refuses_to_train(static: QuantizedNetwork) -> None:
    trained = copy.deepcopy(static).train()
    with pytest.raises(SecateurError, match="cannot be trained"):
        trained(images(2))


def test_a_network_that_diverged_is_refused_in_a_sentence(network: nn.Module) -> None:
    broken = copy.deepcopy(network)
    broken.get_parameter("conv2.weight").data[0] = float("nan")
    with pytest.raises(SecateurError, match="conv2: NaN or infinity"):
        apply(STATIC, broken, context_for())
    broken.get_parameter("conv2.weight").data[0] = 3e38  # a number, and what is computed with it is none
    with pytest.raises(SecateurError, match="no range"):
        apply(STATIC, broken, context_for())


def test_skipped_layers_keep_float_weights(network: nn.Module) -> None:
    params = STATIC.model_copy(update={"skip": ("conv1", "Linear")})
    model = apply(params, copy.deepcopy(network), context_for())
    assert isinstance(model, QuantizedNetwork)
    held = {t.name: t.data_type for t in onnx.load_model_from_string(model.file).graph.initializer}
    assert held["conv1.weight"] == held["fc.weight"] == onnx.TensorProto.FLOAT
    assert held["conv2.weight_int"] == onnx.TensorProto.INT8


def test_skipping_more_never_quantizes_a_tensor_anew(graph: onnx.ModelProto) -> None:
    read = Graph(graph)
    whole = set(choose(read).tensors)
    for node in read.weighted():
        assert set(choose(read, {node.name}).tensors) <= whole


def test_what_lies_between_linear_layers_and_stays_in_float_is_counted(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.GELU(), nn.Linear(16, 10)).eval()
    attached(model, Architecture("mine.py:model", 1, 10, (8, 8)))
    made = apply(STATIC, model, context_for())
    assert isinstance(made, QuantizedNetwork)
    (tmp_path / FILE).write_bytes(made.file)
    assert float_operators("onnxruntime", tmp_path / FILE, batch=1, shape=SHAPE) == {"Gelu": 1}


class Doubles(nn.Module):
    """Ends in double precision."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        head = nn.Linear(8, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10)
        self.head = nn.Sequential(*head).double()

    def forward(self, images: Tensor) -> Tensor:
        given: Tensor = self.head(self.body(images).double())
        return given.float()


@pytest.mark.parametrize(
    "step",
    [
        QuantizeDynamic(convolutions=True),
        QuantizeStatic(images=64, equalize="on"),
        QuantizeQat(epochs=1, images=64),
    ],
)
def test_layers_of_other_types_than_float32_stay_as_they_are(step: Step) -> None:
    model = attached(Doubles().eval(), Architecture("mine.py:model", 1, 10, (8, 8)))
    made = apply(step, model, context := context_for())
    precisions = {one["name"]: one["precision"] for one in context.observations["precision"]}
    assert precisions["body.0"] == "int8" and "int8" not in {
        precisions.get("head.0"),
        precisions.get("head.3"),
    }
    assert made(images()).isfinite().all()


def test_dynamic_tells_which_layers_it_changes(network: nn.Module) -> None:
    context = context_for()
    model = apply(QuantizeDynamic(), copy.deepcopy(network), context)
    assert isinstance(model, QuantizedNetwork)
    operators = [node.op_type for node in onnx.load_model_from_string(model.file).graph.node]
    assert operators.count("MatMulInteger") == 1
    assert operators.count("Conv") == 2
    with torch.inference_mode():
        assert nn.functional.cosine_similarity(network(images()), model(images())).min() > 0.99


def test_what_a_dynamic_file_gives_an_image_does_not_hang_on_others_beside_it(network: nn.Module) -> None:
    model = apply(QuantizeDynamic(convolutions=True), copy.deepcopy(network), context_for())
    few = images(8) * torch.linspace(0.1, 2, 8)[:, None, None, None]  # one range would be that of the last
    with torch.inference_mode():
        assert torch.equal(model(few), torch.cat([model(image) for image in few.split(1)]))


def test_equalization_changes_weights_and_not_what_is_computed() -> None:
    seed_everything(0, "test")
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 1),
        nn.Flatten(),
    ).eval()
    with torch.no_grad():
        model[0].weight[0] *= 100
    attached(model, Architecture("mine.py:model", 1, 10, (8, 8)))
    graph = float_graph(model, SHAPE)
    even = equalized(graph)
    torch.testing.assert_close(run(even, images()), run(graph, images()), rtol=1e-3, atol=1e-3)
    read = Graph(even)
    first, second = (read.array(node.input[1]) for node in list(read.weighted())[:2])
    largest = abs(first).max((1, 2, 3)), abs(second).max((1, 2, 3))
    assert largest[0] == pytest.approx(largest[1], rel=0.05)


def test_bias_correction_makes_up_for_what_rounding_the_weights_shifts() -> None:
    seed_everything(0, "test")
    layers = nn.Sequential(
        nn.Conv2d(1, 8, 4, stride=4), nn.ReLU(), nn.Conv2d(8, 8, 1, groups=2), nn.Flatten()
    )
    graph = float_graph(attached(layers.eval(), Architecture("mine.py:model", 1, 10, (8, 8))), SHAPE)
    corrected = bias_corrected(graph, input_means(graph, [images()]), {"0"}, per_channel=False)
    shifts = []
    for model in (graph, corrected):
        read = Graph(model)
        node = next(node for node in read.weighted() if node.name == "2")
        weight = dequantized_weight(node, Graph(graph), per_channel=False)
        rounded = onnx.ModelProto.FromString(model.SerializeToString())
        Graph(rounded).put("2.weight", weight)
        shift = run(rounded, images()) - run(graph, images())
        shifts.append(shift.view(-1, 8, 4).mean((0, 2)).abs().max())
    assert shifts[0] > 1e-4
    assert shifts[1] < 1e-6


def _histogram() -> Histogram:
    """Half a bell of which 99.9 % lie below 3, and a few values at 100."""
    counts = torch.zeros(2048, dtype=torch.float64)
    counts[:64] = 1_000_000 * torch.exp(-((torch.arange(64) / 20) ** 2))
    counts[-1] = 2
    return Histogram(0.0, 100.0, counts)


def test_methods_leave_rare_outliers_out_but_not_what_is_common() -> None:
    for low, high in (percentile(_histogram(), 99.9), mean_square(_histogram()), entropy(_histogram())):
        assert low == 0
        assert 1 <= high < 20
