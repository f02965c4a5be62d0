"""One layer as an ONNX graph of its own, opened by ONNX Runtime as it opens a whole model."""

from typing import Any

import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from engine.compute.latency.layers import LayerConfig
from engine.compute.numerics.aligned import to_array
from engine.compute.onnx import narrow
from engine.compute.onnx.onnxruntime import FAILURES, options, providers
from engine.errors import SecateurError

OPSET = 17
IR_VERSION = 9
"""Of the graphs written here: old enough for every ONNX Runtime that our packages allow."""


class OnnxLayer:
    """A layer and its activation, as often as there are `weights` (weight and bias of each copy), added up.

    ONNX Runtime fuses addition and activation into the layer, as it does in residual networks.
    """

    def __init__(
        self, config: LayerConfig, weights: list[tuple[Any, Any]], images: Any, threads: int, device: str
    ) -> None:
        file = graph(config, weights, images.shape)
        try:
            session = ort.InferenceSession(file, options(threads), providers=providers(device))
            place = "cuda" if "CUDAExecutionProvider" in session.get_providers() else "cpu"
            binding = session.io_binding()
            binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(to_array(images), place, 0))
            binding.bind_output(session.get_outputs()[0].name, place)
        except FAILURES as error:
            raise SecateurError("ONNX Runtime does not take a layer", f"{config}: {error}") from error
        self._session, self._binding = session, binding

    def __call__(self) -> None:
        self._session.run_with_iobinding(self._binding)


def graph(
    config: LayerConfig, weights: list[tuple[Any, Any]], shape: tuple[int, ...], *, lanes: int | None = None
) -> bytes:
    """The ONNX file of the layer, as often as there are `weights`, on an input of `shape`.

    Narrow convolutions are packed as in whole models: for `lanes` channels at once, by default this processor's.
    """
    nodes: list[Any] = []
    held: list[Any] = []
    last = ""
    for number, (weight, bias) in enumerate(weights):
        names = f"w{number}", f"b{number}"
        held += [numpy_helper.from_array(weight, names[0]), numpy_helper.from_array(bias, names[1])]
        nodes.append(_node(config, ["x", *names], f"y{number}"))
        summed = f"y{number}"
        if last:
            summed = f"s{number}"
            nodes.append(helper.make_node("Add", [f"y{number}", last], [summed]))
        last = f"r{number}"
        nodes.append(helper.make_node("Relu", [summed], [last]))
    layers = helper.make_graph(
        nodes,
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, None)],
        held,
    )
    opset = [helper.make_opsetid("", OPSET)]
    model = onnx.shape_inference.infer_shapes(
        helper.make_model(layers, opset_imports=opset, ir_version=IR_VERSION)
    )
    narrow.pack(model, narrow.lanes() if lanes is None else lanes)
    text: bytes = model.SerializeToString()
    return text


def _node(config: LayerConfig, inputs: list[str], output: str) -> Any:
    if config.kind == "linear":
        return helper.make_node("Gemm", inputs, [output], transB=1)
    return helper.make_node(
        "Conv",
        inputs,
        [output],
        kernel_shape=config.kernel,
        strides=config.stride,
        pads=[*config.padding, *config.padding],
        dilations=config.dilation,
        group=config.group_count,
    )
