"""Which columns of which list were chosen away, kept from one start to the next."""

import contextlib
import json
from collections.abc import Iterable
from pathlib import Path

from engine.config.files import user_folder
from engine.store.files import read_mapping


def hidden(table: str) -> frozenset[str]:
    """The columns that are not to be shown of a list, by their labels."""
    names = _kept().get(table)
    return (
        frozenset(name for name in names if isinstance(name, str)) if isinstance(names, list) else frozenset()
    )


def hide(table: str, names: Iterable[str]) -> None:
    """Keep the choice; a home that is missing or can't be written to keeps none."""
    if file := _file():
        kept = {**_kept(), table: sorted(names)}
        with contextlib.suppress(OSError):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")


def _kept() -> dict[str, object]:
    file = _file()
    return read_mapping(file) if file else {}


def _file() -> Path | None:
    folder = user_folder()
    return folder and folder / "columns.json"
