"""How large a network is as a file."""

from torch import nn

from engine.compute.layers.grids import grids
from engine.compute.measures.sizes import sizes
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork


def of_model(model: nn.Module) -> dict[str, int]:
    """Its bytes in each format, see `engine.compute.measures.sizes.sizes`: of an INT8 file, that file's."""
    state = checkpoint.folded_state(model, own=True)
    return (
        sizes(state, model.file) if isinstance(model, QuantizedNetwork) else sizes(state, grids=grids(model))
    )
