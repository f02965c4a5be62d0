"""Does a check-up job: tries each of its networks on the data, and keeps what was found in the store."""

import contextlib
import errno
import time
from collections.abc import Iterator

import torch

from engine.compute.checkup.network import Tried, check
from engine.compute.context import Send
from engine.compute.data.look import look
from engine.compute.data.words import summary
from engine.compute.worker.commit import computing, read_data
from engine.errors import SecateurError, UsageError
from engine.studies.job import JobRequest

SYSTEM = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.ENOMEM)
"""What the machine lacks, whatever the preset says."""


def run(request: JobRequest, send: Send) -> None:
    """Try every network of the job that the store knows nothing of. Raises UsageError for what can't be."""
    settings = request.read_settings()
    store = request.open_store()
    with _preset_at_fault():
        data = read_data(request)
        about = summary(look(data))
    device, templates = torch.device(request.device), store.templates
    for node in request.read_nodes():
        if store.get(node.key) is not None:
            continue
        with computing(node, request, send), store.writing(node.key) as folder:
            started = time.monotonic()
            with _preset_at_fault():
                checked = check(Tried(data, device, settings.seeds[0], templates, node.material))
            if text := node.material["note"]:
                checked["notes"].append(text)
            seconds = time.monotonic() - started
            store.commit(
                node.key,
                folder,
                kind=node.kind,
                material=node.material,
                measures={},
                observations={
                    "network": checked,
                    "data": about | {"name": node.material["data"]},
                    "seconds": seconds,
                },
            )


@contextlib.contextmanager
def _preset_at_fault() -> Iterator[None]:
    """Within it, what is wrong is for the preset to mend, unless the machine lacks something."""
    try:
        yield
    except SecateurError as error:
        if isinstance(error.__cause__, OSError) and error.__cause__.errno in SYSTEM:
            raise
        raise UsageError.of(error) from error
