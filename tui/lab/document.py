"""The preset being edited: what it is now, what it was, and the file it came from. Knows no Textual."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from engine.errors import UsageError
from engine.presets import edits
from engine.presets.addresses import ABSENT, axes, value_at
from engine.presets.edits import Edit
from engine.presets.files import absolute
from engine.presets.references import without_stale_plot
from engine.presets.shipped import FOLDER, SUFFIXES
from engine.presets.steps import Address, normalise
from engine.presets.yaml.tree import Listing, Mapping, Node, is_empty, load, node_of, to_yaml
from engine.store import paths
from engine.store.files import write_named, writing
from tui.lab.text import Default, Fixed, Swept, Typed

MOST_UNDO = 500
"""Changes that can be taken back; a preset is a few kilobytes, so this is a megabyte or two at most."""
UNTITLED = "untitled"
NEW = {"model": {"name": "resnet20"}, "data": {"name": "digits"}, "steps": [{"train": {}}]}
"""What a new preset starts from: the least that runs, on data that are always there."""
PLOT = Address(None, "plot")


@dataclass(frozen=True)
class Change:
    """A state of the preset and what led to it; `merge` tells changes that are taken back as one."""

    root: Mapping
    label: str
    merge: str = ""


class Document:
    """A preset with its history, each state a normalised tree that never changes."""

    def __init__(self, root: Mapping, name: str = UNTITLED, path: Path | None = None, text: str = "") -> None:
        self.name = name
        self.path = path
        self.revision = 0
        """Counts every change, taken back or not; tells old results of a check from new ones."""
        self._text = text
        self._saved = root
        self._past: list[Change] = [Change(root, "")]
        self._future: list[Change] = []

    @classmethod
    def new(cls) -> "Document":
        root = node_of(NEW)
        assert isinstance(root, Mapping)
        return cls(root)

    @classmethod
    def open(cls, path: Path) -> "Document":
        """The preset in a file. Raises UsageError if it can't be read or shown."""
        text = _read(path)
        return cls(read(text, str(path)), path.stem, path, text)

    @classmethod
    def restored(cls, name: str, path: Path | None, draft: str) -> "Document":
        """A preset with edits that were not saved, which are one change that can be taken back.

        Raises UsageError for a draft that can't be shown.
        """
        root = read(draft, f"The draft of {name}")
        try:
            document = cls.open(path) if path else cls.new()
        except UsageError:  # its file is gone
            document = cls.new()
        document.name = name or document.name
        document.replace(root, "what was not saved")
        return document

    @property
    def root(self) -> Mapping:
        return self._past[-1].root

    @property
    def plain(self) -> dict[str, Any]:
        """The preset as plain values, ranges as written."""
        return self.root.plain()

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
        return self.plain != self._saved.plain()

    @property
    def has_comments(self) -> bool:
        """Whether its file has comments, which saving does not keep."""
        return any(line.lstrip().startswith("#") or " #" in line for line in self._text.splitlines())

    def change(self, edit: Edit, label: str, merge: str = "") -> bool:
        """Make a change; whether anything is different. Changes in a row with one `merge` become one.

        Each of those starts from the preset before the first of them: so half-typed values leave no traces, such
        as a plot that went with a sweep. Raises `Unknown` where the edit does.
        """
        before = self._past[-2].root if self._merges(merge) else self.root
        return self._take(without_stale_plot(before, edit(before)), label, merge)

    def _take(self, root: Mapping, label: str, merge: str = "") -> bool:
        if root.plain() == self.plain:
            return False
        if self._merges(merge):
            self._past.pop()
        if root.plain() != self.plain:
            self._past.append(Change(root, label, merge))
        del self._past[:-MOST_UNDO]
        self._future.clear()
        self.revision += 1
        return True

    def _merges(self, merge: str) -> bool:
        return bool(merge) and self._past[-1].merge == merge and len(self._past) > 1 and not self._future

    def replace(self, root: Mapping, label: str) -> bool:
        """Put another preset in its place, as a change that can be taken back; whether anything is different."""
        self.close_change()
        return self._take(root, label)

    def was_given(self, address: Address) -> bool:
        """Whether the file has a value there."""
        steps = self._saved.plain().get("steps") or []
        there = address.step is None or address.step < len(steps)
        return there and value_at(self._saved, address) is not ABSENT

    def close_change(self) -> None:
        """The next change is one of its own, whatever its `merge`."""
        self._past[-1] = replace(self._past[-1], merge="")

    def give_up(self, merge: str) -> None:
        """Take back the change that is being made under this `merge`, as if nothing had been typed."""
        if self._merges(merge):
            self._past.pop()
            self.revision += 1

    @property
    def changes(self) -> list[str]:
        """What `undo` takes back, one call after the other."""
        return [change.label for change in reversed(self._past[1:])]

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

    @property
    def text(self) -> str:
        """Its file's own text, comments and all, where nothing was changed; else what it would be saved as."""
        return self._text if self._text and not self.dirty else self.yaml()

    def yaml(self) -> str:
        return to_yaml(self.plain)

    def diff(self) -> list[str]:
        """What differs from the file, as lines of a unified diff; layout and comments do not count."""
        before, after = to_yaml(self._saved.plain()), self.yaml()
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
        self._write(self.path, self.root)

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
        root = self.root
        if self.folder is not None and self.folder.resolve() != path.parent.resolve():
            root = absolute(root, self.folder)
        self._write(path, root)
        self._take(root, "save as")
        self.path, self.name = path, path.stem
        self._saved = self.root

    def _write(self, path: Path, root: Mapping) -> None:
        text = to_yaml(root.plain())
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_named(path, text)
        self._text, self._saved = text, root
        self.revision += 1


def read(text: str, source: str) -> Mapping:
    """A preset's text as a normalised tree.

    Values may be wrong (they are shown as such), but its shape must be that of a preset.

    Raises:
        UsageError: It is not YAML, or its sections or steps have a shape that no form can show.
    """
    root, problems = load(text, lambda line: f"{source}:{line}")
    problems_text = [str(problem) for problem in problems]
    if isinstance(root, Mapping):
        root = normalise(root)
        problems_text += shape_problems(root)
    elif not problems_text:
        problems_text.append("There are no sections such as model:, data: and steps:.")
    if problems_text or not isinstance(root, Mapping):
        raise UsageError(
            f"{source} can't be edited here", "\n".join(problems_text), "Correct it in a text editor first."
        )
    return root


def shape_problems(root: Mapping) -> list[str]:
    """What keeps the forms from showing a preset, a sentence each."""
    problems = []
    for name in ("model", "data", "measure", "executor", "plot", "sweep"):
        node = root.items.get(name)
        if not is_empty(node) and not isinstance(node, Mapping):
            problems.append(f"{name}: is not a group of parameters.")
    steps = root.items.get("steps")
    if is_empty(steps):
        return problems
    if not isinstance(steps, Listing):
        return [*problems, "steps: is not a list."]
    for number, step in enumerate(steps.items, 1):
        if not _is_step(step):
            problems.append(
                f"Step {number} is not a kind with its parameters, such as train: {{epochs: 10}}."
            )
    return problems


def _is_step(node: Node) -> bool:
    return (
        isinstance(node, Mapping)
        and len(node.items) == 1
        and all(isinstance(params, Mapping) for params in node.items.values())
    )


def enter(root: Mapping, address: Address, typed: Typed) -> Mapping:
    """With what was typed into a field."""
    match typed:
        case Default():
            return edits.reset(root, address)
        case Swept(values):
            return edits.sweep(root, address, node_of(values))
        case Fixed(value):
            value = first_plot(root) if address == PLOT and value == {} else value
            return edits.put(root, address, node_of(value))


def first_plot(root: Mapping) -> dict[str, str]:
    """A plot to start from: accuracy along the first swept parameter, or against sparsity."""
    swept = axes(root)
    return {"x": swept[0].path if swept else "sparsity", "y": "accuracy"}


def with_suffix(path: Path) -> Path:
    """The path as a YAML file's. Raises UsageError if no file can be called so."""
    if not path.name or path.name == "..":
        raise UsageError(f"{path} is a folder", "", "Add a file name to it.")
    return path if path.suffix in SUFFIXES else path.with_name(path.name + ".yaml")


def typed_path(text: str) -> Path:
    """A path as it was typed, `~` and relative ones included. Raises UsageError for one that can't be."""
    if not text.isprintable():
        raise UsageError("This path has characters that don't belong there", repr(text))
    return paths.absolute(paths.expanded(text.strip()))


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} can't be read", f"The system says: {error.strerror}.") from error
    except ValueError as error:
        raise UsageError(f"{path} can't be read", "It is not text in UTF-8.") from error
