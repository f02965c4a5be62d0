"""Source of a network by its operators, as torch.export writes them down: for inference only.

For networks whose forward pass holds functions that are not torch's, or depends on values.
"""

from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind, InputSpec, OutputKind

from engine.compute.export.code import Unwritable, class_model, drop_unused
from engine.compute.export.lengths import lengths_followed
from engine.compute.export.modules import Tree

_CHECKS = ("_assert_scalar", "_assert_tensor_metadata", "sym_constrain_range", "sym_constrain_range_for_size")
_LIFTED = (InputKind.PARAMETER, InputKind.BUFFER, InputKind.CONSTANT_TENSOR)


def by_operators(model: nn.Module, images: Tensor) -> str:
    """The class `Model`, for any number of images such as `images`. Raises Unwritable, or what torch.export raises."""
    with lengths_followed(model):
        program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    if [spec.kind for spec in program.graph_signature.output_specs] != [OutputKind.USER_OUTPUT]:
        raise Unwritable("a network that gives several outputs, or changes its own tensors")
    graph = program.graph
    constants: dict[str, Tensor] = {}
    inputs = {spec.arg.name: spec for spec in program.graph_signature.input_specs}
    for node in list(graph.nodes):
        if node.op == "placeholder" and inputs[node.name].kind != InputKind.USER_INPUT:
            name = _lifted(inputs[node.name], program.constants, constants)
            _read(graph, node, name)
        else:
            _simplify(graph, node)
    drop_unused(graph)
    used = frozenset(str(node.target) for node in graph.nodes if node.op == "get_attr")
    constants = {name: tensor for name, tensor in constants.items() if name in used}
    tree = Tree(model, used, constants, layers=False)
    return class_model(graph, tree.statements, tree.place)


def _lifted(spec: InputSpec, values: dict[str, Any], constants: dict[str, Tensor]) -> str:
    """The name of a parameter, buffer or constant that the graph is given; constants are collected."""
    if spec.kind not in _LIFTED:
        raise Unwritable(f"an input of kind {spec.kind.name}")
    if spec.kind != InputKind.CONSTANT_TENSOR:
        return str(spec.target)
    name = f"constant_{len(constants)}"
    constants[name] = values[str(spec.target)]
    return name


def _read(graph: fx.Graph, node: fx.Node, name: str) -> None:
    """Let the graph read a tensor itself instead of being given it."""
    with graph.inserting_before(node):
        read = graph.create_node("get_attr", name)
    node.replace_all_uses_with(read)
    graph.erase_node(node)


def _simplify(graph: fx.Graph, node: fx.Node) -> None:
    """Take out checks and what does nothing in evaluation; the one output not as a tuple."""
    if node.op == "call_module" or getattr(node.target, "_opname", "") in _CHECKS:
        graph.erase_node(node)
    elif node.target is torch.ops.aten.dropout.default and node.args[2] is False:
        node.replace_all_uses_with(node.all_input_nodes[0])
        graph.erase_node(node)
    elif node.op == "output":
        outputs = node.args[0]
        assert isinstance(outputs, tuple | list)
        node.args = (outputs[0],)
