"""The last convolutions of a detection head, whose outputs have a meaning of their own."""

from torch import nn

LEVELS = 3
"""Feature maps that a head looks at: every YOLOv8 and YOLO11 that is offered has three."""


def head_outputs(model: nn.Module) -> set[str]:
    """Names of the convolutions that give 16 bins for each side of a box, or a score per class; of classifiers none."""
    return {
        f"{name}.{branch}.{level}.2"
        for name, module in model.named_modules()
        if type(module).__name__ == "Head"
        for branch in ("cv2", "cv3")
        for level in range(LEVELS)
    }
