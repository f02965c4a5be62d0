"""Groups of channels: what has to shrink together, as plain data."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

Role = Literal["out", "in", "scale", "bias", "statistics"]
"""What a tensor does with a channel: makes it, takes it, scales it, adds to it, or describes it."""


@dataclass(frozen=True)
class Cut:
    """The part of one tensor that a group's units are: `positions` (units, k) along its dimension `dim`."""

    module: str
    name: str
    dim: int
    role: Role
    positions: Tensor

    @property
    def tensor(self) -> str:
        """The tensor's name in the folded state_dict."""
        return f"{self.module}.{self.name}" if self.module else self.name

    @property
    def per_unit(self) -> int:
        return self.positions.shape[1]


@dataclass(frozen=True)
class Group:
    """Channels that are removed in `units`: all of a unit, in every tensor of `cuts`, or nothing.

    A unit is one channel of `name`, the first layer that makes the group's channels; or several, `per_unit`, such
    as the same offset in every group of a grouped convolution or in every head of an attention. `structure` is
    equal for groups that are made alike.
    """

    name: str
    cuts: tuple[Cut, ...]
    structure: str

    @property
    def root(self) -> Cut:
        return next(
            cut for cut in self.cuts if cut.role == "out" and cut.module == self.name.partition("#")[0]
        )

    @property
    def makers(self) -> list[str]:
        """The layers that make the group's channels, each once, in the order of its cuts."""
        return list(dict.fromkeys(cut.module for cut in self.cuts if cut.role == "out"))

    @property
    def units(self) -> int:
        return self.cuts[0].positions.shape[0]

    @property
    def per_unit(self) -> int:
        return self.root.per_unit

    @property
    def channels(self) -> int:
        return self.units * self.per_unit


Gone = Mapping[str, Tensor]
"""Indices of the units to remove, by the group's name."""


def positions_gone(groups: list[Group], gone: Gone) -> dict[tuple[str, str, int], Tensor]:
    """What is removed along (module, tensor, dimension): sorted positions."""
    positions: dict[tuple[str, str, int], list[Tensor]] = defaultdict(list)
    for group in groups:
        units = gone.get(group.name)
        if units is None or not len(units):
            continue
        for cut in group.cuts:
            positions[cut.module, cut.name, cut.dim].append(cut.positions[units].flatten())
    return {key: torch.unique(torch.cat(parts)) for key, parts in positions.items()}


def without(groups: list[Group], gone: Gone) -> list[Group]:
    """The groups as they are after `gone` was removed, positions counted anew."""
    removed = positions_gone(groups, gone)
    left = []
    for group in groups:
        units = gone.get(group.name)
        kept = torch.ones(group.units, dtype=torch.bool)
        if units is not None:
            kept[units] = False
        cuts = []
        for cut in group.cuts:
            positions = cut.positions[kept]
            before = removed.get((cut.module, cut.name, cut.dim))
            if before is not None:
                # Another group may have taken as many of each unit's positions.
                stays = ~torch.isin(positions, before)
                positions = positions[stays].view(len(positions), -1)
                positions = positions - torch.searchsorted(before, positions)
            cuts.append(replace(cut, positions=positions))
        left.append(replace(group, cuts=tuple(cuts)))
    return left
