"""Which layers a step may change, and their weights."""

from collections.abc import Collection, Mapping
from fnmatch import fnmatchcase

from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.errors import SecateurError
from engine.text.phrases import nearest

PRUNABLE = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.Linear)


def weight_of(module: nn.Module) -> Tensor:
    """The layer's effective weight, masks applied."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def leaf_of(module: nn.Module, name: str = "weight") -> Tensor:
    """The tensor that is trained: under a mask, the one below it."""
    if parametrize.is_parametrized(module, name):
        original: Tensor = module.parametrizations[name].original  # type: ignore[index, union-attr]
        return original
    tensor = getattr(module, name)
    assert isinstance(tensor, Tensor)
    return tensor


def is_trained(layer: nn.Module) -> bool:
    """Whether training changes the weight: itself, or any tensor that a parametrization makes it of (dictionaries of
    kernels are two)."""
    if parametrize.is_parametrized(layer, "weight"):
        made_of = layer.parametrizations["weight"].parameters(recurse=False)  # type: ignore[index, union-attr]
        return any(tensor.requires_grad for tensor in made_of)
    return weight_of(layer).requires_grad


def prunable_layers(
    model: nn.Module, skip: tuple[str, ...], only: Collection[str] = ()
) -> dict[str, nn.Module]:
    """Convolutions and linear layers by name, without those that `skip` names by name or type; those that `only` names
    alone, where it names any.

    Raises SecateurError when an entry of `skip` or `only` names nothing, or nothing is left.
    """
    prunable: dict[str, nn.Module] = {n: m for n, m in model.named_modules() if isinstance(m, PRUNABLE)}
    check_skip(prunable, skip)
    check_named(prunable, only)
    kept = {name: module for name, module in left(prunable, skip).items() if not only or name in only}
    if not prunable:
        raise SecateurError(
            "There is nothing to compress",
            "The network has no convolution and no linear layer of torch's.",
            "Its weights have to be those of such layers.",
        )
    if not kept:
        raise SecateurError(
            "There is nothing to prune", f"skip leaves no layer of {', '.join(prunable)}.", "Shorten skip."
        )
    return kept


def left(layers: dict[str, nn.Module], skip: tuple[str, ...]) -> dict[str, nn.Module]:
    """Those of `layers` with weights that `skip` does not name."""
    return {
        name: module
        for name, module in layers.items()
        if isinstance(module, PRUNABLE) and not any(_matches(name, module, pattern) for pattern in skip)
    }


def check_skip(layers: dict[str, nn.Module], skip: tuple[str, ...], step: str = "") -> None:
    """Raises SecateurError when an entry of `skip`, a parameter of `step`, names none of the layers with weights."""
    prunable = {name: module for name, module in layers.items() if isinstance(module, PRUNABLE)}
    for pattern in skip:
        if not any(_matches(name, module, pattern) for name, module in prunable.items()):
            raise SecateurError(
                f"{f'{step}.' if step else ''}skip names no layer: {pattern}",
                f"The model's layers with weights are {', '.join(prunable)}.",
                "Use a layer's name, a pattern such as layer3.*, or a type such as Linear.",
            )


def check_named(layers: Mapping[str, nn.Module], names: Collection[str], step: str = "") -> None:
    """Raises SecateurError when one of `names`, those of `layers` of `step`, is none of a layer with weights."""
    prunable = [name for name, module in layers.items() if isinstance(module, PRUNABLE)]
    for name in names:
        if name not in prunable:
            raise SecateurError(
                f"{f'{step}.' if step else ''}layers names no layer: {name}",
                f"The model's layers with weights are {', '.join(prunable)}.",
                f"Did you mean {best}?" if (best := nearest(name, prunable)) else "Use a layer's whole name.",
            )


def replace(model: nn.Module, layer: str, new: nn.Module) -> None:
    """Put `new` in the place of the module `layer`, under every name that the model has for it, in the same mode."""
    old = model.get_submodule(layer)
    new.train(old.training)
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):
            if child is old:
                setattr(parent, name, new)


def _matches(name: str, module: nn.Module, pattern: str) -> bool:
    """By name or glob, or by the name of the type (a masked layer's type is a subclass of the plain one)."""
    return fnmatchcase(name, pattern) or any(cls.__name__ == pattern for cls in type(module).__mro__)
