"""How large a network is as a file."""

from safetensors.torch import save
from torch import nn

from engine.compute.layers.dictionaries import in_parts
from engine.compute.layers.grids import grids
from engine.compute.measures.sizes import once, sizes
from engine.compute.models import checkpoint
from engine.compute.models.int8 import QuantizedNetwork, parts


def of_model(model: nn.Module) -> dict[str, int]:
    """Its bytes in each format, see `engine.compute.measures.sizes.sizes`: of an INT8 file, that file's."""
    if isinstance(model, QuantizedNetwork):
        return sizes(parts(model.file), model.file)
    # Dictionaries of kernels are what a packed file stores; a plain one, as exports write it, has weights whole.
    whole = save(once(checkpoint.folded_state(model, own=True, whole=True))[0]) if in_parts(model) else None
    return sizes(checkpoint.folded_state(model, own=True), whole, grids=grids(model))
