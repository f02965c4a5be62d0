"""Trained weights of a float graph, given back to the network that the graph was made from.

In the graph BatchNorm is folded: a layer's weight there is the network's times a factor for each output channel. The
network gets what the graph has, divided by that factor; what the bias gained goes into the layer's own bias or, where
it has none, into that of the BatchNorm behind it. BatchNorm's scale and statistics stay. So the network computes what
the float graph does with the trained weights.
"""

from contextlib import ExitStack
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.compute.layers.overlays import held_in
from engine.compute.layers.passes import evaluating
from engine.compute.layers.select import leaf_of, weight_of
from engine.compute.numerics.aligned import from_array
from engine.compute.onnx.graph import Graph, layer_of
from engine.compute.steps.quantization.graph import output_axis


@torch.no_grad()
def give_back(
    network: nn.Module, floats: onnx.ModelProto, trained: dict[str, Tensor], images: Tensor
) -> list[str]:
    """Set the network's weights, in place, so that it computes what `floats` does with the weights `trained`.

    Args:
        network: The network that `floats` was made from, unchanged since.
        floats: The float graph before the training.
        trained: Its weights after the training, by name.
        images: Images (N, C, H, W): with them the network is run once, to see which BatchNorm is behind which layer.

    Returns the names of weights that have no counterpart: what the export made of several or in another form, what a
    codebook or dictionary holds, and the weights of a layer that is used twice with different factors. The network
    keeps its own there.
    """
    graph, norms = Graph(floats), _norms(network, images)
    modules = dict(network.named_modules())
    uses = [(layer_of(node, graph) or "", node) for node in graph.weighted()]
    left = dict(trained)
    for layer, node in uses:
        names = {other.input[1] for name, other in uses if name == layer}
        if names <= left.keys() and len(names) == 1 and layer in modules:
            _give_layer(modules[layer], norms.get(layer), node, graph, left)
    for name, parameter in network.named_parameters():
        if name in left and torch.equal(from_array(graph.array(name)), parameter.cpu()):
            parameter.copy_(left.pop(name))
    return sorted(left)


def _give_layer(
    module: nn.Module, norm: nn.Module | None, node: onnx.NodeProto, graph: Graph, left: dict[str, Tensor]
) -> None:
    """Give one layer its weight and bias, and take these from `left`."""
    name, bias = node.input[1], node.input[2] if len(node.input) > 2 else ""
    before, after = from_array(graph.array(name)), left[name]
    own = weight_of(module).cpu()
    if output_axis(node) % before.dim() == 1:
        before, after = before.T, after.T
    if before.shape != own.shape or held_in(module) is not None or leaf_of(module).shape != own.shape:
        return
    factors = _factors(before, own)
    shape = [-1] + [1] * (own.dim() - 1)
    unfolded = torch.where(factors.reshape(shape) != 0, after / factors.reshape(shape), own)
    if leaf_of(module).requires_grad:  # a frozen one was not trained, and dividing would round it
        leaf_of(module).copy_(unfolded)
    del left[name]
    if bias in left:
        gained = left[bias] - from_array(graph.array(bias))
        held: Any = module if getattr(module, "bias", None) is not None else norm
        if held is not None:
            gained = gained / factors.where(factors != 0, 1) if held is module else gained
            held.bias.add_(gained.to(held.bias))
            del left[bias]


def _factors(folded: Tensor, own: Tensor) -> Tensor:
    """What each output channel was multiplied with, (channels,), by its largest weight."""
    folded, own = folded.flatten(1).double(), own.flatten(1).double()
    largest = own.abs().argmax(1, keepdim=True)
    divisor = own.gather(1, largest)
    return torch.where(divisor != 0, folded.gather(1, largest) / divisor, 0.0).squeeze(1).float()


def _norms(network: nn.Module, images: Tensor) -> dict[str, nn.Module]:
    """For each layer whose output goes into a BatchNorm, that BatchNorm."""
    results: dict[int, tuple[str, Tensor]] = {}
    norms: dict[str, nn.Module] = {}

    def after(name: str, result: Any) -> None:
        if isinstance(result, Tensor):
            results[id(result)] = name, result  # held, so that no other tensor gets its id

    def before(norm: nn.Module, given: Any) -> None:
        if id(given) in results:
            norms[results[id(given)][0]] = norm

    with ExitStack() as hooks, torch.inference_mode(), evaluating(network):
        for name, module in network.named_modules():
            if isinstance(module, _BatchNorm):
                hook = module.register_forward_pre_hook(lambda norm, given: before(norm, given[0]))
            else:
                hook = module.register_forward_hook(lambda _m, _i, out, n=name: after(n, out))
            hooks.callback(hook.remove)
        network(images)
    return norms
