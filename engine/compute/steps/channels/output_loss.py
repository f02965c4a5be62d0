"""What the network's output loses with channels whose takers are refitted: in closed form, without a label.

A layer that loses inputs makes up for them by what is left of its inputs. How much of its output is lost even so is a
quadratic form of its inputs' second moments (Optimal Brain Surgeon for sets, Kurtic et al. 2022; Frantar & Alistarh
2022), and what that does to the network's output is told by the Fisher information of the layer's output.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.context import Context, Tell
from engine.compute.layers.select import weight_of
from engine.compute.steps.calibration.activations import (
    can_refit,
    images,
    largest_batch,
    normal_equations,
    position_generator,
    ridge_of,
)
from engine.compute.steps.calibration.information import information
from engine.compute.steps.calibration.output_error import with_form
from engine.compute.steps.channels.groups import Cut, Group
from engine.compute.steps.channels.reconstruction import RIDGE

IMAGES = 256
"""Training images that second moments and gradients are taken of: half of what is refitted on, for a ranking."""
ROOM = 2**31
"""Bytes that the inverses of layers may take together: more groups are ranked in parts, each with passes of its own."""
AT_ONCE = 64
"""Of so many units left in a group one goes at a time, of more this share of them: the order within it matters little,
and every removal updates all inverses."""
NONE = torch.empty(0, dtype=torch.long)
"""Of the channels that layers give: moments of inputs need none."""


@dataclass
class _Taker:
    """A layer that takes a group's channels, while units of them go.

    Attributes:
        weight: (outputs, inputs), refitted to what is left.
        inverse: (inputs, inputs): of the inputs' second moments about their mean, with a ridge.
        columns: (units, k): inputs that are a unit's.
        slopes: (outputs,): mean squared derivative of the log-likelihood by an output, summed over its positions.
    """

    weight: Tensor
    inverse: Tensor
    columns: Tensor
    slopes: Tensor

    def losses(self, units: list[int]) -> Tensor:
        """What each of the units would cost if it went next (units,): ½ · Σ slopes · error, in nats."""
        columns = self.columns[units]
        blocks = self.inverse[columns[:, :, None], columns[:, None, :]]
        own = self.weight[:, columns].permute(1, 2, 0)  # (units, k, outputs)
        # Refitted, the error of an output without the inputs S is w_S ([H⁻¹]_SS)⁻¹ w_S.
        errors: Tensor = (own * torch.linalg.solve(blocks, own)).sum(1)
        return errors @ self.slopes / 2

    def remove(self, units: list[int]) -> None:
        """Refit the weights to the inputs that are left, and take those of `units` out of the inverse."""
        gone = self.columns[units].flatten()
        share = torch.linalg.solve(self.inverse[gone][:, gone], self.inverse[gone])  # (gone, inputs)
        self.weight = self.weight - self.weight[:, gone] @ share
        self.inverse = self.inverse - self.inverse[:, gone] @ share
        self.inverse[gone], self.inverse[:, gone] = 0.0, 0.0
        self.inverse[gone, gone] = 1.0


def output_losses(model: nn.Module, groups: list[Group], context: Context) -> dict[str, Tensor]:
    """The increase of the network's loss (nats, by its own probabilities) with each unit (units,), by group.

    Units go one after the other, each time the one that costs least with those before it gone and all takers refitted;
    a unit's value is what its own removal adds, and never less than that of those that went before it. Groups of which
    no taker can be refitted are left out.
    """
    takers = {
        g.name: [c for c in g.cuts if c.role == "in" and c.name == "weight" and c.dim == 1] for g in groups
    }
    layers = _refitted(model, {cut.module for cuts in takers.values() for cut in cuts}, context)
    if not layers:
        return {}
    told = information(model, layers, context, IMAGES, "refit")
    refitted = {name: [c for c in cuts if c.module in layers] for name, cuts in takers.items()}
    ranked = [group for group in groups if refitted[group.name]]
    found: dict[str, Tensor] = {}
    for part in _parts(ranked, refitted, layers):
        names = {cut.module for group in part for cut in refitted[group.name]}
        done = len(found) / len(ranked)
        inverses = _inverses(model, {n: layer for n, layer in layers.items() if n in names}, context, done)
        for group in part:
            tell = context.part(len(found), len(ranked), f"ranking {group.name}")
            of_group = [
                _taker(cut, layers, inverses[cut.module], told[cut.module].channels)
                for cut in refitted[group.name]
            ]
            found[group.name] = _in_turn(group, of_group, tell)
    return found


def _parts(
    groups: list[Group], takers: Mapping[str, list[Cut]], layers: Mapping[str, nn.Module]
) -> Iterator[list[Group]]:
    """The groups in their order, so many together that the inverses of their takers fit into ROOM; at least one."""
    part: list[Group] = []
    names: set[str] = set()
    for group in groups:
        own = {cut.module for cut in takers[group.name]}
        if (
            part
            and sum(weight_of(layers[n])[0].numel() ** 2 for n in names | own) * torch.float64.itemsize > ROOM
        ):
            yield part
            part, names = [], set()
        part.append(group)
        names |= own
    if part:
        yield part


def _refitted(model: nn.Module, names: set[str], context: Context) -> dict[str, nn.Module]:
    """Those of the layers that `Reconstruction` would refit."""
    able = {n: m for n, m in model.named_modules() if n in names and can_refit(m)}
    if not able:
        return {}
    return {name: able[name] for name in with_form(model, able, next(images(context, 2, "refit")), context)}


def _inverses(
    model: nn.Module, layers: Mapping[str, nn.Module], context: Context, done: float
) -> dict[str, Tensor]:
    """The inverse of each layer's second moments per position, about the mean: a bias or BatchNorm behind it, which
    nearly every layer has, keeps the means of outputs. `done`: the share of the step that is."""
    sums: dict[str, Tensor] = {}
    generators = {name: position_generator(name, context) for name in layers}

    def add(name: str, layer: nn.Module, given: Tensor, output: Tensor) -> None:
        context.progress(done, f"what enters {name}")
        gram, _ = normal_equations(layer, [(given, output)], generators[name], constant=True, kept=NONE)
        sums[name] = sums[name] + gram[0] if name in sums else gram[0]

    batch = largest_batch(model, context)  # asks with passes of its own, which are not to be counted
    model.eval()
    with ExitStack() as hooks, torch.no_grad():
        for name, layer in layers.items():
            hooks.callback(
                layer.register_forward_hook(
                    lambda m, inputs, output, n=name: add(n, m, inputs[0], output)
                ).remove
            )
        for pixels in images(context, IMAGES, "refit", batch):
            model(pixels)
    inverses = {}
    for name in layers:
        context.progress(done, f"inverting what enters {name}")
        gram = sums.pop(name)
        gram = gram / gram[-1, -1]
        whole = gram[:-1, :-1]
        second = whole - gram[:-1, -1:] * gram[-1:, :-1]
        second.diagonal().add_(ridge_of(second, RIDGE, whole))
        inverses[name] = torch.linalg.inv(second)
    return inverses


def _taker(cut: Cut, layers: Mapping[str, Any], inverse: Tensor, slopes: Tensor) -> _Taker:
    weight = layers[cut.module].weight.detach().double()
    kernel = weight[0, 0].numel()
    columns = (cut.positions[:, :, None] * kernel + torch.arange(kernel)).flatten(1)
    return _Taker(weight.flatten(1), inverse, columns.to(weight.device), slopes)


def _in_turn(group: Group, takers: list[_Taker], tell: Tell) -> Tensor:
    """The values of the group's units (units,), float64 on the CPU; `tell` is told the share that is known."""
    left = list(range(group.units))
    values = torch.zeros(group.units, dtype=torch.float64)
    highest = 0.0
    while left:
        losses = torch.stack([taker.losses(left) for taker in takers]).sum(0)
        cheapest = losses.argsort(stable=True)[: max(1, len(left) // AT_ONCE)]
        units = [left[int(index)] for index in cheapest]
        for unit, loss in zip(units, losses[cheapest].tolist(), strict=True):
            highest = max(highest, loss)
            values[unit] = highest
        for taker in takers:
            taker.remove(units)
        left = [unit for unit in left if unit not in units]
        tell(1 - len(left) / group.units)
    return values
