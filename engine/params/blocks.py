"""The step that drops whole blocks."""

from collections.abc import Mapping
from typing import ClassVar, Self

from pydantic import model_validator

from engine.params.base import Clash, Extent, Family, Foreseen, Names, StepParams, param


class PruneBlocks(StepParams):
    """Drop blocks that a network can do without: of residual blocks what they add, of transformers' attention or MLPs
    what they give. A constant stays in its place, the mean over training images, which later training goes on with."""

    kind: ClassVar[str] = "prune.blocks"
    family: ClassVar[Family] = "pruning"
    compresses: ClassVar[bool] = True
    extents: ClassVar[Mapping[str, Extent]] = {"speedup": Extent(ends=True), "count": Extent(0, ends=True)}
    renames: ClassVar[bool] = True
    fits_by: ClassVar[tuple[str, ...]] = ("count", "speedup", "keep")

    count: int = param(1, ge=1, le=1000, unit="blocks")
    """Blocks to drop, one after the other: each time the one without which the network's answers on training images
    differ least (Kullback-Leibler divergence; no label has a part in it)."""
    speedup: float | None = param(None, gt=1, le=1000)
    """Drop blocks until the MACs before over the MACs after reach this, least difference per MAC saved first; given
    instead of `count`."""
    keep: Names = ()
    """Blocks that stay, with all in them, by their names (`layer4.0`)."""
    calibrate: bool = True
    """Whether BatchNorm statistics are estimated anew afterwards."""

    @model_validator(mode="after")
    def _one_target(self) -> Self:
        if self.speedup is not None and "count" in self.model_fields_set:
            raise Clash("count", "given together with speedup", "one of the two")
        return self

    @property
    def layers_foreseen(self) -> Foreseen:
        return "likely"

    @property
    def unkeyed(self) -> tuple[str, ...]:
        return ("count",) if self.speedup is not None else ()
