"""Steps that repair what compression disturbed, without gradients."""

from typing import ClassVar

from engine.params.base import Family, StepParams, param


class Calibrate(StepParams):
    """Estimate the running mean and variance of every BatchNorm layer anew on training images."""

    kind: ClassVar[str] = "calibrate"
    family: ClassVar[Family] = "repair"
    needs_weights: ClassVar[bool] = True

    images: int = param(2048, ge=1, le=10_000_000, unit="images")
    """Training images to use (never validation or test)."""
    batch: int = param(256, ge=2, le=65_536, unit="images")
    """Images per forward pass; fewer where their activations would take more than half a gigabyte."""
