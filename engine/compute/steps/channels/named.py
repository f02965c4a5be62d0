"""Ratios of single layers, as `layers` of `prune.channels` has them, for the groups that their channels are in."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from engine.compute.steps.channels.groups import Gone, Group
from engine.errors import SecateurError
from engine.search.widths import gone_at
from engine.text.phrases import listed, nearest


def ratios(groups: Sequence[Group], layers: Mapping[str, float]) -> dict[str, float]:
    """The ratio of each group that is named, by itself or by a layer that makes its channels.

    Raises SecateurError for a name of no group or of several, and for two ratios of one group.
    """
    found: dict[str, tuple[str, float]] = {}
    for layer, ratio in layers.items():
        group = group_of(groups, layer)
        other, known = found.setdefault(group, (layer, ratio))
        if known != ratio:
            raise SecateurError(
                f"prune.channels.layers gives {other} {known:g} and {layer} {ratio:g}, whose channels go together",
                f"Both are in the group {group}: what one of them loses, the other loses too.",
                "Give them one ratio, or name one of them.",
            )
    return {group: ratio for group, (_, ratio) in found.items()}


def group_of(groups: Sequence[Group], layer: str) -> str:
    """The name of the group that is named, by itself or by a layer that makes its channels.

    Raises SecateurError for a name of no group or of several.
    """
    having = [layer] if any(group.name == layer for group in groups) else list(_made_by(groups, layer))
    if len(having) == 1:
        return having[0]
    if having:
        raise SecateurError(
            f"prune.channels.layers can't tell which channels of {layer} are meant",
            f"They are in {len(having)} groups, which shrink one by one.",
            f"Name the group: {listed(having)}.",
        )
    makers = list(dict.fromkeys(maker for group in groups for maker in group.makers))
    raise SecateurError(
        f"prune.channels.layers names no layer whose channels can go: {layer}",
        f"They can be taken out of {listed(makers)}; those of the output, or tied to what can't shrink, stay.",
        f"Did you mean {best}?" if (best := nearest(layer, makers)) else "Use a layer's whole name.",
    )


def _made_by(groups: Sequence[Group], layer: str) -> Iterator[str]:
    for group in groups:
        if any(cut.module == layer and cut.role in ("out", "scale") for cut in group.cuts):
            yield group.name


def chosen(scores: Mapping[str, Tensor], whole: Mapping[str, int], ratios: Mapping[str, float]) -> Gone:
    """The units that go of each group, the least important first, so that it loses its ratio of the `whole` it had.

    `scores` (units,) has those that are left.

    >>> chosen({"a": torch.tensor([3.0, 1.0, 2.0])}, {"a": 4}, {"a": 0.5})
    {'a': tensor([1])}
    """
    more = {
        name: gone_at(whole[name], ratio) - (whole[name] - len(scores[name]))
        for name, ratio in ratios.items()
    }
    return {
        name: torch.argsort(scores[name], stable=True)[:count].sort().values
        for name, count in more.items()
        if count > 0
    }
