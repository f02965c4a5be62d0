"""What earlier steps laid over a layer's weights, and the steps that cannot work below it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import nn
from torch.nn.utils import parametrize

from engine.compute.layers.codebooks import Codebook
from engine.compute.layers.dictionaries import KernelDictionary
from engine.compute.layers.grids import UniformGrid
from engine.compute.layers.masks import Folding, Mask, part_of
from engine.errors import SecateurError
from engine.text.phrases import names

LISTED = 5
"""Layers that an error names."""


@dataclass(frozen=True)
class Part:
    """A parametrization of ours: what users call several of them, and the kind of the step that makes them."""

    kind: type[Folding]
    called: str
    step: str


MASKS = Part(Mask, "masks", "prune.weights")
CODEBOOKS = Part(Codebook, "codebooks", "cluster.weights")
DICTIONARIES = Part(KernelDictionary, "dictionaries", "cluster.kernels")
GRIDS = Part(UniformGrid, "grids", "quantize.weights")
TABLES = (CODEBOOKS, DICTIONARIES, GRIDS)
"""Those that hold values or steps for many weights."""
ALL = (MASKS, *TABLES)


def refuse(
    layers: Mapping[str, nn.Module],
    parts: Iterable[Part],
    *,
    step: str,
    title: str,
    apart: Iterable[Part] = (),
    skip: bool = True,
) -> None:
    """Raises SecateurError where one of `layers` has one of `parts`, or a parametrization that is not ours.

    `step` is the kind of the step that cannot change such layers; `apart`: those of `parts` whose steps
    cannot follow it either; `skip`: whether it would pass over layers named there.
    """
    otherwise = ", or name these layers in skip" if skip else ""
    for part in parts:
        held = [name for name, layer in layers.items() if part_of(layer, part.kind) is not None]
        if held:
            first = f"Put {step} before {part.step}"
            if part in apart or step == part.step:
                first = "Use one of the two steps"
            raise SecateurError(
                title,
                f"{part.step} gave {part.called} to {names(held, LISTED)}, which {step} would undo.",
                f"{first}{otherwise}.",
            )
    if own := [name for name, layer in layers.items() if _foreign(layer)]:
        raise SecateurError(
            title,
            f"The network's own code parametrizes {names(own, LISTED)} (torch.nn.utils.parametrize).",
            f"Leave {step} out{otherwise}.",
        )


def _foreign(layer: nn.Module) -> bool:
    if not parametrize.is_parametrized(layer):
        return False
    assert isinstance(layer.parametrizations, nn.ModuleDict)
    held = (one for of in layer.parametrizations.values() for one in of.children())
    return any(not isinstance(one, Folding) for one in held)
