"""What enters layers of a network that is changed layer by layer, and what they gave before, on calibration images.

A layer's inputs are known only when all layers before it are done. Passes anew up to every layer take time that grows
with the square of their number; passes that stand still at each layer until it is done, and go on behind it, are one
pass in all, but every batch is under way at once and takes its memory. So it depends on the network which are made.
"""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from typing import Protocol, Self

import torch
from torch import Tensor, nn

from engine.compute.context import Context
from engine.compute.layers.pieces import bytes_each
from engine.compute.memory import halving_batch
from engine.compute.steps.calibration.activations import images, largest_batch, passing

ROOM = 2**31
"""Bytes that the activations of passes under way may take, of both networks together."""
_here = threading.local()


class Passes(Protocol):
    """Forward passes of calibration images through a network and through its original."""

    def at(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """Batch by batch: the input of layer `name` now, and its output in the original."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def passes(
    model: nn.Module, original: nn.Module, names: Sequence[str], context: Context, count: int
) -> Passes:
    """Passes of `count` training images, to be asked for the layers `names` in this order; a pass calls each once."""
    each = bytes_each(model, (context.data.channels, *context.data.size))
    if 2 * count * each <= ROOM:
        return Lockstep(model, original, names, context, count)
    return Anew(model, original, context, count)


class Anew:
    """A new pass for each layer that is asked for, up to that layer; in any order."""

    def __init__(self, model: nn.Module, original: nn.Module, context: Context, count: int) -> None:
        self._model, self._original, self._context, self._count = model, original, context, count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def at(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        batch = largest_batch(self._original, self._context)
        if self._context.device.type == "cuda":  # whether a batch fits into its memory, the first one tells
            batch = halving_batch(lambda size: len(next(self._of(name, size))[0]), batch)
        yield from self._of(name, batch)

    def _of(self, name: str, batch: int) -> Iterator[tuple[Tensor, Tensor]]:
        for pixels in images(self._context, self._count, "refit", batch):
            yield passing(self._model, name, pixels)[0], passing(self._original, name, pixels)[1]


class Lockstep:
    """One pass for each batch and network, which halts at every layer until the next one is asked for."""

    def __init__(
        self, model: nn.Module, original: nn.Module, names: Sequence[str], context: Context, count: int
    ) -> None:
        self._names = list(names)
        self._next = 0
        batches = list(images(context, count, "refit", largest_batch(original, context)))
        self._threads = ThreadPoolExecutor(2 * len(batches))
        model.eval()
        original.eval()
        self._pairs = [
            tuple(_Pass(of, pixels, self._threads) for of in (model, original)) for pixels in batches
        ]
        self._hooks = ExitStack()
        for name in names:
            before = model.get_submodule(name).register_forward_pre_hook(
                lambda _, inputs: _stand(model, inputs[0])
            )
            after = original.get_submodule(name).register_forward_hook(lambda *of: _stand(original, of[2]))
            self._hooks.callback(before.remove)
            self._hooks.callback(after.remove)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pair in self._pairs:
            for one in pair:
                one.leave()
        self._threads.shutdown()
        self._hooks.close()

    def at(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        skipped = self._names.index(name, self._next) - self._next
        self._next += skipped + 1
        for given, wanted in self._pairs:
            for _ in range(skipped):
                given.go_on()
                wanted.go_on()
            yield given.go_on(), wanted.go_on()


def _stand(network: nn.Module, tensor: Tensor) -> None:
    """Halt the pass through `network` that runs in this thread, if there is one, at `tensor`."""
    current: _Pass | None = getattr(_here, "current", None)
    if current is not None and current.network is network:
        current.stand(tensor)


class _Left(BaseException):
    """Ends a pass that nobody needs any more."""


class _Pass:
    """A forward pass in a thread of its own; either it or its caller runs, never both."""

    def __init__(self, network: nn.Module, pixels: Tensor, threads: ThreadPoolExecutor) -> None:
        self.network, self._pixels, self._threads = network, pixels, threads
        self._go, self._stands = threading.Semaphore(0), threading.Semaphore(0)
        self._seen: Tensor | None = None
        self._running: Future[None] | None = None
        self._left = False

    def go_on(self) -> Tensor:
        """Run on to the next layer and return its tensor. Raises what the network raises on the way."""
        if self._running is None:
            self._running = self._threads.submit(self._run)
            self._running.add_done_callback(lambda _: self._stands.release())
        else:
            self._go.release()
        self._stands.acquire()
        if self._seen is None:
            self._running.result()
        assert self._seen is not None, "a pass that has ended was asked for another layer"
        return self._seen

    def leave(self) -> None:
        """End the pass where it halts."""
        self._left = True
        self._go.release()

    def stand(self, tensor: Tensor) -> None:
        self._seen = tensor
        self._stands.release()
        self._go.acquire()
        self._seen = None
        if self._left:
            raise _Left

    def _run(self) -> None:
        _here.current = self
        with torch.no_grad(), suppress(_Left):
            self.network(self._pixels)
