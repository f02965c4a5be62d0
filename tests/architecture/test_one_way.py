"""Everything is printed one way, and files of others are opened one way: there they are made harmless."""

import ast
from pathlib import Path

from tests import HOME

PRINTS = {
    "engine/cli/common.py": "the way itself",
    "engine/compute/worker/selfcheck.py": "an answer in ASCII to the command that asked",
    "engine/machine/cuda_driver.py": "an answer in ASCII to the process that asked",
    "engine/runner/supervisor.py": "the engine's log, which is guarded",
    "engine/runner/task.py": "the task's log, which is guarded",
    "engine/runner/heartbeat.py": "the engine's log, which is guarded",
    "tui/__main__.py": "before there is a lab",
    "tui/keys/markdown.py": "a page of the documents",
}
"""Modules that may print, and why."""


OPENS = {
    "engine/compute/data/opening.py": "the way itself",
    "engine/compute/data/shards.py": "a list of its own",
    "engine/compute/pretrained/inert.py": "the way itself: nothing is run",
    "engine/compute/pretrained/pickles.py": "what the preset vouches for with `trust_pickle`",
}
"""Modules that may have Pillow, NumPy or torch open a file, and why."""
OPENERS = {"Image.open", "np.load", "numpy.load", "torch.load", "pickle.load", "pickle.loads", "joblib.load"}


def _opens(file: Path) -> bool:
    calls = (node.func for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call))
    return any(ast.unparse(called).removeprefix("PIL.") in OPENERS for called in calls)


def test_one_module_opens_what_others_made() -> None:
    found = {str(file.relative_to(HOME)) for file in (HOME / "engine").rglob("*.py") if _opens(file)}
    assert found == set(OPENS)


def _prints(file: Path) -> bool:
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            return True
        if isinstance(node, ast.Attribute) and node.attr in ("write", "writelines", "buffer"):
            owner = ast.unparse(node.value)
            if owner.startswith(("sys.stdout", "sys.stderr", "sys.__std")):
                return True
    return False


def test_one_module_prints_for_all_commands() -> None:
    found = {
        str(file.relative_to(HOME))
        for house in ("engine", "tui")
        for file in (HOME / house).rglob("*.py")
        if _prints(file)
    }
    assert found == set(PRINTS)
