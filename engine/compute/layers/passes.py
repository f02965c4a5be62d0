"""Forward passes that leave a model as it was: in which mode it runs, and which layers it calls."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """The model in eval mode; each module's own mode comes back."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


def taken_by(model: nn.Module, images: Tensor) -> Tensor:
    """`images` (N, C, H, W) where the model is, and of its type where all its real weights have one, as of a network in
    double precision. Others take them as they are, whatever the type of their first weights is."""
    first = next(model.parameters(), images)
    types = {weight.dtype for weight in model.parameters() if weight.is_floating_point()}
    return images.to(device=first.device, dtype=types.pop() if len(types) == 1 else images.dtype)


@contextlib.contextmanager
def restored(tensors: list[Tensor]) -> Iterator[None]:
    """Every tensor has its values back afterwards, bit for bit."""
    before = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, values in zip(tensors, before, strict=True):
                tensor.copy_(values)


@contextlib.contextmanager
def all_outputs(model: nn.Module, image: Tensor) -> Iterator[bool]:
    """The model in eval mode or, where its own code gives auxiliary outputs in training, giving those too (True).

    Torch's own layers, dropout and normalization among them, are in eval mode either way. `image` is (1, C, H, W).
    """
    with evaluating(model):
        own = [m for m in model.modules() if not type(m).__module__.startswith("torch.nn.")]
        _set_training(own, True)
        with torch.no_grad():
            several = isinstance(model(image), tuple | list)
        _set_training(own, several)
        yield several


def _set_training(modules: list[nn.Module], training: bool) -> None:
    for module in modules:
        module.training = training


@contextlib.contextmanager
def differentiable(model: nn.Module) -> Iterator[None]:
    """Gradients by every parameter of the model, frozen ones too; which are frozen comes back."""
    frozen = [p for p in model.parameters() if not p.requires_grad and p.is_floating_point()]
    for parameter in frozen:
        parameter.requires_grad_(True)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(False)


@contextlib.contextmanager
def single_valued_norms(model: nn.Module, image: Tensor) -> Iterator[list[str]]:
    """Names of the BatchNorm layers that see one value per channel of `image` (1, C, H, W).

    One value has no deviation: within the block these layers, whatever mode the model is set to meanwhile, normalize
    by their running statistics and leave those as they are.
    """
    single: dict[str, nn.Module] = {}

    def watch(name: str, layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        if inputs[0].numel() == inputs[0].shape[1]:
            single[name] = layer

    norms = {
        name: m for name, m in model.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats
    }
    with contextlib.ExitStack() as hooks, torch.no_grad(), evaluating(model):
        for name, layer in norms.items():
            hooks.callback(layer.register_forward_pre_hook(lambda *of, n=name: watch(n, *of)).remove)
        model(image)
    held = [layer.register_forward_pre_hook(_evaluates) for layer in single.values()]
    try:
        yield list(single)
    finally:
        for hook in held:
            hook.remove()


def _evaluates(layer: nn.Module, _inputs: object) -> None:
    layer.training = False


@contextlib.contextmanager
def running(model: nn.Module) -> Iterator[list[str]]:
    """Names of the modules that are in their forward, the innermost last; behind an error, of those it came from.

    What is no module of the model goes by the name of the one that calls it; "" is the model itself.
    """
    names = {module: name for name, module in model.named_modules()}
    now = [""]

    def enter(module: nn.Module, inputs: Any) -> None:
        now.append(names.get(module, now[-1]))

    def leave(module: nn.Module, inputs: Any, output: Any) -> None:
        now.pop()

    hooks = [
        nn.modules.module.register_module_forward_pre_hook(enter),
        nn.modules.module.register_module_forward_hook(leave),
    ]
    try:
        yield now
    finally:
        for hook in hooks:
            hook.remove()


def tensors_in(output: Any) -> list[Tensor]:
    """The tensors of a model's output, whatever it is made of."""
    if isinstance(output, Tensor):
        return [output]
    if isinstance(output, dict):
        output = list(output.values())
    return [t for part in output for t in tensors_in(part)] if isinstance(output, tuple | list) else []


def calls(model: nn.Module, layers: Mapping[str, nn.Module], images: Tensor) -> list[str]:
    """Names of `layers` in the order in which a pass in eval mode calls them, as often as it does.

    A layer of which only the weight is used, by its name (attention's projections), is not called.
    """
    order: list[str] = []
    with contextlib.ExitStack() as hooks, torch.inference_mode(), evaluating(model):
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_pre_hook(lambda *_, n=name: order.append(n)).remove)
        model(images)
    return order


def positions(
    model: nn.Module, layers: Mapping[str, nn.Module], shape: tuple[int, int, int]
) -> dict[str, int]:
    """H' · W' of the result (1, C', H', W') of each of `layers` that a pass calls, on one image of `shape` (C, H, W).

    Of a layer that is called more than once, the smallest.
    """
    sizes: dict[str, int] = {}
    image = taken_by(model, torch.zeros(1, *shape))

    def note(name: str, result: Tensor) -> None:
        size = result[0, 0].numel()
        sizes[name] = min(sizes.get(name, size), size)

    with contextlib.ExitStack() as hooks, torch.inference_mode(), evaluating(model):
        for name, layer in layers.items():
            hooks.callback(layer.register_forward_hook(lambda *of, n=name: note(n, of[2])).remove)
        model(image)
    return sizes
