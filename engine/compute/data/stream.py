"""Images that don't fit into memory, decoded by processes of torch's own DataLoader, in the order that is asked for."""

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from engine.compute.data.images import Images
from engine.errors import SecateurError

AHEAD = 2
"""Batches that each process has ready or in work: all that is held in memory, however large the set is."""
FORK = "fork"
"""Processes share the list of files that was read; it costs no import of torch. They touch no GPU."""


class _Batches(Dataset[Tensor | SecateurError]):
    """The batches of an order, by number. Errors are given back as values: the loader would keep their text alone."""

    def __init__(self, images: Images, parts: tuple[Tensor, ...]) -> None:
        self._images = images
        self._parts = parts

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int) -> Tensor | SecateurError:
        try:
            return self._images.gather(self._parts[number])
        except SecateurError as error:
            return error


def streamed(images: Images, parts: tuple[Tensor, ...], workers: int, pinned: bool) -> Iterator[Tensor]:
    """The images of each part in turn; the same whatever the number of `workers`.

    At most `workers` × AHEAD parts are in memory beside the one given out. Raises SecateurError for images that can't
    be read, and where a process was killed.
    """
    loader: DataLoader[Any] = DataLoader(
        _Batches(images, parts),
        batch_size=None,
        num_workers=workers,
        prefetch_factor=AHEAD,
        collate_fn=_as_it_is,
        pin_memory=pinned,
        multiprocessing_context=FORK,
        # Without one of its own it would draw from the generator that dropout uses.
        generator=torch.Generator(),
    )
    try:
        for batch in _quietly(loader):
            if isinstance(batch, SecateurError):
                raise batch
            yield batch
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise SecateurError(
            "A process that decodes images was ended",
            str(error).splitlines()[0],
            "Most often memory, or shared memory (/dev/shm), ran out: lower the step's batch, or set data.workers.",
        ) from error


def _as_it_is(batch: Any) -> Any:
    return batch


def _quietly(loader: DataLoader[Any]) -> Iterator[Any]:
    """Without its warning of more processes than processors: the preset says how many."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        return iter(loader)
