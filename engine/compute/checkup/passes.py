"""What a network does with real images in evaluation and in training; errors name the user's own line."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch._C import _functorch

from engine.compute.layers.copies import copied
from engine.compute.layers.passes import evaluating
from engine.compute.memory import lacks_memory
from engine.compute.models.constructed import train_
from engine.compute.models.layout import FAILURES
from engine.compute.tasks import Task
from engine.compute.tasks.output import images_in, logits, main_output
from engine.compute.usercode import own_error
from engine.errors import UsageError, said_by
from engine.text.phrases import listed

ALIKE = 1e-3
"""Largest difference, relative to the largest output, by which an image's output in a batch may differ from that
alone: rounding in another order of summation stays far below."""


def evaluate(model: nn.Module, images: Tensor, classes: int, name: str) -> list[str]:
    """Runs the network in eval mode on `images` (N, C, H, W), together and one by one; notes on what it gave.

    Raises UsageError where its outputs are no logits (N, classes), are not finite, or come for some N only.
    """

    def given(some: Tensor) -> Tensor:
        return logits(_run(model, some, name, "in evaluation"), some, classes, name, "in evaluation")

    with torch.inference_mode(), evaluating(model):
        together, again = given(images), given(images)
        singles = [given(one) for one in torch.split(images, 1)]
    if not torch.isfinite(together).all():
        raise UsageError(
            f"Model {name} gives outputs that are not finite",
            "Before any training some of the data's images make it give NaN or infinity.",
            "Look for what divides by zero or overflows in it, or bring other weights.",
        )
    notes = []
    if bool((together >= 0).all()) and torch.allclose(together.sum(1), torch.ones(len(images)).to(together)):
        notes.append(
            "its outputs add up to 1, as after a softmax, which the loss applies itself: let it give logits"
        )
    if _differ(together, again):
        notes.append(
            "in evaluation it gives other outputs for the same images every time (dropout or noise whatever "
            "self.training is, or something kept from pass to pass): scores vary with them"
        )
    elif _differ(together, torch.cat(singles)):
        notes.append(
            "in evaluation its outputs for an image depend on the other images of the batch: scores depend on them too"
        )
    return notes


def _differ(one: Tensor, other: Tensor) -> bool:
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-6)) > ALIKE


def train(model: nn.Module, images: Tensor, targets: Tensor, task: Task, name: str) -> None:
    """One batch forwards and backwards through a copy of the network in training mode.

    Raises UsageError where that is not possible, or the loss is not finite.
    """
    tried = train_(copied(model))
    with explaining("in training", images, name):
        loss = task.loss(tried, images, targets)
    with explaining("in training, when gradients are computed", images, name):
        loss.backward()  # type: ignore[no-untyped-call]
    if not torch.isfinite(loss):
        raise UsageError(
            f"Model {name} gives no finite loss on the data's images",
            f"Before any training it is {float(loss)} for {images_in(images)}.",
            "Look for what divides by zero or overflows in it, or bring other weights.",
        )


def auxiliary(model: nn.Module, images: Tensor, classes: int, name: str) -> list[str]:
    """A note on outputs in training mode that are not trained. Raises UsageError where none can be."""
    tried = train_(copied(model))
    with torch.no_grad():
        output = _run(tried, images, name, "in training")
    logits(main_output(output), images, classes, name, "in training")
    if not isinstance(output, tuple | list):
        return []
    return [f"in training it has {len(output)} outputs: the first is trained, auxiliary ones are not"]


@contextlib.contextmanager
def explaining(doing: str, images: Tensor, name: str) -> Iterator[None]:
    """Turns what a network's code raises within the block into a UsageError that names the line in the user's file."""
    try:
        yield
    except FAILURES as error:
        if lacks_memory(error):
            raise
        own = own_error(error)
        raise UsageError(
            f"Model {name} fails {doing} with {images_in(images)} of {'×'.join(map(str, images.shape[1:]))}",
            own.detail if own else f"{type(error).__name__}: {said_by(error)[0]}",
            "Correct the network, or the data's size and channels.",
        ) from error


def refuse_transforms(model: nn.Module, images: Tensor, name: str) -> None:
    """Raises UsageError where layers are called within a transform of torch.func, such as vmap: what they are given
    there has no values, and steps look at values."""
    called: list[str] = []

    def note(layer: str) -> None:
        if _functorch.maybe_current_level() is not None:
            called.append(layer)

    with contextlib.ExitStack() as hooks, torch.inference_mode(), evaluating(model):
        for layer, module in model.named_modules():
            hooks.callback(module.register_forward_pre_hook(lambda *_, one=layer: note(one)).remove)
        model(images)
    if called:
        raise UsageError(
            f"{name} calls layers within torch.vmap or another transform of torch.func",
            f"Called so: {listed(list(dict.fromkeys(called)))}. What they are given has no values there, and steps "
            "look at values.",
            "Give the layers whole batches of images.",
        )


def _run(model: nn.Module, images: Tensor, name: str, doing: str) -> object:
    """The network's output; UsageError where it changes the images that it is given."""
    given = images.clone()
    with explaining(doing, images, name):
        output = model(given)
    if not torch.equal(given, images):
        raise UsageError(
            f"Model {name} changes the images that it is given",
            _where_in_place(model, images),
            "Let it make new tensors: x = x * 2 in place of x *= 2, inplace=False in its first layer.",
        )
    return output


def _where_in_place(model: nn.Module, images: Tensor) -> str:
    """The line that writes to the images: autograd refuses that for a tensor whose gradient is asked for."""
    try:
        with torch.inference_mode(False), torch.enable_grad():
            copied(model)(images.clone().requires_grad_())
    except FAILURES as error:
        if own := own_error(error):
            return own.detail
    return "Others that get the same images, such as a teacher, would see changed ones."
