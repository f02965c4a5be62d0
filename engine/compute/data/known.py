"""What was found by decoding a large set once, kept for the jobs that follow: its statistics, and what is damaged."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from engine.compute.data.statistics import Statistics
from engine.store.files import read_json, remember


@dataclass(frozen=True)
class Known:
    """Of one fingerprint; None: not looked for yet. `damaged` are the places of images that can't be read."""

    statistics: Statistics | None = None
    damaged: tuple[str, ...] | None = None


class Memory:
    """A file in the folder `cache`, named by the data's fingerprint; without a folder nothing is kept."""

    def __init__(self, cache: Path | None, fingerprint: str) -> None:
        self._file = cache / f"{fingerprint[:32]}.look.json" if cache and fingerprint else None
        self.known = self._read()

    def keep_statistics(self, statistics: Statistics) -> None:
        self._write(replace(self.known, statistics=statistics))

    def keep_damaged(self, places: tuple[str, ...]) -> None:
        self._write(replace(self.known, damaged=places))

    def _read(self) -> Known:
        kept: Any = read_json(self._file) if self._file is not None else None
        with contextlib.suppress(ValueError, KeyError, TypeError):
            damaged = None if kept["damaged"] is None else tuple(kept["damaged"])
            return Known(_statistics(kept["statistics"]), damaged)
        return Known()

    def _write(self, known: Known) -> None:
        self.known = known
        if self._file is not None:
            remember(self._file, {"statistics": _plain(known), "damaged": known.damaged})


def _plain(known: Known) -> dict[str, object] | None:
    """As JSON, which keeps every bit of a float."""
    statistics = known.statistics
    if statistics is None:
        return None
    return vars(statistics) | {"mean": statistics.mean.tolist(), "std": statistics.std.tolist()}


def _statistics(kept: dict[str, object] | None) -> Statistics | None:
    if kept is None:
        return None
    mean, std = (torch.tensor(kept[name], dtype=torch.float64) for name in ("mean", "std"))
    return Statistics(**kept | {"mean": mean, "std": std})  # type: ignore[arg-type]
