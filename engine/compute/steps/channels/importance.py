"""How much a unit of channels matters: one number ≥ 0 per unit of each group."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import assert_never

import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.layers.passes import differentiable
from engine.compute.layers.select import leaf_of
from engine.compute.numerics.seeds import generator
from engine.compute.steps.channels.groups import Cut, Group
from engine.compute.steps.channels.output_loss import output_losses
from engine.compute.tasks import task_of
from engine.errors import SecateurError
from engine.params.channels import Criterion
from engine.text.phrases import listed

TAYLOR_IMAGES = 1024
"""Training images whose gradients Taylor importance is estimated from."""
TAYLOR_BATCH = 128
HESSIAN_IMAGES = 128
"""Training images, one gradient each, for the diagonal of the Hessian."""


def importance(
    criterion: Criterion,
    model: nn.Module,
    groups: list[Group],
    context: Context,
    number: int,
    *,
    relative: bool = True,
) -> dict[str, Tensor]:
    """Scores (units,) on the CPU by group; `number` counts pruning rounds.

    With `relative`, `l1`, `l2`, `fpgm` and `bn-scale` are divided by the group's mean, so that units of groups of
    different size compare (DepGraph, Fang et al. 2023). Without, they are sums over all that is coupled, to be weighed
    against a cost that is a sum too. `bn-scale` takes `l2` where a group has no BatchNorm; raises SecateurError when
    none has.
    """
    scores = _scores(criterion, model, groups, context, number)
    comparable = relative and criterion in ("l1", "l2", "fpgm", "bn-scale")
    return {name: _relative(own) for name, own in scores.items()} if comparable else scores


def _scores(
    criterion: Criterion, model: nn.Module, groups: list[Group], context: Context, number: int
) -> dict[str, Tensor]:
    match criterion:
        case "l1" | "l2":
            return _magnitudes(model, groups, 1 if criterion == "l1" else 2)
        case "fpgm":
            return {g.name: _median_distance(model, g) for g in groups}
        case "lamp":
            return {name: _lamp(own) for name, own in _magnitudes(model, groups, 2).items()}
        case "bn-scale":
            return _scales(model, groups, context, number)
        case "random":
            return {g.name: _chance(g, context, number) for g in groups}
        case "taylor":
            with differentiable(model):
                return _by_gradients(model, groups, context, TAYLOR_IMAGES, TAYLOR_BATCH, second=False)
        case "hessian":
            with differentiable(model):
                return _by_gradients(model, groups, context, HESSIAN_IMAGES, 1, second=True)
        case "output":
            return _by_output(model, groups, context)
        case _:
            assert_never(criterion)


def _by_output(model: nn.Module, groups: list[Group], context: Context) -> dict[str, Tensor]:
    """`output_losses`; where nothing can make up for a unit, half the Fisher information along its weights."""
    scores = output_losses(model, groups, context)
    rest = [group for group in groups if group.name not in scores]
    if rest:
        with differentiable(model):
            sums = _by_gradients(model, rest, context, HESSIAN_IMAGES, 1, second=False)
        scores |= {name: own / (2 * HESSIAN_IMAGES) for name, own in sums.items()}
    return scores


def used(model: nn.Module, cut: Cut) -> Tensor:
    """The tensor of a cut as the network uses it, masks applied, detached."""
    tensor = getattr(model.get_submodule(cut.module), cut.name)
    assert isinstance(tensor, Tensor)
    return tensor.detach()


def per_unit(values: Tensor, cut: Cut) -> Tensor:
    """The sum of a tensor's values over each unit (units,)."""
    rows = values.movedim(cut.dim, 0)
    rows = rows.reshape(len(rows), -1).sum(1)
    return rows[cut.positions.to(rows.device)].sum(1).cpu().double()


def weighing(group: Group) -> Iterator[Cut]:
    """The cuts whose size says something: weights, and the scales of normalizations."""
    return (cut for cut in group.cuts if cut.role in ("out", "in", "scale"))


def _magnitudes(model: nn.Module, groups: list[Group], power: int) -> dict[str, Tensor]:
    """Σ|w|^power over everything coupled to each unit, by group."""
    cuts = {group.name: list(weighing(group)) for group in groups}
    wanted: dict[str, dict[int, Cut]] = defaultdict(dict)
    for cut in (cut for own in cuts.values() for cut in own):
        wanted[cut.tensor][cut.dim] = cut
    # Every weight's powers once for all its dimensions: rounds come by the hundred.
    sums: dict[tuple[str, int], Tensor] = {}
    for tensor, dims in wanted.items():
        weight = used(model, next(iter(dims.values())))
        powers = weight.abs() if power == 1 else weight.square()
        for dim in dims:
            others = [d for d in range(weight.ndim) if d != dim]
            sums[tensor, dim] = (powers.sum(others) if others else powers).cpu().double()
    return {
        name: _total(sums[cut.tensor, cut.dim][cut.positions].sum(1) for cut in own)
        for name, own in cuts.items()
    }


def _total(parts: Iterable[Tensor]) -> Tensor:
    return torch.stack(list(parts)).sum(0)


def _relative(scores: Tensor) -> Tensor:
    return scores / scores.mean().clamp_min(torch.finfo(scores.dtype).tiny)


def _median_distance(model: nn.Module, group: Group) -> Tensor:
    """Σ of the Euclidean distances to the group's other filters: small near their geometric median (He et al. 2019)."""
    parts = []
    for cut in group.cuts:
        if cut.role == "out":
            rows = used(model, cut).movedim(cut.dim, 0).flatten(1)
            filters = rows[cut.positions.to(rows.device)].flatten(1)
            parts.append(torch.cdist(filters, filters).sum(1).cpu().double())
    return _total(parts)


def _lamp(scores: Tensor) -> Tensor:
    """The score over the sum of all that are not smaller (LAMP, Lee et al. 2021, equation 2)."""
    order = torch.argsort(scores, descending=True, stable=True)
    result = torch.empty_like(scores)
    result[order] = scores[order] / scores[order].cumsum(0).clamp_min(torch.finfo(scores.dtype).tiny)
    return result


def normalized(model: nn.Module, group: Group) -> list[Cut]:
    """The cuts that are BatchNorm's scales."""
    kinds = nn.modules.batchnorm._BatchNorm
    return [c for c in group.cuts if c.role == "scale" and isinstance(model.get_submodule(c.module), kinds)]


def check_norms(model: nn.Module, groups: list[Group], of: str, instead: str) -> None:
    """Raises SecateurError where no channel meets a BatchNorm, whose scales are what `of` goes by."""
    if not any(normalized(model, group) for group in groups):
        raise SecateurError(
            f"{of} bn-scale needs BatchNorm, and no channel of this model meets one",
            f"The groups of channels are {', '.join(group.name for group in groups)}.",
            f"Use {of} {instead}, or another model.",
        )


def _scales(model: nn.Module, groups: list[Group], context: Context, number: int) -> dict[str, Tensor]:
    """|γ| of the group's BatchNorm layers (network slimming, Liu et al. 2017)."""
    check_norms(model, groups, "criterion", "l2")
    scores, without = {}, []
    for group in groups:
        cuts = normalized(model, group)
        if cuts:
            scores[group.name] = _total(per_unit(used(model, c).abs(), c) for c in cuts)
        else:
            without.append(group.name)
            scores |= _magnitudes(model, [group], 2)
    if without and number == 0:
        context.notice("info", f"No BatchNorm, ranked by l2 instead of bn-scale: {listed(without)}")
    return scores


def _chance(group: Group, context: Context, number: int) -> Tensor:
    random = generator(context.seed, "channels", context.position, number, group.name)
    return torch.rand(group.units, generator=random, dtype=torch.float64)


def _by_gradients(
    model: nn.Module, groups: list[Group], context: Context, images: int, batch: int, *, second: bool
) -> dict[str, Tensor]:
    """The loss that removing a unit costs, by its gradients, in eval mode, averaged over batches.

    First order: (Σ g·w)² for the unit in each coupled weight (Molchanov et al. 2019, equation 8 for a group of
    weights); second: Σ ½ (g·w)² with one image's gradients, whose squares estimate the Hessian's diagonal (Optimal
    Brain Damage, LeCun et al. 1990, with the empirical Fisher).
    """
    cuts = {g.name: list(weighing(g)) for g in groups}
    leaves = {c.tensor: leaf_of(model.get_submodule(c.module), c.name) for own in cuts.values() for c in own}
    scores = {g.name: torch.zeros(g.units, dtype=torch.float64) for g in groups}
    task = task_of(context.data)
    model.eval()
    piece = context.at_once(model, batch, kept=True)
    for pixels, labels in _some_images(context, images, batch):
        gradients: dict[str, Tensor] = {}
        for part, targets in zip(torch.split(pixels, piece), torch.split(labels, piece), strict=True):
            loss = task.loss(model, part, targets) * (len(targets) / len(labels))
            derivatives = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
            for name, gradient in zip(leaves, derivatives, strict=True):
                if gradient is not None:
                    gradients[name] = gradients[name] + gradient if name in gradients else gradient
        effects = {name: gradient * leaves[name].detach() for name, gradient in gradients.items()}
        for group in groups:
            for cut in cuts[group.name]:
                if (effect := effects.get(cut.tensor)) is not None:
                    own = per_unit(effect.square(), cut) / 2 if second else per_unit(effect, cut).square()
                    scores[group.name] += own
    return scores


def _some_images(context: Context, images: int, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
    train = context.data.train
    random = generator(context.seed, "channels-images", context.position)
    order = torch.randperm(len(train.labels), generator=random)[:images]
    yield from context.data.batches(train, batch, order=order, device=context.device)
