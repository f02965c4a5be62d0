"""`cluster.filters`: filters of a convolution that are alike become one."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import assert_never, cast

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.layers import overlays
from engine.compute.layers.copies import copied
from engine.compute.layers.passes import calls, taken_by
from engine.compute.layers.select import prunable_layers
from engine.compute.layers.shared import SharedConv2d, share, shared_layers, whole
from engine.compute.models import edits
from engine.compute.models.architecture import architecture
from engine.compute.numerics.seeds import derive
from engine.compute.steps.calibration.activations import can_refit, energies, position_generator, refit
from engine.compute.steps.calibration.lockstep import Anew
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import VALUES, computed_by_class, reasons_against, tell
from engine.compute.steps.clustering.assign import cluster
from engine.compute.steps.clustering.budget import Candidate, counts
from engine.compute.steps.clustering.chains import Chain, chains
from engine.compute.steps.clustering.merge import Centroids, centroids, fold, merge
from engine.errors import SecateurError
from engine.params.clustering import ClusterFilters, Merged, Shared

EXAMPLES = 2
"""Images by which chains are found."""
OF_FILTERS = ("weight", "out_channels")
"""The attributes of a convolution that are others where filters are shared: there are fewer of them than outputs."""


@dataclass(frozen=True)
class _Layer:
    """What became of one layer, for the report."""

    name: str
    filters: int
    clusters: int
    distortion: float
    method: str


def cluster_filters(model: nn.Module, params: ClusterFilters, context: Context) -> nn.Module:
    """Cluster the filters of the model's convolutions, in place; reports each layer's clusters and distortion.

    Raises SecateurError when there is nothing to cluster, or a layer to be clustered has masked weights.
    """
    to_device(model, context.device).eval()
    match params.method:
        case Merged():
            rows = _merge(model, params, params.method, _mergeable(model, params, context), context)
        case Shared():
            rows = _share(model, params, params.method, context)
        case _:
            assert_never(params.method)
    context.observations["clusters"] = [vars(row) for row in rows]
    if params.calibrate:
        recalibrate(model, context)
    return model


def check_filters(model: nn.Module, params: ClusterFilters, context: Context) -> None:
    """Raises SecateurError where the network has nothing to cluster."""
    match params.method:
        case Merged():
            _mergeable(model, params, context)
        case Shared():
            _shareable(model, params, context, ())
        case _:
            assert_never(params.method)


def _mergeable(model: nn.Module, params: ClusterFilters, context: Context) -> list[Chain]:
    """The chains whose layers may lose channels. Raises SecateurError where there is none."""
    if not (pairs := _chains(model, params, context)):
        raise _no_chain(model)
    return pairs


def _chains(model: nn.Module, params: ClusterFilters, context: Context) -> list[Chain]:
    """The chains whose producer is not skipped and whose layers compute what their class says."""
    example = torch.rand(
        EXAMPLES, context.data.channels, *context.data.size, generator=torch.Generator().manual_seed(0)
    )
    allowed = prunable_layers(model, params.skip)
    candidates = [chain for chain in chains(model, example) if chain.producer in allowed]
    layers = {name: model.get_submodule(name) for chain in candidates for name in chain.layers}
    reasons = reasons_against(model, layers, context, computed_by_class, lost=VALUES.__contains__)
    order = calls(model, layers, taken_by(model, example))
    reasons |= {name: "called more than once" for name in layers if order.count(name) > 1}
    tell(reasons, params.kind, context)
    return [chain for chain in candidates if not reasons.keys() & set(chain.layers)]


def _merge(
    model: nn.Module, params: ClusterFilters, method: Merged, pairs: list[Chain], context: Context
) -> list[_Layer]:
    """Shrink every chain, from the first to the last, each refitted before the next is clustered."""
    _refuse_overlaid(model, params, (name for chain in pairs for name in (chain.producer, chain.consumer)))
    candidates = {chain.producer: _candidate(model, chain) for chain in pairs}
    wanted = counts(candidates, params.ratio, params.scope)
    original = copied(model) if method.repair else model
    rows = []
    for number, chain in enumerate(pairs):
        context.part(number, len(pairs), chain.producer)
        rows.append(_merge_one(model, chain, wanted[chain.producer], params, context))
        consumer = model.get_submodule(chain.consumer)
        if method.repair and can_refit(consumer):
            passed = Anew(model, original, context, params.images).at(chain.consumer)
            refit(consumer, passed, position_generator(chain.consumer, context), ridge=method.ridge)
    return rows


def _candidate(model: nn.Module, chain: Chain) -> Candidate:
    vectors = fold(model, chain).vectors
    ends = (model.get_submodule(chain.producer), model.get_submodule(chain.consumer))
    return Candidate(vectors, sum(cast(Tensor, end.weight).numel() for end in ends) // len(vectors))


def _merge_one(
    model: nn.Module, chain: Chain, count: int, params: ClusterFilters, context: Context
) -> _Layer:
    folded = fold(model, chain)
    inputs, importance = _weighting(model, chain.producer, chain.norm or chain.producer, params, context)
    each = folded.filters.shape[1] // len(inputs) if inputs is not None else 1
    weights = None if inputs is None else torch.cat([inputs.repeat_interleave(each), torch.ones(1)])
    # A scale of its own for each filter only passes through what scales with its input.
    algorithm = "k-means" if params.algorithm == "spherical" and not chain.homogeneous else params.algorithm
    clusters = cluster(
        folded.vectors if weights is None else folded.vectors * weights.sqrt(),
        count,
        algorithm=algorithm,
        pca=params.pca,
        importance=importance,
        restarts=params.restarts,
        seed=derive(context.seed, "cluster", context.position, chain.producer),
    )
    represented = centroids(folded.vectors, clusters, folded.gains, importance)
    with edits.resized(model):
        merge(model, chain, clusters, folded, represented)
    return _Layer(chain.producer, len(folded.filters), clusters.count, represented.distortion, "merged")


def _weighting(
    model: nn.Module, name: str, last: str, params: ClusterFilters, context: Context
) -> tuple[Tensor | None, Tensor | None]:
    """Energies of the layer's input channels, and of its outputs, whichever is asked for."""
    if params.weighting == "none":
        return None, None
    inputs, outputs = energies(model, {name: last}, context, params.images)[name]
    return (inputs, None) if params.weighting == "input" else (None, outputs)


def _share(model: nn.Module, params: ClusterFilters, method: Shared, context: Context) -> list[_Layer]:
    rows = []
    if method.fold and (pairs := _chains(model, params, context)):
        rows = _merge(model, params, Merged(repair=False), pairs, context)
    layers = _shareable(model, params, context, [row.name for row in rows])
    candidates = {
        name: Candidate(layer.weight.detach().flatten(1), layer.weight[0].numel())
        for name, layer in layers.items()
    }
    wanted = counts(candidates, params.ratio, params.scope)
    for number, (name, layer) in enumerate(layers.items()):
        context.part(number, len(layers), name)
        rows.append(_share_one(model, name, layer, wanted[name], params, context))
    return rows


def _shareable(
    model: nn.Module, params: ClusterFilters, context: Context, merged: Collection[str]
) -> dict[str, nn.Conv2d]:
    """The convolutions whose filters may share, by name, but those that are merged. Raises SecateurError where there is
    none of either."""
    layers = {
        name: layer
        for name, layer in prunable_layers(model, params.skip).items()
        if isinstance(layer, nn.Conv2d) and layer.groups == 1 and name not in merged
    }
    if not layers and not merged:
        raise _nothing("The model has no convolution to cluster", "Shorten skip, or leave the step out.")
    _refuse_overlaid(model, params, layers)
    arch = architecture(model)
    called = set(calls(model, layers, torch.zeros(1, arch.channels, *arch.size, device=context.device)))
    reasons = reasons_against(model, layers, context, _sharing_nothing, lost=OF_FILTERS.__contains__)
    reasons |= {name: "not called as a layer" for name in layers if name not in called}
    tell(reasons, params.kind, context)
    layers = {name: layer for name, layer in layers.items() if name not in reasons}
    if not layers and not merged:
        raise _nothing("Each convolution computes something else than its class says", "Leave the step out.")
    return layers


def _sharing_nothing(_name: str, layer: nn.Module, given: Tensor) -> Tensor:
    """What the layer computes with as many filters as it has."""
    assert isinstance(layer, nn.Conv2d)
    made = layer if type(layer) is SharedConv2d else whole(layer)
    result: Tensor = made.forward(given)  # not by its call, whose hooks ask this very question
    return result


def _share_one(
    model: nn.Module, name: str, layer: nn.Conv2d, count: int, params: ClusterFilters, context: Context
) -> _Layer:
    vectors = layer.weight.detach().cpu().double().flatten(1)
    inputs, importance = _weighting(model, name, name, params, context)
    if importance is not None and isinstance(layer, SharedConv2d):
        importance = torch.zeros(len(vectors)).double().index_add(0, layer.index.cpu(), importance)
    clusters = cluster(
        vectors if inputs is None else vectors * inputs.sqrt().repeat_interleave(layer.weight[0, 0].numel()),
        count,
        algorithm=params.algorithm,
        pca=params.pca,
        importance=importance,
        restarts=params.restarts,
        seed=derive(context.seed, "cluster", context.position, name),
    )
    represented = centroids(vectors, clusters, importance=importance)
    if clusters.count < len(vectors):
        _replace(model, name, layer, represented, clusters.labels, scaled=clusters.scales is not None)
    return _Layer(name, len(vectors), clusters.count, represented.distortion, "shared")


def _replace(
    model: nn.Module, name: str, layer: nn.Conv2d, centres: Centroids, labels: Tensor, *, scaled: bool
) -> None:
    weight = layer.weight.detach().cpu().double().flatten(1)[centres.chosen] + centres.moves
    filters = weight.view(-1, *layer.weight.shape[1:]).to(layer.weight)
    new = share(model, name, filters, labels, centres.factors if scaled else None)
    edits.record(
        model, {"edit": edits.SHARE, "layer": name, "filters": len(filters), "scaled": new.scale is not None}
    )
    to_device(new, layer.weight.device)


def _refuse_overlaid(model: nn.Module, params: ClusterFilters, names: Iterable[str]) -> None:
    """Whole filters are replaced: what an earlier step laid over their weights would be lost."""
    overlays.refuse(
        {name: model.get_submodule(name) for name in names},
        params,
        title="Filters with masks, codebooks, dictionaries or grids cannot be clustered",
    )


def _no_chain(model: nn.Module) -> SecateurError:
    if shared_layers(model):
        what = "The convolutions of which one layer alone sees the channels share their filters already"
        return _nothing(what, "Put method: merged before method: shared, or leave it out.")
    return _nothing("No convolution's channels are seen by one layer alone", "Use method: shared.")


def _nothing(detail: str, remedy: str) -> SecateurError:
    return SecateurError("There is nothing to cluster", f"{detail}.", remedy)
