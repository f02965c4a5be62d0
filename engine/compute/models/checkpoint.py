"""Checkpoints without pickle: `model.safetensors` plus `model.json`, which says how to build the network."""

import copy
import json
from collections import OrderedDict
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.layers import overlays
from engine.compute.layers.dictionaries import compact
from engine.compute.layers.masks import folded
from engine.compute.models import edits, layout
from engine.compute.models.architecture import Architecture, architecture
from engine.compute.models.build import build
from engine.compute.models.int8 import FILE, QuantizedNetwork, initializers
from engine.compute.numerics.aligned import read_tensors, write_tensors
from engine.errors import BITS_COMMAND, SecateurError

FORMAT = 1
TENSORS = "model.safetensors"
RECIPE = "model.json"


def save(model: nn.Module, folder: Path) -> None:
    """Write `model` into `folder`, which exists, and verify that it loads back equal.

    Raises SecateurError when the reloaded model differs in any bit of its weights or its output.
    """
    if isinstance(model, QuantizedNetwork):
        _save_file(model, folder)
    else:
        _save_network(model, folder)


def _save_file(model: QuantizedNetwork, folder: Path) -> None:
    """The float network's checkpoint, and the INT8 file beside it."""
    _save_network(model.network, folder)
    (folder / FILE).write_bytes(model.file)
    again = load(folder, [architecture(model.network).name])
    if not isinstance(again, QuantizedNetwork) or again.file != model.file:
        raise _unequal(FILE)
    if not _same_output(copy.deepcopy(model), again, _device(model)):
        raise _unequal("the output on a fixed input")


def _save_network(model: nn.Module, folder: Path) -> None:
    recipe = {
        "format": FORMAT,
        "architecture": architecture(model).as_dict(),
        "edits": [*edits.recorded(model), *overlays.recorded(model)],
        "notes": edits.notes(model),
    }
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    write_tensors(_unshared(state), folder / TENSORS)
    (folder / RECIPE).write_text(json.dumps(recipe, indent=1, sort_keys=True))
    _verify(model, state, folder)


def _unshared(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """`state` with tensors that share memory written once each: safetensors refuses shared ones."""
    seen: set[int] = set()
    out = {}
    for name, tensor in state.items():
        shared = tensor.numel() > 0 and tensor.data_ptr() in seen
        out[name] = tensor.clone() if shared else tensor
        seen.add(tensor.data_ptr())
    return out


def load(folder: Path, named: Collection[str] = ()) -> nn.Module:
    """The model in `folder`, in eval mode on the CPU, with its masks, codebooks and grids as parametrizations.

    A QuantizedNetwork where there is an INT8 file. Of the user's own code, only what the preset names is run to build
    it: `named` are the names of its models. SecateurError where the folder asks for other code.
    """
    network = _load_network(folder, named)
    file = folder / FILE
    return QuantizedNetwork(network, file.read_bytes()) if file.exists() else network


def _load_network(folder: Path, named: Collection[str]) -> nn.Module:
    recipe: dict[str, Any] = json.loads((folder / RECIPE).read_text())
    arch = Architecture.from_dict(recipe["architecture"], named)
    state = read_tensors(folder / TENSORS)
    model = _skeleton(arch, recipe, state)
    if model is None:
        model = _with_edits(build(arch), recipe, state)
        _fill(model, state)
    return model.eval()


def architecture_in(folder: Path, named: Collection[str] = ()) -> Architecture:
    """What the model in `folder` was built from, with `named` as in `load`; its tensors are not read."""
    recipe: dict[str, Any] = json.loads((folder / RECIPE).read_text())
    return Architecture.from_dict(recipe["architecture"], named)


def _fill(model: nn.Module, state: dict[str, Tensor], *, assign: bool = False) -> None:
    """Load `state` strictly, as a state_dict of the versions that `model`'s modules have now (MNASNet asks)."""
    full = OrderedDict(state)
    full._metadata = getattr(model.state_dict(), "_metadata", {})  # type: ignore[attr-defined]
    model.load_state_dict(full, assign=assign)


def _skeleton(arch: Architecture, recipe: dict[str, Any], state: dict[str, Tensor]) -> nn.Module | None:
    """The model built without initializing it: its weights are the tensors that were read.

    None for a constructor that computes with tensors (RegNet), or that makes tensors which are not in the
    state_dict: such a model has to be built the slow way.
    """
    try:
        with torch.device("meta"):
            model = _with_edits(build(arch), recipe, state)
    except NotImplementedError:
        return None
    _fill(model, state, assign=True)
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        return None
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return model


def _with_edits(model: nn.Module, recipe: dict[str, Any], state: dict[str, Tensor]) -> nn.Module:
    last = [edit for edit in recipe["edits"] if edit["edit"] in overlays.EDITS]
    for edit in recipe["edits"]:
        if edit not in last:
            edits.apply(model, edit)
    edits.notes(model).update(recipe.get("notes", {}))
    layout.restore_(model)
    edits.reshape(model, state)
    for edit in last:
        overlays.restore(model, edit, state)
    return model


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def folded_state(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict of the folded model, on the CPU; of a dictionary of kernels, its parts; of an INT8 file, what it
    holds."""
    if isinstance(model, QuantizedNetwork):
        return initializers(model.file)
    # Moved as a whole, so that weights which share their memory still do.
    plain = folded(model).cpu()
    state = {name: t.detach().contiguous() for name, t in plain.state_dict().items()}
    return compact(state, model)


def _verify(model: nn.Module, state: dict[str, Tensor], folder: Path) -> None:
    again = _load_network(folder, [architecture(model).name])
    loaded = again.state_dict()
    different = [n for n in state if n not in loaded or not torch.equal(_bits(state[n]), _bits(loaded[n]))]
    device = _device(model)
    if different or not _same_output(copy.deepcopy(model).eval(), again.to(device), device):
        raise _unequal(", ".join(different[:5]) or "the output on a fixed input")


def _unequal(different: str) -> SecateurError:
    return SecateurError(
        "The checkpoint does not load back equal",
        f"Different: {different}.",
        f"The step was not counted as done. `{BITS_COMMAND}` tells in some seconds whether this machine gives the "
        "same bits twice; if it does, this is a bug of secateur's: please report the preset.",
    )


def _bits(tensor: Tensor) -> Tensor:
    return tensor.contiguous().flatten().view(torch.uint8) if tensor.numel() else tensor


def _same_output(one: nn.Module, two: nn.Module, device: torch.device) -> bool:
    arch = architecture(two)
    example = torch.rand(1, arch.channels, *arch.size, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        a = one.to(memory_format=torch.contiguous_format)(example)
        b = two.to(memory_format=torch.contiguous_format)(example)
    return torch.equal(_bits(a.cpu()), _bits(b.cpu()))
