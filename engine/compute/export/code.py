"""A graph of torch operations as Python statements that need nothing but torch.

Names are used again as soon as their value is, so that the statements hold on to no activation longer than a
hand-written forward would.
"""

import builtins
import keyword
import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx
from torch.utils._pytree import tree_leaves

Place = Callable[[str], str]
"""The expression for a module, parameter or buffer of the given dotted name."""


class Unwritable(Exception):
    """The graph holds what cannot be written as source; the message says what."""


_INFIX = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
    operator.eq: "==",
    operator.ne: "!=",
    operator.lt: "<",
    operator.le: "<=",
    operator.gt: ">",
    operator.ge: ">=",
}
_BUILTINS = {len, int, float, bool, min, max, abs, round, sum}
_NAMES = ("x", "y", "z", "u", "v", "w")


def statements(graph: fx.Graph, place: Place) -> tuple[list[str], list[str]]:
    """The names of the arguments and the statements of `graph`, the last of them its return.

    Raises Unwritable for an operation that is not torch's own, and for a constant that has no literal.
    """
    names = _names(graph, place)
    arguments: list[str] = []
    lines: list[str] = []
    for node in graph.nodes:
        if node.op == "placeholder":
            arguments.append(names[node])
        elif node.op == "output":
            lines.append(f"return {_text(node.args[0], names)}")
        elif node.op != "get_attr":
            value = _value(node, names, place)
            lines.append(f"{names[node]} = {value}" if node.users else value)
    if _names_a_device(graph):
        lines.insert(0, f"device = {arguments[0]}.device")
    return arguments, lines


def _names_a_device(graph: fx.Graph) -> bool:
    given = (part for node in graph.nodes for part in tree_leaves((node.args, node.kwargs)))
    return any(isinstance(part, torch.device) for part in given)


def _names(graph: fx.Graph, place: Place) -> dict[fx.Node, str]:
    """A variable for each node; one whose value is not needed any more is taken again, the input's first."""
    last = {used: node for node in graph.nodes for used in node.all_input_nodes}
    free = list(reversed(_NAMES))
    made = 0
    names: dict[fx.Node, str] = {}
    for node in graph.nodes:
        if node.op == "get_attr":
            names[node] = place(str(node.target))
            continue
        over = [used for used in node.all_input_nodes if last[used] is node and used.op != "get_attr"]
        free += [names[used] for used in reversed(over)]
        if node.op == "output" or not (node.users or node.op == "placeholder"):
            continue
        if not free:
            made += 1
            free.append(f"t{made}")
        names[node] = free.pop()
    return names


def _value(node: fx.Node, names: dict[fx.Node, str], place: Place) -> str:
    given = [_text(argument, names) for argument in node.args]
    named = [f"{key}={_text(value, names)}" for key, value in node.kwargs.items()]
    if node.op == "call_module":
        return f"{place(str(node.target))}({', '.join([*given, *named])})"
    if node.op == "call_method":
        return f"{given[0]}.{node.target}({', '.join([*given[1:], *named])})"
    assert callable(node.target)
    return _call(node.target, node, given, named)


def _call(function: Callable[..., Any], node: fx.Node, given: list[str], named: list[str]) -> str:
    if function in _INFIX and len(given) == 2 and not named:
        return f"{given[0]} {_INFIX[function]} {given[1]}"
    if function is operator.getitem:
        return f"{given[0]}[{_index(node.args[1], given[1])}]"
    if function is getattr and len(given) == 2 and str(node.args[1]).isidentifier():
        return f"{given[0]}.{node.args[1]}"
    return f"{function_name(function)}({', '.join([*given, *named])})"


def _index(index: Any, text: str) -> str:
    """An index without the brackets of its tuple: `x[:, 0]`."""
    return text[1:-1].rstrip(",") if isinstance(index, tuple) and len(index) > 1 else text


def function_name(function: Callable[..., Any]) -> str:
    """How to call a function of torch, or a plain one of Python. Raises Unwritable for any other."""
    if function in _BUILTINS and getattr(builtins, function.__name__, None) is function:
        return str(function.__name__)
    if isinstance(function, torch._ops.OpOverload):
        space, _, name = str(function._schema.name).partition("::")
        if space == "aten" and name.isidentifier():
            return f"aten.{name}.{function._overloadname}".removesuffix(".default")
        raise Unwritable(f"the operator {space}::{name}, which is not torch's own")
    for home, module in (("operator", operator), ("math", math)):
        if getattr(module, getattr(function, "__name__", ""), None) is function:
            return f"{home}.{function.__name__}"
    qualified = fx.node._get_qualified_name(function)
    if qualified.partition(".")[0] == "torch" and _resolved(qualified) is function:
        return qualified
    raise Unwritable(f"{qualified}, which is not torch's own")


def _resolved(qualified: str) -> Any:
    value: Any = torch
    for name in qualified.split(".")[1:]:
        value = getattr(value, name, None)
    return value


def _text(value: Any, names: dict[fx.Node, str]) -> str:
    """An argument as source."""
    if isinstance(value, fx.Node):
        return names[value]
    if isinstance(value, slice):
        return _slice(value, names)
    if isinstance(value, tuple):  # torch.Size too
        inner = ", ".join(_text(item, names) for item in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(_text(item, names) for item in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_text(k, names)}: {_text(v, names)}' for k, v in value.items())}}}"
    return literal(value)


def _slice(value: slice, names: dict[fx.Node, str]) -> str:
    parts = ["" if part is None else _text(part, names) for part in (value.start, value.stop, value.step)]
    if ":" in "".join(parts):
        raise Unwritable(f"the index {value}")
    return ":".join(parts if value.step is not None else parts[:2])


def literal(value: Any) -> str:
    """A constant as source, a device as the images' own. Raises Unwritable for what has none."""
    if value is None or value is Ellipsis:
        return "..." if value is Ellipsis else "None"
    if isinstance(value, bool | int | str) and type(value) in (bool, int, str):
        return repr(value)
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else f"float({str(value)!r})"
    if isinstance(value, torch.dtype | torch.memory_format | torch.layout):
        return str(value)
    if isinstance(value, torch.device):
        return "device"
    if isinstance(value, tuple | list | dict):
        return _text(value, {})
    raise Unwritable(f"a constant of type {type(value).__name__}")


def attribute(owner: str, name: str) -> str:
    """`owner.name`, or what means the same where that cannot be written."""
    plain = name.isidentifier() and not keyword.iskeyword(name) and not name.startswith("__")
    return f"{owner}.{name}" if plain else f"getattr({owner}, {name!r})"


def class_model(graph: fx.Graph, made: list[str], place: Place) -> str:
    """The class `Model` whose constructor runs the statements `made` and whose forward pass is `graph`."""
    arguments, lines = statements(graph, place)
    if len(arguments) != 1:
        raise Unwritable(f"a network that takes {len(arguments)} inputs")
    head = ["class Model(nn.Module):", "    def __init__(self):", "        super().__init__()"]
    forward = ["", f"    def forward(self, {arguments[0]}):"]
    return "\n".join(
        [*head, *(f"        {line}" for line in made), *forward, *(f"        {line}" for line in lines)]
    )


def drop_unused(graph: fx.Graph) -> None:
    """Take out what nobody uses, in place; what changes its input in place, or may, stays."""
    for node in reversed(list(graph.nodes)):
        if not node.users and node.op in ("get_attr", "call_function", "call_method") and not _changes(node):
            graph.erase_node(node)


def _changes(node: fx.Node) -> bool:
    if isinstance(node.target, torch._ops.OpOverload):
        return node.target._schema.is_mutable
    name = str(getattr(node.target, "__name__", node.target))
    in_place = getattr(operator, name, None) is node.target and name.startswith("i")
    return name.endswith("_") or name == "setitem" or in_place or node.kwargs.get("inplace") is True
