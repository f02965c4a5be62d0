"""Which networks compute the same but for their weights, so that what is slow to make for one serves the others."""

import hashlib
import json
from pathlib import Path

import torchvision
from torch import nn

from engine import __version__
from engine.compute.layers.masks import folded
from engine.compute.models.architecture import architecture, is_attached
from engine.compute.models.attributes import described
from engine.compute.numerics.aligned import to_array
from engine.compute.onnx.widths import WIDTHS
from engine.params.catalog import is_built_in


def folder_for(root: Path, model: nn.Module) -> Path | None:
    """The folder below `root` for what all networks built as `model` share; None where that can't be told.

    Networks share it that have the same code, arguments, input and classes, and equal attributes in every module, with
    the tensors among these; how many channels layers have may differ. Which modules, parameters and buffers there are,
    and of what shapes, is for the user of the folder to compare; masks count as folded. It can't be told of somebody's
    own code: what that does may depend on anything.
    """
    if not is_attached(model) or not is_built_in(architecture(model).name):
        return None
    built = architecture(model).as_dict()
    del built["seed"]  # what the constructor drew stands in attributes and weights
    plain = folded(model)
    attributes = [
        [
            name,
            attribute,
            found.value,
            [hashlib.sha256(to_array(t).tobytes()).hexdigest() for t in found.tensors],
        ]
        for (name, attribute), found in described(plain).items()
        if attribute not in WIDTHS.get(type(plain.get_submodule(name)), ())
    ]
    told = json.dumps([__version__, torchvision.__version__, built, attributes])
    return root / hashlib.sha256(told.encode()).hexdigest()[:32]
