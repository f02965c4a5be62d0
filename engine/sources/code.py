"""What can be read off a Python file without running it: its imports, its additions to sys.path, files it names."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from engine.sources.writes import only_written

IMPORTERS = frozenset({"import_module", "__import__"})
"""Functions that import what their first argument names."""
READERS = frozenset({"get_data", "files", "open_text", "open_binary", "read_text", "read_binary"})
"""Functions that read beside the package that their first argument names."""
LOADERS = frozenset({"spec_from_file_location", "run_path", "run_module", "iter_modules", "walk_packages"})
"""Functions by which code is run that no import statement names."""
LONGEST_NAME = 240
"""Characters of a text that may be the name of a file."""
LONGEST_PATH = 4000
"""Of one that is put together from several."""
MOST_PARTS = 200
"""Parts that a path may be put together from."""
GETTERS = frozenset({"get", "pop", "setdefault"})
"""What of `os.environ` gives a variable's value."""


@dataclass(frozen=True)
class Import:
    """One import: the dotted name, the dots before it, and the names taken from it (`*` is one)."""

    name: str
    level: int = 0
    names: tuple[str, ...] = ()


@dataclass
class Read:
    """What a file's text tells.

    Attributes:
        imports: Every import statement of it, those in functions too.
        folders: What it adds to sys.path, as it is written.
        texts: Texts in it that may be names of files that it reads, also those put together from parts that stand
            there.
        variables: Environment variables that it asks for.
        open_ended: Whether it imports by names that are computed, so that any file beside it may be meant.
    """

    imports: list[Import] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    texts: set[str] = field(default_factory=set)
    variables: set[str] = field(default_factory=set)
    open_ended: bool = False


def read(text: str | bytes, file: str) -> Read:
    """What `text`, the content of `file`, tells. What only runs as a script or for type checkers is left out.

    Raises SyntaxError or ValueError for a text that is no Python.
    """
    tree = ast.parse(text, file)
    values = _Values(file)
    facts = Read()
    composed: list[ast.expr] = []
    written = only_written(_reached(tree))
    for node in _reached(tree):
        match node:
            case ast.Import(names=names):
                facts.imports += [Import(alias.name) for alias in names]
            case ast.ImportFrom(module=module, names=names, level=level):
                taken = tuple(alias.name for alias in names)
                facts.imports.append(Import(module or "", level, taken))
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                values.known[name] = value
            case ast.Call():
                _call(node, facts, values)
                composed += [] if id(node) in written else [node]
            case ast.BinOp() | ast.JoinedStr() if id(node) not in written:
                composed.append(node)
            case ast.AugAssign(target=ast.Attribute(value=ast.Name(id="sys"), attr="path"), value=value):
                facts.folders += values.texts(value)
            case ast.Constant(value=str(text)) if id(node) not in written and _may_name(text):
                facts.texts.add(text)
            case _:
                pass
    # Once all names are known: a function may use one that is given below it.
    paths = filter(None, map(values.text, composed))
    facts.texts |= {path for path in paths if len(path) <= LONGEST_PATH}
    facts.variables |= {asked for node in _reached(tree) if (asked := _variable(node, values))}
    return facts


def _may_name(text: str) -> bool:
    return 0 < len(text) <= LONGEST_NAME and text.isprintable()


def _variable(node: ast.AST, values: "_Values") -> str | None:
    """The environment variable that `node` asks for; None where it asks for none, or for one that is computed."""
    match node:
        case ast.Subscript(value=held, slice=name, ctx=ast.Load()) if _called(held) == "environ":
            return values.text(name)
        case ast.Call(func=ast.Attribute(value=held, attr=attr), args=[name, *_]) if (
            attr in GETTERS and _called(held) == "environ"
        ):
            return values.text(name)
        case ast.Call(func=function, args=[name, *_]) if _called(function) == "getenv":
            return values.text(name)
        case ast.Compare(left=name, ops=[ast.In() | ast.NotIn()], comparators=[held]) if (
            _called(held) == "environ"
        ):
            return values.text(name)
    return None


def _call(node: ast.Call, facts: Read, values: "_Values") -> None:
    name = _called(node.func)
    if name in IMPORTERS:
        named = values.text(node.args[0]) if node.args else None
        if named is None:
            facts.open_ended = True
        else:
            plain = named.lstrip(".")
            facts.imports.append(Import(plain, len(named) - len(plain)))
    elif name in READERS and node.args:
        named = values.text(node.args[0]) or ""
        facts.imports += [Import(named)] if all(map(str.isidentifier, named.split("."))) else []
    elif name in LOADERS:
        facts.open_ended = True
    elif _on_path(node.func) and node.args:
        facts.folders += values.texts(node.args[-1])


def _called(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def _on_path(function: ast.expr) -> bool:
    """Whether this is `sys.path.insert` and its like."""
    match function:
        case ast.Attribute(
            value=ast.Attribute(value=ast.Name(id="sys"), attr="path"), attr="insert" | "append" | "extend"
        ):
            return True
    return False


def _reached(node: ast.AST) -> Iterator[ast.AST]:
    """Every node but those below `if __name__ == "__main__"` and `if TYPE_CHECKING`, in the order of the text."""
    yield node
    if isinstance(node, ast.If) and _never(node.test):
        children: Iterator[ast.AST] = iter(node.orelse)
    else:
        children = ast.iter_child_nodes(node)
    for child in children:
        yield from _reached(child)


def _never(test: ast.expr) -> bool:
    match test:
        case ast.Compare(left=ast.Name(id="__name__"), ops=[ast.Eq()]):
            return True
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return True
    return False


class _Values:
    """Paths as they are written with `__file__`, pathlib and os.path, and the names that were given them."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.known: dict[str, ast.expr] = {}
        self._left = 0

    def texts(self, node: ast.expr) -> list[str]:
        several = node.elts if isinstance(node, ast.List | ast.Tuple) else [node]
        return [text for one in several if (text := self.text(one)) is not None]

    def text(self, node: ast.expr) -> str | None:
        self._left = MOST_PARTS
        value = self._value(node, 0)
        return None if value is None else str(value)

    def _value(self, node: ast.expr, depth: int) -> str | Path | None:
        """The path that `node` gives; None for what is computed otherwise."""
        self._left -= 1
        if depth > 20 or self._left < 0:  # as of `x = x / x`
            return None
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Name(id="__file__"):
                return self.file
            case ast.Name(id=name) if name in self.known:
                return self._value(self.known[name], depth + 1)
            case ast.BinOp(op=ast.Div(), left=left, right=right):
                return _joined([self._value(left, depth + 1), self._value(right, depth + 1)])
            case ast.BinOp(op=ast.Add(), left=left, right=right):
                return _added([self._value(left, depth + 1), self._value(right, depth + 1)])
            case ast.JoinedStr(values=parts):
                return _added([self._value(part, depth + 1) for part in parts])
            case ast.FormattedValue(value=inner, conversion=-1, format_spec=None):
                return self._value(inner, depth + 1)
            case ast.Attribute(value=inner, attr="parent"):
                return _parent(self._value(inner, depth + 1), 1)
            case ast.Subscript(
                value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int(up))
            ):
                return _parent(self._value(inner, depth + 1), up + 1)
            case ast.Call(func=function, args=arguments):
                return self._called(_called(function), function, arguments, depth + 1)
        return None

    def _called(
        self, name: str, function: ast.expr, arguments: list[ast.expr], depth: int
    ) -> str | Path | None:
        given = [self._value(argument, depth) for argument in arguments]
        match name:
            case "str" | "fspath" | "abspath" | "realpath" | "normpath" if given:
                return given[0]
            case "dirname" if given:
                return _parent(given[0], 1)
            case "Path" | "join":
                return _joined(given)
            case "resolve" | "absolute" if isinstance(function, ast.Attribute):
                return self._value(function.value, depth)
            case "joinpath" if isinstance(function, ast.Attribute):
                return _joined([self._value(function.value, depth), *given])
            case "with_suffix" if isinstance(function, ast.Attribute):
                return _with_suffix(self._value(function.value, depth), *given)
            case "expanduser" if isinstance(function, ast.Attribute):
                return _at_home(given[0] if given else self._value(function.value, depth))
            case "getcwd" | "cwd" if not given:
                return "."
            case "home" if not given:
                return _at_home("~")
        return None


def _joined(parts: list[str | Path | None]) -> Path | None:
    return None if None in parts else Path(*(part for part in parts if part is not None))


def _added(parts: list[str | Path | None]) -> str | None:
    return None if None in parts else "".join(map(str, parts))


def _at_home(path: str | Path | None) -> Path | None:
    try:
        return None if path is None else Path(path).expanduser()
    except RuntimeError:  # of a user whom this machine does not know
        return None


def _with_suffix(path: str | Path | None, suffix: str | Path | None = None, *_: object) -> Path | None:
    try:
        return None if path is None or suffix is None else Path(path).with_suffix(str(suffix))
    except ValueError:  # a path without a name, or no suffix
        return None


def _parent(path: str | Path | None, up: int) -> Path | None:
    if path is None:
        return None
    here = Path(path)
    return here.joinpath(*[".."] * up) if str(here) in (".", "") else _up(here, up)


def _up(path: Path, up: int) -> Path:
    for _ in range(up):
        path = path.parent
    return path
