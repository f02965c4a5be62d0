"""What a user's constructor set up beside layers: modes that training keeps, and what can't be kept."""

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from engine.compute.models.attributes import attributes, describe, registered
from engine.errors import SecateurError
from engine.text.phrases import listed

_EVALUATED = "secateur_stays_in_eval_mode"


def keep_modes(model: nn.Module) -> None:
    """Note which modules the constructor put in eval mode, such as frozen normalization: `train_` leaves them so."""
    if model.training:
        for module in model.modules():
            if not module.training:
                setattr(module, _EVALUATED, True)


def train_(model: nn.Module) -> nn.Module:
    """`model` in training mode, in place, but for what its constructor put in eval mode."""
    model.train()
    for module in model.modules():
        if getattr(module, _EVALUATED, False):
            module.training = False
    return model


def refuse_derived(model: nn.Module) -> None:
    """Raises SecateurError for a plain tensor that the constructor computed from parameters.

    Training would not move it with them.
    """
    known = registered(model)
    for name, module in model.named_modules():
        for attribute, value in attributes(module).items():
            if any(map(_derived, describe(value, known).tensors)):
                raise SecateurError(
                    f"The network can't be kept: {name + '.' if name else ''}{attribute} is computed from parameters "
                    "in the constructor",
                    "It is a plain tensor, which stays as it is while these parameters are trained.",
                    "Compute it in forward.",
                )


def refuse_cycles(model: nn.Module) -> None:
    """Raises SecateurError for a module that is registered within itself: a walk over the network would never end."""
    done: set[int] = set()

    def walk(module: nn.Module, path: str, above: tuple[int, ...]) -> None:
        if id(module) in above:
            raise SecateurError(
                f"The network can't be kept: {path} is a module that it lies in itself",
                "An attribute that is a module counts as a layer of the one that has it.",
                "Keep what points upwards in a tuple or a list.",
            )
        if id(module) in done:
            return
        for name, child in module.named_children():
            walk(child, f"{path}.{name}" if path else name, (*above, id(module)))
        done.add(id(module))

    walk(model, "", ())


def refuse_lazy(model: nn.Module) -> None:
    """Raises SecateurError for lazy layers that have seen an image's pass and still have no size."""
    sizeless = [
        name for name, module in model.named_modules() if any(map(is_lazy, module.parameters(recurse=False)))
    ]
    if sizeless:
        raise SecateurError(
            f"The network can't be kept: {listed(sizeless)} has no size",
            "Lazy layers get theirs from what they are given, and the forward pass does not use it.",
            "Use it in forward, or leave it out.",
        )


def _derived(tensor: Tensor) -> bool:
    return tensor.grad_fn is not None
