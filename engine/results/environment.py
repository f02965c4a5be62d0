"""Where a study ran, in words: what its numbers may depend on, as views name and write it."""

from collections.abc import Mapping
from typing import Any

from engine.results.summary import dotted
from engine.studies.state import StudyState
from engine.text import numbers

NONE = "none"
LABELS = {
    "python": "Python",
    "platform": "system",
    "cpu.model": "processor",
    "cpu.stepping": "vendor/family/model/stepping",
    "cpu.flags": "instructions",
    "cpu.available": "usable processors",
    "memory_bytes": "memory",
    "gpus": "GPUs",
    "device": "computed on",
    "threads": "threads of a trial",
}
"""By the names that events have; packages and variables are called what they are called."""


def found(state: StudyState) -> dict[str, Any]:
    """All that is known of where a study ran, by dotted names."""
    return dotted(state.environment | state.devices)


def label(name: str) -> str:
    """What a part of it is called.

    >>> label("memory_bytes"), label("packages.torch"), label("variables.MKL_CBWR"), label("host")
    ('memory', 'torch', 'MKL_CBWR', 'host')
    """
    return LABELS.get(name, name.removeprefix("packages.").removeprefix("variables."))


def text(name: str, value: Any) -> str:
    """How its value is written.

    >>> text("memory_bytes", 16_800_000_000), text("cpu.flags", ["avx2", "fma"]), text("gpus", [])
    ('16.8 GB', 'avx2, fma', 'none')
    """
    if name == "memory_bytes" and isinstance(value, int):
        return numbers.size(value)
    if isinstance(value, list | tuple | Mapping):
        return ", ".join(map(str, value)) or NONE
    return NONE if value is None else str(value)


def rows(state: StudyState) -> list[tuple[str, str]]:
    """What it is called and how it is written, of all that is known."""
    return [(label(name), text(name, value)) for name, value in found(state).items() if value != {}]
