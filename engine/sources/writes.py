"""Which paths in a Python file's text are only written to, as those of logs are: they decide nothing."""

import ast
from collections.abc import Iterable, Iterator

WRITING = frozenset({"w", "a", "x"})
"""First letters of the modes in which a file is written and not read."""
METHODS = frozenset({"write_text", "write_bytes", "touch"})
"""Of a path."""
SAVERS = frozenset({"save", "savefig", "savetxt", "savez", "to_csv", "FileHandler", "RotatingFileHandler"})
"""Functions that write to the path among their arguments."""
MAKERS = frozenset(
    {"Path", "join", "joinpath", "with_suffix", "with_name", "resolve", "absolute", "expanduser", "str"}
)
"""Functions that make a path of others, and read nothing."""


def only_written(nodes: Iterable[ast.AST]) -> set[int]:
    """The `id` of every node that stands in a path to be written, or in the value of a name that is only used so."""
    reached = list(nodes)
    calls = [node for node in reached if isinstance(node, ast.Call)]
    within = _ids(path for call in calls for path in _paths(call) if _is_path(path))
    used = {True: set[str](), False: set[str]()}
    for node in reached:
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            used[id(node) in within].add(node.id)
    only = used[True] - used[False]
    return within | _ids(
        value for node in reached for name, value in _given(node) if name in only and _is_path(value)
    )


def _paths(call: ast.Call) -> list[ast.expr]:
    """The expressions that give the path to which a call writes; none for one that may read."""
    named = {one.arg: one.value for one in call.keywords}
    match call.func:
        case ast.Name(id="open") if call.args and _writes(named.get("mode"), call.args[1:]):
            return [call.args[0]]
        case ast.Attribute(value=path, attr="open") if _writes(named.get("mode"), call.args):
            return [path]
        case ast.Attribute(value=path, attr=attr) if attr in METHODS:
            return [path]
        case ast.Name(id=name) | ast.Attribute(attr=name) if name in SAVERS:
            return [*call.args, *(named[one] for one in ("filename", "fname", "f") if one in named)]
        case ast.Name(id="basicConfig") | ast.Attribute(attr="basicConfig") if "filename" in named:
            return [named["filename"]]
    return []


def _writes(mode: ast.expr | None, further: list[ast.expr]) -> bool:
    match mode or (further[0] if further else None):
        case ast.Constant(value=str(text)):
            return text[:1] in WRITING and "+" not in text
    return False


def _given(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    """The name that a statement gives a value, with that value."""
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value):
            yield name, value
        case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
            yield name, value


def _is_path(node: ast.expr) -> bool:
    """Whether this may be a path as it is written; what is saved, such as weights that are read just there, is none."""
    match node:
        case ast.BinOp(left=left, right=right):
            return _is_path(left) and _is_path(right)
        case ast.Attribute(value=inner) | ast.FormattedValue(value=inner):
            return _is_path(inner)
        case ast.Call(func=ast.Name(id=name)):
            return name in MAKERS
        case ast.Call(func=ast.Attribute(value=inner, attr=name)):
            return name in MAKERS and _is_path(inner)
        case ast.JoinedStr(values=parts):
            return all(map(_is_path, parts))
    return isinstance(node, ast.Constant | ast.Name)


def _ids(nodes: Iterable[ast.AST]) -> set[int]:
    return {id(inner) for node in nodes for inner in ast.walk(node)}
