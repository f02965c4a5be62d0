"""The step that stores in 16 bits what other steps leave in float."""

from typing import ClassVar

from engine.params.base import Family, StepParams


class QuantizeHalf(StepParams):
    """Round to 16 bits (float16) whatever is stored in float, after BatchNorm's statistics are folded in its scale and
    shift, so that two vectors are left of its four.

    Of a network whose weights are codes (`cluster.weights`, `quantize.weights`) these vectors, biases and tables are a
    third of the file. Computation stays in float32. What is left is for inference: no step can follow.
    """

    kind: ClassVar[str] = "quantize.half"
    family: ClassVar[Family] = "quantization"
    compresses: ClassVar[bool] = True
    last: ClassVar[bool] = True
