"""What removing channels must know of a detector; nothing at all for other networks."""

from torch import nn

from engine.compute.models import edits
from engine.compute.models.architecture import architecture
from engine.compute.yolo.heads import head_outputs, last_convolution
from engine.compute.yolo.split import cut_blocks, split
from engine.params.catalog import DETECTOR


def is_detector(model: nn.Module) -> bool:
    return architecture(model).name.startswith(DETECTOR)


def split_blocks(model: nn.Module) -> None:
    """Take apart, in place, every block that cuts its channels at a fixed place; edits are recorded."""
    if is_detector(model):
        for name in cut_blocks(model):
            split(model, name)
            edits.record(model, {"edit": edits.SPLIT_C2F, "layer": name})


def protected_layers(model: nn.Module) -> set[str]:
    """Names of the convolutions whose output channels have a meaning of their own and must stay.

    The last ones of the head (16 bins for each side of a box, one score per class), and those of YOLO11's
    attention, which works with numbers of channels fixed when it was built.
    """
    if not is_detector(model):
        return set()
    protected = head_outputs(model)
    for name, module in model.named_modules():
        if type(module).__name__ == "Attention":
            protected |= {
                f"{name}.{inner}" for inner, m in module.named_modules() if isinstance(m, nn.Conv2d)
            }
        elif type(module).__name__ == "C2PSA":
            entry = f"{name}.cv1"
            protected.add(f"{entry}.{last_convolution(model.get_submodule(entry))}")
    return protected
