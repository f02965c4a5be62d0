"""What a network's modules must become before channels are taken out of them."""

from torch import nn

from engine.compute.steps.channels.attention import free_heads
from engine.compute.steps.channels.yolo import split_blocks


def prepare_for_channels(model: nn.Module) -> None:
    """Take apart, in place, modules that tie their channels to sizes in their code; what the model computes stays.

    The edits are recorded, so that a checkpoint repeats them. Does nothing the second time.
    """
    split_blocks(model)
    free_heads(model)
