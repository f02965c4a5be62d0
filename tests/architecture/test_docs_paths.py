"""What the docs quote of the repository is there."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import HOME

PAGES = sorted((HOME / "docs").rglob("*.md"))
QUOTED = re.compile(r"`((?:engine|tui|tests|tools|benchmarks|presets)/[\w./-]*)`")


def quoted() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for path in QUOTED.findall(page.read_text("utf-8")):
            yield page, path


def test_paths_are_found_in_the_pages() -> None:
    assert sum(1 for _ in quoted()) > len(PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(HOME)))
def test_every_path_that_a_page_quotes_exists(page: Path) -> None:
    assert [path for where, path in quoted() if where == page and not (HOME / path).exists()] == []
