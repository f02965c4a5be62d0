"""The last convolutions of a detection head, whose outputs have a meaning of their own."""

from torch import nn

HEAD = "engine.compute.yolo.ultra.Head"
"""By its name, for importing it imports ultralytics: other networks may have a class called Head too."""
BRANCHES = ("cv2", "cv3")
"""What gives 16 bins for each side of a box, and a score per class, from each of several feature maps."""


def head_outputs(model: nn.Module) -> set[str]:
    """Names of the convolutions that give those bins and scores; of classifiers none.

    Where a chain took the place of one (`factorize`), it is the chain's last.
    """
    return {
        f"{name}.{branch}.{level}.{last_convolution(layers)}"
        for name, module in model.named_modules()
        if f"{type(module).__module__}.{type(module).__name__}" == HEAD
        for branch in BRANCHES
        for level, layers in module.get_submodule(branch).named_children()
    }


def last_convolution(layers: nn.Module) -> str:
    """The name below `layers` of their last convolution; "" where they are one themselves."""
    names: list[str] = [name for name, layer in layers.named_modules() if isinstance(layer, nn.Conv2d)]
    return names[-1]
