"""What the recipes say is so: an addition touches their files and no others."""

import ast
import re
from functools import cache

import pytest

from tests import HOME
from tests.architecture.recipes import MOST, RECIPES, Recipe

recipes = pytest.mark.parametrize("recipe", RECIPES.values(), ids=RECIPES)


@cache
def code() -> dict[str, str]:
    """The product's files by path: code without comments and docstrings, styles as they are."""
    files = {}
    for top in ("engine", "tui"):
        for path in sorted((HOME / top).rglob("*.py")):
            files[str(path.relative_to(HOME))] = _bare(path.read_text("utf-8"))
        for path in sorted((HOME / top).rglob("*.tcss")):
            files[str(path.relative_to(HOME))] = path.read_text("utf-8")
    return files


def _bare(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)] or [ast.Pass()]  # type: ignore[attr-defined]
    return ast.unparse(tree)


def _is_text(line: ast.stmt) -> bool:
    return (
        isinstance(line, ast.Expr)
        and isinstance(line.value, ast.Constant)
        and isinstance(line.value.value, str)
    )


def naming(recipe: Recipe) -> set[str]:
    """The files whose code names the recipe's example."""
    return {path for path, text in code().items() if re.search(recipe.named, text)}


def test_docstrings_and_comments_name_nothing() -> None:
    source = 'def f() -> int:\n    """Not `here`."""\n    # nor here\n    return there("everywhere")\n'
    assert _bare(source) == "def f() -> int:\n    return there('everywhere')"


@recipes
def test_an_addition_touches_few_files(recipe: Recipe) -> None:
    assert len(recipe.touches) <= MOST


@recipes
def test_every_file_of_a_recipe_exists(recipe: Recipe) -> None:
    named = (*recipe.own, *recipe.touches, *recipe.excused)
    assert [path for path in named if not (HOME / path).is_file()] == []


@recipes
def test_no_other_file_names_the_example(recipe: Recipe) -> None:
    assert naming(recipe) - {*recipe.own, *recipe.touches} == set(recipe.excused)


@recipes
def test_the_example_is_named_where_the_recipe_begins(recipe: Recipe) -> None:
    """Otherwise the search would find nothing anywhere."""
    assert naming(recipe) & set(recipe.touches)
