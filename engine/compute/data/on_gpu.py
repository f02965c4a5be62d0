"""Images on a GPU: all of a split where they fit, so that an update moves none; else copied ahead of their use."""

import weakref
from collections.abc import Iterator

import torch
from torch import Tensor

from engine.compute.data.images import CHUNK, Images

SHARE = 0.25
"""Of the GPU's memory that is free when a split is first used, what its images may take. Nothing else depends on it:
images are the same from either place."""

_held: "weakref.WeakKeyDictionary[Images, Tensor | None]" = weakref.WeakKeyDictionary()


def gathered(images: Images, parts: tuple[Tensor, ...], device: torch.device) -> Iterator[Tensor] | None:
    """The images of each part in turn, on the GPU, from those that it holds; None where it can't hold them."""
    if device.type != "cuda" or not parts:
        return None
    whole = _whole(images, device)
    if whole is None:
        return None
    return (whole.index_select(0, part.to(device, non_blocking=True)) for part in parts)


def ahead(batches: Iterator[Tensor], device: torch.device) -> Iterator[Tensor]:
    """Each of `batches` on the GPU; while one is computed with, the next is on its way there from pinned memory."""
    copying = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    sent: tuple[Tensor, torch.cuda.Event] | None = None
    for batch in batches:
        following = _sent(batch, device, copying)
        if sent is not None:
            yield _received(*sent, device)
        sent = following
    if sent is not None:
        yield _received(*sent, device)


def _sent(batch: Tensor, device: torch.device, copying: torch.cuda.Stream) -> tuple[Tensor, torch.cuda.Event]:
    with torch.cuda.stream(copying):
        pinned = batch if batch.is_pinned() else batch.pin_memory()
        return pinned.to(device, non_blocking=True), copying.record_event()


def _received(batch: Tensor, arrived: torch.cuda.Event, device: torch.device) -> Tensor:
    computing = torch.cuda.current_stream(device)
    computing.wait_event(arrived)
    batch.record_stream(computing)  # its memory is taken again by copies, which must not be before it is used
    return batch


def _whole(images: Images, device: torch.device) -> Tensor | None:
    """All images on the GPU, (N, C, H, W) as stored, for as long as there are any; None if they don't lie in memory
    here, or are too many."""
    if images.slow or not len(images):
        return None
    if images not in _held:
        first = images.gather(torch.arange(1))
        free, _ = torch.cuda.mem_get_info(device)
        fits = first.nbytes * len(images) <= SHARE * free
        _held[images] = _copied(images, first, device) if fits else None
    return _held[images]


def _copied(images: Images, like: Tensor, device: torch.device) -> Tensor:
    whole = torch.empty(len(images), *like.shape[1:], dtype=like.dtype, device=device)
    for index in torch.split(torch.arange(len(images)), CHUNK):
        whole[int(index[0]) : int(index[-1]) + 1] = images.gather(index).to(device)
    return whole
