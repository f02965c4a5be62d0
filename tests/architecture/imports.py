"""Every import of the product, read from the source: in functions and for type checkers too."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests import HOME


@dataclass(frozen=True)
class Import:
    """One imported module; `function` is where, "" at module level; `typing`: for type checkers only."""

    module: str
    name: str
    function: str
    typing: bool

    def __str__(self) -> str:
        return f"{self.module}:{self.function} imports {self.name}"


class Reader(ast.NodeVisitor):
    """Collects the imports of `module`, which stands in `package`."""

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
            # `from engine.studies import events` names a module, `from engine.errors import X` does not.
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


def name_of(path: Path) -> str:
    """The module that a file is."""
    parts = path.relative_to(HOME).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def imports(top: str) -> tuple[Import, ...]:
    """Every import below the folder `top`."""
    found: list[Import] = []
    for path in sorted((HOME / top).rglob("*.py")):
        name = name_of(path)
        reader = Reader(name, name if path.name == "__init__.py" else name.rpartition(".")[0])
        reader.visit(ast.parse(path.read_text("utf-8")))
        found += reader.found
    return tuple(found)


def below(name: str, package: str) -> bool:
    """Whether `name` is `package` or lies in it."""
    return name == package or name.startswith(f"{package}.")


def root(name: str) -> str:
    """The top-level package of `name`."""
    return name.partition(".")[0]


def cycles(graph: dict[str, set[str]]) -> Iterator[str]:
    """Chains of modules that come back to where they began."""
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
