"""`prune.blocks`: whole blocks dropped, a constant in the place of each."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device
from engine.compute.layers.dropped import Dropped
from engine.compute.layers.select import replace
from engine.compute.measures.counts import count
from engine.compute.memory import lacks_memory
from engine.compute.models import edits
from engine.compute.models.architecture import architecture
from engine.compute.models.layout import FAILURES
from engine.compute.steps.calibration.activations import images, largest_batch
from engine.compute.steps.calibration.step import recalibrate
from engine.compute.steps.calibration.understood import Reasons, tell
from engine.compute.steps.pruning.stand_ins import stand_ins
from engine.compute.tasks.output import main_output
from engine.errors import OutOfReach, SecateurError
from engine.params.blocks import PruneBlocks
from engine.text.phrases import counted, listed

IMAGES = 256
"""Training images whose answers are compared: differences of whole blocks are told apart by few."""


def prune_blocks(model: nn.Module, params: PruneBlocks, context: Context) -> nn.Module:
    """Drop blocks (`stand_ins`), one after the other, until the target is reached.

    Each time that one goes without which the answers differ least from what they were at first, by difference added or
    by that per multiply-accumulate saved. Raises SecateurError when the target can't be reached, or for a detector.
    """
    if context.data.task == "detection":
        raise SecateurError(
            "prune.blocks knows classifiers alone",
            "Blocks are chosen by class probabilities, which a detector does not give.",
            "Use prune.channels.",
        )
    to_device(model, context.device).eval()
    batches = list(images(context, IMAGES, "blocks", largest_batch(model, context)))
    reference = _log_probabilities(model, batches)
    arch = architecture(model)
    shape = (arch.channels, *arch.size)
    before = left = count(model, shape).macs
    lost, dropped = 0.0, list[dict[str, Any]]()
    needed: Reasons = {}
    while not _enough(params, before / left, len(dropped)):
        blocks = {n: block for n, block in _blocks(model, batches, params.keep).items() if n not in needed}
        saved, losses = _saved(model, shape, blocks), dict[str, float]()
        for name in saved:
            done = _done(params, before / left, len(dropped))
            context.progress(done, f"without {name} ({len(dropped)} dropped)")
            if (loss := _loss_without(model, name, blocks[name], batches, reference, needed)) is not None:
                losses[name] = loss
        saved = {name: saved[name] for name in losses}
        try:
            able = _able(params, saved, before, left, len(dropped))
        except OutOfReach:
            tell(needed, params.kind, context)
            raise
        gained = saved if params.speedup is not None else dict.fromkeys(able, 1)
        # Of two that are as good, such as one in the other, the smaller.
        name = min(able, key=lambda one: (max(losses[one] - lost, 0.0) / gained[one], saved[one]))
        lost = losses[name]
        drop(model, name, blocks[name])
        left = count(model, shape).macs
        dropped.append({"layer": name, "macs": saved[name], "divergence": lost})
    tell(needed, params.kind, context)
    _tell(dropped, before / left, params, context)
    context.scored = None
    if params.calibrate:
        recalibrate(model, context)
    return model


def _enough(params: PruneBlocks, speedup: float, dropped: int) -> bool:
    return dropped >= params.count if params.speedup is None else speedup >= params.speedup


def _done(params: PruneBlocks, speedup: float, dropped: int) -> float:
    if params.speedup is None:
        return dropped / params.count
    return (1 - 1 / speedup) / (1 - 1 / params.speedup)


def _able(params: PruneBlocks, saved: dict[str, int], before: int, left: int, dropped: int) -> list[str]:
    """Those of the blocks, with the multiply-accumulates that each would save, that can be dropped next so that the
    target is still reached. Raises OutOfReach where it can't be."""
    if params.speedup is not None:
        least = left - sum(saved[name] for name in saved if not any(_in(name, other) for other in saved))
        if least > 0 and before / least < params.speedup:
            raise _out_of_reach(params, before / least, dropped)
        return list(saved)
    if (most := dropped + _droppable(saved)) < params.count:
        raise _out_of_reach(params, 1.0, most)
    return [name for name in saved if dropped + 1 + _droppable(_without(saved, name)) >= params.count]


def _droppable(saved: dict[str, int]) -> int:
    """How many of the blocks can be dropped one after the other, those within others first.

    Of a block the ones within it leave what it computes itself; where that is nothing, it goes with them.

    >>> _droppable({"layer1": 10, "layer1.0": 4, "layer1.1": 6, "head": 3, "layer1.1.mlp": 5})
    4
    """
    own = saved.copy()
    for name in saved:
        for other in saved:
            if _in(name, other) and not any(_in(name, one) and _in(one, other) for one in saved):
                own[other] -= saved[name]
    return sum(macs > 0 for macs in own.values())


def _without(saved: dict[str, int], name: str) -> dict[str, int]:
    """What blocks would save once the one called `name` has been dropped.

    >>> _without({"layer1": 10, "layer1.0": 4, "layer1.1": 6, "head": 3}, "layer1.0")
    {'layer1': 6, 'layer1.1': 6, 'head': 3}
    """
    return {
        one: macs - (saved[name] if _in(name, one) else 0)
        for one, macs in saved.items()
        if one != name and not _in(one, name)
    }


def _in(one: str, other: str) -> bool:
    """Whether the block `one` is within the block `other`."""
    return one.startswith(f"{other}.")


def _out_of_reach(params: PruneBlocks, speedup: float, dropped: int) -> OutOfReach:
    field, asked = ("count", params.count) if params.speedup is None else ("speedup", params.speedup)
    most = dropped if params.speedup is None else int(speedup * 100) / 100
    return OutOfReach(
        (field,),
        most,
        f"{field} {asked:g} can't be reached by dropping blocks: "
        f"{counted(dropped, 'block') if params.speedup is None else f'{most:g}'} is the most",
        "No further module of several layers gives a tensor of the shape of its input.",
        "Ask for less, shorten keep, or go on with prune.channels.",
    )


def _tell(dropped: list[dict[str, Any]], reached: float, params: PruneBlocks, context: Context) -> None:
    context.observations["blocks"] = dropped
    if params.speedup is not None:
        context.observations["targets"] = {"speedup": {"asked": params.speedup, "reached": reached}}
    names = listed([str(one["layer"]) for one in dropped])
    context.notice("info", f"Dropped {counted(len(dropped), 'block')}: {names}; {reached:.2f}× fewer MACs")


def _blocks(model: nn.Module, batches: list[Tensor], keep: tuple[str, ...]) -> dict[str, Dropped]:
    """What takes the place of each block that may go. Raises SecateurError when an entry of `keep` names none."""
    found = stand_ins(model, batches)
    check_keep(found, keep)
    return {name: one for name, one in found.items() if not any(_related(name, other) for other in keep)}


def check_blocks(model: nn.Module, batches: list[Tensor], params: PruneBlocks) -> None:
    """Raises SecateurError where the blocks of the network, in eval mode, do not allow the target, or `keep` names
    none."""
    reference, needed = _log_probabilities(model, batches), Reasons()
    blocks = [
        name
        for name, block in _blocks(model, batches, params.keep).items()
        if _loss_without(model, name, block, batches, reference, needed) is not None
    ]
    shape = tuple(batches[0].shape[1:])
    macs = count(model, shape).macs
    _able(params, _saved(model, shape, blocks), macs, macs, 0)


def check_keep(blocks: Iterable[str], keep: Iterable[str]) -> None:
    """Raises SecateurError when an entry of `keep` names none of the `blocks` that can be dropped."""
    known = [*blocks]
    for name in keep:
        if name not in known:
            raise SecateurError(
                f"{PruneBlocks.kind}.keep names no block: {name}",
                f"The blocks that can be dropped are {listed(known) if known else 'none'}.",
                "Use a block's name.",
            )


def _related(one: str, other: str) -> bool:
    """Whether one of the two is within the other, or is it."""
    return one == other or _in(one, other) or _in(other, one)


def _saved(model: nn.Module, shape: tuple[int, ...], blocks: Iterable[str]) -> dict[str, int]:
    """The multiply-accumulates in each block, by its name; blocks without any are left out."""
    layers = count(model, shape).layers
    macs = {
        name: sum(one.macs for one in layers if one.name == name or _in(one.name, name)) for name in blocks
    }
    return {name: saved for name, saved in macs.items() if saved}


def _log_probabilities(model: nn.Module, batches: list[Tensor]) -> Tensor:
    """Of the classes for each image (images, classes), float64."""
    with torch.no_grad():
        return torch.cat([main_output(model(pixels)).double().log_softmax(1) for pixels in batches])


def _divergence(reference: Tensor, given: Tensor) -> float:
    """KL(reference ‖ given) of log-probabilities (images, classes), mean over images, in nats."""
    return float((reference.exp() * (reference - given)).sum(1).mean())


def _loss_without(
    model: nn.Module,
    name: str,
    stand_in: Dropped,
    batches: list[Tensor],
    reference: Tensor,
    needed: Reasons,
) -> float | None:
    """How far the answers are from `reference` with `stand_in` in the place of the block; None, with the reason in
    `needed`, where the network can't do without the block. The model is as before."""
    block = model.get_submodule(name)
    replace(model, name, stand_in)
    try:
        return _divergence(reference, _log_probabilities(model, batches))
    except FAILURES as error:  # of the network's code, that asks the block what it is
        if lacks_memory(error):
            raise
        needed[name] = f"nothing can take its place: {error}"
        return None
    finally:
        replace(model, name, block)


def drop(model: nn.Module, name: str, stand_in: Dropped) -> None:
    """Put `stand_in` in the place of the block `name`; the edit is recorded."""
    replace(model, name, stand_in)
    edits.record(
        model,
        {
            "edit": edits.DROP,
            "layer": name,
            "shape": list(stand_in.bias.shape),
            "shortcut": stand_in.shortcut,
            "pair": stand_in.pair,
        },
    )
