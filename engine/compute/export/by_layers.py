"""Source of a network by its layers: torch.fx follows the forward pass through all modules but torch.nn's own.

What comes out reads like a network written by hand, and can be trained on.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn

from engine.compute.export.code import Unwritable, class_model, drop_unused
from engine.compute.export.lengths import lengths_followed
from engine.compute.export.modules import Tree, is_torchs

STOCHASTIC_DEPTH = ("torchvision.ops.stochastic_depth", "stochastic_depth")
"""Module and name of a function that does nothing in evaluation."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_torchs(m)

    def to_bool(self, obj: fx.Proxy) -> bool:
        # The memory layout decides how something is computed, never what.
        if obj.node.op == "call_method" and obj.node.target == "is_contiguous":
            return False
        return bool(super().to_bool(obj))


def by_layers(model: nn.Module) -> str:
    """The class `Model`. Raises Unwritable, or what torch.fx raises where the pass depends on values."""
    with lengths_followed(model):
        graph = _Tracer().trace(model)
    for node in list(graph.nodes):
        _simplify(graph, node, model)
    drop_unused(graph)
    read = [str(node.target) for node in graph.nodes if node.op == "get_attr"]
    used = frozenset((*read, *(str(node.target) for node in graph.nodes if node.op == "call_module")))
    tree = Tree(model, used, _constants(model, read), layers=True)
    return class_model(graph, tree.statements, tree.place)


def _constants(model: nn.Module, read: list[str]) -> dict[str, Tensor]:
    """The tensors that the pass reads and that are neither parameters nor buffers."""
    known = {name for name, _ in model.named_parameters(remove_duplicate=False)}
    known |= {name for name, _ in model.named_buffers(remove_duplicate=False)}
    constants: dict[str, Tensor] = {}
    for name in read:
        if name not in known:
            tensor = getattr(model, name, None)
            if not isinstance(tensor, Tensor):
                raise Unwritable(f"the attribute {name}")
            constants[name] = tensor
    return constants


def _simplify(graph: fx.Graph, node: fx.Node, model: nn.Module) -> None:
    """Take out of the graph what does nothing in evaluation: stochastic depth, identities, assertions."""
    if node.op == "call_function" and node.target is torch._assert:
        graph.erase_node(node)
    elif _is_identity(node, model):
        node.replace_all_uses_with(node.all_input_nodes[0])
        graph.erase_node(node)


def _is_identity(node: fx.Node, model: nn.Module) -> bool:
    if node.op == "call_module":
        return type(model.get_submodule(str(node.target))) is nn.Identity
    if node.op != "call_function":
        return False
    where = (getattr(node.target, "__module__", ""), getattr(node.target, "__name__", ""))
    if where == STOCHASTIC_DEPTH:
        return not _argument(node, 3, "training", True)
    return node.target is nn.functional.dropout and not _argument(node, 2, "training", True)


def _argument(node: fx.Node, index: int, name: str, default: Any) -> Any:
    return node.args[index] if len(node.args) > index else node.kwargs.get(name, default)
