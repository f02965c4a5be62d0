"""The step that rounds weights to few bits and leaves a network that trains on."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Extent, Family, Names, Params, StepParams, defaults, param
from engine.params.overlays import Overlay, exclusive_with, ordered
from engine.params.sensitivity import FLOAT_BITS
from engine.params.variants import kind_from_name


class Nearest(Params):
    """Each weight goes to the nearest point of the grid."""

    kind: Literal["nearest"] = "nearest"


class Gptq(Params):
    """Weights make up for each other's errors, so that the outputs on training images come nearest to what they were
    (GPTQ, Frantar et al. 2023; then coordinate descent). No labels, no training."""

    kind: Literal["gptq"] = "gptq"
    images: int = param(512, ge=1, le=1_000_000, unit="images")
    """Training images whose activations tell what errors cost."""
    damping: float = param(0.01, gt=0, le=1)
    """What keeps the weights near to what they were where the images tell little, as a share of the mean square of the
    inputs."""


Rounding = Annotated[Nearest | Gptq, Field(discriminator="kind"), kind_from_name]


class QuantizeWeights(StepParams):
    """Round the weights to a uniform grid of few bits; activations stay as they are.

    Any step may follow. Training then moves the weights below the rounding (weight-only QAT), and the file holds a
    code of so many bits for each weight. No runtime gets faster by it: it is the file that shrinks.
    """

    kind: ClassVar[str] = "quantize.weights"
    rates_of: ClassVar[str] = "bits"
    version: ClassVar[int] = 3
    family: ClassVar[Family] = "quantization"
    compresses: ClassVar[bool] = True
    extents: ClassVar[Mapping[str, Extent]] = {"bits": Extent(-1)}
    fits_by: ClassVar[tuple[str, ...]] = ("layers",)
    makes: ClassVar[Overlay | None] = Overlay.GRID
    never_with: ClassVar[frozenset[Overlay]] = exclusive_with(Overlay.GRID)
    works_on_all: ClassVar[bool] = True

    bits: int = param(4, ge=2, le=8, unit="bits")
    """Bits of a weight's code; with `scope: solved`, at most so many on average."""
    layers: dict[str, Annotated[int, Field(ge=2, le=8)]] = param({}, unit="bits")
    """The bits of single layers, such as `{conv1: 8, layer1.0.conv1: 3}`; replaces `bits`, `scope` and `skip`; layers
    that are not named stay as they are."""
    scope: Literal["local", "solved"] = "local"
    """Whether all layers get these bits, or each those by what an earlier step `sensitivity: {of: bits}` measured, so
    that the sum of the losses is least; layers that it skipped then get `bits`."""
    symmetric: bool = True
    """Whether the grid is as long below zero as above it (2 bits: -1, 0, 1); otherwise it lies where the weights of
    the group do, and always holds zero."""
    group: int | None = param(None, ge=2, le=65_536, unit="weights")
    """Neighbouring weights of a filter with a step of their own; by default a filter (output channel) has one."""
    clip: Literal["minmax", "mse"] = "mse"
    """Where the grid ends: at the largest weight, or where rounding and clipping together make the least squared
    error, of the weights or, with `rounding: gptq`, of the outputs."""
    rounding: Rounding = defaults(Gptq)
    """How the point of each weight is chosen; layers that are neither linear nor 2-D convolutions take the nearest."""
    learn_steps: bool = False
    """Whether later training moves the grid's steps with the weights (LSQ, Esser et al. 2020)."""
    calibrate: bool = True
    """Whether BatchNorm statistics are estimated anew afterwards."""
    skip: Names = ()
    """Layers to leave in float: names (`conv1`, `layer3.*`) or types (`Linear`)."""

    @model_validator(mode="after")
    def _layers_stand_alone(self) -> Self:
        self.refuse_beside_layers("bits", "scope", "skip")
        return self

    @property
    def by_table(self) -> tuple[str, float] | None:
        return ("bits", 1 - self.bits / FLOAT_BITS) if self.scope == "solved" else None

    @property
    def undoes(self) -> tuple[Overlay, ...]:
        return ordered(self.never_with)

    @property
    def unkeyed(self) -> tuple[str, ...]:
        """A scope that changes nothing: results of before there was one are found again."""
        return ("scope",) if self.scope == "local" else ()
