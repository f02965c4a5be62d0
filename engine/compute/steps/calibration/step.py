"""`calibrate`: BatchNorm statistics after the weights have changed."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.compute.context import Context, to_device
from engine.compute.memory import halving_batch
from engine.compute.numerics.seeds import generator
from engine.params.calibrate import Calibrate


def norms_of(model: nn.Module) -> list[_BatchNorm]:
    """The layers whose statistics `calibrate` estimates."""
    return [m for m in model.modules() if isinstance(m, _BatchNorm) and m.track_running_stats]


def statistics_of(model: nn.Module) -> list[Tensor]:
    """What `calibrate` changes."""
    return [buffer for norm in norms_of(model) for buffer in norm.buffers(recurse=False)]


def recalibrate(model: nn.Module, context: Context) -> None:
    """What a step that changed weights does at its end: `calibrate` as by default, where there is BatchNorm."""
    if norms_of(model):
        calibrate(model, Calibrate(), context)


def calibrate(model: nn.Module, params: Calibrate, context: Context) -> nn.Module:
    """Estimate every BatchNorm layer's mean and variance as the average over training batches."""
    if not norms_of(model):
        context.notice("info", "The model has no BatchNorm layer: calibrate changes nothing")
        return model
    to_device(model, context.device)
    most = context.at_once(model, params.batch)
    halving_batch(lambda batch: _estimate(model, params, context, max(2, batch)), most)
    return model.eval()


def calibration_order(params: Calibrate, context: Context, batch: int) -> Tensor:
    """The places of the training images to use, in their order: whole batches, where there is one."""
    count = len(context.data.train.labels)
    order = torch.randperm(count, generator=generator(context.seed, "calibrate", context.position))
    order = order[: params.images]
    return order[: len(order) // batch * batch] if len(order) >= batch else order


def estimate(model: nn.Module, batches: Iterable[Tensor]) -> None:
    """Set the statistics of every BatchNorm layer to their average over batches of images, in place.

    Where `batches` raises, layers have their mode back, but their statistics are of no use any more.
    """
    norms = norms_of(model)
    momenta = [norm.momentum for norm in norms]
    model.eval()
    try:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
            norm.train()
        with torch.no_grad():
            for images in batches:
                model(images)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
            norm.eval()


def _estimate(model: nn.Module, params: Calibrate, context: Context, batch: int) -> None:
    train, order = context.data.train, calibration_order(params, context, batch)
    given = context.data.batches(train, batch, order=order, device=context.device)
    estimate(model, (images for images, _ in given))
