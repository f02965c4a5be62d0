"""How many channels are left along dimensions of tensors, by the units left of the groups that cut them."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from engine.compute.steps.channels.groups import Cut, Group

NONE = -1
"""The place of no group: the last share, which is always 1."""


@dataclass(frozen=True)
class Axis:
    """A dimension of a tensor of `size` positions; with `among`, of these positions alone."""

    tensor: str
    dim: int
    size: int
    among: Tensor | None = None


class Widths:
    """The positions left along each of `axes`, for any number of units left of `groups`.

    Two groups may cut the same positions, which go with a unit of either. They cross evenly, as heads do with the
    dimensions of each head, so that of such positions the product of both shares is left.
    """

    def __init__(self, groups: Sequence[Group], axes: Iterable[Axis]) -> None:
        self._places = {group.name: place for place, group in enumerate(groups)}
        self._units = torch.tensor([*(group.units for group in groups), 1], dtype=torch.float64)
        cuts: dict[tuple[str, int], list[tuple[int, Cut]]] = defaultdict(list)
        for place, group in enumerate(groups):
            for cut in group.cuts:
                cuts[cut.tensor, cut.dim].append((place, cut))
        rows: list[dict[tuple[int, int], int]] = [
            _crossings(axis, cuts[axis.tensor, axis.dim]) for axis in axes
        ]
        pairs = {pair: column for column, pair in enumerate(dict.fromkeys(p for row in rows for p in row))}
        self._one, self._two = torch.tensor([*pairs] or [(NONE, NONE)]).T
        self._counts = torch.zeros(len(rows), max(len(pairs), 1), dtype=torch.float64)
        for number, row in enumerate(rows):
            for pair, count in row.items():
                self._counts[number, pairs[pair]] = count

    def as_lists(self) -> list[list[list[Any]]]:
        """Plain JSON values, for `engine.search.widths`: of each axis how many positions go with which groups."""
        names = [*self._places]
        groups = [
            [names[place] for place in pair if place != NONE]
            for pair in zip(self._one.tolist(), self._two.tolist(), strict=True)
        ]
        return [
            [[int(count), own] for count, own in zip(row, groups, strict=True) if count]
            for row in self._counts.tolist()
        ]

    def __call__(self, left: Mapping[str, int]) -> Tensor:
        """The widths (axes,), whole numbers in float64; a group that is not named is whole."""
        units = self._units.clone()
        for name, number in left.items():
            units[self._places[name]] = number
        shares = units / self._units
        return (self._counts @ (shares[self._one] * shares[self._two])).round()


def _crossings(axis: Axis, cuts: list[tuple[int, Cut]]) -> dict[tuple[int, int], int]:
    """How many of the axis' positions are cut by which one or two groups, or by none."""
    one, two = torch.full((2, axis.size), NONE)
    for place, cut in cuts:
        positions = cut.positions.flatten()
        taken = one[positions] != NONE
        two[positions[taken]] = place
        one[positions[~taken]] = place
    pairs = torch.stack([one, two])
    if axis.among is not None:
        pairs = pairs[:, axis.among]
    found, counts = torch.unique(pairs, dim=1, return_counts=True)
    return {(a, b): n for (a, b), n in zip(found.T.tolist(), counts.tolist(), strict=True)}
