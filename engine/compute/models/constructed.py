"""What a user's constructor set up beside layers: modes that training keeps, and tensors that can't be kept."""

from torch import Tensor, nn

from engine.compute.models.attributes import attributes, describe, registered
from engine.errors import SecateurError

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


def _derived(tensor: Tensor) -> bool:
    return tensor.grad_fn is not None
