"""Steps that find something out and leave the model as it is."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Clash, Family, Names, Params, Several, StepParams, param
from engine.params.overlays import TABLES, Overlay
from engine.params.runtimes import LARGEST_BATCH, Runtime, TargetRuntime

Of = Literal["weights", "channels", "bits", "rank"]
FLOAT_BITS = 32
"""Bits of a weight that is not rounded; rows of bits tell the share that is removed of them."""


class Timed(Params):
    """Measure what layers take in a runtime, alone on the machine."""

    runtime: TargetRuntime = "onnxruntime"
    """Inference runtime to measure in."""
    batch: int = param(1, ge=1, le=LARGEST_BATCH, unit="images")
    """Batch size to measure."""


class Sensitivity(StepParams):
    """Compress one layer at a time at several levels, and see what each costs: a curve for every layer."""

    kind: ClassVar[str] = "sensitivity"
    version: ClassVar[int] = 9
    family: ClassVar[Family] = "analysis"
    needs_weights: ClassVar[bool] = True
    spares_skipped: ClassVar[bool] = False
    works_on_all: ClassVar[bool] = True
    times_apart: ClassVar[bool] = True
    fits_by: ClassVar[tuple[str, ...]] = ("of", "skip")

    of: Of = "channels"
    """What is removed: single weights, channels with everything coupled to them, bits of the weights
    (`quantize.weights` to the nearest point), or ranks (`factorize`)."""
    criterion: Literal["l1", "l2", "taylor"] = "l1"
    """Importance by which they are removed, as in the pruning step."""
    rates: Annotated[tuple[Annotated[float, Field(gt=0, lt=1)], ...], Several] = param(
        (0.1, 0.3, 0.5, 0.7, 0.9), min_length=1
    )
    """Shares of the layer to remove, one after the other; of its weights, with `of: rank`."""
    bits: Annotated[tuple[Annotated[int, Field(ge=2, le=8)], ...], Several] = param(
        (2, 3, 4, 6, 8), min_length=1
    )
    """Bits to round the layer's weights to, with `of: bits`; rows tell them as the share removed of 32."""
    scheme: Literal["spatial", "channel", "tucker"] = "tucker"
    """How a layer is split, with `of: rank`; as in `factorize`."""
    images: int = param(2000, ge=1, le=10_000_000, unit="images")
    """Validation images to score each on."""
    passes: float | None = param(None, gt=0, le=1000)
    """Images that all of them may take together, as so many passes over the training split: where they are many, each
    is scored on fewer than `images`, on a hundred at least; then layers have fewer of the levels, and where one of each
    is too much, nothing is measured."""
    latency: Timed | None = None
    """Whether the table tells milliseconds too, of `channels` and `rank`, in a runtime: its layers are measured at a
    grid of widths, and the whole network at three, within seconds."""
    calibrate: bool = True
    """Whether BatchNorm statistics are estimated anew before each is scored."""
    skip: Names = ()
    """Layers to leave out: names (`conv1`, `layer3.*`) or types (`Linear`)."""

    @property
    def furthest(self) -> tuple[float, str]:
        """The largest share of a layer that it measures without, and the parameter that says so, in words."""
        if self.of == "bits":
            return 1 - min(self.bits) / FLOAT_BITS, f"{min(self.bits)}, the fewest of its bits"
        return max(self.rates), f"{max(self.rates):g}, the largest of its rates"

    @property
    def unkeyed(self) -> tuple[str, ...]:
        return tuple(name for name in ("passes", "latency") if getattr(self, name) is None)

    @property
    def timed_in(self) -> Runtime | None:
        return self.latency.runtime if self.latency else None

    @model_validator(mode="after")
    def _timed(self) -> Self:
        if self.latency is not None and self.of not in ("channels", "rank"):
            raise Clash(
                "latency",
                f"given with of: {self.of}",
                "channels or rank: zeros and rounded weights take as long",
            )
        return self

    @property
    def undoes(self) -> tuple[Overlay, ...]:
        return (Overlay.CODEBOOK, Overlay.DICTIONARY) if self.of == "weights" else TABLES
