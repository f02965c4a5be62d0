"""Examples in docstrings show what the code gives: readers try them."""

import doctest
from importlib import import_module

import pytest

from tests import HOME

TOPS = ("engine", "tui", "tools", "benchmarks")
MODULES = [
    ".".join(path.relative_to(HOME).with_suffix("").parts)
    for top in TOPS
    for path in sorted((HOME / top).rglob("*.py"))
    if ">>> " in path.read_text("utf-8")
]


@pytest.mark.parametrize("module", MODULES)
def test_the_examples_in_docstrings_are_right(module: str) -> None:
    found = doctest.testmod(import_module(module))
    assert found.attempted and not found.failed
