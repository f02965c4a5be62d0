"""Who holds what: which results each study of a workspace is made of, and what nobody needs any more.

A study holds the key of every step that it ever planned, computed or not, running or not: results, and the unfinished
work that it would go on with. What no study holds may go once it has not been used for a while.
"""

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from engine.store.inventory import Item, last_use, parent, size_of, survey, taken_out
from engine.store.objects import Store
from engine.store.workspace import shared_store
from engine.studies import events as ev
from engine.studies.bin import binned
from engine.studies.rundir import RunDir, studies
from engine.studies.status import StudyStatus

UNUSED_FOR = 86_400.0
"""Seconds for which a thing must not have been used before it counts as left over: a study on another node may just
have found it, and clocks differ."""


@dataclass(frozen=True)
class StudyHoldings:
    """What one study holds: the keys; the bytes in its own folder; when it began.

    `at_work`: whether something may be computing for it still. `unknown`: why it can't be told what it holds, empty
    where it can.
    """

    name: str
    state: StudyStatus
    keys: frozenset[str]
    folder: int
    created: float
    at_work: bool
    unknown: str = ""
    deleted: float = 0.0
    """When it was moved into the bin, in seconds since 1970; 0 if it is not there."""

    @property
    def title(self) -> str:
        """What people know it as: of a study in the bin, its name before."""
        return self.name.rpartition(".")[0] if self.deleted else self.name


def holder(run: RunDir) -> StudyHoldings:
    """What the study in a folder holds, by all the plans in its events."""
    status = run.read_status()
    # One that is called lost may only be out of sight.
    seen_lately = status.state == "lost" and time.time() - status.updated < UNUSED_FOR
    at_work = status.state == "running" or seen_lately
    keys: set[str] = set()
    unknown = ""
    try:
        for planned in _plans(run):
            keys |= set(_keys(planned))
    except OSError as error:
        unknown = f"its events can't be read ({error.strerror})"
    except (LookupError, TypeError, ValueError, AttributeError):
        unknown = "its events make no sense"
    if not keys and not unknown and (at_work or status.done):
        unknown = "it has no plan (yet)"
    return StudyHoldings(
        run.name, status.state, frozenset(keys), size_of(run.path), status.created, at_work, unknown
    )


def _plans(run: RunDir) -> Iterator[ev.Planned | ev.Proposed]:
    """The events that name keys: what was planned at once, and the rounds of a search."""
    for path in run.event_files():
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            for line in file:
                if b'"planned"' in line[:40] or b'"proposed"' in line[:40]:
                    event = ev.parse_line(line)
                    if isinstance(event, ev.Planned | ev.Proposed):
                        yield event
                    elif line.endswith(b"\n"):
                        raise ValueError(line[:80])


def _keys(planned: ev.Planned | ev.Proposed) -> Iterator[str]:
    for trial in planned.trials:
        yield from (step["key"] for step in (*trial["steps"], *trial.get("beside", [])))
        yield from (trial[one] for one in ("measure", "latency", "baseline_measure") if trial[one])


@dataclass(frozen=True)
class Holdings:
    """The studies of a workspace, and all that is in the store which they share."""

    store: Store
    holders: tuple[StudyHoldings, ...]
    items: tuple[Item, ...]

    @cached_property
    def uses(self) -> Counter[str]:
        """How many studies hold each key."""
        return Counter(key for one in self.holders for key in one.keys)

    @cached_property
    def results(self) -> dict[str, Item]:
        return {item.key: item for item in self.items if item.kind == "result"}

    @cached_property
    def _unfinished(self) -> dict[str, Item]:
        return {item.key: item for item in self.items if item.kind == "unfinished"}

    @property
    def unknown(self) -> list[StudyHoldings]:
        """Studies of which it can't be told what they hold: they might hold anything."""
        return [one for one in self.holders if one.unknown]

    def without(self, names: Collection[str]) -> "Holdings":
        """The same as if these studies were gone."""
        return replace(self, holders=tuple(one for one in self.holders if one.name not in names))

    def held(self, one: StudyHoldings) -> int:
        """Bytes in the store of the results that a study is made of."""
        return sum(self.results[key].size for key in one.keys if key in self.results)

    def alone(self, names: Collection[str]) -> list[Item]:
        """What is in the store for these studies alone: nobody would hold it without them."""
        mine = Counter(key for one in self.holders if one.name in names for key in one.keys)
        return [
            item
            for key, count in mine.items()
            if count == self.uses[key]
            for item in (self.results.get(key), self._unfinished.get(key))
            if item is not None
        ]

    def left_over(self, unused_for: float = UNUSED_FOR, now: float | None = None) -> list[Item]:
        """What no study needs, that has not been used for so many seconds, and that this user may remove.

        While it can't be told of some study what it holds, no result and no unfinished work is among it.
        """
        before = (time.time() if now is None else now) - unused_for
        return [item for item in self.items if item.ours and item.used < before and not self._needed(item)]

    def _needed(self, item: Item, at: Path | None = None) -> bool:
        """Whether a study needs the item, which lies `at` another place than its own meanwhile."""
        match item.kind:
            case "damaged":
                return False
            case "temporary":
                return bool(self.unknown) or item.key in self._being_written
            case "unfinished":
                return bool(self.unknown) or (self.uses[item.key] > 0 and self.store.get(item.key) is None)
            case "result":
                made_from = parent(at or item.path) if self.uses[item.key] == 0 else ""
                return bool(self.unknown) or self.uses[item.key] > 0 or self.uses[made_from] > 0

    @cached_property
    def _being_written(self) -> set[str]:
        """Beginnings of the keys, as temporary folders have them, that a worker may be computing."""
        return {key[:16] for one in self.holders if one.at_work for key in one.keys}


def holdings(workspace: Path) -> Holdings:
    """What there is, and who holds it, now."""
    store = shared_store(workspace)
    # First what there is: a study that begins meanwhile can hold more than is known here, never less.
    return _held(tuple(survey(store)), workspace)


def _held(items: Collection[Item], workspace: Path) -> Holdings:
    """These items, and who holds what now."""
    in_bin = (replace(holder(one.run), deleted=one.deleted) for one in binned(workspace))
    holders = (*(holder(run) for run in studies(workspace)), *in_bin)
    return Holdings(shared_store(workspace), holders, tuple(items))


def remove(items: Collection[Item], workspace: Path) -> list[Item]:
    """Remove what is left over still; what was removed.

    What has been taken up since it was found stays. Every other item is taken out of sight first. Then the studies are
    asked again: one that began meanwhile, here or on another node, has planned by now with what it saw, and gets it
    back; or it has not seen it and computes it. Of the store nothing is read meanwhile, so that this is short.
    """
    before, out = _held(items, workspace), {}
    for item in items:
        if not item.ours or before._needed(item) or last_use(item.path) > item.used:
            continue
        if (place := taken_out(item, before.store)) is not None:
            out[item] = place
    now = _held(items, workspace)
    removed = []
    for item, place in out.items():
        if now._needed(item, place):
            # Computed anew meanwhile: then this one is left with what is temporary.
            with contextlib.suppress(OSError):
                place.rename(item.path)
        else:
            shutil.rmtree(place, ignore_errors=True)
            removed.append(item)
    return removed
