"""`quantize.qat`: training with fake quantization before the INT8 file is written."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.params.base import Family, Params, StepParams, defaults, param
from engine.params.quantization import FILE_PACKAGES, Calibration
from engine.params.training import Retraining
from engine.params.variants import kind_from_name


class LearnedScales(Params):
    """Scales of weights and activations are trained beside the weights, from calibration on, to at most twice or half
    (LSQ, Esser et al. 2020)."""

    kind: Literal["learned"] = "learned"


class ObservedScales(Params):
    """Scales of weights follow their largest value, those of activations the ranges of the batches."""

    kind: Literal["observed"] = "observed"

    freeze: float = param(0.5, ge=0, le=1)
    """Share of the training after which scales of activations stay as they are; 0: as calibration found them."""


Scales = Annotated[LearnedScales | ObservedScales, Field(discriminator="kind"), kind_from_name]


class QuantizeQat(Calibration, Retraining, StepParams):
    """Train on with every rounding of the INT8 file simulated (quantization-aware training), then write the file."""

    kind: ClassVar[str] = "quantize.qat"
    version: ClassVar[int] = 2
    family: ClassVar[Family] = "quantization"
    compresses: ClassVar[bool] = True
    needs_weights: ClassVar[bool] = True
    trains: ClassVar[bool] = True
    last: ClassVar[bool] = True
    file: ClassVar[bool] = True
    packages: ClassVar[tuple[str, ...]] = FILE_PACKAGES

    learning_rate: float = param(0.002, gt=0, le=10)
    """Highest learning rate of the schedule; low, because BatchNorm is folded into the weights before."""
    scales: Scales = defaults(LearnedScales)
    """Where the scales of weights and activations come from during the training; zero points stay as calibrated."""
