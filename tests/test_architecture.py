"""The rules that keep the parts apart: who may import what, how long a file may be, what a command loads."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

HOME = Path(__file__).resolve().parent.parent

HEAVY = {"torch", "torchvision", "onnx", "onnxruntime", "onnxscript", "sklearn", "numpy", "PIL", "pandas"}
HEAVY |= {"torch_pruning", "safetensors", "openvino", "ultralytics"}
"""Slow to import; only `engine/compute/` may."""
PNG = "engine.plotting.png"
"""May import Pillow inside its functions: a PNG is drawn where no torch is wanted."""
LAZY_COMPUTE = {
    "engine.runner.executors.local:_work": "runs in the worker process, which is there to compute",
    "engine.cli.export:_write": "`secateur export` runs the model that it writes",
    "engine.cli.data:run_fetch": "`secateur data fetch` downloads through torchvision",
}
"""Functions outside `engine/compute/` that import it, and why."""
ULTRALYTICS: str | None = "engine.compute.yolo.ultra"
"""The one module that may import ultralytics (AGPL-3.0); None: no module does."""
LONGEST = 400
"""Lines of a file."""

STAGES = (
    # what everything is written with
    "errors keys catalog format yamlerrors yamltree wording files hostlock",
    # what can be said in a preset
    "params latencies describe",
    # what is there: data on disk, the machine
    "datasets environment runtimes",
    # what is written while a study runs
    "events store rundir",
    # preset text → validated trials → tree of steps → jobs
    "sweep spec presets",
    "plan job",
    # what replaying the events gives
    "state tolerance scans layerforms summary",
    # taking a trial's model away
    "exports",
    # who runs jobs, and what a job does
    "executors",
    "compute",
    # what is drawn from the state
    "plotting pareto sensitivities latencycharts charts training",
    # one study from its start to its end
    "heartbeat launch replay supervisor",
    "commands",
    "cli",
)
"""The engine's parts from left to right; a part imports only from its own stage or further left."""


@dataclass(frozen=True)
class Import:
    """One imported module; `function` is where, "" at module level; `typing`: for type checkers only."""

    module: str
    name: str
    function: str
    typing: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.function} imports {self.name}"


class _Imports(ast.NodeVisitor):
    def __init__(self, module: str, package: str) -> None:
        self.module, self.package = module, package
        self.found: list[Import] = []
        self._functions: list[str] = []
        self._typing = False

    def _add(self, name: str) -> None:
        self.found.append(Import(self.module, name, ".".join(self._functions), self._typing))

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._add(alias.name)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        origin = node.module or ""
        if node.level:
            parents = self.package.split(".")
            origin = ".".join([*parents[: len(parents) - node.level + 1], *([origin] if origin else [])])
        for alias in node.names:
            # `from engine import events` names a module, `from engine.errors import X` does not.
            below = f"{origin}.{alias.name}"
            self._add(below if _is_module(below) else origin)

    def visit_Call(self, node: ast.Call) -> None:
        """`import_module("torch")` and `__import__("torch")` are imports as well."""
        called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        if called in ("import_module", "__import__") and node.args and isinstance(node.args[0], ast.Constant):
            self._add(str(node.args[0].value))
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
            return self.generic_visit(node)
        self._typing = True
        for child in node.body:
            self.visit(child)
        self._typing = False
        for child in node.orelse:
            self.visit(child)
        return None

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._functions.append(node.name)
        self.generic_visit(node)
        self._functions.pop()

    visit_AsyncFunctionDef = visit_FunctionDef


def _is_module(name: str) -> bool:
    path = HOME.joinpath(*name.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


def _name(path: Path) -> str:
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(top: str) -> tuple[Import, ...]:
    """Every import below the folder `top`."""
    found: list[Import] = []
    for path in sorted((HOME / top).rglob("*.py")):
        name = _name(path)
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        visitor = _Imports(name, package)
        visitor.visit(ast.parse(path.read_text("utf-8")))
        found += visitor.found
    return tuple(found)


def _below(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _root(name: str) -> str:
    return name.partition(".")[0]


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
    visitor = _Imports("engine.plotting.png", "engine.plotting")
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
        if _root(i.name) in HEAVY
        and not _below(i.module, "engine.compute")
        and not (_root(i.name) == "PIL" and i.module == PNG and (i.function or i.typing))
    ]
    assert not wrong


def test_compute_is_entered_only_where_it_is_listed_with_a_reason() -> None:
    entered = {
        f"{i.module}:{i.function}"
        for i in imports("engine")
        if _below(i.name, "engine.compute") and not _below(i.module, "engine.compute")
    }
    assert entered == set(LAZY_COMPUTE)


def test_the_lab_imports_neither_compute_nor_heavy_libraries() -> None:
    wrong = [str(i) for i in imports("tui") if _below(i.name, "engine.compute") or _root(i.name) in HEAVY]
    assert not wrong


def test_the_engine_imports_neither_the_lab_nor_its_library() -> None:
    assert not [str(i) for i in imports("engine") if _root(i.name) in ("tui", "textual")]


def test_ultralytics_is_imported_in_one_module_only() -> None:
    users = {i.module for top in ("engine", "tui") for i in imports(top) if _root(i.name) == "ultralytics"}
    assert users == ({ULTRALYTICS} if ULTRALYTICS else set())


def test_pydantic_classes_are_declared_in_params_only() -> None:
    wrong = []
    for path in (*(HOME / "engine").rglob("*.py"), *(HOME / "tui").rglob("*.py")):
        module = _name(path)
        if _below(module, "engine.params"):
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


def _part(name: str) -> str:
    """The part of the engine that a module belongs to: `engine.presets.steps` to `spec`."""
    return name.split(".")[1] if "." in name else ""


STAGE = {part: number for number, parts in enumerate(STAGES) for part in parts.split()}


def test_every_part_of_the_engine_has_its_stage() -> None:
    parts = {
        path.stem
        for path in (HOME / "engine").iterdir()
        if path.suffix == ".py" or (path / "__init__.py").is_file()
    }
    assert parts - {"__init__"} == set(STAGE)


def test_imports_point_only_to_the_left() -> None:
    wrong = [
        str(i)
        for i in imports("engine")
        if _below(i.name, "engine")
        and not i.typing
        and _part(i.name)
        and STAGE[_part(i.name)] > STAGE.get(_part(i.module), -1)
        and f"{i.module}:{i.function}" not in LAZY_COMPUTE
    ]
    assert not wrong


def test_no_two_modules_import_each_other() -> None:
    """At module level; the chain of a cycle is shown."""
    graph: dict[str, set[str]] = {}
    for i in (*imports("engine"), *imports("tui")):
        if not i.function and not i.typing and _root(i.name) in ("engine", "tui") and i.name != i.module:
            graph.setdefault(i.module, set()).add(i.name)
    assert list(_cycles(graph)) == []


def _cycles(graph: dict[str, set[str]]) -> Iterator[str]:
    done: set[str] = set()
    for start in sorted(graph):
        stack: list[tuple[str, Iterator[str]]] = [(start, iter(sorted(graph[start])))]
        while stack:
            module, following = stack[-1]
            nearest = next(following, None)
            if nearest is None:
                done.add(module)
                stack.pop()
                continue
            path = [name for name, _ in stack]
            if nearest in path:
                yield " → ".join([*path[path.index(nearest) :], nearest])
            elif nearest not in done:
                stack.append((nearest, iter(sorted(graph.get(nearest, ())))))


def test_no_file_is_too_long() -> None:
    folders = ("engine", "tui", "tests", "benchmarks", "tools")
    lengths = {
        str(path.relative_to(HOME)): len(path.read_text("utf-8").splitlines())
        for folder in folders
        for path in (HOME / folder).rglob("*.py")
    }
    assert not {name: length for name, length in lengths.items() if length > LONGEST}


LOADED = """
import contextlib, sys
from engine.cli import main
with contextlib.suppress(SystemExit):
    main(sys.argv[1:])
print("loaded:", *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from engine.testing import folders as fabricate

    folder = tmp_path_factory.mktemp("workspace")
    fabricate.finished(folder)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        ("--help",),
        ("run", "--help"),
        ("list",),
        ("show", "latest"),
        ("show", "latest", "--trial", "1"),
        ("plot", "latest", "--y", "size.packed"),
        ("presets",),
        ("presets", "quickstart"),
        ("params",),
        ("params", "prune.weights"),
        ("data", "list"),
        ("doctor",),
    ],
    ids=" ".join,
)
def test_commands_that_only_look_load_no_heavy_library(command: tuple[str, ...], workspace: Path) -> None:
    places = ["--workspace", str(workspace)] if command[0] in ("list", "show", "plot", "data") else []
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *command, *places],
        cwd=HOME,
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stderr.splitlines()[-1]
    assert last.startswith("loaded:"), done.stderr
    assert not HEAVY & set(last.split())
    assert done.stdout, done.stderr


def test_the_lab_loads_no_heavy_library() -> None:
    code = "import sys, tui.app; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    assert not HEAVY & set(done.stdout.split())
