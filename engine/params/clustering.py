"""Steps that let filters or kernels share what is alike in them."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from engine.params.base import Clash, Extent, Family, Foreseen, Names, Params, StepParams, defaults, param
from engine.params.overlays import EVERY, Overlay, exclusive_with
from engine.params.variants import kind_from_name


class Shared(Params):
    """Convolve with the clusters' centroids only, and repeat each result wherever its filter was: the network
    keeps its shape and computes fewer filters."""

    kind: Literal["shared"] = "shared"

    fold: bool = False
    """Whether the repeat is folded into the next layer wherever only that layer sees the channels (as `merged`
    does), and kept elsewhere."""


class Merged(Params):
    """Where only one layer sees a convolution's channels, keep one channel per cluster and sum that layer's inputs
    over each cluster: the network really shrinks, and other convolutions stay as they are."""

    kind: Literal["merged"] = "merged"

    repair: bool = True
    """Whether the next layer's weights are refitted by least squares, so that its outputs come as near as they can
    to those before clustering."""
    ridge: float = param(1e-3, gt=0, le=100)
    """Weight of staying near the summed weights in that refit, in units of its inputs' mean square."""


Method = Annotated[Merged | Shared, Field(discriminator="kind"), kind_from_name]


class ClusterFilters(StepParams):
    """Group a convolution's filters that are alike, and keep one per group."""

    kind: ClassVar[str] = "cluster.filters"
    version: ClassVar[int] = 4
    family: ClassVar[Family] = "clustering"
    compresses: ClassVar[bool] = True
    extents: ClassVar[Mapping[str, Extent]] = {"ratio": Extent(ends=True)}
    renames: ClassVar[bool] = True
    may_avoid: ClassVar[frozenset[Overlay]] = frozenset({Overlay.DICTIONARY})
    fits_by: ClassVar[tuple[str, ...]] = ("method", "skip")

    method: Method = defaults(Merged)
    """What becomes of a cluster: its filters are merged into one channel, or share one convolution."""
    ratio: float = param(0.5, ge=0, lt=1)
    """Share of the filters to remove from every clustered layer; with `scope: global` the share of the clustered
    layers' weights."""
    scope: Literal["local", "global"] = "local"
    """Whether every layer gives the same share, or layers give where it distorts the filters least per weight."""
    algorithm: Literal["k-means", "agglomerative", "spherical"] = "k-means"
    """How filters are grouped: k-means from k-means++ starts, by merging the nearest pair (Ward), or by direction
    (spherical k-means), which allows filters of one direction a scale each."""
    pca: float | None = param(None, gt=0, le=100_000)
    """Reduce the filters' dimension first: below 1, to the principal components with this share of the variance;
    from 1 on, to this many components."""
    weighting: Literal["none", "input", "output"] = "input"
    """What counts more: all alike, input channels of high energy (mean square of their activations), or filters of
    high output energy."""
    restarts: int = param(4, ge=1, le=1000, unit="starts")
    """Starts of k-means; the one with the least distortion is taken."""
    images: int = param(512, ge=1, le=10_000_000, unit="images")
    """Training images for `weighting` and for the repair."""
    calibrate: bool = True
    """Whether BatchNorm statistics are estimated anew afterwards."""
    skip: Names = ()
    """Layers to leave alone: names (`conv1`, `layer3.*`) or types (`Conv2d`)."""

    @property
    def layers_foreseen(self) -> Foreseen:
        return "surely" if self.scope == "local" else "likely"

    @property
    def undoes(self) -> tuple[Overlay, ...]:
        return EVERY

    @model_validator(mode="after")
    def _whole_components(self) -> Self:
        if self.pca is not None and self.pca > 1 and self.pca != int(self.pca):
            raise Clash("pca", f"given {self.pca:g}", "a share below 1, or a whole number of components")
        return self


class ClusterKernels(StepParams):
    """Write every k×k kernel of a convolution as a scale times an entry of a small dictionary."""

    kind: ClassVar[str] = "cluster.kernels"
    version: ClassVar[int] = 2
    family: ClassVar[Family] = "clustering"
    compresses: ClassVar[bool] = True
    makes: ClassVar[Overlay | None] = Overlay.DICTIONARY
    never_with: ClassVar[frozenset[Overlay]] = exclusive_with(Overlay.DICTIONARY) | {Overlay.DICTIONARY}
    fits_by: ClassVar[tuple[str, ...]] = ("entries", "skip")

    entries: int = param(16, ge=1, le=65_536, unit="kernels")
    """Kernels in each layer's dictionary; kernels of one direction share an entry."""
    restarts: int = param(2, ge=1, le=1000, unit="starts")
    """Starts of the clustering; the one with the least distortion is taken."""
    calibrate: bool = True
    """Whether BatchNorm statistics are estimated anew afterwards."""
    skip: Names = ()
    """Layers to leave alone: names (`conv1`, `layer3.*`) or types (`Conv2d`)."""

    @property
    def undoes(self) -> tuple[Overlay, ...]:
        return EVERY
