"""What every job does around a node, whatever that computes: reading the data, waiting for the
machine, keeping results, telling them."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from engine import datasets
from engine.compute.context import Send
from engine.compute.data import Dataset, load
from engine.compute.data.memory import budget
from engine.errors import SecateurError
from engine.machine import lock
from engine.params import STEPS
from engine.slurm import inside
from engine.store.keys import content_hash
from engine.store.objects import Store
from engine.store.workspace import fingerprints
from engine.studies import events as ev
from engine.studies.job import JobRequest
from engine.studies.plan import Node

TOLD_AFTER_S = 1.0
"""A shorter wait, as of two steps that begin at the same moment, is nobody's business."""


def read_data(request: JobRequest) -> Dataset:
    """The job's data; jobs that run beside each other share the memory that images may take."""
    data, workspace = request.read_settings().data, Path(request.workspace)
    return load(
        data,
        datasets.locate(data, workspace),
        fingerprint=request.fingerprint,
        cache=fingerprints(workspace),
        budget=budget() // request.parallel,
    )


@contextmanager
def weights_as_planned(request: JobRequest) -> Iterator[None]:
    """Raises SecateurError, before the block and behind it, where files that networks are read from are not those by
    which results are kept."""
    _check_weights(request)
    yield
    _check_weights(request)


def _check_weights(request: JobRequest) -> None:
    for name, digest in request.weights.items():
        file = Path(name)
        if not file.is_file() or content_hash(file) != digest:
            raise SecateurError(
                f"The weights {name} were changed since the study began",
                "Its results are those of the network that they were.",
                "Put the file back, or run the preset as a new study once nothing writes to it any more.",
            )


def place() -> dict[str, Any]:
    """Of a job on a cluster: the node that computes, and whether other jobs may be on it; nothing elsewhere."""
    job = inside.attempt()
    return {} if job is None else {"host": job.host, "shared_node": not job.whole_node}


def finish(
    node: Node,
    folder: Path,
    store: Store,
    send: Send,
    *,
    seconds: float,
    measures: dict[str, Any],
    observations: dict[str, Any],
    kept: dict[str, Any] | None = None,
) -> None:
    """Commit the node's filled `folder`, drop its unfinished work, and tell; `kept` is stored and not told."""
    observations = observations | place()
    stored = store.commit(
        node.key,
        folder,
        kind=node.kind,
        material=node.material,
        measures=measures,
        observations=observations | {"seconds": seconds} | (kept or {}),
        made_of=dict.fromkeys(filter(None, (node.parent, node.baseline, *node.needs))),
    )
    store.drop_partial(node.key)
    send(
        ev.StepFinished(
            key=node.key,
            kind=node.kind,
            reused=False,
            seconds=seconds,
            measures=measures,
            observations=observations,
            content=stored.content,
        )
    )


def computing(node: Node, request: JobRequest, send: Send) -> AbstractContextManager[None]:
    """The host's lock while the node is computed: beside others, or alone for one that measures times from its start
    to its end."""
    if node.exclusive and not _timed_apart(node):
        return measuring(node, request, send)
    return beside_others(node, send)


def alone(node: Node, request: JobRequest, send: Send) -> AbstractContextManager[None]:
    """The host's lock within `computing`, for a part of the node that is timed."""
    return measuring(node, request, send) if _timed_apart(node) else nullcontext()


def beside_others(node: Node, send: Send) -> AbstractContextManager[None]:
    """The host's lock, beside others; waiting for it is told."""
    return lock.shared(
        _telling(node, send, lambda _: f"for {lock.measuring() or 'a study'} to measure latency")
    )


def measuring(node: Node, request: JobRequest, send: Send) -> AbstractContextManager[None]:
    """The host's lock, alone; waiting for it is told, and to those that wait for it, whose study measures."""

    def text(processes: tuple[int, ...]) -> str:
        who = f" (process {', '.join(map(str, processes))})" if processes else ""
        return f"until other steps on this machine are over{who}, to measure latency"

    return lock.exclusive(_telling(node, send, text), request.study)


def _timed_apart(node: Node) -> bool:
    step = STEPS.get(node.kind)
    return node.exclusive and step is not None and step.times_apart


def _telling(node: Node, send: Send, text: Callable[[tuple[int, ...]], str]) -> lock.Waiting:
    """Tells that the node waits, for what, and when that is over; `text` gets the processes in the way."""
    told = ""

    def waiting(seconds: float, processes: tuple[int, ...] | None) -> None:
        nonlocal told
        now = "" if processes is None else text(processes)
        if now != told and (told or seconds >= TOLD_AFTER_S):
            told = now
            send(ev.StepWaits(key=node.key, text=told))

    return waiting
