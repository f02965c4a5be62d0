"""`factorize`: layers split in chains of smaller ones."""

import math
from collections import Counter
from functools import partial
from typing import Any, assert_never

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.layers import factors
from engine.compute.layers.factors import Ranks, Scheme
from engine.compute.layers.masks import Folding, fold_module
from engine.compute.layers.passes import calls
from engine.compute.layers.select import prunable_layers, replace, weight_of
from engine.compute.layers.shared import SharedConv2d
from engine.compute.models import edits
from engine.compute.models.architecture import architecture
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import Instead, Reasons, reasons_against, refuse_named, tell
from engine.compute.steps.factorization import vbmf
from engine.compute.steps.rates import findings, solved_rates
from engine.errors import SecateurError
from engine.params.factorization import Energy, Factorize, Rank, Ratio, Vbmf
from engine.text.phrases import counted

NO_SAVING = "would not save weights"


def factorize(model: nn.Module, params: Factorize, context: Context) -> nn.Module:
    """Split every layer where that saves weights, in place; masks, codebooks and grids of those layers are folded.

    A layer is split only if a chain of full rank gives what it gives on training images. Reports each layer's ranks
    and the share of its energy that is lost.
    """
    to_device(model, context.device)
    able, left = able_layers(model, params, context)
    each = _each(model, able, params)
    folded = 0
    rows = []
    for number, (name, module) in enumerate(able.items()):
        context.part(number, len(able), name)
        was_folded = any(isinstance(part, Folding) for part in module.modules())
        row = split(model, name, each[name]) if name in each else None
        if row is None:
            left[NO_SAVING] += 1
            continue
        rows.append(row)
        folded += was_folded
    _tell(len(rows), left, folded, context)
    context.observations["factors"] = rows
    to_device(model, context.device)
    if rows and params.calibrate:
        recalibrate(model, context)
    return model


def _each(model: nn.Module, layers: dict[str, nn.Module], params: Factorize) -> dict[str, Factorize]:
    """The step for each layer that is to be split, with its own ratio or that which the solver finds for it."""
    if params.scope == "solved":
        ratios = {name: rate for name, rate in _solved(model, layers, params).items() if rate > 0}
    elif params.layers:
        ratios = params.layers
    else:
        return dict.fromkeys(layers, params)
    return {name: _at(ratio, params) for name, ratio in ratios.items()}


def _at(ratio: float, params: Factorize) -> Factorize:
    return params.model_copy(update={"rank": Ratio(ratio=ratio)})


def _solved(model: nn.Module, layers: dict[str, nn.Module], params: Factorize) -> dict[str, float]:
    assert isinstance(params.rank, Ratio)
    measured = findings(model, "rank")
    if measured["scheme"] != params.scheme:
        raise SecateurError(
            f"The sensitivity of ranks was measured with the scheme {measured['scheme']}, not {params.scheme}",
            "What a layer loses at a rank differs between them.",
            f"Use scheme: {measured['scheme']}, or measure it with scheme: {params.scheme}.",
        )
    sizes = {name: weight_of(layer).numel() for name, layer in layers.items()}
    return solved_rates(measured["rows"], sizes, params.rank.ratio)


def able_layers(
    model: nn.Module, params: Factorize, context: Context, instead: Instead | None = None
) -> tuple[dict[str, nn.Module], Counter[str]]:
    """The layers that can be split, and how many can't, by the reason.

    `instead` is what a layer must compute on real images for that: what its chain of full rank does, by default.
    Raises SecateurError where one that `params.layers` names can't, or is not smaller when split.
    """
    layers = prunable_layers(model, params.skip, params.layers)
    arch = architecture(model)
    called = set(calls(model, layers, torch.zeros(1, arch.channels, *arch.size, device=context.device)))
    reasons = {
        name: "not called as a layer" if name not in called else _refused(layer)
        for name, layer in layers.items()
    }
    able = {name: layer for name, layer in layers.items() if not reasons[name]}
    chained = instead or partial(_at_full_rank, params)
    against = reasons_against(model, able, context, chained, lost=lambda _attribute: True)
    refuse_named(_against_named(layers, params, reasons | against), params.layers, params.kind)
    tell(against, params.kind, context)
    left = Counter(reason for reason in reasons.values() if reason)
    if against:
        left["left alone"] = len(against)
    return {name: layer for name, layer in able.items() if name not in against}, left


def _against_named(layers: dict[str, nn.Module], params: Factorize, reasons: Reasons) -> Reasons:
    """The `reasons` that there are against layers, those that their own ratios give included."""
    known = {name: reason for name, reason in reasons.items() if reason}
    wasteful = (
        name
        for name, ratio in params.layers.items()
        if name not in known and _ranks(layers[name], _at(ratio, params)) is None
    )
    return known | dict.fromkeys(wasteful, NO_SAVING)


def _tell(done: int, left: Counter[str], folded: int, context: Context) -> None:
    rest = ", ".join(f"{count} {reason}" for reason, count in sorted(left.items()))
    text = f"{counted(done, 'layer')} factorized" + (f"; left as they are: {rest}" if rest else "")
    context.notice("info" if done else "warning", text)
    if folded:
        context.notice(
            "info", f"Masks, codebooks and grids of {folded} factorized layers were folded in their weights"
        )


def _refused(module: nn.Module) -> str:
    """Why a layer cannot be factorized; "" if it can."""
    if isinstance(module, nn.Linear):
        return ""
    if not isinstance(module, nn.Conv2d):
        return "neither linear nor 2-D convolutions"
    if isinstance(module, SharedConv2d):
        return "with shared filters"
    return "grouped or depthwise" if module.groups > 1 else ""


def _at_full_rank(params: Factorize, _name: str, layer: nn.Module, given: Tensor) -> Tensor:
    """What the layer's chain computes if it loses nothing."""
    scheme = scheme_of(layer, params)
    made = factors.factorized(layer, scheme, factors.full_ranks(weight_of(layer), scheme))
    result: Tensor = made(given)
    return result


def split(model: nn.Module, name: str, params: Factorize) -> dict[str, Any] | None:
    """Split one layer in place; what became of it, None when its ranks would not save weights."""
    module = model.get_submodule(name)
    weight, scheme = weight_of(module), scheme_of(module, params)
    ranks = _ranks(module, params)
    if ranks is None:
        return None
    fold_module(module)
    made = factors.factorized(module, scheme, ranks)
    lost = factors.lost(weight, made, scheme)
    replace(model, name, made)
    edits.record(model, {"edit": edits.FACTORIZE, "layer": name, "scheme": scheme, "ranks": list(ranks)})
    return {"name": name, "scheme": scheme, "ranks": list(ranks), "distortion": lost}


def _ranks(module: nn.Module, params: Factorize) -> Ranks | None:
    """The ranks that the layer is split at; None where that would not save weights."""
    weight, scheme = weight_of(module), scheme_of(module, params)
    ranks = ranks_of(module, weight, scheme, params.rank)
    return ranks if factors.parameters(module, scheme, ranks) < weight.numel() else None


def scheme_of(module: nn.Module, params: Factorize) -> Scheme:
    """The scheme that suits the layer: linear layers and kernels that are flat in one direction are split in two."""
    if isinstance(module, nn.Conv2d) and min(module.kernel_size) > 1 and params.scheme != "channel":
        return params.scheme
    return "svd"


def ranks_of(module: nn.Module, weight: Tensor, scheme: Scheme, rule: Rank) -> Ranks:
    """The ranks of the layer's chain by `rule`, each from 1 to the full rank."""
    match rule:
        case Ratio(ratio=ratio):
            return _by_budget(module, weight, scheme, (1 - ratio) * weight.numel())
        case Energy(energy=energy):
            return tuple(
                _by_energy(factors.singular_values(m), energy) for m in factors.matrices(weight, scheme)
            )
        case Vbmf():
            return tuple(
                max(vbmf.rank(factors.singular_values(m), *m.shape), 1)
                for m in factors.matrices(weight, scheme)
            )
        case _:
            assert_never(rule)


def _by_energy(singular: Tensor, energy: float) -> int:
    share = singular.square().cumsum(0)
    if not float(share[-1]) > 0:
        return 1
    return min(int((share < energy * share[-1]).sum()) + 1, len(singular))


def _by_budget(module: nn.Module, weight: Tensor, scheme: Scheme, budget: float) -> Ranks:
    """The largest ranks with at most `budget` weights; those of Tucker-2 in the ratio of the layer's channels."""
    tried: list[Ranks]
    if scheme == "tucker":
        outer, inner = weight.shape[:2]
        tried = [(math.ceil(r * inner / outer), r) for r in range(1, outer + 1)]
    else:
        full = min(factors.matrices(weight, scheme)[0].shape)
        tried = [(r,) for r in range(1, full + 1)]
    fitting = [ranks for ranks in tried if factors.parameters(module, scheme, ranks) <= budget]
    return fitting[-1] if fitting else tried[0]
