"""A report into a file; the name's ending says what kind."""

from collections.abc import Sequence
from pathlib import Path

from engine.errors import UsageError
from engine.reports.content import Reported, report
from engine.store.files import write_named

ENDINGS = (".html", ".md")
ABOUT = "The ending decides: .html for one file that any browser shows, .md for Markdown."


def check(path: Path) -> None:
    """Raises UsageError for a name that no report can have."""
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"A report can't be written as {path}", "", ABOUT)
    folder = path.absolute().parent
    why = "It is a folder." if path.is_dir() else "" if folder.is_dir() else f"There is no folder {folder}."
    if why:
        raise UsageError(f"{path} can't be written", why, "Choose another name.")


def write(studies: Sequence[Reported], path: Path) -> Path:
    """Write the report; the path made absolute. Raises UsageError where it can't be written."""
    from engine.reports import html, markdown

    check(path)
    draw = html.draw if path.suffix.lower() == ".html" else markdown.draw
    path = path.absolute()
    write_named(path, draw(report(studies)))
    return path
