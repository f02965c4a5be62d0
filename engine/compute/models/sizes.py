"""How large a network is as a file."""

from torch import nn

from engine.compute.layers.grids import grids
from engine.compute.measures.sizes import sizes
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork, parts


def of_model(model: nn.Module) -> dict[str, int]:
    """Its bytes in each format, see `engine.compute.measures.sizes.sizes`: of an INT8 file, that file's."""
    if isinstance(model, QuantizedNetwork):
        return sizes(parts(model.file), model.file)
    return sizes(checkpoint.folded_state(model, own=True), grids=grids(model))
