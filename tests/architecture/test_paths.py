"""Every path of a workspace and of a study's folder is spelled in one module."""

import ast
from collections import defaultdict
from pathlib import Path

from tests import HOME

NAMES = {
    "study.json",
    "settings.json",
    "code.json",
    "data.json",
    "events.jsonl",
    "status.json",
    "engine.log",
    "layers.json",
    "classes.json",
    "measurements.json",
}
FOLDERS = {"studies", "store"}
"""Words that mean other things too: they are paths where they are joined to one."""


def spelled() -> dict[str, set[str]]:
    """Each of these names with the modules that spell it."""
    found: dict[str, set[str]] = defaultdict(set)
    for file in (*(HOME / "engine").rglob("*.py"), *(HOME / "tui").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            joined = [node.left, node.right] if _joins(node) else []
            for part in [node, *joined]:
                if isinstance(part, ast.Constant) and part.value in (FOLDERS if part in joined else NAMES):
                    found[str(part.value)].add(str(Path(file).relative_to(HOME)))
    return found


def _joins(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)


def test_one_module_spells_each_path() -> None:
    several = {name: sorted(files) for name, files in spelled().items() if len(files) > 1}
    assert not several
    assert spelled().keys() >= NAMES | {"studies"}, "each is found where it is spelled"
