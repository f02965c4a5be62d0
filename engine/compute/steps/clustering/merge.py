"""Filters of a cluster become one channel, and the next layer's inputs are summed over the cluster."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.compute.steps.clustering.assign import Clusters
from engine.compute.steps.clustering.chains import Chain


@dataclass(frozen=True)
class Folded:
    """A convolution with its BatchNorm folded in: filters (F, I·kh·kw) and shifts (F,), float64 on the CPU.

    `gains` (F,): what BatchNorm multiplied each filter by.
    """

    filters: Tensor
    shifts: Tensor
    gains: Tensor

    @property
    def vectors(self) -> Tensor:
        """Filter and shift together, (F, I·kh·kw + 1): filters equal here give equal channels."""
        return torch.cat([self.filters, self.shifts[:, None]], dim=1)


def fold(model: nn.Module, chain: Chain) -> Folded:
    """The chain's filters as its consumer meets them."""
    producer = cast(nn.Conv2d, model.get_submodule(chain.producer))
    filters = _double(producer.weight).flatten(1)
    shifts = torch.zeros(len(filters)).double() if producer.bias is None else _double(producer.bias)
    if chain.norm is None:
        return Folded(filters, shifts, torch.ones_like(shifts))
    norm = cast(_BatchNorm, model.get_submodule(chain.norm))
    assert norm.running_mean is not None and norm.running_var is not None
    gains = 1 / (_double(norm.running_var) + norm.eps).sqrt()
    if norm.affine:
        gains = gains * _double(norm.weight)
    shifts = (shifts - _double(norm.running_mean)) * gains
    if norm.affine:
        shifts = shifts + _double(norm.bias)
    return Folded(filters * gains[:, None], shifts, gains)


def merge(model: nn.Module, chain: Chain, clusters: Clusters, folded: Folded, centres: "Centroids") -> None:
    """Shrink the chain to one channel per cluster, in place; `centres` are those of the `folded` vectors.

    Each cluster is represented by one member, moved to the centroid, and keeps that member's BatchNorm, so that
    it trains on. Where a cluster's members are equal (with their BatchNorm, or positive multiples under
    `clusters.scales`) nothing moves, and channel and BatchNorm stay bit for bit what they were; the consumer then
    computes the same sums in another order.
    """
    _shrink_producer(model, chain, centres, folded.gains[centres.chosen])
    consumer = model.get_submodule(chain.consumer)
    _shrink_consumer(consumer, clusters.labels, clusters.count, centres.factors, chain.positions)


@dataclass(frozen=True)
class Centroids:
    """Filter f is represented by ``factors[f]`` times the member ``chosen[label]`` of its cluster moved by `moves`.

    `chosen`: (K,), numbers of filters; `moves`: (K, D), exactly 0 where members are equal; `factors`: (F,), 0 or
    more, 1 where clusters have no scales. `distortion`: the share of the vectors' energy that is lost.
    """

    chosen: Tensor
    moves: Tensor
    factors: Tensor
    distortion: float


def centroids(
    vectors: Tensor, clusters: Clusters, gains: Tensor | None = None, importance: Tensor | None = None
) -> Centroids:
    """What represents each cluster of `vectors` (F, D): the nearest to all its members, weighed by `importance` (F,).

    Of members, the one of the largest gain is chosen, so that nothing is divided by a small one.
    """
    labels = clusters.labels
    gains = vectors.new_ones(len(vectors)) if gains is None else gains
    scales = torch.ones_like(gains) if clusters.scales is None else clusters.scales
    chosen = _representatives(labels, clusters.count, gains, scales)
    factors = torch.ones_like(gains)
    if clusters.scales is not None:
        factors = _projected(vectors, vectors[chosen][labels])
    moves = _moves(vectors, labels, chosen, factors, importance)
    if clusters.scales is not None:
        factors = _projected(vectors, (vectors[chosen] + moves)[labels])
    lost = vectors - factors[:, None] * (vectors[chosen] + moves)[labels]
    energy = max(float(vectors.square().sum()), torch.finfo(torch.float64).tiny)
    return Centroids(chosen, moves, factors, float(lost.square().sum()) / energy)


def _representatives(labels: Tensor, count: int, gains: Tensor, scales: Tensor) -> Tensor:
    """Of each cluster the first member of the largest gain that has a scale: (K,)."""
    score = torch.where(scales > 0, gains.abs(), -1.0)
    return torch.stack([_first_largest(torch.where(labels == k, score, -2.0)) for k in range(count)])


def _first_largest(values: Tensor) -> Tensor:
    return torch.nonzero(values == values.max())[0, 0]


def _projected(vectors: Tensor, on: Tensor) -> Tensor:
    """The factor, 0 or more, that takes each row of `on` nearest to that of `vectors`; 1 where `on` is zero."""
    lengths = on.square().sum(1)
    factors = (vectors * on).sum(1) / torch.where(lengths > 0, lengths, 1.0)
    return torch.where(lengths > 0, factors.clamp_min(0), 1.0)


def _moves(
    vectors: Tensor, labels: Tensor, chosen: Tensor, factors: Tensor, importance: Tensor | None
) -> Tensor:
    """What takes each representative to the vector that, times the factors, is nearest to the members: (K, D).

    Of differences, not of the vectors themselves: those of equal members are exactly zero.
    """
    weights = torch.ones_like(factors) if importance is None else importance.double().cpu()
    differences = vectors - factors[:, None] * vectors[chosen][labels]
    sums = torch.zeros(len(chosen), vectors.shape[1]).double()
    sums.index_add_(0, labels, differences * (weights * factors)[:, None])
    totals = torch.zeros(len(chosen)).double().index_add_(0, labels, weights * factors.square())
    return torch.where(totals[:, None] > 0, sums / totals.clamp_min(1e-300)[:, None], 0.0)


def _shrink_producer(model: nn.Module, chain: Chain, centres: Centroids, gains: Tensor) -> None:
    producer = cast(nn.Conv2d, model.get_submodule(chain.producer))
    chosen, moves, shifts = centres.chosen, centres.moves[:, :-1], centres.moves[:, -1]
    steps = torch.where(gains[:, None] != 0, moves / torch.where(gains == 0, 1.0, gains)[:, None], 0.0)
    weight = _double(producer.weight)[chosen] + steps.view(len(chosen), *producer.weight.shape[1:])
    _set(producer, "weight", weight)
    producer.out_channels = len(chosen)
    if producer.bias is not None:
        bias = _double(producer.bias)[chosen]
        _set(producer, "bias", bias if chain.norm else bias + shifts)
    if chain.norm is not None:
        _shrink_norm(cast(_BatchNorm, model.get_submodule(chain.norm)), chosen, shifts, gains)


def _shrink_norm(norm: _BatchNorm, chosen: Tensor, shifts: Tensor, gains: Tensor) -> None:
    assert norm.running_mean is not None and norm.running_var is not None
    mean = _double(norm.running_mean)[chosen]
    if norm.affine:
        _set(norm, "weight", _double(norm.weight)[chosen])
        _set(norm, "bias", _double(norm.bias)[chosen] + shifts)
    else:
        mean = mean - shifts / gains
    _set(norm, "running_mean", mean)
    _set(norm, "running_var", _double(norm.running_var)[chosen])
    norm.num_features = len(chosen)


def _shrink_consumer(
    consumer: nn.Module, labels: Tensor, count: int, factors: Tensor, positions: int
) -> None:
    """Sum the inputs over each cluster; a channel's `positions` inputs lie side by side."""
    assert isinstance(consumer, nn.Conv2d | nn.Linear)
    weight = _double(consumer.weight)
    by_channel = weight.view(len(weight), len(labels), -1) * factors.view(1, -1, 1)
    summed = torch.zeros(len(weight), count, by_channel.shape[2]).double().index_add_(1, labels, by_channel)
    if isinstance(consumer, nn.Conv2d):
        consumer.in_channels = count
        _set(consumer, "weight", summed.view(len(weight), count, *weight.shape[2:]))
    else:
        consumer.in_features = count * positions
        _set(consumer, "weight", summed.flatten(1))


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double()


def _set(module: nn.Module, name: str, values: Tensor) -> None:
    """Give the module's tensor `values`, with its own type and device."""
    old = getattr(module, name)
    new = values.to(old.device, old.dtype)
    if isinstance(old, nn.Parameter):
        setattr(module, name, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(module, name, new)
