"""Measured times of single layers as plain values, for whoever asks what a narrower network would take.

`kinds` of layers have a grid of times over their widths each. A network's time is that of its layers in sum, times a
factor and with what no layer takes, both fitted to whole networks that were measured.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any

TIMES = "times"
"""Where a `sensitivity` step's findings have them."""
VECTOR = 16
"""Floats in an AVX-512 register, of which whole ones are filled at points of a grid."""
ALIGNED = 4
"""Channels of which runtimes like multiples: others may go another, slower way."""


@dataclass(frozen=True)
class PartVectors:
    """What widths take in a runtime that are more than one whole vector, and not whole ones.

    4, 8 and 12 channels of a vector take these `shares` of its time: (1, 1, 1) where a part of it takes as long as all,
    (0.25, 0.5, 0.75) where time goes with channels; more than 1 where parts take longer. Widths that are no multiple of
    4 take at least `unaligned` times what goes with channels.
    """

    shares: tuple[float, float, float]
    unaligned: float = 1.0

    def filled(self, channels: int) -> float:
        """The channels in whole vectors that take as long.

        >>> [PartVectors((1.0, 1.0, 1.0)).filled(channels) for channels in (8, 16, 20, 30, 32)]
        [8, 16, 32.0, 32.0, 32]
        """
        whole, part = divmod(channels, VECTOR)
        if not whole or not part:
            return channels
        return VECTOR * (whole + (*self.shares, 1.0)[-(-part // ALIGNED) - 1])

    def slows(self, channels: int) -> bool:
        """Whether so many are more than a vector, and not in line."""
        return self.unaligned > 1 and channels > VECTOR and channels % ALIGNED > 0


@dataclass(frozen=True)
class Grid:
    """Milliseconds of one kind of layer: `values[i][o]` at `inputs[i]` and `outputs[o]` channels, the zero widths
    included; of a depthwise layer, whose outputs go with its inputs, `outputs` is (1,). `parts` are the runtime's of
    inputs and of outputs; without them time goes with channels."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]
    parts: tuple[PartVectors, ...] = ()

    def at(self, inputs: int, outputs: int) -> float:
        """Between the points, and beyond the last ones, linear in the vectors that are filled.

        >>> Grid((0, 8), (0, 8), ((0.0, 0.0), (0.0, 1.0))).at(4, 4), Grid((0, 8), (1,), ((0.0,), (1.0,))).at(4, 4)
        (0.25, 0.5)
        >>> Grid((0, 16, 32), (1,), ((0.0,), (1.0,), (2.0,)), (PartVectors((1.0, 1.0, 1.0)),)).at(20, 20)
        2.0
        """
        of_inputs, of_outputs = self._parts
        rows, columns = self._filled
        row, column = _place(rows, _filled(inputs, of_inputs)), _place(columns, _filled(outputs, of_outputs))
        found = self._between(row, column)
        if of_inputs and of_inputs.slows(inputs):
            found = max(found, of_inputs.unaligned * self._between(_place(self.inputs, inputs), column))
        if of_outputs and of_outputs.slows(outputs):
            found = max(found, of_outputs.unaligned * self._between(row, _place(self.outputs, outputs)))
        return found

    @property
    def _parts(self) -> tuple[PartVectors | None, PartVectors | None]:
        """Of inputs and of outputs, which a depthwise layer has not of its own."""
        of_inputs, of_outputs = (*self.parts, None, None)[:2]
        return of_inputs, of_outputs if len(self.outputs) > 1 else None

    @cached_property
    def _filled(self) -> tuple[list[float], list[float]]:
        """The points in what they fill of vectors."""
        of_inputs, of_outputs = self._parts
        return [_filled(one, of_inputs) for one in self.inputs], [
            _filled(o, of_outputs) for o in self.outputs
        ]

    def _between(self, row: tuple[int, float], column: tuple[int, float]) -> float:
        (above, down), (left, right) = row, column
        return self._along(above, left, right) * (1 - down) + self._along(above + 1, left, right) * down

    def _along(self, row: int, column: int, right: float) -> float:
        values = self.values[row]
        return values[column] * (1 - right) + values[column + 1] * right if right else values[column]

    def plus(self, milliseconds: float) -> "Grid":
        """With so much added where there are channels.

        >>> Grid((0, 8), (0, 8), ((0.0, 0.0), (0.0, 1.0))).plus(0.5).values
        ((0.0, 0.0), (0.0, 1.5))
        """
        values = tuple(
            tuple(max(value + milliseconds, 0.0) if value else 0.0 for value in row) for row in self.values
        )
        return replace(self, values=values)

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Grid":
        """From what `as_dict` gave, perhaps with more beside it; earlier ones say nothing of parts."""
        values = tuple(tuple(map(float, row)) for row in told["values"])
        parts = tuple(
            PartVectors(tuple(one["shares"]), float(one["unaligned"])) for one in told.get("parts", ())
        )
        return cls(tuple(told["inputs"]), tuple(told["outputs"]), values, parts)


def _filled(channels: int, parts: PartVectors | None) -> float:
    return parts.filled(channels) if parts else channels


def _place(points: Sequence[float], value: float) -> tuple[int, float]:
    """The interval of `points` that holds `value`, and where in it; the last one goes on beyond the end."""
    if len(points) == 1:
        return 0, 0.0
    index = min(max(bisect.bisect_left(points, value) - 1, 0), len(points) - 2)
    wide = points[index + 1] - points[index]
    # Two points in one vector may fill as much of it.
    return index, (value - points[index]) / wide if wide else 1.0


def in_network(layers: float, fixed: float, factor: float) -> float:
    """Milliseconds of a network whose layers take `layers` in sum, each alone: on a line, but no less than they take.

    The line may begin below zero, where a network's layers hinder each other the more the wider they are.

    >>> in_network(2.0, 0.5, 0.8), in_network(2.0, -1.0, 2.0), in_network(0.5, -1.0, 2.0)
    (2.1, 3.0, 0.5)
    """
    return max(fixed + factor * layers, min(factor, 1.0) * layers)
