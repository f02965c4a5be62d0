"""Whether a network can be kept at all: found out before anything is trained."""

import copy
from pickle import PicklingError

import torch
from torch import Tensor, nn

from engine.compute.layers.copies import copied
from engine.compute.models import tensors
from engine.compute.models.architecture import architecture
from engine.compute.models.attributes import HOOKS, INTERNAL, describe, detach_, move_
from engine.compute.models.build import build
from engine.compute.models.checkpoint import save
from engine.compute.models.constructed import train_
from engine.compute.models.differences import differences
from engine.compute.models.layout import FAILURES, layout_of
from engine.compute.numerics.seeds import seeded
from engine.errors import SecateurError, said_by
from engine.machine import private
from engine.params.catalog import is_built_in

COMPILED = {"ScriptModule": "torch.jit", "OptimizedModule": "torch.compile"}
"""Classes of modules that are programs, by what made them."""


def assert_copyable(model: nn.Module) -> None:
    """Raises SecateurError, naming the attribute, where no copy can be made, as steps work on some."""
    for name, module in model.named_modules():
        if made := next((by for cls in type(module).__mro__ if (by := COMPILED.get(cls.__name__))), None):
            raise _refused(
                f"{name or 'it'} was compiled by {made}",
                f"Leave {made} out: steps change layers as they are written, and a trial's network can be compiled "
                "after its export.",
            )
    try:
        copied(model)
    except (*FAILURES, copy.Error, PicklingError) as error:
        why = f"{type(error).__name__}: {said_by(error)[0]}"
        raise _refused(
            f"{_uncopyable(model)} can't be copied ({why})", "Make it where it is used."
        ) from error


def _uncopyable(model: nn.Module) -> str:
    """The attribute that keeps the network from being copied; the network itself if it is no single one."""
    for name, module in model.named_modules():
        for attribute, value in vars(module).items():
            if attribute in INTERNAL or attribute in HOOKS:
                continue
            try:
                copy.deepcopy(value)
            except (*FAILURES, copy.Error, PicklingError):
                return f"{name + '.' if name else ''}{attribute}"
    return "it"


def assert_keepable(model: nn.Module, images: Tensor) -> None:
    """Raises SecateurError, in a sentence that names the layer, unless a checkpoint gives `model` back exactly.

    A copy is trained and used for one batch of `images` (N, C, H, W), so that what passes change is there, is saved and
    loaded; both must then keep the same, give the same bits for that batch in training and in eval mode, and have
    changed alike by it.
    """
    if (pair := tensors.overlapping(model)) is not None:
        raise _refused(
            f"{pair[0]} and {pair[1]} share memory without being one parameter",
            "Make them one: `b.weight = a.weight`, not a view or its data.",
        )
    if not is_built_in(architecture(model).name):
        _assert_repeatable(model, images)
    images = images.contiguous(memory_format=layout_of(model))
    used = copied(model).to(memory_format=layout_of(model))
    for training in (True, False):
        _pass(used, images, training=training)
    with private.scratch() as folder:
        again = save(used, folder).to(device=images.device, memory_format=layout_of(model))  # type: ignore[call-overload]
    move_(again, images.device)
    _compare(used, again, images)


def _assert_repeatable(model: nn.Module, images: Tensor) -> None:
    """Raises SecateurError unless the network's code builds the same network twice."""
    one, two = build(architecture(model)), build(architecture(model))
    images = images.cpu().clone(memory_format=torch.contiguous_format)
    ours, theirs = tensors.saved(one), tensors.saved(two)
    odd = sorted(
        n for n in ours | theirs if n not in ours or n not in theirs or not tensors.equal(ours[n], theirs[n])
    )
    given = [tensor for mode in (True, False) for tensor in _pass(one, images, training=mode)]
    again = [tensor for mode in (True, False) for tensor in _pass(two, images, training=mode)]
    if odd or len(given) != len(again) or not all(map(tensors.equal, given, again)):
        what = f": {', '.join(odd[:3])} differ" if odd else ""
        raise SecateurError(
            f"{architecture(model).name} builds another network each time it is called{what}",
            "Nothing was trained: no result could be repeated. Its code draws random numbers that no seed reaches "
            "(numpy.random.default_rng() without a seed, os.urandom), or counts its calls.",
            "Draw from torch, numpy.random or random, which are seeded here, or give the generator a seed.",
        )


def _compare(model: nn.Module, again: nn.Module, images: Tensor) -> None:
    for training in (False, True):
        given = _pass(model, images, training=training)
        loaded = _pass(again, images, training=training)
        same = len(given) == len(loaded) and all(map(tensors.equal, given, loaded))
        changed = differences(model.eval(), again.eval())
        if not same or changed:
            mode = "training" if training else "evaluation"
            what = f"; {', '.join(changed[:3])} differ" if changed else ""
            raise _refused(
                f"stored and loaded, {architecture(model).name} computes something else in {mode} mode{what}",
                "Let all that a pass depends on be in parameters, buffers or plain attributes of its modules, and draw "
                "random numbers from torch, NumPy or Python's random alone.",
            )


def _pass(model: nn.Module, images: Tensor, *, training: bool) -> list[Tensor]:
    """All tensors that the model gives for `images`."""
    train_(model) if training else model.eval()
    try:
        with seeded(0, "keep"):
            given = model(images)
    except FAILURES as error:
        raise SecateurError(
            f"{architecture(model).name} fails in {'training' if training else 'evaluation'} mode",
            f"{type(error).__name__}: {said_by(error)[0]}, for images of {tuple(images.shape)}.",
            "Nothing was trained. Let it take batches of any number of images in both modes.",
        ) from error
    detach_(model)
    return [tensor.detach() for tensor in describe(given, {}).tensors]


def _refused(why: str, remedy: str) -> SecateurError:
    return SecateurError(f"The network can't be kept: {why}", "Nothing was trained.", remedy)
