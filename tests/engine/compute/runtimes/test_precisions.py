"""Runtimes beyond fp32 eager: precisions agree with fp32, what is missing is said, INT8's float operators are told."""

import sys
from pathlib import Path

import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static
from torch import Tensor, nn

from engine.compute.models import checkpoint
from engine.compute.models.architecture import Architecture, attached
from engine.compute.models.build import build
from engine.compute.onnx.onnxruntime import OnnxSession
from engine.compute.onnx.shape import example
from engine.compute.runtimes.base import artefact, float_operators, session
from engine.compute.runtimes.openvino import compiled
from engine.compute.runtimes.torch import TorchSession
from engine.errors import Unavailable
from engine.machine import runtimes
from tests.engine.compute.compute_help import TEMPLATES

SHAPE = (3, 16, 16)
TOLERANCES = {"fp32": 1e-3, "bf16": 3e-2, "fp16": 5e-3}
"""Of the largest output: bf16 has 8 bits, fp16 11."""


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(0)
    return build(Architecture("resnet8", 3, 10, SHAPE[1:], {"width": 8})).eval()


@pytest.fixture(scope="module")
def saved(network: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The network's checkpoint, its ONNX file beside it."""
    folder = tmp_path_factory.mktemp("network")
    checkpoint.save(network, folder)
    artefact("onnxruntime", network, SHAPE, folder, templates=TEMPLATES)
    return folder


def expected(model: nn.Module, images: Tensor) -> Tensor:
    with torch.inference_mode():
        output: Tensor = model(images)
    return output


def largest(given: Tensor, wanted: Tensor) -> float:
    return float((given - wanted).abs().max() / wanted.abs().max())


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
@pytest.mark.parametrize("runtime", ["torch", "openvino"])
def test_a_session_in_any_precision_agrees_with_fp32_at_any_batch(runtime, precision, network, saved):
    if why := runtimes.reason(runtime, precision, "cpu"):
        pytest.skip(why)
    path = saved if runtime == "torch" else saved / "model.onnx"
    opened = session(runtime, path, batch=2, shape=SHAPE, threads=1, precision=precision)
    opened()
    for batch in (1, 2, 5):
        images = torch.rand(batch, *SHAPE)
        given = opened.run(images)
        assert given.dtype == torch.float32
        assert largest(given, expected(network, images)) < TOLERANCES[precision]


def test_a_halved_onnx_file_keeps_its_inputs_and_agrees(network, saved):
    images = torch.rand(3, *SHAPE)
    given = OnnxSession(saved / "model.onnx", example(1, SHAPE), 1, "cpu", "fp16").run(images)
    assert largest(given, expected(network, images)) < TOLERANCES["fp16"]


class Mixed(nn.Module):
    """Holds a constant that casting a model leaves in fp32, so that a cast model fails."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(3, 16 * 16))

    def forward(self, images: Tensor) -> Tensor:
        return nn.functional.linear(images.flatten(2), torch.ones(4, 16 * 16)).mean(1) + self.weight[0, 0]


def mixed() -> nn.Module:
    return Mixed()


def test_a_network_that_needs_fp32_within_runs_by_autocast(tmp_path):
    model = attached(mixed(), Architecture(f"{__file__}:mixed", 3, 4, SHAPE[1:]))
    checkpoint.save(model, tmp_path)
    images = torch.rand(2, *SHAPE)
    given = TorchSession(tmp_path, example(1, SHAPE), 1, "cpu", "bf16", (f"{__file__}:mixed",)).run(images)
    assert largest(given, expected(model, images)) < TOLERANCES["bf16"]


def test_openvino_computes_in_fp32_though_the_processor_has_bf16(saved):
    graph = compiled(saved / "model.onnx", (1, *SHAPE), 1, "fp32").get_runtime_model()
    types = {node.get_rt_info()["runtimePrecision"].astype(str) for node in graph.get_ordered_ops()}
    assert types <= {"f32", "i32", "i64"}


def test_a_file_that_openvino_does_not_take_is_unavailable(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing of the kind")
    with pytest.raises(Unavailable, match="OpenVINO does not take the network"):
        session("openvino", tmp_path / "model.onnx", batch=1, shape=SHAPE, threads=1)


class Images(CalibrationDataReader):
    def __init__(self, name: str) -> None:
        self._left = [{name: example(4, SHAPE).numpy()}]

    def get_next(self):
        return self._left.pop() if self._left else None


def half_quantized(folder: Path) -> Path:
    """An INT8 file with one convolution and one HardSwish that stay in float."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(16, n, 3, 3, generator=generator).numpy() for n in (3, 16)]
    nodes = [
        helper.make_node("Conv", ["x", "w0"], ["a"], "first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w1"], ["c"], "second", pads=[1, 1, 1, 1]),
        helper.make_node("HardSwish", ["c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *SHAPE])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (folder / "float.onnx").write_bytes(model.SerializeToString())
    quantize_static(
        folder / "float.onnx",
        folder / "model.onnx",
        Images("x"),
        quant_format=QuantFormat.QDQ,
        nodes_to_exclude=["second"],
    )
    return folder / "model.onnx"


def test_operators_that_stay_in_float_are_counted_after_the_runtimes_own_optimization(tmp_path):
    path = half_quantized(tmp_path)
    found = float_operators("onnxruntime", path, batch=1, shape=SHAPE)
    assert found == {"Conv": 1, "HardSigmoid": 1, "Mul": 1}, "HardSwish is run as two operators"
    in_openvino = float_operators("openvino", path, batch=1, shape=SHAPE)
    assert in_openvino["Convolution"] == 1


def test_torch_executes_no_int8_file(tmp_path):
    with pytest.raises(Unavailable, match="ONNX Runtime and OpenVINO only"):
        float_operators("torch", tmp_path, batch=1, shape=SHAPE)


def test_without_a_compiler_or_openvino_one_sentence_says_so(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.delenv("CXX", raising=False)
    assert "C++ compiler" in runtimes.missing("torch-compile", "cpu")
    monkeypatch.setitem(sys.modules, "openvino", None)
    monkeypatch.setattr(runtimes, "find_spec", lambda name: None)
    assert (
        runtimes.missing("openvino", "cpu") == "OpenVINO is not installed: pip install 'secateur[openvino]'"
    )
    with pytest.raises(Unavailable, match="not installed"):
        session("openvino", Path("model.onnx"), batch=1, shape=SHAPE, threads=1)
