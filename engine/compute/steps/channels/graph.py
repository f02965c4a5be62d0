"""The groups of a network's channels, found by tracing it and proved by removing some."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd
from torch.nn.utils import parametrize

from engine.compute.layers import overlays
from engine.compute.layers.passes import all_outputs
from engine.compute.layers.select import prunable_layers
from engine.compute.measures.products import unfused_attention
from engine.compute.models.tensors import STATISTICS
from engine.compute.steps.channels.attention import free_groups, ties
from engine.compute.steps.channels.coupling import FIXED, CouplingGraph
from engine.compute.steps.channels.groups import Cut, Group, Role
from engine.compute.steps.channels.probe import OTHERWISE, verify_groups
from engine.compute.steps.channels.trace import OUTPUT, example_for, trace
from engine.compute.steps.channels.yolo import protected_layers
from engine.errors import SecateurError
from engine.params.channels import PruneChannels
from engine.params.overlays import TABLES
from engine.text.phrases import counted, listed

MOST = 3
"""Operations that are named as a reason, and reasons that are given, at most."""


@dataclass(frozen=True)
class Graph:
    """The groups that can be pruned, and the names of those that can't, with the reason.

    `whole`: layers that make channels of which none can go, and why, as far as a pass shows it.
    """

    groups: list[Group]
    left_out: dict[str, str]
    whole: dict[str, str]


def channel_graph(model: nn.Module, skip: tuple[str, ...] = ()) -> Graph:
    """The groups of `model`; `skip` names layers (name, glob or type) whose channels all stay.

    Layers that make the output are never in a group. Raises SecateurError when an entry of `skip` names nothing,
    or nothing is left to prune.
    """
    overlays.refuse(
        dict(model.named_modules()),
        PruneChannels,
        title="Channels can't be taken out of clustered or rounded weights",
        undoes=TABLES,
    )
    kept = prunable_layers(model, skip)
    skipped = {name for name in prunable_layers(model, ()) if name not in kept} | protected_layers(model)
    example = example_for(model)
    with all_outputs(model, example):
        found, links = find_groups(model, example)
        with_skipped = {g.name: s for g in found if (s := sorted(set(g.makers) & skipped))}
        groups = [g for g in found if g.name not in with_skipped]
        proved, left_out = verify_groups(model, groups, example)
    whole = _whole(model, links, groups, left_out)
    for group in found:
        if group.name in with_skipped:
            also = f"its channels go with those of {listed(with_skipped[group.name], MOST)}"
            whole |= dict.fromkeys(group.makers, also)
    if not proved:
        raise SecateurError(
            "There are no channels to prune",
            f"All stay in {by_reason(whole)}."
            if whole
            else "Every layer is skipped, or tied to what can't shrink.",
            f"{'Shorten skip, or' if skip else 'Take the step out (of search.over too), and'} "
            "prune single weights with prune.weights.",
        )
    return Graph(proved, left_out, whole)


def by_reason(whole: dict[str, str]) -> str:
    """Layers that stay whole in words, those that do for one reason together."""
    names: dict[str, list[str]] = {}
    for name, why in whole.items():
        names.setdefault(why, []).append(name)
    parts = [f"{listed(some)}, because {why}" for why, some in names.items()]
    more = sum(len(some) for some in list(names.values())[MOST:])
    if len(parts) > MOST + 1:  # one more reason takes hardly more room than to say that there is one
        parts = [*parts[:MOST], f"and {counted(more, 'more layer')}"]
    return "; ".join(parts)


def find_groups(model: nn.Module, example: Tensor) -> tuple[list[Group], CouplingGraph]:
    """The groups that a trace shows, in the order of the pass, and the graph of ties that they are found by; `example`
    is (1, C, H, W)."""
    with parametrize.cached(), unfused_attention():
        links = trace(model, example)
    for one, two in ties(model, links):
        links.tie(one, two)
    classes = _resolved(links)
    roles = {key: _role(model, *key) for key in classes}
    return [*_assembled(classes, roles), *free_groups(model)], links


def _whole(
    model: nn.Module, links: CouplingGraph, groups: list[Group], left_out: dict[str, str]
) -> dict[str, str]:
    """Why layers keep their channels, by layer; what is said of groups that are `left_out` gets the operations that mix
    their channels too."""
    reasons, whole, last = links.reasons(), dict[str, str](), dict[str, str]()
    for group in groups:
        if group.name in left_out:
            root = group.root
            mixing = reasons.mixing(links.dims[root.tensor, root.dim][root.positions.flatten()])
            if mixing and left_out[group.name] == OTHERWISE:
                left_out[group.name] += f" ({listed(mixing, MOST)})"
            for name in group.makers:
                whole.setdefault(name, left_out[group.name])
    classes = links.classes()
    for (tensor, dim), numbers in links.dims.items():
        name = tensor.rpartition(".")[0] or tensor  # parameters of the network itself have names of their own
        if name in whole or _role(model, tensor, dim) == "in":
            continue
        own, fixing = torch.unique(classes[numbers]), reasons.fixing(numbers)
        if OUTPUT in fixing:
            last[name] = "it makes the output"
        elif fixing:
            whole[name] = f"its channels are tied to {listed(fixing, MOST)}"
        elif own.tolist() == [FIXED]:
            whole[name] = "its channels are tied to what can't shrink"
        else:
            whole[name] = "all its channels hang together" if len(own) == 1 else "no layer takes its channels"
    multiplied = {tensor for tensor, _ in links.dims}
    computed = [name for name in prunable_layers(model, ()) if f"{name}.weight" not in multiplied]
    return whole | dict.fromkeys(computed, "nothing is multiplied with its weight as it is") | last


def _resolved(links: CouplingGraph) -> dict[tuple[str, int], Tensor]:
    """The class of every position along each dimension that channels lie along, by (tensor, dimension).

    A loose tensor's elements belong to a dimension when all elements at one position have one class; a tensor for which
    no dimension does can't shrink.
    """
    while True:
        classes = links.classes()
        resolved = {key: classes[numbers] for key, numbers in links.dims.items()}
        stuck = []
        for name, numbers in links.loose.items():
            own = classes[numbers]
            if (dim := _dimension(own)) is None:
                stuck.append(numbers)
            else:
                resolved[name, dim] = own.movedim(dim, 0).flatten(1)[:, 0] if own.ndim > 1 else own
        stuck = [numbers for numbers in stuck if bool((classes[numbers] != FIXED).any())]
        if not stuck:
            return resolved
        links.because = "a parameter along no one dimension of which they lie"
        for numbers in stuck:
            links.fix(numbers)


def _dimension(classes: Tensor) -> int | None:
    if classes.ndim == 1:
        return 0
    for dim in range(classes.ndim):
        rows = classes.movedim(dim, 0).flatten(1)
        if rows.shape[0] > 1 and torch.equal(rows, rows[:, :1].expand_as(rows)):
            return dim
    return None


def _role(model: nn.Module, tensor: str, dim: int) -> Role:
    prefix, _, name = tensor.rpartition(".")
    module = model.get_submodule(prefix)
    if name in STATISTICS:
        return "statistics"
    if name.endswith("bias"):
        return "bias"
    product = isinstance(module, _ConvNd | nn.Linear) and name == "weight"
    if product and isinstance(module, _ConvNd) and module.groups > 1 and module.weight.shape[1] == 1:
        return "scale"
    if product or name in ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight"):
        return "in" if dim == (0 if isinstance(module, _ConvTransposeNd) else 1) else "out"
    return "scale"


def _assembled(classes: dict[tuple[str, int], Tensor], roles: dict[tuple[str, int], Role]) -> Iterator[Group]:
    """Classes that cut the same tensors in the same way, together as one group's units."""
    signatures: dict[int, list[tuple[tuple[str, int], int]]] = defaultdict(list)
    for key, own in classes.items():
        values, counts = torch.unique(own[own != FIXED], return_counts=True)
        for value, count in zip(values.tolist(), counts.tolist(), strict=True):
            signatures[value].append((key, count))
    alike: dict[tuple[tuple[tuple[str, int], int], ...], list[int]] = defaultdict(list)
    for value in sorted(signatures):
        alike[tuple(signatures[value])].append(value)
    names: dict[str, int] = {}
    for signature, members in alike.items():
        present = {roles[key] for key, _ in signature}
        if not {"out", "in"} <= present or len(members) < 2:
            continue
        cuts = tuple(_cut(classes[key], key, roles[key], members) for key, _ in signature)
        first = next(cut.module for cut in cuts if cut.role == "out")
        names[first] = names.get(first, 0) + 1
        name = first if names[first] == 1 else f"{first}#{names[first]}"
        yield Group(name, cuts, _structure(cuts))


def _cut(own: Tensor, key: tuple[str, int], role: Role, members: list[int]) -> Cut:
    wanted = torch.tensor(members)
    positions = torch.isin(own, wanted).nonzero().flatten()
    order = torch.argsort(own[positions], stable=True)
    module, _, name = key[0].rpartition(".")
    return Cut(module, name, key[1], role, positions[order].view(len(members), -1))


def _structure(cuts: tuple[Cut, ...]) -> str:
    """What two groups have in common that are made alike (isomorphic pruning, Fang et al. 2024)."""
    return " ".join(f"{cut.name}:{cut.dim}:{cut.role}" for cut in cuts)
