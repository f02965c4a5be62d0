"""The preset being edited: what it is now, what it was, and the file it came from. Knows no Textual."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from engine.errors import SecateurError, UsageError
from engine.presets.files import absolute
from engine.presets.shipped import FOLDER, SUFFIXES
from engine.store.files import write_atomic
from tui.lab import tree
from tui.lab.edits import NEW
from tui.lab.tree import Plain, Spot

MOST_UNDO = 500
"""Changes that can be taken back; a preset is a few kilobytes, so this is a megabyte or two at most."""
UNTITLED = "untitled"


@dataclass(frozen=True)
class Change:
    """A state of the preset and what led to it; `merge` tells changes that are taken back as one."""

    plain: Plain
    label: str
    merge: str = ""


class Document:
    """A preset with its history. `plain` is never changed in place: every edit gives new plain values."""

    def __init__(self, plain: Plain, name: str = UNTITLED, path: Path | None = None, text: str = "") -> None:
        self.name = name
        self.path = path
        self.revision = 0
        """Counts every change, taken back or not; tells old results of a check from new ones."""
        self._text = text
        self._saved = plain
        self._past: list[Change] = [Change(plain, "")]
        self._future: list[Change] = []

    @classmethod
    def new(cls) -> "Document":
        return cls(NEW)

    @classmethod
    def open(cls, path: Path) -> "Document":
        """The preset in a file. Raises UsageError if it can't be read or shown."""
        text = _read(path)
        return cls(tree.read(text, str(path)), path.stem, path, text)

    @property
    def plain(self) -> Plain:
        return self._past[-1].plain

    @property
    def folder(self) -> Path | None:
        """Where files that the preset names are looked for first."""
        return self.path.parent if self.path else None

    @property
    def shipped(self) -> bool:
        """Whether it came with secateur: it is saved under another name."""
        return self.path is not None and self.path.resolve().parent == FOLDER

    @property
    def dirty(self) -> bool:
        """Whether it differs from its file."""
        return self.plain != self._saved

    @property
    def has_comments(self) -> bool:
        """Whether its file has comments, which saving does not keep."""
        return any(line.lstrip().startswith("#") or " #" in line for line in self._text.splitlines())

    def apply(self, plain: Plain, label: str, merge: str = "") -> bool:
        """Take a change; whether anything is different. Changes in a row with one `merge` become one."""
        if plain == self.plain:
            return False
        if self._merges(merge):
            self._past.pop()
        if plain != self.plain:
            self._past.append(Change(plain, label, merge))
        del self._past[:-MOST_UNDO]
        self._future.clear()
        self.revision += 1
        return True

    def before(self, merge: str) -> Plain:
        """What the next change with `merge` starts from: the preset before the first of them.

        Half-typed values so leave no traces, such as a plot that went with a sweep.
        """
        return self._past[-2].plain if self._merges(merge) else self.plain

    def _merges(self, merge: str) -> bool:
        return bool(merge) and self._past[-1].merge == merge and len(self._past) > 1 and not self._future

    def was_given(self, spot: Spot) -> bool:
        """Whether the file has a value there."""
        return tree.value(self._saved, spot) is not tree.ABSENT if self._holds(spot) else False

    def _holds(self, spot: Spot) -> bool:
        return spot.step is None or spot.step < len(tree.steps(self._saved))

    def close_change(self) -> None:
        """The next change is one of its own, whatever its `merge`."""
        self._past[-1] = replace(self._past[-1], merge="")

    def undo(self) -> str | None:
        """Take the last change back; what it was, or None if there is none."""
        if len(self._past) < 2:
            return None
        self._future.append(self._past.pop())
        self.revision += 1
        self.close_change()
        return self._future[-1].label

    def redo(self) -> str | None:
        """Make the last change taken back again; what it is, or None if there is none."""
        if not self._future:
            return None
        self._past.append(self._future.pop())
        self.revision += 1
        self.close_change()
        return self._past[-1].label

    def yaml(self) -> str:
        return tree.to_yaml(self.plain)

    def diff(self) -> list[str]:
        """What differs from the file, as lines of a unified diff; layout and comments do not count."""
        before, after = tree.to_yaml(self._saved), self.yaml()
        if self.path is None:
            before = ""
        shown = str(self.path or "(no file yet)")
        lines = difflib.unified_diff(
            before.splitlines(), after.splitlines(), shown, f"{self.name}, edited", lineterm=""
        )
        return list(lines)

    def changed_on_disk(self) -> bool:
        """Whether the file holds something else than when it was opened or saved, or is gone."""
        if self.path is None:
            return False
        try:
            return self.path.read_text("utf-8-sig") != self._text
        except (OSError, ValueError):
            return True

    def save(self) -> None:
        """Write it to its file. Raises UsageError for a preset that came with secateur or has no file."""
        if self.path is None or self.shipped:
            raise UsageError("This preset has no file of yours yet", "", "Save it under a name.")
        self._write(self.path, self.plain)

    def save_as(self, path: Path) -> None:
        """Write it to another file, which is its file from then on.

        Files it names relative to its old folder are written out in full, so that they are still found.
        """
        path = with_suffix(path.absolute())
        if path.resolve().parent == FOLDER:
            raise UsageError(
                f"{path.name} would be written among the presets that come with secateur",
                "An update replaces them.",
                "Choose a folder of your own.",
            )
        plain = self.plain
        if self.folder is not None and self.folder.resolve() != path.parent.resolve():
            plain = absolute(tree.nodes(plain), self.folder).plain()
        self._write(path, plain)
        self.apply(plain, "save as")
        self.path, self.name = path, path.stem
        self._saved = self.plain

    def _write(self, path: Path, plain: Plain) -> None:
        text = tree.to_yaml(plain)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, text)
        except OSError as error:
            raise SecateurError(f"{path} can't be written", f"The system says: {error.strerror}.") from error
        self._text, self._saved = text, plain
        self.revision += 1


def with_suffix(path: Path) -> Path:
    """The path as a YAML file's. Raises UsageError if no file can be called so."""
    if not path.name or path.name == "..":
        raise UsageError(f"{path} is a folder", "", "Add a file name to it.")
    return path if path.suffix in SUFFIXES else path.with_name(path.name + ".yaml")


def typed_path(text: str) -> Path:
    """A path as it was typed, `~` and relative ones included. Raises UsageError for one that can't be."""
    if not text.isprintable():
        raise UsageError("This path has characters that don't belong there", repr(text))
    try:
        return Path(text.strip()).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"There is no folder {text}", str(error)) from error


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} can't be read", f"The system says: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} can't be read", "It is not text in UTF-8.") from error
