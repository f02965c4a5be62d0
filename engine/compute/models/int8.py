"""A network whose outputs are those of an INT8 file: what the file computes is what is scored."""

import copy
import functools
import zlib
from typing import Any

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from engine.compute.models.architecture import architecture, attached
from engine.compute.numerics.aligned import from_array
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.errors import SecateurError

FILE = "model.int8.onnx"
"""Of a checkpoint: the INT8 file, beside the float network it was made from."""
AROUND, PLACES = "secateur/around", "secateur/places"
"""Of an INT8 file in parts: names of what is no tensor of it."""
LARGE = 64
"""Bytes of a tensor from which it is a part of its own."""
RANGED_ON_CALL = "DynamicQuantizeLinear"
"""The operator that quantizes by the range of all that it is given."""


class QuantizedNetwork(nn.Module):
    """A float network and the INT8 ONNX file made from it; called, it runs the file in ONNX Runtime on the CPU.

    Attributes:
        network: The float network, whose parameters, MACs and edits count.
        file: The ONNX file: Q/DQ nodes, or integer operators where activations are quantized on the fly.
    """

    def __init__(self, network: nn.Module, file: bytes) -> None:
        super().__init__()
        self.network = network
        self.file = file
        self._session: OnnxModel | None = None
        attached(self, architecture(network))
        self.eval()

    @property
    def in_torch(self) -> nn.Module:
        """The network whose activations are at least as large as the file's."""
        return self.network

    def forward(self, images: Tensor) -> Tensor:
        """The file's output for `images` (N, C, H, W), on their device.

        Computed with as many threads as torch has. Raises SecateurError in training mode: a file cannot be trained.
        """
        if self.training:
            raise SecateurError(
                "An INT8 file cannot be trained",
                "Its weights are integers.",
                "Train before the step that quantizes, or quantize with quantize.qat.",
            )
        threads = torch.get_num_threads()
        if self._session is None or self._session.threads != threads:
            self._session = OnnxModel(self.file, threads)
        if not self.by_image:
            return self._session(images).to(images.device)
        return torch.cat([self._session(image) for image in torch.split(images, 1)]).to(images.device)

    @functools.cached_property
    def by_image(self) -> bool:
        """Whether images go through the file one at a time, because its ranges are those of all images of a call: else
        an image's class would hang on which others are beside it."""
        nodes = onnx.load_model_from_string(self.file).graph.node
        return any(node.op_type == RANGED_ON_CALL for node in nodes)

    def __getstate__(self) -> dict[str, Any]:
        """A session can neither be copied nor sent; the next call makes a new one."""
        return self.__dict__ | {"_session": None}

    def __deepcopy__(self, memo: dict[int, Any]) -> "QuantizedNetwork":
        return QuantizedNetwork(copy.deepcopy(self.network, memo), self.file)


def torch_part(model: nn.Module) -> nn.Module:
    """The network in torch: `model` itself, or what its INT8 file was made from."""
    return model.network if isinstance(model, QuantizedNetwork) else model


def parts(file: bytes) -> dict[str, Tensor]:
    """An INT8 file taken apart: its large tensors by name, then what is around them, compressed, and at which place of
    that each of them belongs. The loader of a packed export puts it together again, byte for byte."""
    graph = onnx.load_model_from_string(file).graph
    found: dict[str, Tensor] = {}
    around, places, end = b"", [], 0
    for tensor in graph.initializer:
        # Tensors are written in this order; where equal bytes come earlier, cutting those out does as well.
        at = file.find(tensor.raw_data, end) if len(tensor.raw_data) >= LARGE else -1
        if at >= 0:
            around += file[end:at]
            places.append(len(around))
            end = at + len(tensor.raw_data)
            found[tensor.name] = from_array(numpy_helper.to_array(tensor))
    around = zlib.compress(around + file[end:], 9)
    return found | {
        AROUND: torch.tensor(list(around), dtype=torch.uint8),
        PLACES: torch.tensor(places, dtype=torch.int64),
    }


def initializers(file: bytes) -> dict[str, Tensor]:
    """The tensors that an ONNX file holds, by name."""
    graph = onnx.load_model_from_string(file).graph
    return {t.name: from_array(numpy_helper.to_array(t)) for t in graph.initializer}
