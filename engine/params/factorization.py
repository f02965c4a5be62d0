"""The step that splits layers in a chain of smaller ones."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Clash, Extent, Family, Foreseen, Names, Params, StepParams, defaults, param
from engine.params.overlays import EVERY, Overlay
from engine.params.variants import kind_from_name


class Ratio(Params):
    """The largest ranks with which each layer loses this share of its weights."""

    kind: Literal["ratio"] = "ratio"
    ratio: float = param(0.5, gt=0, lt=1)
    """Share of each layer's weights to remove."""


class Energy(Params):
    """The smallest ranks that keep this much of each layer."""

    kind: Literal["energy"] = "energy"
    energy: float = param(0.9, gt=0, le=1)
    """Share of the sum of squared singular values to keep."""


class Vbmf(Params):
    """The ranks above the noise, by variational Bayesian matrix factorization (EVBMF, Nakajima et al. 2013)."""

    kind: Literal["vbmf"] = "vbmf"


Rank = Annotated[Ratio | Energy | Vbmf, Field(discriminator="kind"), kind_from_name]


class Factorize(StepParams):
    """Split linear layers and convolutions in chains of smaller ones, by their singular values."""

    kind: ClassVar[str] = "factorize"
    rates_of: ClassVar[str] = "rank"
    solver: ClassVar[int] = 2
    family: ClassVar[Family] = "factorization"
    compresses: ClassVar[bool] = True
    extents: ClassVar[Mapping[str, Extent]] = {"rank.ratio": Extent()}
    fits_by: ClassVar[tuple[str, ...]] = ("layers", "scheme")
    renames: ClassVar[bool] = True
    clears: ClassVar[frozenset[Overlay]] = frozenset(EVERY)

    scheme: Literal["spatial", "channel", "tucker"] = "tucker"
    """How a k×k convolution is split: in k×1 and 1×k (`spatial`, Jaderberg et al. 2014), in k×k with fewer
    channels and 1×1 (`channel`, Zhang et al. 2016), or in 1×1, a smaller k×k and 1×1 (`tucker`: Tucker-2, Kim et
    al. 2016). 1×1 convolutions and linear layers are split in two."""
    rank: Rank = defaults(Ratio)
    """How small the layers between become; a layer that would not save weights stays as it is."""
    layers: dict[str, Annotated[float, Field(gt=0, lt=1)]] = param({})
    """The share of their weights to remove of single layers, as with `rank: ratio`, such as `{layer3.0.conv1: 0.5}`;
    replaces `rank`, `scope` and `skip`; layers that are not named stay as they are."""
    scope: Literal["local", "solved"] = "local"
    """Whether `rank` holds for each layer, or its ratio for all together, with ranks by what an earlier step
    `sensitivity: {of: rank}` of the same scheme measured, so that the sum of deviations is least."""
    skip: Names = ()
    """Layers to leave alone: names (`conv1`, `layer3.*`) or types (`Linear`)."""
    calibrate: bool = True
    """Whether BatchNorm statistics are estimated anew afterwards."""

    @model_validator(mode="after")
    def _ranks_said_once(self) -> Self:
        self.refuse_beside_layers("rank", "scope", "skip")
        if self.scope == "solved" and not isinstance(self.rank, Ratio):
            raise Clash("scope", f"given solved with rank {self.rank.kind}", "rank: {kind: ratio} with it")
        return self

    @property
    def layers_foreseen(self) -> Foreseen:
        if self.scope == "solved":
            return "not"
        return "surely" if self.layers or isinstance(self.rank, Ratio) else "likely"

    @property
    def by_table(self) -> tuple[str, float] | None:
        return ("rank", self.rank.ratio) if self.scope == "solved" and isinstance(self.rank, Ratio) else None

    @property
    def unkeyed(self) -> tuple[str, ...]:
        """A scope that changes nothing: results of before there was one are found again."""
        return ("scope",) if self.scope == "local" else ()
