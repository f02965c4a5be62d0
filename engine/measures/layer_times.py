"""Measured times of single layers as plain values, for whoever asks what a narrower network would take.

`kinds` of layers have a grid of times over their widths each. A network's time is that of its layers in sum, times a
factor and with what no layer takes, both fitted to whole networks that were measured.
"""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TIMES = "times"
"""Where a `sensitivity` step's findings have them."""


@dataclass(frozen=True)
class Grid:
    """Milliseconds of one kind of layer: `values[i][o]` at `inputs[i]` and `outputs[o]` channels, the zero widths
    included; of a depthwise layer, whose outputs go with its inputs, `outputs` is (1,)."""

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, inputs: int, outputs: int) -> float:
        """Linear between the points, and beyond the last ones.

        >>> Grid((0, 8), (0, 8), ((0.0, 0.0), (0.0, 1.0))).at(4, 4), Grid((0, 8), (1,), ((0.0,), (1.0,))).at(4, 4)
        (0.25, 0.5)
        """
        row, right = _place(self.inputs, inputs)
        column, below = _place(self.outputs, outputs) if len(self.outputs) > 1 else (0, 0.0)
        return self._along(row, column, below) * (1 - right) + self._along(row + 1, column, below) * right

    def _along(self, row: int, column: int, below: float) -> float:
        values = self.values[row]
        return values[column] * (1 - below) + values[column + 1] * below if below else values[column]

    def as_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dict(vars(self))

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> "Grid":
        """From what `as_dict` gave, perhaps with more beside it."""
        values = tuple(tuple(map(float, row)) for row in told["values"])
        return cls(tuple(told["inputs"]), tuple(told["outputs"]), values)


def _place(points: Sequence[int], value: int) -> tuple[int, float]:
    """The interval of `points` that holds `value`, and where in it; the last one goes on beyond the end."""
    index = min(max(bisect.bisect_left(points, value) - 1, 0), len(points) - 2)
    return index, (value - points[index]) / (points[index + 1] - points[index])
