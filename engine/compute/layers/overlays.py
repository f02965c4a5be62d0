"""Overlays: what steps lay over a layer's weight, as parametrizations, and the steps that cannot work below them.

Steps declare what they make and would undo (`engine.params.overlays`); here stands how each overlay is kept in a
checkpoint and counted. A new one is a parametrization and a row of `KINDS`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.layers import codebooks, dictionaries, grids, masks
from engine.compute.layers.masks import Folding, part_of, parts
from engine.errors import SecateurError
from engine.params import STEPS
from engine.params.base import StepParams
from engine.params.overlays import Overlay
from engine.text.phrases import names

LISTED = 5
"""Layers that an error names."""

Entry = dict[str, Any]
"""An overlay of one layer as `model.json` records it, without its tensors."""
Tensors = Callable[[str], Tensor | None]
"""The stored tensor of a layer's weight by its name below `parametrizations.weight`; None where there is none."""


@dataclass(frozen=True)
class Kind:
    """How an overlay is kept: `edit` is its name in `model.json`.

    `restore` lays it over a module that has its shape by now, from what was recorded and from the shapes of the
    stored tensors; their values are loaded later. `form` is what is recorded beside the tensors. `held` are the
    parameters that a layer has in place of its weight, where that is what counts as stored; `step_factors` gives
    parameters of the model whose gradients training scales, each with its factors.
    """

    overlay: Overlay
    edit: str
    module: type[Folding]
    restore: Callable[[nn.Module, Entry, Tensors], None]
    form: Callable[[Any], Entry] | None = None
    held: Callable[[nn.Module], tuple[Tensor, ...]] | None = None
    step_factors: Callable[[nn.Module], list[tuple[Tensor, Tensor]]] | None = None


def _restore_dictionary(module: nn.Module, _: Entry, tensors: Tensors) -> None:
    index, entries = tensors("0.index"), tensors("original0")
    assert index is not None and entries is not None
    # With the index's values: torch asks the parametrization for its originals when it is registered.
    device = next(module.parameters()).device
    dictionaries.repeat(module, index.to(device), entries.to(device))


def _restore_codebook(module: nn.Module, form: Entry, tensors: Tensors) -> None:
    centroids, indices = _like(module, tensors, "original"), _like(module, tensors, "0.indices")
    codebooks.set_codebook(module, centroids, indices, codebooks.CodebookForm.from_dict(form))


def _restore_grid(module: nn.Module, form: Entry, tensors: Tensors) -> None:
    step, low = _like(module, tensors, "0.step"), _like(module, tensors, "0.low")
    grids.set_grid(module, step, low, grids.GridForm(**form))


def _restore_mask(module: nn.Module, _: Entry, tensors: Tensors) -> None:
    mask = tensors("0.mask")
    masks.set_mask(module, _like(module, tensors, "0.mask" if mask is not None else "1.mask"))


def _like(module: nn.Module, tensors: Tensors, name: str) -> Tensor:
    """Room for a stored tensor, where the module's own tensors are (on the meta device too)."""
    stored = tensors(name)
    assert stored is not None, name
    return torch.empty_like(stored, device=next(module.parameters()).device)


KINDS = (
    Kind(
        Overlay.DICTIONARY,
        "kernels",
        dictionaries.KernelDictionary,
        _restore_dictionary,
        held=dictionaries.originals,
        step_factors=dictionaries.step_factors,
    ),
    Kind(
        Overlay.CODEBOOK,
        "codebook",
        codebooks.Codebook,
        _restore_codebook,
        form=lambda book: book.form.as_dict(),
        step_factors=codebooks.step_factors,
    ),
    Kind(Overlay.GRID, "grid", grids.UniformGrid, _restore_grid, form=lambda grid: grid.form.as_dict()),
    Kind(Overlay.MASK, "mask", masks.Mask, _restore_mask),
)
"""In the order in which they are laid: masks last, they lie over the others."""
KIND = {kind.overlay: kind for kind in KINDS}
EDITS = {kind.edit: kind for kind in KINDS}

MADE_BY = {cls.makes: kind for kind, cls in STEPS.items() if cls.makes is not None}
"""The kind of the step that makes each overlay."""


def recorded(model: nn.Module) -> list[Entry]:
    """An entry for every overlay of the model, in the order in which they are to be restored."""
    return [
        {"edit": kind.edit, "layer": name} | ({"form": kind.form(part)} if kind.form else {})
        for kind in KINDS
        for name, part in parts(model, kind.module).items()
    ]


def restore(model: nn.Module, entry: Entry, state: Mapping[str, Tensor]) -> None:
    """Lay the overlay of `entry` over its layer, in place, in the shapes of the stored `state`; values come later."""
    prefix = f"{entry['layer']}.parametrizations.weight."
    module = model.get_submodule(entry["layer"])
    EDITS[entry["edit"]].restore(module, entry.get("form", {}), lambda name: state.get(prefix + name))


def held_in(module: nn.Module) -> tuple[Tensor, ...] | None:
    """The parameters that stand for the module's weight, where an overlay keeps others in its place."""
    for kind in KINDS:
        if kind.held is not None and part_of(module, kind.module) is not None:
            return kind.held(module)
    return None


def step_factors(model: nn.Module) -> list[tuple[Tensor, Tensor]]:
    """Parameters of overlays whose gradients are scaled before each step of an optimizer, with their factors."""
    return [pair for kind in KINDS if kind.step_factors is not None for pair in kind.step_factors(model)]


def refuse(
    layers: Mapping[str, nn.Module],
    step: StepParams | type[StepParams],
    *,
    title: str,
    undoes: Sequence[Overlay] | None = None,
) -> None:
    """Raises SecateurError where one of `layers` has an overlay that `step` would undo.

    `undoes`: by default what the step declares.
    """
    if undoes is None:
        assert isinstance(step, StepParams)
        undoes = step.undoes
    otherwise = ", or name these layers in skip" if step.spares_skipped else ""
    for overlay in undoes:
        having = [name for name, layer in layers.items() if part_of(layer, KIND[overlay].module) is not None]
        if having:
            first = f"Put {step.kind} before {MADE_BY[overlay]}"
            if overlay in step.never_with:
                first = "Use one of the two steps"
            raise SecateurError(
                title,
                f"{MADE_BY[overlay]} gave {overlay.value} to {names(having, LISTED)}, which {step.kind} would undo.",
                f"{first}{otherwise}.",
            )
