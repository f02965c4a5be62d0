"""What an INT8 file is written from, so that it can be written again with other layers in float."""

from collections.abc import Set
from dataclasses import dataclass

import onnx

from engine.compute.steps.quantization.bias_correction import Means, bias_corrected
from engine.compute.steps.quantization.calibrate import Ranges
from engine.compute.steps.quantization.write import quantized


@dataclass(frozen=True)
class Recipe:
    """What an INT8 file is written from; `means` are there where biases are to be corrected."""

    graph: onnx.ModelProto
    ranges: Ranges
    means: Means | None = None
    per_channel: bool = True

    def write(self, skip: Set[str] = frozenset()) -> onnx.ModelProto:
        """The file, with the nodes named by `skip` in float."""
        graph = self.graph
        if self.means is not None:
            graph = bias_corrected(graph, self.means, skip, per_channel=self.per_channel)
        return quantized(graph, self.ranges, skip=skip, per_channel=self.per_channel)
