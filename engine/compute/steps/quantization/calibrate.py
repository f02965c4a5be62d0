"""Ranges of activations, from what passes through a float graph on calibration images."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import assert_never

import onnx
import torch
from torch import Tensor

from engine.compute.onnx.graph import Graph
from engine.compute.onnx.onnxruntime import OnnxModel
from engine.compute.steps.quantization.choose import choose
from engine.errors import SecateurError
from engine.params.quantization import Entropy, MeanSquare, Method, MinMax, Percentile

BINS = 2048
"""Of a histogram: eight to a step of 8 bits."""
LEVELS = 256
CANDIDATES = 100
"""Ranges tried by `entropy`, and for each end by `mse`."""
LEAST_SHARE = 0.1
"""Of the whole range, that these candidates keep at least."""

Bounds = dict[str, tuple[float, float]]
Batches = Callable[[], Iterable[Tensor]]
"""Gives the calibration images in batches (N, C, H, W), the same ones every time it is called."""


@dataclass
class Ranges:
    """What is known of a graph's activations: lowest and highest value to tell apart, by the tensor's name."""

    bounds: Bounds = field(default_factory=dict)


@dataclass
class Histogram:
    """Counts of values in BINS equal bins from `low` to `high`; `zeros` of them are zero exactly."""

    low: float
    high: float
    counts: Tensor
    zeros: int = 0


def ranges(graph: onnx.ModelProto, batches: Batches, method: Method) -> Ranges:
    """The range of every activation that may be quantized, by `method`.

    One batch's activations are in memory at a time. Images are passed once, or twice where a histogram is needed.
    Raises SecateurError when an activation is not finite.
    """
    names = choose(Graph(graph)).tensors
    bounds = _extremes(graph, batches, names)
    if not isinstance(method, MinMax):
        histograms = _histograms(graph, batches, bounds)
        bounds = {name: _clipped(histograms[name], method) for name in names}
    return Ranges(bounds)


def activations(
    graph: onnx.ModelProto, batches: Iterable[Tensor], names: list[str]
) -> Iterator[dict[str, Tensor]]:
    """What the tensors `names` hold on each batch."""
    inputs = {value.name for value in graph.graph.input}
    inner = [name for name in names if name not in inputs]
    probe = onnx.ModelProto()
    probe.CopyFrom(graph)
    given = {value.name for value in probe.graph.output}
    probe.graph.output.extend(onnx.ValueInfoProto(name=name) for name in inner if name not in given)
    # Unoptimized, because fusion takes away the tensors that are wanted.
    session = OnnxModel(probe.SerializeToString(), torch.get_num_threads(), optimized=False)
    for images in batches:
        values = dict(zip(inner, session.outputs(images, inner), strict=True)) if inner else {}
        yield values | {name: images.cpu() for name in names if name in inputs}


def _extremes(graph: onnx.ModelProto, batches: Batches, names: list[str]) -> Bounds:
    bounds: Bounds = {}
    for batch in activations(graph, batches(), names):
        for name, values in batch.items():
            low, high = (float(value) for value in values.aminmax())
            if not math.isfinite(high - low):
                raise SecateurError(
                    "The network's activations have no range",
                    f"On a training image {name} is not finite.",
                    "Train it so that it does not diverge, or quantize its weights alone: quantize.weights.",
                )
            before = bounds.get(name, (low, high))
            bounds[name] = min(low, before[0]), max(high, before[1])
    return bounds


def _histograms(graph: onnx.ModelProto, batches: Batches, bounds: Bounds) -> dict[str, Histogram]:
    histograms = {
        # A range that holds zero, as the file's will: zero must be exact, for padding and for what a ReLU cut off.
        name: Histogram(min(low, 0.0), max(high, 0.0), torch.zeros(BINS, dtype=torch.float64))
        for name, (low, high) in bounds.items()
    }
    for batch in activations(graph, batches(), list(bounds)):
        for name, values in batch.items():
            one = histograms[name]
            if one.high > one.low:
                one.counts += torch.histc(values.float(), BINS, one.low, one.high).double()
            one.zeros += int(values.numel() - torch.count_nonzero(values))
    return histograms


def _clipped(histogram: Histogram, method: Percentile | Entropy | MeanSquare) -> tuple[float, float]:
    if histogram.high <= histogram.low:
        return histogram.low, histogram.high
    match method:
        case Percentile():
            return percentile(histogram, method.percentile)
        case Entropy():
            return entropy(histogram)
        case MeanSquare():
            return mean_square(histogram)
        case _:
            assert_never(method)


def percentile(histogram: Histogram, share: float) -> tuple[float, float]:
    """The range that leaves (100 - `share`) % of the values out at each end."""
    step = (histogram.high - histogram.low) / BINS
    upto = histogram.counts.cumsum(0) / histogram.counts.sum()
    # Whole bins: only those are cut off that lie in the share altogether.
    first = int(torch.searchsorted(upto, 1 - share / 100, right=True))
    last = int(torch.searchsorted(upto, share / 100))
    low, high = histogram.low + step * first, histogram.low + step * (min(last, BINS - 1) + 1)
    return min(low, 0.0), max(high, 0.0)


def mean_square(histogram: Histogram) -> tuple[float, float]:
    """The range with the least mean square error of rounding (step² / 12) and clipping together.

    As in Banner et al. 2019, "Post training 4-bit quantization of convolutional networks for rapid-deployment"
    (equation 2), on the histogram itself; exact zeros are not rounded.
    """
    step = (histogram.high - histogram.low) / BINS
    centres = histogram.low + step * (torch.arange(BINS, dtype=torch.float64) + 0.5)
    ends = torch.linspace(LEAST_SHARE, 1, CANDIDATES, dtype=torch.float64)
    # After a ReLU the low end is zero: one candidate.
    lows, highs = (
        ends if end else torch.ones(1, dtype=torch.float64) for end in (histogram.low, histogram.high)
    )
    lows, highs = lows * histogram.low, highs * histogram.high
    below = torch.stack([(histogram.counts * (low - centres).clamp_min(0).square()).sum() for low in lows])
    above = torch.stack([(histogram.counts * (centres - high).clamp_min(0).square()).sum() for high in highs])
    # Errors by the end alone (lows,), (highs,): clipping at one end does not depend on the other, only rounding on
    # the width (lows, highs). So all CANDIDATES² ranges are compared by three small tensors.
    rounded = histogram.counts.sum() - histogram.zeros
    widths = highs[None, :] - lows[:, None]
    errors = below[:, None] + above[None, :] + rounded * (widths / (LEVELS - 1)).square() / 12
    best = int(errors.argmin())
    return float(lows[best // len(highs)]), float(highs[best % len(highs)])


def entropy(histogram: Histogram) -> tuple[float, float]:
    """The range, cut alike at both ends, whose 256 levels lose the least information (KL divergence).

    Migacz 2017, "8-bit Inference with TensorRT": values beyond the range count at its ends in the distribution
    that is to be kept, and are missing in the quantized one.
    """
    whole = max(-histogram.low, histogram.high)
    best, least = (histogram.low, histogram.high), math.inf
    counts = histogram.counts.clone()
    # Zeros are exact whatever the range, and so many after a ReLU that they would hide all else.
    step = (histogram.high - histogram.low) / BINS
    at_zero = min(int(-histogram.low / step), BINS - 1)
    counts[at_zero] = max(float(counts[at_zero]) - histogram.zeros, 0.0)
    for share in torch.linspace(LEAST_SHARE, 1, CANDIDATES, dtype=torch.float64).tolist():
        first = max(0, math.floor((max(histogram.low, -whole * share) - histogram.low) / step))
        last = min(BINS, math.ceil((min(histogram.high, whole * share) - histogram.low) / step))
        loss = _divergence(counts, first, last)
        if loss < least:
            least, best = loss, (histogram.low + step * first, histogram.low + step * last)
    return min(best[0], 0.0), max(best[1], 0.0)


def _divergence(counts: Tensor, first: int, last: int) -> float:
    """KL(P | Q) of the bins from `first` to `last` when they are merged to LEVELS levels."""
    inside = counts[first:last]
    kept = inside.clone()
    kept[0] += counts[:first].sum()
    kept[-1] += counts[last:].sum()
    if float(kept.sum()) == 0 or float(inside.sum()) == 0:
        return math.inf
    level = torch.arange(len(inside)) * LEVELS // len(inside)
    filled = (inside > 0).double()
    sums = torch.zeros(LEVELS, dtype=torch.float64).index_add(0, level, inside)
    members = torch.zeros(LEVELS, dtype=torch.float64).index_add(0, level, filled)
    # Every level's values spread evenly over the bins that had any.
    spread = (sums / members.clamp_min(1))[level] * filled
    p, q = kept / kept.sum(), spread / spread.sum()
    # What was cut off may lie in a bin that had nothing inside: it is told apart by no level at all.
    q = q.clamp_min(1e-12)
    return float((p[p > 0] * (p[p > 0] / q[p > 0]).log()).sum())
