"""One layer as an ONNX graph of its own, opened by OpenVINO as it opens a whole model."""

from typing import Any

import openvino

from engine.compute.latency.layers import LayerConfig
from engine.compute.latency.onnx_layer import graph
from engine.compute.numerics.aligned import to_array
from engine.compute.runtimes.openvino import compiled


class OpenvinoLayer:
    """A layer and its activation, as often as there are `weights` (weight and bias of each copy), added up."""

    def __init__(
        self, config: LayerConfig, weights: list[tuple[Any, Any]], images: Any, threads: int, device: str
    ) -> None:
        """`device` is the processor's: this runtime uses no other here."""
        network = compiled(graph(config, weights, images.shape), images.shape, threads, "fp32")
        self._request = network.create_infer_request()
        self._images = to_array(images)
        self._request.set_input_tensor(openvino.Tensor(self._images, shared_memory=True))

    def __call__(self) -> None:
        self._request.infer()
