"""The rules that keep the parts apart: who may import what, how long a file may be, what a command loads."""

import ast
import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests import HOME
from tests.architecture.imports import Reader, below, imports, name_of, root

HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "onnxscript", "sklearn", "numpy", "PIL", "pandas"}
HEAVY |= {"torch_pruning", "safetensors", "openvino", "ultralytics"}
"""Slow to import; only `engine/compute/` may."""
PNG = "engine.plotting.png"
"""May import Pillow inside its functions: a PNG is drawn where no torch is wanted."""
LAZY_COMPUTE = {
    "engine.cli.data:run_check": "looks at the images of a preset",
    "engine.runner.executors.local:_work": "runs in the worker process, which is there to compute",
    "engine.cli.export:_write": "`secateur export` runs the model that it writes",
    "engine.cli.data:run_fetch": "`secateur data fetch` downloads through torchvision",
}
"""Functions outside `engine/compute/` that import it, and why."""
ULTRALYTICS: str | None = "engine.compute.yolo.ultra"
"""The one module that may import ultralytics (AGPL-3.0); None: no module does."""
LONGEST = 400
"""Lines of a file."""


def test_the_reader_of_imports_sees_every_form_of_one() -> None:
    source = """
from . import sibling
from .. import errors
import torch.nn as nn
async def f():
    def g():
        importlib.import_module("numpy")
if TYPE_CHECKING:
    from PIL import Image
"""
    visitor = Reader("engine.plotting.png", "engine.plotting")
    visitor.visit(ast.parse(source))
    seen = [(i.name, i.function, i.typing) for i in visitor.found]
    assert seen == [
        ("engine.plotting", "", False),
        ("engine.errors", "", False),
        ("torch.nn", "", False),
        ("numpy", "f.g", False),
        ("PIL", "", True),
    ]


def test_only_compute_imports_heavy_libraries() -> None:
    wrong = [
        str(i)
        for i in imports("engine")
        if root(i.name) in HEAVY
        and not below(i.module, "engine.compute")
        and not (root(i.name) == "PIL" and i.module == PNG and (i.function or i.typing))
    ]
    assert not wrong


def test_compute_is_entered_only_where_it_is_listed_with_a_reason() -> None:
    entered = {
        f"{i.module}:{i.function}"
        for i in imports("engine")
        if below(i.name, "engine.compute") and not below(i.module, "engine.compute")
    }
    assert entered == set(LAZY_COMPUTE)


def test_the_lab_imports_neither_compute_nor_heavy_libraries() -> None:
    wrong = [str(i) for i in imports("tui") if below(i.name, "engine.compute") or root(i.name) in HEAVY]
    assert not wrong


def test_the_engine_imports_neither_the_lab_nor_its_library() -> None:
    assert not [str(i) for i in imports("engine") if root(i.name) in ("tui", "textual")]


def test_ultralytics_is_imported_in_one_module_only() -> None:
    users = {i.module for top in ("engine", "tui") for i in imports(top) if root(i.name) == "ultralytics"}
    assert users == ({ULTRALYTICS} if ULTRALYTICS else set())


def test_what_a_module_keeps_to_itself_is_imported_by_no_other() -> None:
    wrong = [
        f"{name_of(path)} imports {alias.name} of {node.module}"
        for top in ("engine", "tui", "benchmarks", "tools")
        for path in (HOME / top).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom)
        and root(node.module or "") in ("engine", "tui", "benchmarks", "tools")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not wrong


OUTSIDE = {"from_numpy", "frombuffer", "load_file", "numpy"}
"""Ways to tensors from memory that others laid out, and from tensors to arrays for others."""
OUTSIDE_IN = {
    "engine.compute.numerics.aligned": "where they lie aligned",
    "engine.compute.export.alone": "runs without this program",
    "engine.compute.measures.unpack": "runs without this program",
    "engine.compute.data.idx": "bytes of a file, whole numbers afterwards",
    "engine.compute.export.verify": "outputs of another process, which are only compared",
}
"""Modules that may use them, and why."""


def test_tensors_come_in_where_they_are_aligned() -> None:
    """Bits must not depend on addresses: `engine.compute.numerics.aligned` says why."""
    wrong = []
    for path in (HOME / "engine" / "compute").rglob("*.py"):
        if name_of(path) in OUTSIDE_IN:
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            called = node.func if isinstance(node, ast.Call) else None
            name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
            if name in OUTSIDE:
                wrong.append(f"{name_of(path)}:{getattr(node, 'lineno', 0)} {name}")
    assert not wrong


def test_pydantic_classes_are_declared_in_params_only() -> None:
    wrong = []
    for path in (*(HOME / "engine").rglob("*.py"), *(HOME / "tui").rglob("*.py")):
        module = name_of(path)
        if below(module, "engine.params"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            if {base.rpartition(".")[2] for base in bases} & {
                "BaseModel",
                "Params",
                "StepParams",
                "RootModel",
            }:
                wrong.append(f"{module}: {ast.unparse(node).splitlines()[0]}")
    assert not wrong


def test_no_file_is_too_long() -> None:
    folders = ("engine", "tui", "tests", "benchmarks", "tools")
    lengths = {
        str(path.relative_to(HOME)): len(path.read_text("utf-8").splitlines())
        for folder in folders
        for path in (HOME / folder).rglob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST}


LOADED = """
import contextlib, importlib, io, json, sys
known, found = set(), []
def note(said):
    now = {name.partition(".")[0] for name in sys.modules}
    found.append({"loaded": sorted(now - known), "said": said})
    known.update(now)
from engine.cli.main import main
for words in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said):
        main(words)
    note(said.getvalue())
importlib.import_module("tui.app")
note("")
print(json.dumps(found))
"""
"""Runs commands one after the other: what each is the first to load, and what it says; at last the lab is imported."""
LOOKING: tuple[tuple[str, ...], ...] = (
    ("--help",),
    ("run", "--help"),
    ("list",),
    ("show", "latest"),
    ("show", "quickstart-1"),
    ("show", "latest", "--trial", "1"),
    ("plot", "latest", "--y", "size.packed"),
    ("presets",),
    ("presets", "quickstart"),
    ("params",),
    ("params", "prune.weights"),
    ("params", "train"),
    ("data", "list"),
    ("doctor",),
)


@pytest.fixture(scope="module")
def looked(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What `LOADED` found for each of `LOOKING`, and for the lab."""
    from engine.testing import folders as fabricate

    workspace = tmp_path_factory.mktemp("workspace")
    fabricate.finished(workspace)
    done = subprocess.run(
        [sys.executable, "-c", LOADED],
        input=json.dumps(LOOKING),
        cwd=HOME,
        env={**os.environ, "SECATEUR_HOME": str(workspace)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("number", range(len(LOOKING)), ids=map(" ".join, LOOKING))
def test_commands_that_only_look_load_no_heavy_library(number: int, looked: list[dict[str, Any]]) -> None:
    assert not HEAVY & set(looked[number]["loaded"])
    assert looked[number]["said"]


def test_the_lab_loads_no_heavy_library(looked: list[dict[str, Any]]) -> None:
    assert "textual" in looked[-1]["loaded"]
    assert not HEAVY & set(looked[-1]["loaded"])
