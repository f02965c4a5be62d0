"""Steps that quantize: weights and activations in 8 bits, as a file that a runtime executes."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.params.base import Family, Names, Params, StepParams, defaults, param
from engine.params.runtimes import ProfiledRuntime, Runtime
from engine.params.variants import kind_from_name

FILE_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
"""Packages that write an INT8 file and compute its results."""
Switch = Literal["auto", "on", "off"]


class MinMax(Params):
    """From the smallest to the largest value seen."""

    kind: Literal["minmax"] = "minmax"


class Percentile(Params):
    """Without the values beyond a percentile."""

    kind: Literal["percentile"] = "percentile"
    percentile: float = param(99.99, ge=90, le=100, unit="%")
    """Share of the values that stay inside, counted from each end."""


class Entropy(Params):
    """Where the quantized distribution tells most of the original one: least KL divergence (Migacz 2017)."""

    kind: Literal["entropy"] = "entropy"


class MeanSquare(Params):
    """Where rounding and clipping together make the least mean square error."""

    kind: Literal["mse"] = "mse"


Method = Annotated[MinMax | Percentile | Entropy | MeanSquare, Field(discriminator="kind"), kind_from_name]


class QuantizeDynamic(StepParams):
    """Store the weights of layers in 8 bits and quantize what enters them anew for every image: no calibration. The
    file takes its ranges from all images of a call; it is scored with one image a call."""

    kind: ClassVar[str] = "quantize.dynamic"
    version: ClassVar[int] = 2
    family: ClassVar[Family] = "quantization"
    compresses: ClassVar[bool] = True
    last: ClassVar[bool] = True
    file: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = FILE_PACKAGES

    convolutions: bool = False
    """Whether convolutions are changed too; in ONNX Runtime on a CPU that is slower than leaving them."""
    per_channel: bool = True
    """Whether every output channel of a weight has a scale of its own, rather than one for the layer."""
    skip: Names = ()
    """Layers to leave in float: names (`fc`, `layer3.*`) or types (`Linear`)."""


class Mixed(Params):
    """Leave the fewest layers in float with which the loss of accuracy stays small."""

    max_loss: float = param(1.0, ge=0, le=100, unit="points")
    """What the file may lose of the float network's accuracy on validation images."""


class Calibration(Params):
    """Ranges of activations found on training images, and what of the network they are for."""

    method: Method = defaults(MeanSquare)
    """How the range of each activation is found from the values seen."""
    images: int = param(256, ge=1, le=1_000_000, unit="images")
    """Training images to calibrate on (never validation or test)."""
    per_channel: bool = True
    """Whether every output channel of a weight has a scale of its own, rather than one for the layer."""
    skip: Names = ()
    """Layers to leave in float: names (`conv1`, `layer3.*`) or types (`Linear`)."""


class QuantizeStatic(Calibration, StepParams):
    """Make an INT8 file: weights and activations in 8 bits, with ranges found on training images."""

    kind: ClassVar[str] = "quantize.static"
    version: ClassVar[int] = 2
    family: ClassVar[Family] = "quantization"
    compresses: ClassVar[bool] = True
    last: ClassVar[bool] = True
    file: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = FILE_PACKAGES

    batch: int = param(16, ge=1, le=4096, unit="images")
    """Images per calibration pass: all their activations are in memory together. Of large images fewer go at a
    time."""
    equalize: Switch = "auto"
    """Cross-layer equalization: whether the weights of neighbouring layers are scaled to like ranges first (Nagel et
    al. 2019); `auto`: where it brings the outputs on training images set aside closer to the float network's."""
    bias_correction: Switch = "auto"
    """Whether biases make up for what rounding the weights shifts on average (Nagel et al. 2019); `auto`: as above."""
    mixed: Mixed | None = None
    """Leave the most sensitive layers in float, as few as suffice; by default none is."""
    faster: bool = False
    """Whether layers whose 8 bits cost more time than they save stay in float, by measured times, so that the file is
    never slower than the float network in the runtime of `faster_in`; at worst nothing is quantized."""
    faster_in: ProfiledRuntime = "onnxruntime"
    """Inference runtime that `faster` measures in: what saves time in one may cost it in another."""

    @property
    def unkeyed(self) -> tuple[str, ...]:
        """The runtime where nothing is measured, or the one that results of before there was a choice have."""
        return ("faster_in",) if not self.faster or self.faster_in == "onnxruntime" else ()

    @property
    def timed_in(self) -> Runtime | None:
        return self.faster_in if self.faster else None
