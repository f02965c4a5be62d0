"""Imported by the tests' server: latencies are measured for a moment, and nobody waits for others to be quiet.

A search for a latency measures some twenty networks for a second each, and a hundred layers again and again as long as
their times contradict each other, which they do where the tests beside are never quiet for long.
What is tested in processes of this server is what is done with times, whatever they are: how well they are measured is
tested without it.
"""

from engine.compute.latency import bench, layer_worker
from engine.compute.worker import latency

_SHORT = (
    (bench, "BLOCKS", 4),
    (bench, "BLOCK_MS", 10.0),
    (bench, "WARMUP_MS", 20.0),
    (bench, "PATIENCE_S", 0.0),
    (latency, "PATIENCE_S", 0.0),
    (layer_worker, "PASSES", 1),
    (layer_worker, "AGAIN", 0),
)
_BEFORE = [getattr(module, name) for module, name, _ in _SHORT]


def begin() -> None:
    """Have this process measure for a moment."""
    for module, name, value in _SHORT:
        setattr(module, name, value)


def back() -> None:
    """Have this process measure as it would without."""
    for (module, name, _), value in zip(_SHORT, _BEFORE, strict=True):
        setattr(module, name, value)


begin()
