"""Scores networks on a sample of the validation images beside the network that they come from.

What the first network knows is known on all images, so only the difference has to be estimated: images on which both
are right, or both wrong, add nothing to its variance, and of a network that hardly differs few images tell much.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.layers.passes import restored
from engine.compute.numerics.seeds import generator
from engine.compute.steps.calibration.step import calibration_order, estimate, norms_of, statistics_of
from engine.compute.tasks.output import main_output
from engine.params.calibrate import Calibrate

SAMPLE = 2000
"""Validation images that the last answer to a question rests on."""
FIRST_S = 0.14
"""Seconds that the images of the first answer may take: the keys of whoever turns the knob come ten a second."""
PIECE_S = 0.12
"""Seconds of a piece of work after which it is looked whether something else was asked meanwhile."""
CALIBRATED_S = 3.0
"""Seconds that the images may take on which the statistics of the finer answers are estimated."""
LEAST_IMAGES = 4
"""Images of the first answer's statistics, and half of those that it scores, on however slow a machine."""
MOST_CALIBRATED = 512
"""As many as `sensitivity` takes for every row."""
HELD_BYTES = 2**28
"""Images that are kept as the network gets them; others are read, or decoded, whenever they are used."""
TIMED_S = 0.05
"""Seconds of a pass by which the speed is known well enough."""

Turn = Callable[[], AbstractContextManager[None]]
"""Entered for each piece of work; what it raises ends all of it."""


@dataclass(frozen=True)
class Paired:
    """What was found on so many images: the mean difference (-1 … 1) and its standard error; the `final` one is what
    its preset gives."""

    images: int
    difference: float
    error: float
    final: bool = True


def paired(before: Tensor, after: Tensor, of: int) -> Paired:
    """The difference in quality of two networks by which images they know, both bool (N,), of a population of `of`.

    The error is that of Agresti & Min 2005 ("Effects and non-effects of paired identical observations in comparing
    proportions with binary matched-pairs data"), half an image added to each of the four outcomes: so it is not zero
    because few images show no difference. Drawn without putting back, it falls to 0 as N comes to `of`.

    >>> paired(torch.tensor([True] * 9 + [False]), torch.tensor([True] * 8 + [False] * 2), 10)
    Paired(images=10, difference=-0.1, error=0.0, final=True)
    """
    images = len(before)
    gained, lost = int((after & ~before).sum()), int((before & ~after).sum())
    n, b, c = images + 2.0, gained + 0.5, lost + 0.5
    variance = max((b + c) - (b - c) ** 2 / n, 0.0) / n**2
    finite = (of - images) / max(of - 1, 1)
    return Paired(images, (gained - lost) / images, math.sqrt(variance * max(finite, 0.0)))


class Scoring:
    """The images of one knob, and how many of them the machine can do in the time there is."""

    def __init__(
        self, model: nn.Module, right: Tensor, context: Context, after: int, *, speed: float | None = None
    ) -> None:
        """`model` as it is, which is `right` or not on each validation image; `context` that of the step after it, and
        `after` the number of steps that come before the one that calibrates. `speed`: images a second that pass through
        the model, measured where that is not given."""
        self._context, self._right = context, right
        split = context.data.validation
        random = generator(context.seed, "knob")
        self._order = torch.randperm(len(split), generator=random)[:SAMPLE]
        self._kept: dict[tuple[str, int], Tensor] = {}
        self._bytes = 0
        self._calibrates = bool(norms_of(model))
        self.speed = self._fastest(model) if speed is None else speed
        quick = int(self.speed * FIRST_S)
        self._first = (max(quick // 3, LEAST_IMAGES), max(quick - quick // 3, 2 * LEAST_IMAGES))
        self._piece = max(int(self.speed * PIECE_S), LEAST_IMAGES)
        batch = context.at_once(model, min(256, self._piece))
        self.calibrate = Calibrate(
            images=min(max(int(self.speed * CALIBRATED_S), 2 * LEAST_IMAGES), MOST_CALIBRATED),
            batch=max(2, batch),
        )
        self._calibrating = calibration_order(
            self.calibrate, replace(context, position=context.position + after), self.calibrate.batch
        )
        self._right_at_first = self._reference(model)

    def _reference(self, model: nn.Module) -> Tensor:
        """Which of the first images the model as it is knows with statistics of as few images as first answers have:
        beside that, they tell what compression changes, and not what few images do to statistics."""
        few, first = self._first
        first = min(first, self.images)
        if not self._calibrates:
            return self._right[self._order[:first]]
        with restored(statistics_of(model)):
            estimate(model, self._training(0, min(few, len(self._calibrating)), few, nullcontext))
            return self._knows(model, 0, first, nullcontext)

    @property
    def calibrates(self) -> bool:
        """Whether there are statistics to estimate, and the preset's last step does that."""
        return self._calibrates

    @property
    def images(self) -> int:
        return len(self._order)

    @property
    def known(self) -> float:
        """The quality of the model as it is, on all validation images."""
        return float(self._right.double().mean())

    def found(self, model: nn.Module, turn: Turn) -> Iterator[Paired]:
        """Ever finer: first with statistics and scores of few images, then as its preset would have it."""
        few, first = self._first
        first = min(first, self.images)
        if self._calibrates:
            estimate(model, self._training(0, min(few, len(self._calibrating)), few, turn))
            if few < len(self._calibrating):
                knows = self._knows(model, 0, first, turn)
                yield replace(paired(self._right_at_first, knows, len(self._right)), final=False)
            estimate(model, self._training(0, len(self._calibrating), self.calibrate.batch, turn))
        knows, end = torch.empty(0, dtype=torch.bool), first
        while len(knows) < self.images:
            knows = torch.cat([knows, self._knows(model, len(knows), end, turn)])
            end = min(2 * end, self.images)
            yield replace(self._paired(knows), final=len(knows) == self.images)

    def _paired(self, knows: Tensor) -> Paired:
        return paired(self._right[self._order[: len(knows)]], knows, len(self._right))

    def _knows(self, model: nn.Module, start: int, end: int, turn: Turn) -> Tensor:
        """Whether `model` is right on each of these images of the sample."""
        split, parts = self._context.data.validation, []
        for at in range(start, end, self._piece):
            places = self._order[at : min(at + self._piece, end)]
            with turn(), torch.inference_mode():
                given = main_output(model(self._images("validation", at, places)))
            parts.append(given.argmax(1) == split.labels[places])
        return torch.cat(parts) if parts else torch.empty(0, dtype=torch.bool)

    def _training(self, start: int, end: int, batch: int, turn: Turn) -> Iterator[Tensor]:
        """Batches of the images by which statistics are estimated."""
        for at in range(start, end, batch):
            with turn():  # until the next one is asked for, so while these are computed
                yield self._images("train", at, self._calibrating[at : min(at + batch, end)])

    def _images(self, split: str, at: int, places: Tensor) -> Tensor:
        """These images as a network gets them; the first ones are kept."""
        name = (f"{split} {len(places)}", at)
        if name in self._kept:
            return self._kept[name]
        data = self._context.data
        source = data.train if split == "train" else data.validation
        ((images, _),) = data.batches(source, len(places), order=places, device=self._context.device)
        if self._bytes + images.nbytes <= HELD_BYTES:
            self._kept[name] = images
            self._bytes += images.nbytes
        return images

    def _fastest(self, model: nn.Module) -> float:
        """Images a second on one thread, or on as many as the process has, which are kept where that is faster: on a
        busy machine threads wait for each other."""
        most = torch.get_num_threads()
        together = self._timed(model)
        torch.set_num_threads(1)
        alone = self._timed(model) if most > 1 else 0.0
        if together > alone:
            torch.set_num_threads(most)
        return max(together, alone)

    def _timed(self, model: nn.Module) -> float:
        """Images a second that pass through the model, by the fastest of some passes of many."""
        count = LEAST_IMAGES
        data = self._context.data
        while True:
            ((images, _),) = data.batches(
                data.validation, count, order=self._order[:count], device=self._context.device
            )
            seconds = min(self._pass(model, images) for _ in range(3))
            if seconds >= TIMED_S or count >= len(self._order):
                return len(images) / seconds
            count = min(4 * count, len(self._order))

    @staticmethod
    def _pass(model: nn.Module, images: Tensor) -> float:
        start = time.perf_counter()
        with torch.inference_mode():
            model(images)
        return time.perf_counter() - start
