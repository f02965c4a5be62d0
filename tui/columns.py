"""Which columns of which list were chosen away, kept from one start to the next."""

from collections.abc import Iterable
from pathlib import Path

from engine.config.files import user_folder
from engine.store.files import read_mapping, remember


def hidden(table: str) -> frozenset[str]:
    """The columns that are not to be shown of a list, by their labels."""
    names = _kept().get(table)
    return (
        frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
    )


def hide(table: str, names: Iterable[str]) -> None:
    """Keep the choice; a home that is missing or can't be written to keeps none."""
    if file := _file():
        remember(file, {**_kept(), table: sorted(names)})


def _kept() -> dict[str, object]:
    file = _file()
    return read_mapping(file) if file else {}


def _file() -> Path | None:
    folder = user_folder()
    return folder and folder / "columns.json"
