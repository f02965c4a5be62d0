"""Clusters of directions: vectors that are about a multiple of one another."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.compute.numerics.seeds import generator

ITERATIONS = 100
TOLERANCE = 1e-9
"""Relative fall of the distortion below which the iteration ends."""


@dataclass(frozen=True)
class Directions:
    """Vector i is about ``scales[i] · units[labels[i]]``; `units` (K, D) have length 1.

    `distortion`: sum of squared differences, weighted.
    """

    units: Tensor
    labels: Tensor
    scales: Tensor
    distortion: float


def directions(
    vectors: Tensor,
    count: int,
    *,
    importance: Tensor | None = None,
    restarts: int = 4,
    seed: int = 0,
    signed: bool = False,
) -> Directions:
    """Shape-gain quantization of `vectors` (N, D), float64, by `count` directions.

    Spherical k-means (Dhillon & Modha 2001) in which a vector counts by its length, so that it is the distortion of
    the vectors themselves that falls (shape-gain quantizers: Sabin & Gray 1984). Scales are 0 or more; with `signed`
    of either sign. The best of `restarts` starts, all chance from `seed`.
    """
    weights = vectors.new_ones(len(vectors)) if importance is None else importance
    count = min(count, len(vectors))
    starts = [
        _descend(vectors, _spread(vectors, count, signed, seed, start), weights, signed)
        for start in range(restarts)
    ]
    return min(starts, key=lambda one: one.distortion)


def _spread(vectors: Tensor, count: int, signed: bool, seed: int, start: int) -> Tensor:
    """Starts in the manner of k-means++ (Arthur & Vassilvitskii 2007): each likely far from those before it."""
    random = generator(seed, "directions", start)
    energy = vectors.square().sum(1)
    left = energy
    chosen: list[Tensor] = []
    for _ in range(count):
        likely = left if float(left.sum()) > 0 else torch.ones_like(left)
        at = int(torch.multinomial(likely, 1, generator=random))
        chosen.append(vectors[at] / vectors[at].norm().clamp_min(1e-300))
        projected = vectors @ chosen[-1]
        projected = projected.abs() if signed else projected.clamp_min(0)
        left = torch.minimum(left, (energy - projected.square()).clamp_min(0))
    return torch.stack(chosen)


def _descend(vectors: Tensor, units: Tensor, weights: Tensor, signed: bool) -> Directions:
    """Assign and update in turn until the distortion falls no more."""
    energy = float((weights * vectors.square().sum(1)).sum())
    before = float("inf")
    for _ in range(ITERATIONS):
        projected = vectors @ units.T
        labels = (projected.abs() if signed else projected).argmax(1)
        scales = projected.gather(1, labels[:, None]).squeeze(1)
        scales = scales if signed else scales.clamp_min(0)
        distortion = max(energy - float((weights * scales.square()).sum()), 0.0)
        if before - distortion <= TOLERANCE * energy:
            break
        before = distortion
        sums = torch.zeros_like(units).index_add(0, labels, vectors * (weights * scales)[:, None])
        lengths = sums.norm(dim=1, keepdim=True)
        units = torch.where(lengths > 0, sums / lengths.clamp_min(1e-300), units)
    return Directions(units, labels, scales, distortion)
