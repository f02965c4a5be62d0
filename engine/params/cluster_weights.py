"""The step that lets weights share few values."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from engine.params.base import Extent, Family, Names, Params, StepParams, defaults, param
from engine.params.overlays import Overlay, exclusive_with, ordered
from engine.params.variants import kind_from_name


class Scalar(Params):
    """Every weight becomes one of the centroids (Deep Compression, Han et al. 2016)."""

    kind: Literal["scalar"] = "scalar"
    per: Literal["layer", "channel"] = "layer"
    """What has a codebook of its own: a layer, or each of its output channels."""
    start: Literal["linear", "density", "k-means++"] = "linear"
    """Where the centroids start: evenly over the range of the weights (which keeps the large ones), at equal
    shares of the weights, or drawn far from one another."""


class Product(Params):
    """Every few neighbouring weights of a filter become one of the centroids (product quantization, Gong et al.
    2014)."""

    kind: Literal["product"] = "product"
    length: int = param(4, ge=2, le=64, unit="weights")
    """Weights that become one centroid together; layers whose filters are no multiple of it stay as they
    are."""


class ClusterWeights(StepParams):
    """Let the weights of a layer share few values, which later training moves: an index is stored for each."""

    kind: ClassVar[str] = "cluster.weights"
    makes: ClassVar[Overlay | None] = Overlay.CODEBOOK
    never_with: ClassVar[frozenset[Overlay]] = exclusive_with(Overlay.CODEBOOK)
    works_on_all: ClassVar[bool] = True
    version: ClassVar[int] = 2
    family: ClassVar[Family] = "clustering"
    compresses: ClassVar[bool] = True
    extents: ClassVar[Mapping[str, Extent]] = {"centroids": Extent(-1)}
    fits_by: ClassVar[tuple[str, ...]] = ("method", "skip")

    centroids: int = param(32, ge=2, le=256)
    """Most values (vectors with `product`) of one codebook; zeros under a mask stay zero and take none."""
    method: Annotated[Scalar | Product, Field(discriminator="kind"), kind_from_name] = defaults(Scalar)
    """What is clustered: single weights, or vectors of neighbouring ones."""
    skip: Names = ()
    """Layers to leave alone: names (`conv1`, `layer3.*`) or types (`Linear`)."""

    @property
    def undoes(self) -> tuple[Overlay, ...]:
        return ordered(self.never_with)

    @property
    def makes_everywhere(self) -> bool:
        # Product quantization leaves layers alone whose filters can't be cut evenly.
        return super().makes_everywhere and isinstance(self.method, Scalar)
