"""The interpretation of ONNX in torch: every operator, and whole Q/DQ files, against ONNX Runtime."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torchvision
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torchvision.models.efficientnet import MBConvConfig
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.resnet import BasicBlock

from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.steps.quantization.calibrate import ranges
from engine.compute.steps.quantization.graph import float_graph
from engine.compute.steps.quantization.onnx_training.module import TrainableGraph
from engine.compute.steps.quantization.onnx_training.parse import OPERATORS
from engine.compute.steps.quantization.write import quantized, weight_levels
from engine.errors import SecateurError
from engine.params.quantization import MinMax

IMAGE = (2, 4, 6, 6)


def random(*shape: int, seed: int = 0) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def whole(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


def graph_of(
    op: str, constants: list[np.ndarray[Any, Any] | None], outputs: int = 1, **attributes: Any
) -> onnx.ModelProto:
    """`op` on the images, which are its first input."""
    names = ["images", *("" if c is None else f"c{n}" for n, c in enumerate(constants))]
    node = helper.make_node(op, names, [f"out{n}" for n in range(outputs)], name="layer", **attributes)
    held = [numpy_helper.from_array(c, f"c{n}") for n, c in enumerate(constants) if c is not None]
    return model_of([node], held, f"out{outputs - 1}")


def model_of(
    nodes: list[onnx.NodeProto], held: list[onnx.TensorProto], output: str = "output"
) -> onnx.ModelProto:
    given = helper.make_tensor_value_info("images", TensorProto.FLOAT, ["N", *IMAGE[1:]])
    graph = helper.make_graph(nodes, "one", [given], [onnx.ValueInfoProto(name=output)], held)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


POSITIVE = np.abs(random(*IMAGE)) + 0.1
CASES: dict[str, tuple[str, list[np.ndarray[Any, Any] | None], dict[str, Any]]] = {
    "conv": ("Conv", [random(8, 4, 3, 3), random(8)], {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "conv groups dilated": ("Conv", [random(8, 1, 3, 3)], {"group": 4, "dilations": [2, 2]}),
    "conv uneven pads": ("Conv", [random(8, 4, 3, 3)], {"pads": [0, 1, 2, 1]}),
    "convtranspose": ("ConvTranspose", [random(4, 3, 2, 2), random(3)], {"strides": [2, 2]}),
    "matmul": ("MatMul", [random(6, 5)], {}),
    "add": ("Add", [random(4, 1, 1)], {}),
    "sub": ("Sub", [random(1)], {}),
    "mul": ("Mul", [random(6)], {}),
    "div": ("Div", [POSITIVE[:1]], {}),
    "pow": ("Pow", [np.array(2.0, np.float32)], {}),
    "min": ("Min", [random(6)], {}),
    "max": ("Max", [random(6)], {}),
    "prelu": ("PRelu", [random(4, 1, 1)], {}),
    "clip": ("Clip", [np.array(-0.5, np.float32), np.array(1.0, np.float32)], {}),
    "clip above only": ("Clip", [None, np.array(1.0, np.float32)], {}),
    "hardsigmoid": ("HardSigmoid", [], {"alpha": 1 / 6, "beta": 0.5}),
    "hardsigmoid of another slope": ("HardSigmoid", [], {}),
    "leakyrelu": ("LeakyRelu", [], {"alpha": 0.2}),
    "elu": ("Elu", [], {}),
    "gelu": ("Gelu", [], {}),
    "gelu tanh": ("Gelu", [], {"approximate": "tanh"}),
    "softmax": ("Softmax", [], {"axis": 1}),
    "layernorm": ("LayerNormalization", [random(6), random(6)], {"epsilon": 1e-3}),
    "layernorm two axes": ("LayerNormalization", [random(6, 6)], {"axis": 2}),
    "batchnorm": ("BatchNormalization", [random(4), random(4), random(4), POSITIVE[0, :, 0, 0]], {}),
    "maxpool": ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "maxpool ceil": ("MaxPool", [], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "maxpool uneven": ("MaxPool", [], {"kernel_shape": [2, 2], "pads": [0, 0, 1, 1]}),
    "averagepool": ("AveragePool", [], {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "averagepool counting": (
        "AveragePool",
        [],
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1, "strides": [2, 2]},
    ),
    "globalaveragepool": ("GlobalAveragePool", [], {}),
    "globalmaxpool": ("GlobalMaxPool", [], {}),
    "reducemean": ("ReduceMean", [whole(2, 3)], {"keepdims": 0}),
    "reducemean of all": ("ReduceMean", [], {}),
    "reducesum": ("ReduceSum", [whole(-1)], {}),
    "reducemax": ("ReduceMax", [whole(1)], {}),
    "reducel2": ("ReduceL2", [whole(1)], {"keepdims": 1}),
    "reduce nothing": ("ReduceSum", [], {"noop_with_empty_axes": 1}),
    "concat": ("Concat", [random(*IMAGE)], {"axis": 1}),
    "reshape": ("Reshape", [whole(0, 2, 2, -1)], {}),
    "transpose": ("Transpose", [], {"perm": [0, 2, 3, 1]}),
    "flatten": ("Flatten", [], {"axis": 2}),
    "flatten from the end": ("Flatten", [], {"axis": -1}),
    "slice": ("Slice", [whole(1, -3), whole(3, 9), whole(1, 2), whole(1, 2)], {}),
    "slice backward": ("Slice", [whole(-1), whole(-(2**62)), whole(3), whole(-2)], {}),
    "slice first axes": ("Slice", [whole(1), whole(2)], {}),
    "unsqueeze": ("Unsqueeze", [whole(0, -1)], {}),
    "pad": ("Pad", [whole(0, 0, 1, 2, 0, 0, 3, 0), np.array(0.5, np.float32)], {}),
    "pad named axes": ("Pad", [whole(1, 2), None, whole(3)], {}),
    "pad reflect": ("Pad", [whole(0, 0, 1, 1, 0, 0, 2, 1)], {"mode": "reflect"}),
    "gather": ("Gather", [whole(2, -1, 0)], {"axis": 1}),
    "gather one": ("Gather", [np.array(1, np.int64)], {"axis": 2}),
    "gathernd": ("GatherND", [np.array([[0, 1], [1, 3]], np.int64)], {}),
    "scatternd": ("ScatterND", [np.array([[1], [0]], np.int64), random(*IMAGE, seed=1)], {}),
    "expand": ("Expand", [whole(3, 1, 4, 1, 1)], {}),
    "tile": ("Tile", [whole(1, 2, 1, 3)], {}),
    "cast": ("Cast", [], {"to": TensorProto.INT32}),
    "shape": ("Shape", [], {"start": 1, "end": -1}),
    "einsum": ("Einsum", [random(4, 5)], {"equation": "nchw,cd->ndhw"}),
    "greater": ("Greater", [random(1)], {}),
    "less": ("Less", [random(1)], {}),
    "equal": ("Equal", [random(*IMAGE)], {}),
}
UNARY = ["Abs", "Ceil", "Dropout", "Erf", "Exp", "Floor", "HardSwish", "Identity", "Neg", "Relu"]
UNARY += ["Sigmoid", "Softplus", "Tanh"]
CASES |= {op.lower(): (op, [], {}) for op in UNARY}


def interpreted(model: onnx.ModelProto) -> TrainableGraph:
    return TrainableGraph(model, model, levels=127).eval()


def agrees(model: onnx.ModelProto, images: np.ndarray[Any, Any]) -> None:
    given = torch.from_numpy(images)
    expected = OnnxModel(model.SerializeToString(), 1)(given)
    with torch.no_grad():
        found = interpreted(model)(given)
    torch.testing.assert_close(found, expected.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_an_operator_computes_what_onnx_runtime_does(name: str) -> None:
    op, constants, attributes = CASES[name]
    agrees(graph_of(op, constants, **attributes), random(*IMAGE))


@pytest.mark.parametrize("op", ["Log", "Sqrt", "Reciprocal"])
def test_an_operator_on_positive_values(op: str) -> None:
    agrees(graph_of(op, []), POSITIVE)


@pytest.mark.parametrize(("op", "constants"), [("Sqrt", []), ("Pow", [np.array(1 / 3, np.float32)])])
def test_a_root_of_zero_has_no_infinite_slope(op: str, constants: list[np.ndarray[Any, Any] | None]) -> None:
    """8 bits make zeros of what generalized-mean pooling keeps above them: the training must go on."""
    images = POSITIVE.copy()
    images[0, 0] = 0
    agrees(graph_of(op, constants), images)
    given = torch.from_numpy(images).requires_grad_()
    interpreted(graph_of(op, constants))(given).sum().backward()
    assert given.grad is not None and given.grad.isfinite().all() and given.grad[0, 1].all()


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm(transposed: int) -> None:
    weight = random(5, 144) if transposed else random(144, 5)
    flat = helper.make_node("Flatten", ["images"], ["flat"])
    gemm = helper.make_node(
        "Gemm", ["flat", "w", "b"], ["output"], name="fc", transB=transposed, alpha=0.5, beta=2.0
    )
    held = [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(random(5), "b")]
    agrees(model_of([flat, gemm], held), random(*IMAGE))


def test_shapes_are_computed_for_any_number_of_images() -> None:
    """Constants, ranges and logic as exports of transformers have them: all depends on the shape of the images."""
    nodes = [
        helper.make_node("Constant", [], ["one"], value=numpy_helper.from_array(whole(1))),
        helper.make_node("Shape", ["images"], ["shape"]),
        helper.make_node("Split", ["shape"], ["first", "rest"], num_outputs=2),
        helper.make_node("Gather", ["shape", "one"], ["channels"]),
        helper.make_node("Squeeze", ["channels"], ["count"]),
        helper.make_node("Range", ["zero", "count", "step"], ["numbers"]),
        helper.make_node("ConstantOfShape", ["channels"], ["ones"], value=numpy_helper.from_array(whole(1))),
        helper.make_node("Equal", ["numbers", "ones"], ["same"]),
        helper.make_node("Not", ["same"], ["other"]),
        helper.make_node("And", ["same", "other"], ["never"]),
        helper.make_node("Or", ["other", "never"], ["either"]),
        helper.make_node("Unsqueeze", ["either", "two"], ["wide"]),
        helper.make_node("Where", ["wide", "images", "half"], ["output"]),
    ]
    held = [
        numpy_helper.from_array(values, name)
        for name, values in {
            "zero": np.array(0, np.int64),
            "step": np.array(1, np.int64),
            "two": whole(1, 2),
            "half": np.array(0.5, np.float32),
        }.items()
    ]
    model = model_of(nodes, held)
    agrees(model, random(*IMAGE))
    agrees(model, random(5, *IMAGE[1:]))


def test_split_gives_each_part() -> None:
    for constants, attributes in (([whole(1, 3)], {}), ([], {"num_outputs": 2})):
        agrees(graph_of("Split", list(constants), 2, axis=1, **attributes), random(*IMAGE))


def test_every_operator_is_tested() -> None:
    here = {op for op, _, _ in CASES.values()} | {"Log", "Sqrt", "Reciprocal", "Gemm", "Split"}
    shapes = ["Constant", "ConstantOfShape", "Range", "Squeeze", "Not", "And", "Or", "Where"]
    assert here | set(shapes) == set(OPERATORS)


def test_an_unknown_operator_is_told_with_its_layer_and_what_to_do() -> None:
    with pytest.raises(
        SecateurError, match=r"Celu cannot be trained[\s\S]*Layer layer [\s\S]*quantize.static"
    ):
        interpreted(graph_of("Celu", []))


def test_results_beside_the_first_are_told_where_something_takes_them() -> None:
    pool = helper.make_node("MaxPool", ["images"], ["values", "places"], name="layer", kernel_shape=[2, 2])
    cast = helper.make_node("Cast", ["places"], ["output"], to=TensorProto.FLOAT)
    with pytest.raises(SecateurError, match=r"MaxPool with several results cannot be trained"):
        interpreted(model_of([pool, cast], []))


def test_an_unknown_form_is_told_with_its_layer() -> None:
    model = graph_of("Conv", [random(8, 4, 3, 3)], auto_pad="SAME_UPPER")
    with pytest.raises(SecateurError, match=r"auto_pad SAME cannot be trained[\s\S]*Layer layer "):
        interpreted(model)(torch.zeros(IMAGE))


def _awake(network: nn.Module) -> nn.Module:
    """With BatchNorm statistics and heads that are not those of a network nobody trained."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 2, generator=generator)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0, module.in_features**-0.5, generator=generator)
    return network.eval()


def _small_resnet() -> nn.Module:
    return torchvision.models.ResNet(BasicBlock, [1, 1, 1, 1], num_classes=10)


def _small_mobilenet() -> nn.Module:
    """Squeeze-and-excitation, both activations, strides, a residual: one block of every kind of MobileNetV3-Small."""
    blocks = (
        *((16, 3, 16, 16, True, "RE", 2), (16, 3, 72, 24, False, "RE", 2), (24, 3, 88, 24, False, "RE", 1)),
        *((24, 5, 96, 40, True, "HS", 2), (40, 5, 240, 40, True, "HS", 1)),
    )
    found = [InvertedResidualConfig(*block, dilation=1, width_mult=1) for block in blocks]
    return torchvision.models.MobileNetV3(found, 128, num_classes=10)


def _small_efficientnet() -> nn.Module:
    """The first three of EfficientNet-B0's seven stages: a block without expansion, both kernels, residuals."""
    stages = ((1, 3, 1, 32, 16, 1), (6, 3, 2, 16, 24, 2), (6, 5, 2, 24, 40, 2))
    found = [MBConvConfig(*stage) for stage in stages]
    return torchvision.models.EfficientNet(found, dropout=0.2, num_classes=10)


def _small_swin() -> nn.Module:
    swin = torchvision.models.SwinTransformer
    return swin([4, 4], 24, [2, 1], [2, 4], [4, 4], num_classes=10)


def _small_vit() -> nn.Module:
    return torchvision.models.VisionTransformer(32, 16, 2, 4, 64, 128, num_classes=10)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "resnet": (_small_resnet, 64),
    "mobilenet_v3": (_small_mobilenet, 64),
    "efficientnet": (_small_efficientnet, 32),
    "vit": (_small_vit, 32),
    "swin": (_small_swin, 40),
}
"""Of each family few blocks: exporting a network takes a second for each dozen layers."""


@cache
def made(name: str) -> tuple[nn.Module, onnx.ModelProto, onnx.ModelProto]:
    """The network, its float graph and its Q/DQ file, calibrated on noise."""
    build, size = NETWORKS[name]
    torch.manual_seed(0)
    network = _awake(build())
    floats = float_graph(network, (3, size, size))
    bounds = ranges(floats, lambda: iter([images(name, 0), images(name, 1)]), MinMax())
    return network, floats, quantized(floats, bounds)


def images(name: str, seed: int) -> Tensor:
    size = NETWORKS[name][1]
    return torch.rand(8, 3, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_file_of_torchvision_s_networks_is_interpreted_as_it_runs(name: str) -> None:
    """A value between two steps is rounded by the order of sums; ONNX Runtime, fused or not, differs from itself so."""
    network, floats, file = made(name)
    trainable = TrainableGraph(
        file, floats, levels=weight_levels(), trained={n for n, _ in network.named_parameters()}
    ).eval()
    given = images(name, 2)
    expected = OnnxModel(file.SerializeToString(), 1)(given)
    with torch.no_grad():
        found = trainable(given)
    step = float(expected.max() - expected.min()) / 255
    assert float((found - expected).abs().mean()) < step
    assert float((found - expected).abs().max()) < 4 * step
    assert trainable.written().SerializeToString(deterministic=True) == file.SerializeToString(
        deterministic=True
    ), "untrained, it is written as it was read"


def test_an_attention_s_parameters_are_trained_too() -> None:
    network, floats, file = made("vit")
    names = {name for name, _ in network.named_parameters()}
    trainable = TrainableGraph(file, floats, levels=127, trained=names)
    assert names <= {name for name, _ in trainable.named_parameters()}
    trainable(images("vit", 2)).square().sum().backward()
    assert all(
        p.grad is not None and p.grad.abs().sum() > 0 for n, p in trainable.named_parameters() if n in names
    )
