"""`sensitivity`: what it costs to compress each layer alone, a table of layers by levels."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, assert_never

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.data import Split, Subset
from engine.compute.latency.layers import LayerConfig, all_configs
from engine.compute.latency.network_times import NetworkTimes
from engine.compute.layers import overlays
from engine.compute.layers.copies import copied
from engine.compute.layers.grids import Grid, GridForm, UniformGrid
from engine.compute.layers.passes import restored
from engine.compute.layers.select import leaf_of, prunable_layers, weight_of
from engine.compute.measures.counts import Counts, count
from engine.compute.measures.estimate import Stored, packed_bytes, stored
from engine.compute.measures.sizes import distinct
from engine.compute.models import edits
from engine.compute.models.architecture import architecture
from engine.compute.models.checkpoint import folded_state
from engine.compute.numerics.seeds import generator
from engine.compute.steps.calibration.step import calibrate, norms_of, statistics_of
from engine.compute.steps.calibration.understood import changeable
from engine.compute.steps.channels.groups import Group
from engine.compute.steps.channels.importance import importance as unit_importance
from engine.compute.steps.channels.narrower import measured_times, shrinkable, widths
from engine.compute.steps.channels.shrink import shrink
from engine.compute.steps.factorization.step import able_layers, split
from engine.compute.steps.pruning.importance import importance
from engine.compute.steps.pruning.rounds import keep_largest
from engine.compute.steps.quantization.grids import fit_grid
from engine.compute.steps.rates import NOTE, shapes
from engine.compute.tasks import Score, task_of
from engine.compute.tasks.evaluate import outputs, score
from engine.compute.training.resume import OVERTAKEN
from engine.errors import SecateurError
from engine.measures.layer_times import TIMES
from engine.params.calibrate import Calibrate
from engine.params.channels import LatencyTarget
from engine.params.factorization import Factorize, Ratio
from engine.params.sensitivity import FLOAT_BITS, Sensitivity
from engine.results.tolerance import DEVIATION, INCREASE, SHAPES
from engine.search.widths import WIDTHS, gone_at
from engine.store.files import explained, read_mapping, write_json

CALIBRATION = Calibrate(images=512, batch=256)
"""Few images, because it is done for every row and should cost less than the scoring."""
LEAST_SCORED, LEAST_CALIBRATED = 100, 64
"""Fewest images of a row, however small its share of the budget: with fewer, which images they are counts for more than
the layer."""
BESIDE = 384
"""What a row costs beyond its images, about, as a number of images: a copy of the model, counting it, estimating its
bytes, and the fixed cost of a pass."""
COMPARED, HELD = 256, 1 << 24
"""Most images of a row whose outputs are compared with the reference's, and most numbers in the outputs of all of them:
a detector gives a million for each image."""
SIZE = "size.packed"
"""What tables call the bytes of a packed file."""
ROWS = "sensitivity.json"
"""The rows found so far, in the step's folder of unfinished work."""


class Changed(NamedTuple):
    """A model with one layer at a level; `grids` are those that a packed file would have codes of, by tensor."""

    model: nn.Module
    grids: Mapping[str, Grid] = MappingProxyType({})


Compressed = Callable[[float], AbstractContextManager[Changed | None]]
"""A context with the model that has one layer at this level (the share removed, or the bits kept); None where the layer
can't be at that level. The model is valid within the context alone."""

Shrinking = tuple[nn.Module, list[Group]]
"""A copy of the model from which channels can be taken, and their groups."""


def sensitivity(model: nn.Module, params: Sensitivity, context: Context) -> nn.Module:
    """Score the model with one layer compressed at a time; the model is left as it was.

    Reported among the step's measures, and kept in the model's notes for later steps:

    - `of`, `criterion`, and of rank the `scheme`;
    - `shapes` of the weights that were measured, by their names: of channels, those that make them;
    - `reference`: what rows have, with nothing compressed and all else equal;
    - `rows`, one for each layer and level: quality and loss on validation images, `deviation` of the outputs for some
      of them from the reference's, parameters left and the MACs they take, the estimated bytes of a packed file
      (`size.packed`); of bits their number, with `latency` milliseconds.

    Among the measures alone: with `latency`, `times` of single layers; of channels, `widths`, which tells what the
    network costs with any numbers of them.
    """
    to_device(model, context.device).eval()
    overlays.refuse(
        dict(model.named_modules()),
        params,
        title="Weights that share values or steps cannot be changed one by one",
    )
    shrinking = shrinkable(model, params.skip) if params.of == "channels" else None
    layers = _layers(model, shrinking, params, context)
    about: dict[str, Any] = {"of": params.of, "criterion": params.criterion}
    about |= {"scheme": params.scheme} if params.of == "rank" else {}
    times = None
    if params.latency:
        with context.alone():
            times = _times(model, layers, shrinking, params, context)
    tensors = (
        [group.root.tensor for group in shrinking[1]] if shrinking else [f"{name}.weight" for name in layers]
    )
    about[SHAPES] = shapes(shrinking[0] if shrinking else model, tensors)
    scanned = about | _scan(model, layers, params, context, times)
    more = {WIDTHS: widths(*shrinking, times)} if shrinking else {}
    more |= {TIMES: times.as_dict()} if times else {}
    context.observations[NOTE] = scanned | more
    edits.notes(model).setdefault(NOTE, {})[params.of] = scanned
    return model


def _layers(
    model: nn.Module, shrinking: Shrinking | None, params: Sensitivity, context: Context
) -> dict[str, Compressed]:
    """What brings each layer (of channels each group of layers) to a level, by its name."""
    match params.of:
        case "weights":
            return _weights(model, params, context)
        case "channels":
            assert shrinking is not None
            return _channels(*shrinking, params, context)
        case "bits":
            return _bits(model, params, context)
        case "rank":
            return _rank(model, params, context)
        case _:
            assert_never(params.of)


def _scan(
    model: nn.Module,
    layers: dict[str, Compressed],
    params: Sensitivity,
    context: Context,
    times: NetworkTimes | None,
) -> dict[str, Any]:
    """The reference and the rows; those of an interrupted scan are taken over."""
    levels, images, calibration = _affordable(params, context, len(layers))
    wanted = [(layer, level) for layer in layers for level in levels]
    if not wanted:
        few = f"{params.passes:g} passes over {len(context.data.train)} images are too few for {len(layers)} layers"
        context.notice("info", f"What layers lose of their {params.of} is not measured: {few}")
    split, packed = _subset(context, images), _packed(model)

    def scored(changed: Changed) -> dict[str, Any]:
        pruned = changed.model
        if params.calibrate and norms_of(pruned):
            calibrate(pruned, calibration, context)
        counts, size = _count(pruned, context), packed(changed)
        measured = {SIZE: size} | ({times.name: times.of(pruned)} if times else {})
        return _measures(score(pruned, context.data, split, context.device), counts) | measured

    rows = read_mapping(context.partial / ROWS).get("rows", [])
    with restored(statistics_of(model)):
        reference, compared = scored(Changed(model)), _compared(model, split, context)
        expected = outputs(model, context.data, split, compared, context.device)
    for done, (layer, level) in enumerate(wanted[len(rows) :], start=len(rows)):
        about = _level(layer, level, params)
        context.progress(done / len(wanted), f"{layer} without {about['rate']:.0%}")
        with layers[layer](level) as compressed:
            row = None
            if compressed is not None:
                row = about | scored(compressed)
                row[INCREASE] = row["validation_loss"] - reference["validation_loss"]
                given = outputs(compressed.model, context.data, split, compared, context.device)
                row[DEVIATION] = task_of(context.data).deviation([(expected, given)])
        rows.append(row)
        _keep(rows, context)
    return {"reference": reference, "rows": [row for row in rows if row is not None]}


def _compared(model: nn.Module, split: Split, context: Context) -> Tensor:
    """Indices of the images whose outputs are compared, evenly spread over the split."""
    first = torch.zeros(1, dtype=torch.int64)
    each = outputs(model, context.data, split, first, context.device).numel()
    count = max(min(COMPARED, HELD // each, len(split)), 1)
    return torch.arange(count) * len(split) // count


def _affordable(params: Sensitivity, context: Context, layers: int) -> tuple[list[float], int, Calibrate]:
    """The levels of each layer, the images that each row is scored on, and how statistics are calibrated for it.

    Where rows share a budget (`passes`), each has fewer images, and layers have fewer levels where that is not enough.
    """
    levels: list[float] = [*(params.bits if params.of == "bits" else params.rates)]
    if params.passes is None:
        return levels, params.images, CALIBRATION
    whole = params.passes * len(context.data.train)
    rows = whole // (BESIDE + 2 * LEAST_SCORED + LEAST_CALIBRATED) - 1  # the reference is one more
    levels = _spread(levels, max(int(rows), 0) // max(layers, 1))
    each = int(whole / (layers * len(levels) + 1)) - BESIDE
    calibrated = min(max(each // 4, LEAST_CALIBRATED), CALIBRATION.images)
    # Outputs are compared for as many as are scored, or for `COMPARED` at most.
    images = max(each - calibrated - min((each - calibrated) // 2, COMPARED), LEAST_SCORED)
    batch = min(calibrated, CALIBRATION.batch)
    return levels, min(images, params.images), Calibrate(images=calibrated, batch=batch)


def _spread(levels: list[float], most: int) -> list[float]:
    """At most so many of them, from the first to the last; of a single one that in the middle.

    >>> _spread([0.2, 0.4, 0.6, 0.8, 0.9], 3), _spread([0.2, 0.4, 0.6], 1), _spread([0.2, 0.4], 0)
    ([0.2, 0.6, 0.9], [0.4], [])
    """
    if most >= len(levels) or most < 2:
        return levels if most >= len(levels) else levels[len(levels) // 2 :][:most]
    return [levels[round(place * (len(levels) - 1) / (most - 1))] for place in range(most)]


def _packed(model: nn.Module) -> Callable[[Changed], int]:
    """A function that estimates the packed size of `model` with one layer changed, in bytes.

    Tensors that stay the same are analysed once for all rows.
    """
    # Copies, because layers are changed in place.
    known = {name: (tensor.clone(), stored(tensor)) for name, tensor in _file(model).items()}

    def held(name: str, tensor: Tensor, grid: Grid | None) -> Stored:
        if name in known:
            own, as_stored = known[name]
            if own.dtype == tensor.dtype and torch.equal(own, tensor):
                return as_stored
        return stored(tensor, grid)

    return lambda other: packed_bytes(
        held(name, tensor, other.grids.get(name)) for name, tensor in _file(other.model).items()
    )


def _file(model: nn.Module) -> dict[str, Tensor]:
    """The tensors of a packed file of `model`."""
    return distinct(folded_state(model, own=True))[0]


def _level(layer: str, level: float, params: Sensitivity) -> dict[str, Any]:
    """Layer and level of a row; the rate of bits is the share removed of a float's 32."""
    if params.of == "bits":
        return {"layer": layer, "rate": 1 - level / FLOAT_BITS, "bits": int(level)}
    return {"layer": layer, "rate": level}


def _measures(score: Score, counts: Counts) -> dict[str, Any]:
    return {
        **{f"validation_{name}": value for name, value in score.measures.items()},
        "validation_loss": score.loss,
        "parameters": counts.nonzero,
        "macs": counts.effective_macs,
    }


def _count(model: nn.Module, context: Context) -> Counts:
    return count(model, (context.data.channels, *context.data.size))


def _subset(context: Context, images: int) -> Split:
    """The same `images` of the validation split for every step and every row of a seed."""
    split = context.data.validation
    if images >= len(split):
        return split
    order = torch.randperm(len(split), generator=generator(context.seed, "sensitivity"))[:images]
    order = order.sort().values
    return Split(Subset(split.images, order), split.labels[order])


def _weights(model: nn.Module, params: Sensitivity, context: Context) -> dict[str, Compressed]:
    """For every layer, the model with the layer's least important weights set to zero."""
    layers = changeable(model, prunable_layers(model, params.skip), context, params.kind)
    # Magnitude and its square rank single weights alike.
    criterion: Literal["l1", "taylor"] = "taylor" if params.criterion == "taylor" else "l1"
    scores = importance(criterion, model, layers, context, 0)
    return {name: _without_weights(model, module, scores[name]) for name, module in layers.items()}


def _without_weights(model: nn.Module, module: nn.Module, scores: Tensor) -> Compressed:
    # What is zero already goes first, as in `prune.weights`.
    scores = scores.masked_fill(weight_of(module).detach() == 0, -1.0)

    @contextmanager
    def without(rate: float) -> Iterator[Changed]:
        leaf = leaf_of(module)
        with restored([leaf, *statistics_of(model)]), torch.no_grad():
            leaf.masked_fill_(~keep_largest(scores, rate), 0.0)
            yield Changed(model)

    return without


def _bits(model: nn.Module, params: Sensitivity, context: Context) -> dict[str, Compressed]:
    """For every layer, the model with the layer's weights rounded to a grid of so many bits."""
    layers = changeable(model, prunable_layers(model, params.skip), context, params.kind)
    return {name: _of_bits(model, name, module) for name, module in layers.items()}


def _of_bits(model: nn.Module, name: str, module: nn.Module) -> Compressed:
    weight = weight_of(module).detach().clone()

    @contextmanager
    def of_bits(bits: float) -> Iterator[Changed]:
        leaf, form = leaf_of(module), GridForm(int(bits))
        step, low = (part.to(weight.device) for part in fit_grid(weight, form, "mse"))
        with restored([leaf, *statistics_of(model)]), torch.no_grad():
            leaf.copy_(UniformGrid(step, low, form)(weight))
            yield Changed(model, {f"{name}.weight" if name else "weight": Grid(form, step.cpu(), low.cpu())})

    return of_bits


def _rank(model: nn.Module, params: Sensitivity, context: Context) -> dict[str, Compressed]:
    """For every layer, a copy of the model with the layer replaced by a chain of smaller ones."""
    asked = Factorize(scheme=params.scheme, skip=params.skip)
    layers, _ = able_layers(model, asked, context)
    return {name: _of_rank(model, name, params, context) for name in layers}


def _of_rank(model: nn.Module, name: str, params: Sensitivity, context: Context) -> Compressed:
    @contextmanager
    def of_rank(ratio: float) -> Iterator[Changed | None]:
        factorized = copied(model)
        asked = Factorize(scheme=params.scheme, rank=Ratio(ratio=ratio))
        made = split(factorized, name, asked)
        yield Changed(to_device(factorized, context.device).eval()) if made else None

    return of_rank


def _times(
    model: nn.Module,
    layers: Iterable[str],
    shrinking: Shrinking | None,
    params: Sensitivity,
    context: Context,
) -> NetworkTimes:
    """Measured times of the network's layers, at smaller widths or as chains of lower rank."""
    assert params.latency is not None
    also: list[LayerConfig] = []
    if shrinking is None:
        chains = copied(model)
        ratio = Ratio(ratio=min(params.rates))  # of the highest ranks: their grids have all that are lower
        asked = Factorize(scheme=params.scheme, rank=ratio)
        for name in layers:
            split(chains, name, asked)
        arch = architecture(model)
        also = all_configs(to_device(chains, context.device).eval(), (arch.channels, *arch.size))
        with contextlib.suppress(SecateurError):  # nothing of it can be narrower: then it is not measured so
            shrinking = shrinkable(model, params.skip)
    whole, groups = shrinking or (model, [])
    target = LatencyTarget(runtime=params.latency.runtime, batch=params.latency.batch)
    return measured_times(to_device(whole, context.device).eval(), groups, also, target, context)


def _channels(
    model: nn.Module, groups: list[Group], params: Sensitivity, context: Context
) -> dict[str, Compressed]:
    """For every group of coupled channels a copy of the model without the least important of its units."""
    scores = unit_importance(params.criterion, model, groups, context, 0)
    return {group.name: _without_channels(model, group, scores[group.name]) for group in groups}


def _without_channels(model: nn.Module, group: Group, scores: Tensor) -> Compressed:
    order = torch.argsort(scores, stable=True)

    @contextmanager
    def without(rate: float) -> Iterator[Changed]:
        gone = order[: gone_at(group.units, rate)]
        pruned = copied(model)
        shrink(pruned, [group], {group.name: gone})
        yield Changed(to_device(pruned, next(model.parameters()).device).eval())

    return without


def _keep(rows: list[dict[str, Any] | None], context: Context) -> None:
    """Write down the rows found so far, for a scan that is interrupted."""
    try:
        with explained(context.partial):
            context.partial.mkdir(parents=True, exist_ok=True)
        write_json(context.partial / ROWS, {"rows": rows}, durable=False)
    except SecateurError as error:
        # Another study at the same step may have finished it and removed the folder.
        if getattr(error.__cause__, "errno", None) not in OVERTAKEN:
            raise
