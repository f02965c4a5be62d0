"""Which of a layer's filters belong together.

Every function takes vectors, one filter a row, and works in float64 on the CPU, so that a GPU clusters as a CPU does.
scikit-learn is imported where it is used: that takes a second, which studies that cluster nothing should not wait for.
"""

import warnings
from dataclasses import dataclass
from typing import Literal, assert_never

import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]
from torch import Tensor

from engine.compute.numerics.aligned import from_array, to_array
from engine.compute.steps.clustering.directions import directions

Algorithm = Literal["k-means", "agglomerative", "spherical"]

MINIBATCH = 2_000_000_000
"""Vectors × dimensions × clusters, the products of one k-means iteration, from which MiniBatchKMeans is used: about
two seconds an iteration on one core."""


@dataclass(frozen=True)
class Clusters:
    """`labels`: int64 (F,), clusters numbered by their first member; `scales`: float64 (F,), the factor that takes
    the cluster's direction to the filter, 0 or more; None where the algorithm has none."""

    labels: Tensor
    scales: Tensor | None = None

    @property
    def count(self) -> int:
        return int(self.labels.max()) + 1


def cluster(
    vectors: Tensor,
    count: int,
    *,
    algorithm: Algorithm = "k-means",
    pca: float | None = None,
    importance: Tensor | None = None,
    restarts: int = 4,
    seed: int = 0,
) -> Clusters:
    """Group `vectors` (F, D) into at most `count` clusters; fewer where fewer differ.

    `pca`: see `reduced`; `importance` (F,): how much each vector counts, all alike by default; agglomerative
    clustering ignores it. The same arguments give the same bits: one thread, all chance from `seed`.
    """
    vectors = vectors.detach().double().cpu()
    importance = torch.ones(len(vectors)) if importance is None else importance
    importance = importance.detach().double().cpu()
    if count >= len(vectors):
        return Clusters(torch.arange(len(vectors)))
    points = reduced(vectors, pca, centred=algorithm != "spherical")
    match algorithm:
        case "k-means":
            return Clusters(_numbered(_k_means(points, count, importance, restarts, seed)))
        case "agglomerative":
            return Clusters(_numbered(_ward(points, count)))
        case "spherical":
            clustered = directions(points, count, importance=importance, restarts=restarts, seed=seed)
            return Clusters(_numbered(clustered.labels), clustered.scales)
        case _:
            assert_never(algorithm)


def clusters_at(filters: int, ratio: float) -> int:
    """Clusters when `ratio` of the filters is to go; at least one.

    >>> [clusters_at(16, ratio) for ratio in (0, 0.5, 0.9, 0.99)]
    [16, 8, 2, 1]
    """
    return max(1, filters - round(ratio * filters))


def reduced(vectors: Tensor, pca: float | None, *, centred: bool = True) -> Tensor:
    """Principal components of `vectors` (F, D), so that distances stay as near as they can: (F, at most min(F, D)).

    `pca` below 1: the first components with this share of the variance; from 1 on: this many; None: all, which
    changes no distance and saves work where D > F. Not `centred`, variance is about 0 and directions stay.
    """
    if pca is None and vectors.shape[1] <= len(vectors):
        return vectors
    points = vectors - vectors.mean(0) if centred else vectors
    values, axes = torch.linalg.eigh(points @ points.T)
    values, axes = values.flip(0).clamp_min(0), axes.flip(1)
    components: Tensor = axes * values.sqrt()
    return components[:, : _components(values, pca, vectors.shape[1])]


def _components(values: Tensor, pca: float | None, dimension: int) -> int:
    most = min(len(values), dimension)
    if pca is None:
        return most
    if pca >= 1:
        return min(int(pca), most)
    share = values.cumsum(0) / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return min(int((share < pca).sum()) + 1, most)


def ward_costs(vectors: Tensor) -> list[float]:
    """What each merge of Ward's tree adds to the sum of squared distances to the centroids, ascending: F - 1 values.

    The first n sum up to the distortion of F - n clusters (Ward 1963).
    """
    from sklearn.cluster import AgglomerativeClustering

    if len(vectors) < 2:
        return []
    points = to_array(reduced(vectors.detach().double().cpu(), None))
    with threadpool_limits(1):
        tree = AgglomerativeClustering(n_clusters=None, distance_threshold=0.0).fit(points)
    return [float(d) ** 2 / 2 for d in sorted(tree.distances_)]


def _ward(points: Tensor, count: int) -> Tensor:
    from sklearn.cluster import AgglomerativeClustering

    with threadpool_limits(1):
        labels = AgglomerativeClustering(n_clusters=count).fit_predict(to_array(points))
    return from_array(labels).long()


def _k_means(points: Tensor, count: int, importance: Tensor, restarts: int, seed: int) -> Tensor:
    from sklearn.cluster import KMeans, MiniBatchKMeans
    from sklearn.exceptions import ConvergenceWarning

    kind = MiniBatchKMeans if len(points) * points.shape[1] * count > MINIBATCH else KMeans
    method = kind(count, init="k-means++", n_init=restarts, random_state=seed % 2**32)
    # Threads would add up in an order that changes from run to run.
    with threadpool_limits(1), warnings.catch_warnings():
        # Fewer clusters than asked for, because fewer vectors differ: no reason to worry.
        warnings.simplefilter("ignore", ConvergenceWarning)
        labels = method.fit_predict(to_array(points), sample_weight=to_array(_positive(importance)))
    return from_array(labels).long()


def _positive(importance: Tensor) -> Tensor:
    """Of mean 1 and never 0: k-means leaves out what counts nothing, and then cannot place it."""
    return (importance / importance.mean().clamp_min(torch.finfo(torch.float64).tiny)).clamp_min(1e-6)


def _numbered(labels: Tensor) -> Tensor:
    """The same clusters, numbered without gaps by their first member."""
    numbers: dict[int, int] = {}
    return torch.tensor([numbers.setdefault(label, len(numbers)) for label in labels.tolist()])
