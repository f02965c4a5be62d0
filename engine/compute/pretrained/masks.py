"""Weights that were pruned by torch.nn.utils.prune: its masks become ours."""

from torch import Tensor, nn

from engine.compute.layers.masks import set_mask

ORIGINAL, MASK = "_orig", "_mask"
"""What torch.nn.utils.prune makes of a parameter's name: the values before the mask, and the mask."""

State = dict[str, Tensor]


def unmasked(state: State) -> tuple[State, State]:
    """The state_dict with `weight` for every `weight_orig` and `weight_mask`, in their order, and those masks.

    The masks are boolean, true where a value is kept, by the name of the parameter that they are for. Where the
    product is not what is left out elsewhere (no mask of zeros and ones), the tensors stay as they are.
    """
    masks = {
        name.removesuffix(ORIGINAL): mask.bool()
        for name, tensor in state.items()
        if name.endswith(ORIGINAL)
        and (mask := state.get(name.removesuffix(ORIGINAL) + MASK)) is not None
        and mask.shape == tensor.shape
        and bool(((mask == 0) | (mask == 1)).all())
    }
    plain: State = {}
    for name, tensor in state.items():
        own = name.removesuffix(ORIGINAL) if name.endswith(ORIGINAL) else ""
        if own in masks:
            plain[own] = tensor.where(masks[own], 0.0)
        elif not (name.endswith(MASK) and name.removesuffix(MASK) in masks):
            plain[name] = tensor
    return plain, masks


def keep_(model: nn.Module, masks: State, prefix: str) -> int:
    """Put the masks over the weights of `model` that they are for, in place; how many there were.

    `prefix` is what was taken off the names in the file. Masks of other parameters (biases) are in their values
    already, a mask that leaves all is none, and a layer that was fitted to the data is another one.
    """
    kept, modules = 0, dict(model.named_modules())
    for name, mask in masks.items():
        layer, _, tensor = name.removeprefix(prefix).rpartition(".")
        module = modules.get(layer)
        if tensor != "weight" or module is None or bool(mask.all()):
            continue
        weight = module.weight
        if isinstance(weight, Tensor) and weight.shape == mask.shape:
            set_mask(module, mask)
            kept += 1
    return kept
