"""A study as lists show it: how it stands, and what people wrote about it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.studies.notes import NONE, Notes
from engine.studies.rundir import RunDir
from engine.studies.status import Status


@dataclass(frozen=True)
class Listed:
    """One study of a list, from its two small files."""

    run: RunDir
    status: Status
    notes: Notes = NONE

    def has(self, words: Sequence[str]) -> bool:
        """Whether each of the words is somewhere in what is known of it."""
        status = self.status
        known = (self.run.name, status.state, status.verdict or "", status.host, status.model, status.data)
        text = " ".join([*known, status.preset, status.about, self.notes.words]).lower()
        return all(word.lower() in text for word in words)

    def as_dict(self) -> dict[str, Any]:
        """All of it as plain values."""
        notes = {"note": self.notes.text, "tags": list(self.notes.tags)}
        return {"study": self.run.name, **asdict(self.status), **notes}
