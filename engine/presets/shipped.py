"""The presets that come with secateur, and finding a preset by name or path."""

from dataclasses import dataclass
from pathlib import Path

from engine.errors import UsageError
from engine.presets.wording import text_of
from engine.presets.yaml.tree import at, load
from engine.store.paths import exists, is_file
from engine.text.phrases import names, nearest

# Beside this package, in a checkout as in an installation.
FOLDER = Path(__file__).resolve().parents[2] / "presets"
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Shipped:
    """A preset that comes with secateur: its name (the file's stem), its file, what it is for."""

    name: str
    path: Path
    about: str


def shipped() -> tuple[Shipped, ...]:
    """The presets that come with secateur, in alphabetical order."""
    return tuple(Shipped(path.stem, path, _about(path)) for path in sorted(FOLDER.glob("*.yaml")))


def find(name_or_path: str) -> Path:
    """The file of a preset: a path that is there, or the name of one that comes with secateur.

    Raises:
        UsageError: There is neither.
    """
    path = Path(name_or_path)
    if is_file(path):
        return path
    known = {file.stem: file for file in FOLDER.glob("*.yaml")}
    if name_or_path in known:
        return known[name_or_path]
    if exists(path):
        # A folder or a device: reading it says what is wrong.
        return path
    raise _not_found(path, name_or_path, list(known))


def _not_found(path: Path, name: str, known: list[str]) -> UsageError:
    here = {
        file.stem: str(file) for file in sorted(_files(path.parent))
    }  # all have a suffix, which likens them
    meant = here.get(nearest(path.stem, here)) or nearest(path.stem, known)
    detail = f"There is no such file, and the presets that come with secateur are {names(sorted(known))}."
    return UsageError(f"There is no preset {name}", detail, f"Did you mean {meant}?" if meant else "")


def _files(folder: Path) -> list[Path]:
    try:
        return [file for file in folder.iterdir() if file.suffix in SUFFIXES]
    except (OSError, ValueError):
        return []


def _about(path: Path) -> str:
    root, _ = load(path.read_text("utf-8"), str)
    return text_of(at(root, "about"))
