"""Checkpoints without pickle: `model.safetensors`, and `model.json`, which says how to build the network.

The network is built as its constructor builds it, and what was stored is put in place: so what the constructor set up
(tied parameters, hooks, parametrizations, frozen layers) stays. A tensor of several names is stored under the first.
What no state_dict holds (buffers that are not persistent, tensors in plain attributes) lies in `unsaved.safetensors`;
other names of tensors, and attributes that the constructor gives other values the next time, stand in `model.json`.
"""

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from engine.compute.layers import overlays
from engine.compute.layers.copies import copied
from engine.compute.layers.dictionaries import compact
from engine.compute.layers.masks import folded
from engine.compute.layers.passes import evaluating
from engine.compute.measures.sizes import dense, once
from engine.compute.models import attributes, edits, layout, tensors
from engine.compute.models.architecture import Architecture, architecture
from engine.compute.models.build import build
from engine.compute.models.differences import differences, recorded_attributes
from engine.compute.models.int8 import FILE, QuantizedNetwork, initializers, torch_part
from engine.compute.numerics.aligned import read_tensors, write_tensors
from engine.compute.numerics.seeds import seeded
from engine.errors import BITS_COMMAND, SecateurError
from engine.params.catalog import UNSAVED

FORMAT = 3
"""1 kept parameters and persistent buffers alone, and tied parameters apart; 2 a copy for every name of a tensor."""
TENSORS = "model.safetensors"
RECIPE = "model.json"
LISTED = 5
"""Differences that an error names."""

Recipe = dict[str, Any]


def save(model: nn.Module, folder: Path) -> nn.Module:
    """Write `model` into `folder`, which exists, and return what loads back, on the CPU and in eval mode.

    Raises SecateurError when that differs in any bit, in anything else that `model` keeps, or in its output.
    """
    network = torch_part(model)
    with evaluating(network):
        again = _save_network(network, folder)
    return _save_file(model, again, folder) if isinstance(model, QuantizedNetwork) else again


def _save_file(model: QuantizedNetwork, network: nn.Module, folder: Path) -> nn.Module:
    """The INT8 file beside the float `network` that it was made from."""
    (folder / FILE).write_bytes(model.file)
    again = QuantizedNetwork(network, (folder / FILE).read_bytes())
    if again.file != model.file:
        raise _unequal([FILE])
    _compare_outputs(model, again)
    return again


def _save_network(model: nn.Module, folder: Path) -> nn.Module:
    attributes.detach_(model)
    (state, shared), unsaved = once(tensors.saved(model)), _stored(tensors.unsaved(model))
    recipe = {
        "format": FORMAT,
        "architecture": architecture(model).as_dict(),
        "edits": [*edits.recorded(model), *overlays.recorded(model)],
        "notes": edits.notes(model),
        "frozen": tensors.frozen(model),
        "ties": tensors.ties(model),
        "shared": shared,
        "training": [name for name, module in model.named_modules() if module.training],
    }
    # Plain JSON from here on, as it will be read.
    everything = tensors.every_name(state, shared) | unsaved
    again = _structure(json.loads(json.dumps(recipe)), everything, [architecture(model).name])
    recipe["attributes"], kept = recorded_attributes(model, again)
    write_tensors(state, folder / TENSORS)
    if beside := {name: tensor for name, tensor in unsaved.items() if name in kept}:
        write_tensors(beside, folder / UNSAVED)
    (folder / RECIPE).write_text(json.dumps(recipe, indent=1, sort_keys=True))
    _fill(again, *_read(folder))
    again.eval()
    attributes.compute_weights_(again)
    if different := differences(model, again):
        raise _unequal(different)
    _compare_outputs(model, again)
    return again


def _stored(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU, contiguous and a copy each, as they may be views of each other: safetensors refuses what overlaps."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in named.items()}


def load(folder: Path, named: Collection[str] = ()) -> nn.Module:
    """The model in `folder`, in eval mode on the CPU, with its masks, codebooks and grids as parametrizations.

    A QuantizedNetwork where there is an INT8 file. Of the user's own code, only what the preset names is run to build
    it: `named` are the names of its models. SecateurError where the folder asks for other code.
    """
    network = _load_network(folder, named)
    file = folder / FILE
    return QuantizedNetwork(network, file.read_bytes()) if file.exists() else network


def _load_network(folder: Path, named: Collection[str]) -> nn.Module:
    recipe, state, unsaved = _read(folder)
    model = _structure(recipe, state | unsaved, named)
    _fill(model, recipe, state, unsaved)
    model.eval()
    attributes.compute_weights_(model)
    return model


def _read(folder: Path) -> tuple[Recipe, dict[str, Tensor], dict[str, Tensor]]:
    recipe: Recipe = json.loads((folder / RECIPE).read_text())
    state = tensors.every_name(read_tensors(folder / TENSORS), recipe.get("shared", {}))
    unsaved = folder / UNSAVED
    return recipe, state, read_tensors(unsaved) if unsaved.exists() else {}


def architecture_in(folder: Path, named: Collection[str] = ()) -> Architecture:
    """What the model in `folder` was built from, with `named` as in `load`; its tensors are not read."""
    recipe: Recipe = json.loads((folder / RECIPE).read_text())
    return Architecture.from_dict(recipe["architecture"], named)


def _structure(recipe: Recipe, state: dict[str, Tensor], named: Collection[str]) -> nn.Module:
    """The network as it was built, with its edits and in the shapes of `state`, whose values are filled in later."""
    model = build(Architecture.from_dict(recipe["architecture"], named), drawn=False)
    last = [edit for edit in recipe["edits"] if edit["edit"] in overlays.EDITS]
    for edit in recipe["edits"]:
        if edit not in last:
            edits.apply(model, edit)
    edits.notes(model).update(recipe.get("notes", {}))
    layout.restore_(model)
    edits.reshape(model, state)
    for edit in last:
        overlays.restore(model, edit, state)
    for names in recipe.get("ties", []):
        tensors.tie(model, names)
    return model


def _fill(model: nn.Module, recipe: Recipe, state: dict[str, Tensor], unsaved: dict[str, Tensor]) -> None:
    """Put what was stored in the place of what the constructor made, which stays the same objects."""
    edits.place_missing(model, state | unsaved)
    own = tensors.saved(model)
    if lost := sorted(own.keys() ^ state.keys()):
        raise _unfit(lost)
    for names in tensors.ties(model):
        if not all(tensors.equal(state[names[0]], state[name]) for name in names if name in state):
            raise _untied(names)
    tensors.fill_(model, state | unsaved)
    if recipe["format"] >= 2:
        frozen = set(recipe["frozen"])
        for name, parameter in model.named_parameters():
            if parameter.is_floating_point() or parameter.is_complex():
                parameter.requires_grad_(name not in frozen)
        attributes.restore_(model, recipe["attributes"])
        training = set(recipe["training"])
        for name, module in model.named_modules():
            module.training = name in training


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def folded_state(model: nn.Module, *, own: bool = False, whole: bool = False) -> dict[str, Tensor]:
    """The state_dict of the folded model, on the CPU; of a dictionary of kernels its parts, or the weight if `whole`;
    of an INT8 file, what it holds. `own`: where nothing is to be folded the tensors may be the model's, which is many
    times faster."""
    if isinstance(model, QuantizedNetwork):
        return initializers(model.file)
    # Moved as a whole, so that weights which share their memory still do.
    laid = any(map(parametrize.is_parametrized, model.modules()))
    plain = model if own and not laid and _device(model).type == "cpu" else folded(model).cpu()
    state = dense(tensors.saved(plain))
    return state if whole else compact(state, model)


def _compare_outputs(model: nn.Module, again: nn.Module) -> None:
    """Raises SecateurError unless both give the same bits for one image; neither is changed by the pass."""
    arch, device = architecture(again), _device(model)
    example = torch.rand(1, arch.channels, *arch.size, generator=torch.Generator().manual_seed(0)).to(device)
    given = []
    for one in (model, again):
        tried = copied(one).eval().to(device=device, memory_format=torch.contiguous_format)  # type: ignore[call-overload]
        attributes.move_(tried, device)
        with torch.inference_mode(), seeded(0, "checkpoint"):
            given.append(tried(example))
    if not tensors.equal(*given):
        raise _unequal(["the output on a fixed input"])


def _unequal(different: list[str]) -> SecateurError:
    return SecateurError(
        "The checkpoint does not load back equal",
        f"Different: {', '.join(different[:LISTED])}.",
        f"The step was not counted as done. `{BITS_COMMAND}` tells in some seconds whether this machine gives the "
        "same bits twice; if it does, this is a bug of secateur's: please report the preset.",
    )


def _unfit(names: list[str]) -> SecateurError:
    return SecateurError(
        "The checkpoint is of another network than its constructor builds now",
        f"Only one of the two has {', '.join(names[:LISTED])}.",
        "A network's layers and their names must be the same whenever it is built: check what its code depends on.",
    )


def _untied(names: list[str]) -> SecateurError:
    return SecateurError(
        "The checkpoint was written by an earlier version, which kept tied weights apart",
        f"{' and '.join(names)} are one in the network, and two in the file.",
        "Run its study again: it is computed anew.",
    )
