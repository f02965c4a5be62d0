"""Times of single layers, and from them the time of a network with other numbers of channels.

A network's time is about the sum of its layers' times. So each layer is timed at a grid of widths once, in
seconds, and every pruned network's time is then a matter of microseconds. What the sum leaves out (pooling,
changes of the memory layout, calls) the caller corrects by measuring whole networks.
"""

import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from multiprocessing import Pipe
from typing import Any

import numpy as np

from engine.compute.latency.forks import start
from engine.compute.latency.layer_worker import LayersJob, serve_layers
from engine.compute.latency.layers import LayerConfig
from engine.compute.latency.part_vectors import Parts, sort_of
from engine.errors import SecateurError
from engine.measures.layer_times import VECTOR, Grid, PartVectors
from engine.params.runtimes import TargetRuntime

STEPS = 6
"""Points of the grid over a wide layer's channels."""
FINE = (4, 8, 12)
"""Further points of narrow layers: below one vector, time goes with the inputs."""
NARROW = 64
"""Channels up to which a layer is narrow."""

PROBE = LayerConfig("conv", 64, 64, 14, 14, (3, 3), padding=(1, 1))
"""The layer by which the runtime's preferred multiple is found: usual, and some tens of microseconds long."""
BLOCKS = (4, 8, 16, 32)
SAVES = 0.5
"""Share of the multiply-accumulates' saving that one block less has to save in time."""

END_S = 5.0


def layer_times(
    configs: Iterable[LayerConfig],
    *,
    runtime: TargetRuntime,
    batch: int,
    threads: int,
    device: str = "cpu",
) -> dict[LayerConfig, float]:
    """Milliseconds of each layer with its activation, each measured once, in one fresh process for all.

    To be called while nothing else of ours computes (`engine.machine.lock.exclusive`). Raises SecateurError when the
    runtime refuses a layer or the process ends.
    """
    each = tuple(dict.fromkeys(configs))
    processors = frozenset(os.sched_getaffinity(0))
    ours, theirs = Pipe()
    with ours:
        with theirs:
            process = start(
                serve_layers, (LayersJob(each, runtime, batch, threads, device, processors), theirs)
            )
        try:
            answer: list[float] | SecateurError = ours.recv()
        except (EOFError, ConnectionResetError) as error:
            process.join(END_S)
            raise SecateurError(
                "No times of the layers",
                f"The process that measured them ended (exit code {process.exitcode}).",
                "If memory ran out, try a smaller latency.batch.",
            ) from error
        finally:
            process.join(END_S)
            if process.exitcode is None:
                process.kill()
                process.join()
    if isinstance(answer, SecateurError):
        raise answer
    return dict(zip(each, answer, strict=True))


def grid(configs: Iterable[LayerConfig]) -> list[LayerConfig]:
    """What has to be timed to know every layer of `configs` at any narrower width."""
    configs_at: dict[LayerConfig, None] = {}
    for kind, widest in _widest(configs).items():
        for inputs, outputs in _points(kind, *widest):
            configs_at[kind.resized(inputs, outputs)] = None
    return list(configs_at)


def _widest(configs: Iterable[LayerConfig]) -> dict[LayerConfig, tuple[int, int]]:
    """The most inputs and outputs of each kind of layer (its config without widths)."""
    widest: dict[LayerConfig, tuple[int, int]] = {}
    for config in configs:
        inputs, outputs = widest.get(kind := config.any_width, (0, 0))
        widest[kind] = max(inputs, config.inputs), max(outputs, config.outputs)
    return widest


def _otherwise(config: LayerConfig) -> LayerConfig:
    """The layer as another kind, if it is of two: of a grouped layer with one input left for each group, or a depthwise
    one with one channel left, its sizes don't tell which of the two it was."""
    if config.groups == "depthwise":
        return replace(config, groups=config.inputs)
    return replace(config, groups="depthwise") if config.groups == config.inputs else config


def _points(kind: LayerConfig, inputs: int, outputs: int) -> list[tuple[int, int]]:
    if kind.groups == "depthwise":
        return [(width, width * kind.outputs) for width in widths(inputs)]
    each = kind.group_count
    return list(itertools.product(widths(inputs, each), widths(outputs, each)))


def widths(most: int, each: int = 1) -> list[int]:
    """Grid points up to `most` channels, multiples of `each`.

    >>> widths(64)
    [4, 8, 12, 16, 32, 48, 64]
    >>> widths(512)
    [16, 96, 192, 288, 384, 480, 512]
    >>> widths(3)
    [3]
    """
    step = -(-most // (STEPS * VECTOR)) * VECTOR
    points = {VECTOR, *range(step, most, step), *(FINE if most <= NARROW else ())}
    rounded = {-(-point // each) * each for point in points}
    return sorted(point for point in rounded | {most} if point <= most)


class LatencyModel:
    """Milliseconds of layers at any width, by interpolation in inputs and outputs between grid points.

    `times` are those of a `grid`. They are made monotone (the mean of the largest time of any narrower and the
    smallest of any wider layer; the identity on times that are monotone already): where a grid says that more
    channels are faster, it was noise. Between them `parts` say how a vector fills, and what unaligned widths take;
    without them time goes with channels. Below the grid, times fall linearly to 0 at 0 channels.
    """

    def __init__(self, times: Mapping[LayerConfig, float], parts: Parts | None = None) -> None:
        points: dict[LayerConfig, dict[tuple[int, int], float]] = {}
        for config, time in times.items():
            points.setdefault(config.any_width, {})[config.inputs, config.outputs] = time
        self.grids = {
            kind: _grid(kind, measured, (parts or {}).get(sort_of(kind), ()))
            for kind, measured in points.items()
        }
        """The times by the kind of layer: its config without widths."""

    def layer(self, config: LayerConfig) -> float:
        """Milliseconds of one call of the layer. Raises KeyError for a kind that is not in the grid."""
        known = self.grids.get(config.any_width) or self.grids[_otherwise(config).any_width]
        return known.at(config.inputs, config.outputs)

    @property
    def least(self) -> float:
        """The least milliseconds of all that were timed."""
        return min(time for grid in self.grids.values() for row in grid.values for time in row if time)

    def plus(self, milliseconds: float) -> "LatencyModel":
        """With so much added to each layer's time, whatever its width; no layer takes less than nothing."""
        model = LatencyModel({})
        model.grids = {kind: grid.plus(milliseconds) for kind, grid in self.grids.items()}
        return model

    def as_list(self) -> list[dict[str, Any]]:
        """Plain JSON values: of each kind its `layer` and its grid."""
        return [{"layer": asdict(kind), **grid.as_dict()} for kind, grid in self.grids.items()]

    @classmethod
    def of(cls, told: Sequence[Mapping[str, Any]]) -> "LatencyModel":
        """From what `as_list` gave."""
        model = cls({})
        model.grids = {LayerConfig.of(one["layer"]): Grid.of(one) for one in told}
        return model


def _grid(kind: LayerConfig, times: Mapping[tuple[int, int], float], parts: tuple[PartVectors, ...]) -> Grid:
    """One kind's times over inputs and outputs, the zero widths included."""
    inputs = [0, *sorted({inputs for inputs, _ in times})]
    # A depthwise layer has one width only: its table is one column wide.
    outputs = [1] if kind.groups == "depthwise" else [0, *sorted({outputs for _, outputs in times})]
    values = np.zeros((len(inputs), len(outputs)))
    for (wide, tall), time in times.items():
        values[inputs.index(wide), 0 if len(outputs) == 1 else outputs.index(tall)] = time
    return Grid(tuple(inputs), tuple(outputs), tuple(map(tuple, monotone(values.tolist()))), parts)


def monotone(values: list[list[float]]) -> list[list[float]]:
    """`values` made not to fall along rows and columns.

    >>> monotone([[0.0, 2.0], [1.0, 1.0]])
    [[0.0, 1.5], [1.0, 1.5]]
    """
    table = np.asarray(values)
    rising = np.maximum.accumulate(np.maximum.accumulate(table, 0), 1)
    flipped = table[::-1, ::-1]
    falling = np.minimum.accumulate(np.minimum.accumulate(flipped, 0), 1)[::-1, ::-1]
    mean: list[list[float]] = ((rising + falling) / 2).tolist()
    return mean


def probes() -> list[LayerConfig]:
    """What has to be timed to find the runtime's `block`."""
    return [PROBE, *(PROBE.resized(PROBE.inputs - block, PROBE.outputs - block) for block in BLOCKS)]


def block(times: Mapping[LayerConfig, float]) -> int:
    """The fewest channels that are worth removing: `times` has the `probes`.

    A runtime that computes in vectors gains nothing by part of one, or even loses (ONNX Runtime on AVX-512: 17 to
    32 channels take the same time, and twice that where they are no multiple of 4).
    """
    worth = BLOCKS[-1]
    for size in reversed(BLOCKS):
        left = PROBE.inputs - size
        saved = 1 - times[PROBE.resized(left, left)] / times[PROBE]
        if saved < SAVES * (1 - (left / PROBE.inputs) ** 2):
            break
        worth = size
    return worth
