"""How many images go through a network together, so that what is evaluated fits into any machine's memory.

The number decides last bits. So it follows from the network and the shape of its images alone, never from the memory
that happens to be free: a machine for which even that is too much says so, and computes nothing else.
"""

import gc
import weakref
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeCopyMode, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from engine.compute.layers.copies import copied
from engine.compute.layers.passes import evaluating

ROOM = 2**29
"""Bytes that the activations of images that go together may take: about as much as torch itself needs."""
PROBED = (2, 3)
"""Images of the two passes whose difference one image makes. One alone may be computed in another way (layouts)."""
COMPUTED = 3 * 64 * 64
"""Numbers of an image up to which the passes are computed, which is quicker than to follow the shapes alone."""

_known: "weakref.WeakKeyDictionary[nn.Module, dict[Hashable, int]]" = weakref.WeakKeyDictionary()


def at_once(model: nn.Module, shape: tuple[int, int, int], most: int, *, kept: bool = False) -> int:
    """Images of `shape` (C, H, W) to pass through `model` together: `most`, or as many as fit; at least one.

    `kept`: activations stay until the end of the pass, for gradients or to be looked at. The model
    is run in eval mode and left as it was.
    """
    return max(1, min(most, ROOM // bytes_each(model, shape, kept=kept)))


def bytes_each(model: nn.Module, shape: tuple[int, int, int], *, kept: bool = False) -> int:
    """Bytes of memory that one more image of a pass takes at most at any moment; at least one.

    Measured on tensors alive after each operator, so it counts whatever the network's code does; what does not grow
    with the images, such as weights that are computed, is no part of it.
    """
    # A network that computes outside of torch says which one has its activations.
    network: nn.Module = getattr(model, "in_torch", model)
    held = (*network.named_parameters(), *network.named_buffers())
    signature = (shape, kept, *((name, tensor.shape) for name, tensor in held))
    known = _known.setdefault(network, {})
    if signature not in known:
        known.clear()
        known[signature] = _measured(network, shape, kept=kept)
    return known[signature]


def _measured(network: nn.Module, shape: tuple[int, int, int], *, kept: bool) -> int:
    allocations = (
        None if torch.Size(shape).numel() <= COMPUTED else _without_computing(network, shape, kept=kept)
    )
    few, more = allocations or [_alive(network, count, shape, kept=kept) for count in PROBED]
    if len(few) != len(more):  # other operators for other numbers of images: all of it, weights with it
        return max(1, max(more, default=0) // PROBED[1])
    own = max((b - a for a, b in zip(few, more, strict=True)), default=0)
    return max(
        1, own + torch.Size(shape).numel()
    )  # and the image as it lies in the data: a byte for each pixel


def _without_computing(
    network: nn.Module, shape: tuple[int, int, int], *, kept: bool
) -> list[list[int]] | None:
    """`_alive` of both passes by shapes alone, on a copy without memory, so that what a pass leaves in it does not
    matter.

    None for a network whose code asks for values, or that cannot be copied so.
    """
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as shapes:
            with FakeCopyMode(shapes):
                fake = copied(network)
            return [_alive(fake, count, shape, kept=kept) for count in PROBED]
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError):
        return None


def _alive(network: nn.Module, count: int, shape: tuple[int, int, int], *, kept: bool) -> list[int]:
    """Bytes of tensors alive after each operator of a pass on `count` images."""
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    collecting, alive = gc.isenabled(), _Alive()
    gc.disable()  # its moment is not the network's
    try:
        with evaluating(network), torch.inference_mode(not kept), torch.set_grad_enabled(kept), alive:
            network(torch.zeros(count, *shape, device=device).to(memory_format=torch.channels_last))
    finally:
        if collecting:
            gc.enable()
    return alive.after


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the memory of tensors that operators make, for as long as each is alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.after: list[int] = []
        self._now = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for part in result if isinstance(result, tuple | list) else (result,):
            if isinstance(part, Tensor):
                self._note(part.untyped_storage())
        self.after.append(self._now)
        return result

    def _note(self, storage: torch.UntypedStorage) -> None:
        """Count memory that is new, until it is freed: views and in-place results share theirs."""
        place = storage._cdata
        if place not in self._sizes:
            self._sizes[place] = storage.nbytes()
            self._now += self._sizes[place]
            weakref.finalize(storage, self._freed, place).atexit = False

    def _freed(self, place: int) -> None:
        self._now -= self._sizes.pop(place)
