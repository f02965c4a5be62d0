"""Chains: convolutions whose channels only one other layer sees, found on the dependency graph."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch_pruning as tp
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.compute.layers.masks import folded
from engine.compute.layers.passes import all_outputs, calls, taken_by, tensors_in
from engine.compute.layers.shared import SharedConv2d
from engine.compute.memory import lacks_memory
from engine.compute.models.layout import FAILURES
from engine.errors import SecateurError, said_by

SCALE = 1024.0
"""What tells ReLU, which only scales with its input, from ReLU6 or SiLU; a power of two, exact in floating point."""
TOLERANCE = 1e-4
"""Relative: a function of each channel alone gives the same to rounding, another one does not."""


@dataclass(frozen=True)
class Chain:
    """`producer`, a convolution; `norm`, the BatchNorm right after it, if there is one; `consumer`, the convolution or
    linear layer that alone sees the result, by name.

    `positions`: consumer's inputs for each channel (more than one after flattening). `homogeneous`: whether what lies
    between scales with its input, as ReLU and pooling do.
    """

    producer: str
    norm: str | None
    consumer: str
    positions: int
    homogeneous: bool

    @property
    def layers(self) -> list[str]:
        """The names of its modules."""
        return [name for name in (self.producer, self.norm, self.consumer) if name is not None]


def chains(model: nn.Module, example: Tensor) -> list[Chain]:
    """The model's chains in the order in which they run; `example` is (N, C, H, W). The model stays as it is.

    Candidates come from torch-pruning's dependency graph (Fang et al. 2023): a convolution coupled to nothing but a
    BatchNorm, operations without weights and one consumer. Whether these operations work on each channel alone is
    then tried out: channels exchanged before them must come out exchanged behind them.

    Raises SecateurError where torch-pruning can't follow the channels.
    """
    plain = folded(model).cpu().eval().requires_grad_(True)
    example = taken_by(plain, example)
    try:
        candidates = [chain for chain in _candidates(plain, example) if chain is not None]
    except FAILURES as error:  # of the library, as on ShuffleNetV2
        if lacks_memory(error):
            raise
        raise SecateurError(
            "The network's channels can't be followed to see which filters can be merged",
            f"torch-pruning ends on it with {type(error).__name__}: {said_by(error)[0]}.",
            "Use method: shared without fold, which leaves layers as wide as they are.",
        ) from error
    with all_outputs(plain, example[:1]) as several:
        if several:  # the graph is that of evaluation, where auxiliary layers see nothing
            candidates = [chain for chain in candidates if _sees_alone(plain, chain, example)]
    tried = [_tried(plain, chain, example) for chain in candidates]
    convolutions = {name: m for name, m in plain.named_modules() if isinstance(m, nn.Conv2d)}
    order = calls(plain, convolutions, example)
    return sorted((c for c in tried if c is not None), key=lambda chain: order.index(chain.producer))


def _candidates(model: nn.Module, example: Tensor) -> list[Chain | None]:
    graph = tp.DependencyGraph().build_dependency(
        model, example, customized_pruners={SharedConv2d: _Repeated()}, verbose=False
    )
    names = {module: name for name, module in model.named_modules()}
    return [
        _candidate(graph, module, names)
        for module in model.modules()
        if type(module) is nn.Conv2d and module.groups == 1 and module in graph.module2node
    ]


def _candidate(graph: Any, producer: nn.Conv2d, names: dict[nn.Module, str]) -> Chain | None:
    channels = producer.out_channels
    group = graph.get_pruning_group(producer, tp.prune_conv_out_channels, list(range(channels)))
    coupled = [(d.target.module, graph.is_in_channel_pruning_fn(d.handler)) for d, _ in group]
    layers = [layer for layer in coupled if layer[0] in names and layer[0] is not producer]
    norms = [module for module, _ in layers if isinstance(module, _BatchNorm)]
    consumers = [layer for layer in layers if not isinstance(layer[0], _BatchNorm)]
    outputs = [node.module for node in graph.module2node[producer].outputs]
    if len(norms) > 1 or len(consumers) != 1 or (norms and outputs != norms):
        return None
    consumer, by_inputs = consumers[0]
    if not by_inputs or not _takes(consumer, channels):
        return None
    inputs = consumer.in_channels if isinstance(consumer, nn.Conv2d) else consumer.in_features
    assert isinstance(inputs, int)
    return Chain(
        names[producer], names[norms[0]] if norms else None, names[consumer], inputs // channels, False
    )


def _takes(consumer: nn.Module, channels: int) -> bool:
    """Whether a layer takes just these channels as its inputs, each into every sum."""
    if isinstance(consumer, nn.Conv2d):
        return consumer.groups == 1 and consumer.in_channels == channels
    return isinstance(consumer, nn.Linear) and consumer.in_features % channels == 0


class _Repeated(tp.BasePruningFunc):  # type: ignore[misc]
    """Tells torch-pruning how many channels a convolution with shared filters has; it is not pruned."""

    def get_out_channels(self, layer: SharedConv2d) -> int:
        return layer.outputs

    def get_in_channels(self, layer: SharedConv2d) -> int:
        return layer.in_channels

    def prune_out_channels(self, layer: SharedConv2d, idxs: list[int]) -> nn.Module:
        raise NotImplementedError

    def prune_in_channels(self, layer: SharedConv2d, idxs: list[int]) -> nn.Module:
        raise NotImplementedError


def _tried(model: nn.Module, chain: Chain, example: Tensor) -> Chain | None:
    """The chain, knowing whether it is homogeneous; None when it does not work on each channel alone."""
    channels = cast(nn.Conv2d, model.get_submodule(chain.producer)).out_channels
    exchanged = torch.arange(channels) // 2
    inputs = (exchanged[:, None] * chain.positions + torch.arange(chain.positions)).flatten()
    before = _consumed(model, chain, example, lambda images: images)
    if before is None or not _narrows(model, chain, example, before):
        return None
    axis = 1 if isinstance(model.get_submodule(chain.consumer), nn.Conv2d) else -1
    expected = before.index_select(axis, inputs)
    for factor in (SCALE, 1.0):
        given = _consumed(model, chain, example, _exchange(exchanged, factor))
        if given is None or given.shape != expected.shape:
            return None
        if float((given / factor - expected).abs().max()) <= TOLERANCE * float(expected.abs().max()):
            return replace(chain, homogeneous=factor != 1)
    return None


def _narrows(model: nn.Module, chain: Chain, example: Tensor, before: Tensor) -> bool:
    """Whether the first half of the channels alone reaches the consumer as it does among all, which are `before`."""
    half = max(1, cast(nn.Conv2d, model.get_submodule(chain.producer)).out_channels // 2)
    try:
        given = _consumed(model, chain, example, lambda channels: channels[:, :half])
    except FAILURES as error:  # of code that has their number in it, or takes it from elsewhere
        if lacks_memory(error):
            raise
        return False
    axis = 1 if isinstance(model.get_submodule(chain.consumer), nn.Conv2d) else -1
    expected = before.narrow(axis, 0, half * chain.positions)
    if given is None or given.shape != expected.shape:
        return False
    return float((given - expected).abs().max()) <= TOLERANCE * float(before.abs().max())


def _sees_alone(model: nn.Module, chain: Chain, example: Tensor) -> bool:
    """Whether the producer's channels reach the model's outputs, as many as it gives, through the consumer alone."""
    given: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        given.append(output)

    consumer, producer = model.get_submodule(chain.consumer), model.get_submodule(chain.producer)
    with torch.no_grad(), ExitStack() as hooks:
        hooks.callback(consumer.register_forward_hook(keep).remove)
        whole = tensors_in(model(example))
    with torch.no_grad(), ExitStack() as hooks:
        hooks.callback(producer.register_forward_hook(lambda _m, _i, output: output + 1).remove)
        hooks.callback(consumer.register_forward_hook(lambda *_: given[0]).remove)
        changed = tensors_in(model(example))
    return all(map(torch.equal, whole, changed))


def _exchange(exchanged: Tensor, factor: float) -> Callable[[Tensor], Tensor]:
    return lambda channels: channels.index_select(1, exchanged) * factor


class _Reached(Exception):
    """The consumer was reached: the rest of the pass is of no interest."""


def _consumed(
    model: nn.Module, chain: Chain, example: Tensor, change: Callable[[Tensor], Tensor]
) -> Tensor | None:
    """What the consumer is given when `change` is applied to the channels; None when it is not reached."""
    seen: list[Tensor] = []

    def keep(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].clone())
        raise _Reached

    def changed(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        return change(output)

    with ExitStack() as hooks, torch.no_grad():
        last = model.get_submodule(chain.norm or chain.producer)
        hooks.callback(last.register_forward_hook(changed).remove)
        hooks.callback(model.get_submodule(chain.consumer).register_forward_pre_hook(keep).remove)
        try:
            model(example)
        except _Reached:
            return seen[0]
    return None
