"""The one training loop: every step that trains calls `fit`."""

import math
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn

from engine.compute.context import Context, to_device, validate
from engine.compute.layers import overlays
from engine.compute.layers.passes import single_valued_norms
from engine.compute.memory import out_of_memory
from engine.compute.models.attributes import detach_
from engine.compute.models.constructed import train_
from engine.compute.models.tensors import fill_
from engine.compute.numerics.group import FEWEST
from engine.compute.numerics.onednn import float32_where_faster
from engine.compute.numerics.precision import arithmetic
from engine.compute.numerics.seeds import generator, seed_everything
from engine.compute.stopping import Stopped
from engine.compute.tasks import Score, task_of
from engine.compute.training import execution, lagging, optimizers, resume
from engine.compute.training.averaging import Average
from engine.compute.training.schedules import learning_rate_factor
from engine.errors import SecateurError
from engine.params.training import Training
from engine.studies import events as ev
from engine.text.phrases import counted


class Objective(Protocol):
    """A training objective that replaces the task's loss."""

    extra: nn.Module | None
    """A module trained together with the model and kept with its partial checkpoints; None where there is none."""

    def loss(self, model: nn.Module, images: Tensor, targets: Tensor, progress: float) -> Tensor:
        """The mean loss of a batch, differentiable; `progress` is the share of the training done, 0 … 1."""


@dataclass
class _Run:
    """A training in progress: what a partial checkpoint holds beside the tensors."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    params: Training
    context: Context
    purpose: str
    micro: int
    """Images per forward pass; less than the batch after the GPU's memory ran out."""
    penalty: Callable[[], None] | None = None
    objective: Objective | None = None
    factors: list[tuple[Tensor, Tensor]] = field(default_factory=list)
    """Tensors shared by many weights (codebooks, dictionaries), each with the factor that scales its gradient."""
    epochs: list[ev.EpochFinished] = field(default_factory=list)
    average: Average | None = None
    """The moving average of the weights; None without `params.ema`, and in processes that do not score."""
    best: resume.Best | None = None
    part: resume.Part | None = None
    """What is done already of the epoch to be trained next; None: nothing."""
    kept: float = field(default_factory=time.monotonic)
    """When the state was kept last."""
    progress: float = 0.0
    gradients: execution.Gradients = field(init=False)
    """Computes the gradients of a batch, in the way that the step's `execution` names."""
    called: nn.Module = field(init=False)
    """The model as it is called: itself, or with compiled passes."""

    def __post_init__(self) -> None:
        self.called, self.gradients = self.model, self.eagerly()
        match getattr(self.params, "execution", "eager"):
            case "compile":
                self.called = execution.compiled(self.model)
            case "graphs":
                self.gradients = execution.Recorded(self.trained, self.gradients)
            case _:
                pass

    def eagerly(self) -> execution.Gradients:
        """Computes gradients operator by operator."""
        # By a weak reference: a cycle would keep a CUDA graph's memory until the garbage collector runs.
        return partial(_gradients, weakref.proxy(self))

    @property
    def trained(self) -> nn.Module:
        """All that the optimizer changes: what an unfinished training keeps."""
        return _trained(self.model, self.objective)


def _trained(model: nn.Module, objective: Objective | None) -> nn.Module:
    extra = objective.extra if objective else None
    return model if extra is None else nn.ModuleList([model, extra])


def fit(
    model: nn.Module,
    params: Training,
    context: Context,
    purpose: str = "fit",
    *,
    keep_last: bool = False,
    keep_every_s: float | None = None,
    penalty: Callable[[], None] | None = None,
    objective: Objective | None = None,
) -> nn.Module:
    """Train `model` in place and return it; masks and other parametrizations are respected.

    Random numbers depend on the seed, the step's position, `purpose` and the epoch alone. Every `keep_every_s`
    seconds (by default `resume.EVERY_S`) the state after an epoch is kept, in a long epoch after a batch, and an
    interrupted training goes on from there with the same bits; `keep_last` keeps the final state too, for a step that
    goes on after it. One that is asked to stop keeps its state after the running batch and raises Stopped.
    `penalty` adds to the gradients before every update, from the weights alone. `objective` replaces the task's loss.
    Raises SecateurError when the loss is no longer finite.
    """
    to_device(model, context.device)
    optimizer = optimizers.optimizer_of(_trained(model, objective), params)
    factors = overlays.step_factors(model)
    run = _Run(model, optimizer, params, context, purpose, params.batch, penalty, objective, factors)
    if params.ema is not None and context.leads:
        run.average = Average(model, params.ema)
    _restore(run)
    if context.group is not None:
        context.group.check(len(context.data.train))
        context.group.begin(run.trained, (len(run.epochs), run.part.batches if run.part else 0))
    context.scored = None
    every_s = resume.EVERY_S if keep_every_s is None else keep_every_s
    with (
        _fit_for_single_images(run),
        arithmetic(params.precision, context.device),
        _float32_where_faster(run),
        context.stopping.keeping(),
    ):
        for epoch in range(len(run.epochs) + 1, params.epochs + 1):
            _one_epoch(run, epoch)
            last = keep_last and epoch == params.epochs
            if not context.leads:
                continue
            if context.stopping.asked or last or time.monotonic() - run.kept > every_s:
                _keep(run)
            if context.stopping.asked:
                raise Stopped
    if not context.leads:
        return model
    _tell_lagging(run)
    if run.average is not None:
        run.average.fill_()
    if params.keep == "best" and run.best is not None:
        fill_(model, run.best.state)
        context.scored = None
    detach_(model)
    return model


def _tell_lagging(run: _Run) -> None:
    """Warn of BatchNorm statistics that lag behind, where training and validation loss are comparable."""
    if run.objective is not None or run.params.label_smoothing:
        return
    updates = run.params.epochs * math.ceil(len(run.context.data.train) / run.params.batch)
    last = run.epochs[-1]
    if text := lagging.notice(run.model, updates, last.loss, last.validation_loss):
        run.context.notice("warning", text)


def _keep(run: _Run, part: resume.Part | None = None) -> None:
    """Keep the state as it is: after the last whole epoch, or in the middle of the next one."""
    epochs = [ev.as_dict(finished) for finished in run.epochs]
    average = run.average.copy() if run.average is not None else None
    resume.keep(
        run.trained, run.optimizer, epochs, run.best, run.context.partial / run.purpose, part, average
    )
    run.kept = time.monotonic()


def _fit_for_single_images(run: _Run) -> AbstractContextManager[object]:
    """A context in which BatchNorm layers that see one value per channel, as of one image, use running statistics."""
    data = run.context.data
    if run.params.batch > 1:
        return nullcontext()
    first = torch.zeros(1, dtype=torch.int64)
    image, _ = next(data.batches(data.train, 1, order=first, device=run.context.device))
    return single_valued_norms(run.model, image)


def _float32_where_faster(run: _Run) -> AbstractContextManager[None]:
    """A context in which no layer computes in bf16 that is slower for it, where it computes layer by layer."""
    on_processor = run.context.device.type == "cpu" and run.called is run.model
    return (
        float32_where_faster(run.model) if run.params.precision == "bf16" and on_processor else nullcontext()
    )


def _restore(run: _Run) -> None:
    """Go back to the last kept state, if there is one, and tell the epochs up to it again."""
    state = resume.restore(run.trained, run.optimizer, run.context.partial / run.purpose)
    if state is None:
        return
    run.best, run.part = state.best, state.part
    if run.average is not None:
        run.average.put_back(state.average)
    for kept in state.epochs:
        event = ev.from_dict(kept)
        assert isinstance(event, ev.EpochFinished)
        run.epochs.append(event)
        run.context.send(event)
    if run.context.leads:
        done = f"{len(run.epochs)} of {run.params.epochs} epochs" if run.epochs else "its first epoch"
        also = " and part of the next" if run.part and run.epochs else ""
        run.context.notice("info", f"The training goes on from what was kept of it: {done}{also}")


def _one_epoch(run: _Run, epoch: int) -> None:
    """Train one epoch, score it on validation and report it."""
    started = time.monotonic()
    if run.context.device.type == "cuda" and run.context.group is None:
        loss, rate = _halving(run, epoch, resume.snapshot(run.trained, run.optimizer))
    else:
        loss, rate = _train_epoch(run, epoch)
    run.part = None
    if not run.context.leads:
        return
    with run.average.in_place() if run.average is not None else nullcontext():
        score = run.context.scored = validate(run.model, run.context)
        _report(run, epoch, loss, rate, score, time.monotonic() - started)
        if run.params.keep == "best" and (run.best is None or score.quality > run.best.quality):
            run.best = resume.Best(score.quality, resume.copy_state(run.model))


def _halving(run: _Run, epoch: int, start: resume.Snapshot) -> tuple[float, float]:
    """`_train_epoch`, started again from `start` with half the images per pass whenever GPU memory runs out."""
    average = run.average.copy() if run.average is not None else None
    while True:
        try:
            return _train_epoch(run, epoch)
        except torch.OutOfMemoryError as error:
            if run.micro == 1:
                raise out_of_memory(error) from error
        # A recorded graph holds all the memory that it was recorded with.
        run.gradients = run.eagerly()
        torch.cuda.empty_cache()
        resume.put_back(run.trained, run.optimizer, start)
        if run.average is not None and average is not None:
            run.average.put_back(average)
        run.micro = (run.micro + 1) // 2
        run.context.notice(
            "warning",
            f"Out of GPU memory: going on with {counted(run.micro, 'image')} at a time, gradients accumulated "
            f"to the same batch of {run.params.batch}",
        )


def _report(run: _Run, epoch: int, loss: float, rate: float, score: Score, seconds: float) -> None:
    if not (math.isfinite(loss) and math.isfinite(score.known_loss)):
        raise SecateurError(
            "Training diverged",
            f"The loss was {loss} in epoch {epoch} at a learning rate of {rate:.3g}.",
            f"Lower learning_rate (it is {run.params.learning_rate:g}) or use schedule: onecycle.",
        )
    finished = ev.EpochFinished(
        key=run.context.key,
        epoch=epoch,
        epochs=run.params.epochs,
        loss=loss,
        validation_loss=score.known_loss,
        measures={f"validation_{name}": value for name, value in score.measures.items()},
        learning_rate=rate,
        seconds=seconds,
    )
    run.epochs.append(finished)
    run.context.send(finished)


def _train_epoch(run: _Run, epoch: int) -> tuple[float, float]:
    """Mean training loss of the epoch and its last learning rate."""
    params, context, group = run.params, run.context, run.context.group
    purpose = (context.position, run.purpose, epoch)
    seed_everything(context.seed, "dropout", *purpose)
    train = context.data.train
    order = torch.randperm(len(train.labels), generator=generator(context.seed, "order", *purpose))
    augmenting = generator(context.seed, "augment", *purpose)
    updates = _updates(len(order), params.batch, group.size if group else 1)
    total = torch.zeros((), dtype=torch.float64, device=context.device)
    seen, rate, done = 0, 0.0, 0
    if run.part is not None:
        total, seen, rate, done = (
            run.part.total.to(context.device),
            run.part.seen,
            run.part.rate,
            run.part.batches,
        )
        run.part.restore_generators(augmenting, context.device)
    train_(run.model)
    started, before = time.monotonic(), seen
    batches = context.data.batches(
        train,
        params.batch,
        order=order[done * params.batch :],
        augment=params.augment_in(epoch),
        mosaic=params.mosaic.share_in(epoch, params.epochs) if params.mosaic else 0.0,
        generator=augmenting,
        device=context.device,
        share=group.own if group else None,
    )
    for number, (images, labels) in enumerate(batches, done):
        if number == updates:
            break
        whole = min(params.batch, len(order) - number * params.batch)
        if group is not None:
            # Anew for each batch, as each process has generators of its own and one of them alone is kept.
            seed_everything(context.seed, "dropout", *purpose, number, group.rank)
        run.progress = progress = (epoch - 1 + number / updates) / params.epochs
        rate = params.learning_rate * learning_rate_factor(params.schedule, progress)
        optimizers.set_rate(run.optimizer, rate)
        total += _update(run, images, labels, whole) * whole
        if run.average is not None:
            run.average.update((epoch - 1) * updates + number + 1)
        seen += whole
        speed = (seen - before) / max(time.monotonic() - started, 1e-6)
        context.progress(progress, f"epoch {epoch}/{params.epochs}", speed)
        if context.leads and (context.stopping.asked or time.monotonic() - run.kept > resume.LONG_EPOCH_S):
            states = resume.generator_states(augmenting, context.device)
            _keep(run, resume.Part(number + 1, seen, rate, total.cpu(), states))
            if context.stopping.asked:
                raise Stopped
    return float(total) / seen, rate


def _updates(images: int, batch: int, processes: int) -> int:
    """Updates per epoch: a last batch with a single image for some process is left out, BatchNorm needs two."""
    full, rest = divmod(images, batch)
    return max(1, full + (rest >= FEWEST * processes))


def _update(run: _Run, images: Tensor, labels: Tensor, whole: int) -> Tensor:
    """One update with this process's images of a batch of `whole`; returns the batch's mean loss, detached."""
    run.optimizer.zero_grad(set_to_none=True)
    group = run.context.group
    if group is None:
        loss = run.gradients(images, labels)
    else:
        with group.normalizing():
            loss = _gradients(run, images, labels, len(labels) / whole)
        loss = group.sum_up([p for each in run.optimizer.param_groups for p in each["params"]], loss)
    for shared, factor in run.factors:
        if shared.grad is not None:
            shared.grad.mul_(factor)
    if run.penalty is not None:
        run.penalty()
    run.optimizer.step()
    return loss


def _gradients(run: _Run, images: Tensor, labels: Tensor, weight: float = 1.0) -> Tensor:
    """Accumulate the gradients of `weight` × the mean loss of these images; returns that product, detached."""
    task = task_of(run.context.data)
    total = torch.zeros((), dtype=torch.float64, device=images.device)
    for part, targets in _pieces(images, labels, run.micro):
        share = weight * len(targets) / len(labels)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=run.params.precision == "bf16"):
            if run.objective is None:
                loss = task.loss(run.called, part, targets, label_smoothing=run.params.label_smoothing)
            else:
                loss = run.objective.loss(run.model, part, targets, run.progress)
        (loss * share).backward()  # type: ignore[no-untyped-call]
        total += loss.detach() * share
    return total


def _pieces(images: Tensor, labels: Tensor, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(torch.split(images, size), torch.split(labels, size), strict=True)
