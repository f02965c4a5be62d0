"""`cluster.weights`: weights that share the values of a codebook."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.layers import overlays
from engine.compute.layers.codebooks import CodebookForm, bits_per_weight, codebook_of, set_codebook
from engine.compute.layers.masks import mask_of
from engine.compute.layers.select import leaf_of, prunable_layers, weight_of
from engine.compute.numerics.aligned import from_array, to_array
from engine.compute.numerics.seeds import derive
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.clustering import kmeans
from engine.errors import SecateurError
from engine.params.cluster_weights import ClusterWeights, Product, Scalar


def cluster_weights(model: nn.Module, params: ClusterWeights, context: Context) -> nn.Module:
    """Cluster every layer's weights, in place; masks stay, and what they hold at zero takes no centroid.

    Reports each layer's centroids, the entropy of its indices in bits per weight, and the share of its energy that
    is lost; what masks hold at zero does not count. Raises SecateurError when no layer can be clustered, or one has
    rounded weights.
    """
    to_device(model, context.device)
    layers = changeable(model, prunable_layers(model, params.skip), context, params.kind)
    overlays.refuse(layers, params, title="Rounded weights cannot be clustered")
    left, rows = [], []
    for number, (name, module) in enumerate(layers.items()):
        context.part(number, len(layers), name)
        seed = derive(context.seed, "cluster", context.position, name)
        before = weight_of(module).detach().clone()
        if _cluster(module, params, seed):
            rows.append({"name": name, **_report(module, before)})
        else:
            left.append(name)
    if len(left) == len(layers):
        raise _none(params, left)
    if left:
        context.notice("info", f"Left as they are: {', '.join(left)} (empty, or no multiple of the length)")
    context.observations["codebooks"] = rows
    return model


def check_length(layers: Mapping[str, nn.Module], params: ClusterWeights, length: int) -> None:
    """Raises SecateurError where no layer's filters can be cut into the vectors of this length."""
    if not any(_cut_evenly(weight_of(layer), length) for layer in layers.values()):
        raise _none(params, list(layers))


def _none(params: ClusterWeights, layers: list[str]) -> SecateurError:
    return SecateurError(
        "No layer can be clustered",
        f"The vectors of {params.method.kind} must divide every filter: {', '.join(layers)}.",
        "Use another length, or method: scalar.",
    )


def _cut_evenly(weight: Tensor, length: int) -> bool:
    return weight[0].numel() % length == 0


def _report(module: nn.Module, before: Tensor) -> dict[str, float]:
    """What became of one layer, whose weight was `before`."""
    book, mask = codebook_of(module), mask_of(module)
    assert book is not None
    energy = max(float(before.double().square().sum()), torch.finfo(torch.float64).tiny)
    lost = float((weight_of(module).detach() - before).double().square().sum())
    return {
        "centroids": leaf_of(module).numel() // (book.form.groups * book.form.width),
        "width": book.form.width,
        "bits": bits_per_weight(book, None if mask is None else mask.mask),
        "distortion": lost / energy,
    }


def _cluster(module: nn.Module, params: ClusterWeights, seed: int) -> bool:
    """Give one layer its codebook; False when it cannot have one."""
    weight = weight_of(module).detach()
    mask = mask_of(module)
    kept = None if mask is None else mask.mask
    if not weight.numel() or (kept is not None and not bool(kept.any())):
        return False
    match params.method:
        case Scalar():
            book = _scalar(weight, kept, params, params.method, seed)
        case Product(length=length):
            if not _cut_evenly(weight, length):
                return False
            book = _product(weight, params.centroids, length, seed)
    centroids, indices, form = book
    set_codebook(module, centroids.to(weight), indices.to(weight.device), form)
    return True


def _scalar(
    weight: Tensor, kept: Tensor | None, params: ClusterWeights, method: Scalar, seed: int
) -> tuple[Tensor, Tensor, CodebookForm]:
    """Centroids (groups, K, 1), indices (groups, n) and their form; `kept` is the mask."""
    form = CodebookForm(tuple(weight.shape), groups=len(weight) if method.per == "channel" else 1)
    values = to_array(weight.contiguous().cpu().double().view(form.vectors))
    wanted = np.ones(values.shape, bool) if kept is None else _rows(kept, form)
    random = np.random.default_rng(seed)
    books = []
    indices = np.zeros(values.shape, np.uint8)
    for group, (row, use) in enumerate(zip(values, wanted, strict=True)):
        # A channel that is masked whole has nothing to cluster: its only centroid is never seen.
        book = np.zeros(1)
        if use.any():
            book, indices[group, use] = kmeans.scalar(row[use], params.centroids, method.start, random)
        books.append(book)
    size = max(map(len, books))
    table = np.stack([np.pad(book, (0, size - len(book)), mode="edge") for book in books])
    return from_array(table)[..., None], from_array(indices), form


def _rows(mask: Tensor, form: CodebookForm) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    rows: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = to_array(
        mask.contiguous().cpu().view(form.vectors)
    )
    return rows


def _product(weight: Tensor, k: int, length: int, seed: int) -> tuple[Tensor, Tensor, CodebookForm]:
    """Centroids (1, K, length), indices (1, n) and their form; neighbours along a filter's flattened weights."""
    form = CodebookForm(tuple(weight.shape), width=length)
    rows = to_array(weight.contiguous().cpu().double().view(-1, length))
    centroids, indices = kmeans.vectors(rows, k, seed)
    return from_array(centroids)[None], from_array(indices)[None], form
