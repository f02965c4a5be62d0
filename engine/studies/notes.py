"""What people write about a study: a note and tags, in its folder beside what the engine wrote."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from engine.errors import UsageError
from engine.store.files import explained, read_json, write_json
from engine.studies.rundir import RunDir

LONGEST = 10_000
"""Letters of a note; what is longer is a document of its own."""
MOST_TAGS = 20
TAG = re.compile(r"[\w][\w.+-]{0,39}")


@dataclass(frozen=True)
class Notes:
    """A note and tags; both empty for a study about which nobody wrote anything."""

    text: str = ""
    tags: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.text or self.tags)

    @property
    def line(self) -> str:
        """The note on one line with its tags behind it, as `typed` takes it."""
        return " ".join([*self.text.split(), *(f"#{tag}" for tag in self.tags)])

    @property
    def words(self) -> str:
        """All of it on one line, for a search."""
        return " ".join([*(f"#{tag}" for tag in self.tags), *self.text.split()])


NONE = Notes()


def read(run: RunDir) -> Notes:
    """What is written about a study; nothing where that is missing or makes no sense."""
    kept = read_json(run.notes)
    if not isinstance(kept, dict):
        return NONE
    text, tags = kept.get("note", ""), kept.get("tags", [])
    if not isinstance(text, str) or not isinstance(tags, list):
        return NONE
    return Notes(text[:LONGEST], tuple(tag for tag in tags if isinstance(tag, str))[:MOST_TAGS])


def changed(
    before: Notes, text: str | None = None, add: Iterable[str] = (), drop: Iterable[str] = ()
) -> Notes:
    """With another note, where one is given, and with or without tags.

    Raises UsageError for what is too long, or can be no tag.
    """
    added, gone = ([tag.removeprefix("#") for tag in tags] for tags in (add, drop))
    for tag in added:
        if not TAG.fullmatch(tag):
            raise UsageError(
                f"{tag!r} can't be a tag",
                "A tag is a word of at most 40 letters, digits and . _ + -, such as paper or resnet-v2.",
            )
    tags = tuple(tag for tag in dict.fromkeys([*before.tags, *added]) if tag not in gone)
    note = before.text if text is None else text.strip()
    if len(note) > LONGEST or len(tags) > MOST_TAGS:
        raise UsageError(
            "That is too much for a note", f"It has at most {LONGEST} letters and {MOST_TAGS} tags."
        )
    return Notes(note, tags)


def typed(line: str) -> Notes:
    """What was typed on one line: words that begin with # are tags. Raises UsageError as `changed` does.

    >>> typed("for table 3 #paper")
    Notes(text='for table 3', tags=('paper',))
    """
    words = line.split()
    tags = [word for word in words if word.startswith("#")]
    return changed(NONE, " ".join(word for word in words if word not in tags), tags)


def write(run: RunDir, notes: Notes) -> None:
    """Keep what is written about a study. Raises SecateurError where its folder can't be written."""
    with explained(run.notes):
        if notes:
            write_json(run.notes, {"note": notes.text, "tags": list(notes.tags)})
        else:
            run.notes.unlink(missing_ok=True)
