"""Ways to compute the gradients of a batch: eager, with compiled kernels, or by replaying a CUDA graph."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.compute.models import attributes, tensors
from engine.compute.training.resume import copy_state
from engine.errors import SecateurError, said_by

Gradients = Callable[[Tensor, Tensor], Tensor]
"""Takes images (B, C, H, W) and labels, adds their gradients to the parameters', returns the mean loss, detached."""

WARM_UP = 3
"""Updates before recording, in which libraries choose their kernels and take their memory (torch's own advice)."""
REFUSED = "The network can't be recorded as a CUDA graph"
EAGER = "Use execution: eager for this step."


def compiled(model: nn.Module) -> nn.Module:
    """`model` with a forward and backward pass that torch.compile builds for each batch size when it first comes.

    Raises at its first call what torch.compile can't do; nothing is left to eager execution without a word.
    """
    # Here, because they take a second that no other training has to pay.
    import torch._dynamo as dynamo
    import torch._inductor.config as inductor

    dynamo.reset()  # kernels of other trainings in this process count towards a limit, after which there are none
    inductor.compile_threads = 1  # no pool of processes that outlives the step
    # deterministic: kernels are chosen by rules, not by how fast they are just now. Not every torch has both.
    for config, name in ((inductor, "deterministic"), (dynamo.config, "fail_on_recompile_limit_hit")):
        if hasattr(config, name):
            setattr(config, name, True)
    return torch.compile(model, dynamic=False)  # type: ignore[return-value]


class Recorded:
    """The forward and backward pass of one batch size, recorded as a CUDA graph and replayed.

    What changes between updates stays outside: the optimizer with its learning rate, the loss's sum. Batches of other
    sizes, such as an epoch's last, are computed by `eager`. The graph has the same kernels in the same order.
    """

    def __init__(self, network: nn.Module, eager: Gradients) -> None:
        self._network = network
        self._eager = eager
        self._graph: torch.cuda.CUDAGraph | None = None
        self._images = self._labels = self._loss = torch.empty(0)
        self._gradients: list[tuple[nn.Parameter, Tensor]] = []

    def __call__(self, images: Tensor, labels: Tensor) -> Tensor:
        if self._graph is None:
            self._record(images, labels)
        assert self._graph is not None
        if images.shape != self._images.shape or labels.shape != self._labels.shape:
            return self._eager(images, labels)
        self._images.copy_(images)
        self._labels.copy_(labels)
        self._graph.replay()
        for parameter, gradient in self._gradients:  # a batch of another size has left its own
            parameter.grad = gradient
        return self._loss

    def _record(self, images: Tensor, labels: Tensor) -> None:
        """Capture the pass. Raises SecateurError for a network with Python side effects, which a replay would omit."""
        # `clone` keeps the layout.
        self._images, self._labels = images.clone(), labels.clone()
        state, random_state, python = (
            copy_state(self._network),
            torch.cuda.get_rng_state(),
            _python(self._network),
        )
        plain = attributes.recordable(self._network)
        self._warm_up()
        if _python(self._network) != python:
            raise SecateurError(
                REFUSED,
                "In its forward pass it draws from NumPy's, Python's or the processor's generator, or changes an "
                "attribute that is no tensor: a graph would not do that again.",
                EAGER,
            )
        tensors.fill_(self._network, state)
        attributes.restore_(self._network, plain)
        self._clear()
        graph, here = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            # What other threads do is none of the graph's: a DataLoader's pins the next images meanwhile.
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._loss = self._eager(self._images, self._labels)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            torch.cuda.set_stream(here)  # torch leaves the recording's where that can't be ended
            # Ending a recording that memory ran out in may fail in turn, and is then what is raised.
            if isinstance(error.__context__, torch.OutOfMemoryError):
                raise error.__context__ from None
            raise SecateurError(REFUSED, said_by(error)[0], EAGER) from error
        torch.cuda.set_rng_state(random_state)
        self._gradients = [(p, p.grad) for p in self._network.parameters() if p.grad is not None]
        self._graph = graph

    def _warm_up(self) -> None:
        """Some updates on a side stream, which capture requires."""
        beside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UP):
                self._clear()
                self._eager(self._images, self._labels)
        torch.cuda.current_stream().wait_stream(beside)

    def _clear(self) -> None:
        """Drop gradients, so that the backward pass allocates new ones: during capture, in the graph's own memory."""
        for parameter in self._network.parameters():
            parameter.grad = None


def _python(network: nn.Module) -> tuple[Any, ...]:
    """State outside the GPU that a forward pass may change: random generators and plain attributes."""
    of_numpy: Any = np.random.get_state()
    drawn = random.getstate(), of_numpy[1].tolist(), of_numpy[2:], torch.get_rng_state().tolist()
    return (*drawn, attributes.recordable(network))
