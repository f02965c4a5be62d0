"""Changes to a network's structure, as plain JSON that a checkpoint records and applies again.

A step that changes the structure records what it did on the model: `resized` notes layers that lost channels, `record`
any other edit. Loading builds the original network, applies the edits in order with `apply`, and at last gives every
tensor the shape that it has in the file with `reshape`.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from engine.compute.layers import attention, dropped, factors, foreign, shared
from engine.compute.yolo.split import split as split_c2f
from engine.errors import SecateurError

Edit = dict[str, Any]
"""`edit`: its kind; the rest as that kind needs it."""

_EDITS = "secateur_edits"
_NOTES = "secateur_notes"

SPLIT_C2F = "split-c2f"
"""`layer`: the block of a YOLO whose first convolution becomes two (`engine.compute.yolo.split`)."""
SHARE = "share"
"""`layer`: a convolution that shares; `filters`: how many; `scaled`: whether outputs have scales
(`engine.compute.layers.shared`)."""
PLAIN = "plain"
"""`layer`: a module whose own code computed its weight, and that became a plain parameter
(`engine.compute.layers.foreign`)."""
FREE_HEADS = "free-heads"
"""`layer`: an attention whose heads get widths of their own (`engine.compute.layers.attention`)."""
UNSHARE = "unshare"
"""`layer`: a convolution that shared filters and became a plain one."""
DROP = "drop"
"""`layer`: a block that is dropped; `shape` of the constant in its place, whether the input stays (`shortcut`), and
whether it gives a `pair` (`engine.compute.layers.dropped`)."""
RESIZE = "resize"
"""`layer`: the module's name; `attributes`: its integers (and tuples of integers) that changed, by name."""
FACTORIZE = "factorize"
"""`layer`: the module that a chain takes the place of; `scheme` and `ranks` as in `factors`."""


def recorded(model: nn.Module) -> list[Edit]:
    """The edits made to `model` since it was built, in order; the list itself, not a copy."""
    made: list[Edit] = vars(model).setdefault(_EDITS, [])
    return made


def record(model: nn.Module, edit: Edit) -> None:
    """Note an edit that `apply` knows how to repeat on a newly built network."""
    recorded(model).append(edit)


def notes(model: nn.Module) -> dict[str, Any]:
    """What a step found out for later steps, plain JSON by name; it travels in the model's checkpoint."""
    noted: dict[str, Any] = vars(model).setdefault(_NOTES, {})
    return noted


def noted(module: nn.Module, name: str) -> Any | None:
    """The note called `name` on a module that may have none."""
    return vars(module).get(_NOTES, {}).get(name)


@contextlib.contextmanager
def resized(model: nn.Module) -> Iterator[None]:
    """Record every layer whose sizes change within the block; modules may not be replaced in it.

    No pass may run in it: what a network's own code keeps of one (`self.shape = x.shape`) is no size of a layer.
    """
    before = sizes(model)
    yield
    for edit in changes(before, sizes(model)):
        record(model, edit)


def sizes(model: nn.Module) -> dict[str, dict[str, Any]]:
    """Every module's integers, by the module's name: what `changes` compares."""
    return {name: _sizes(module) for name, module in model.named_modules()}


def changes(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> list[Edit]:
    """The `resize` edits that lead from one to the other; both have the same modules."""
    edits = []
    for name, now in after.items():
        different = {k: v for k, v in now.items() if before[name].get(k) != v}
        if different:
            edits.append({"edit": RESIZE, "layer": name, "attributes": different})
    return edits


def _sizes(module: nn.Module) -> dict[str, Any]:
    """The module's own integers and tuples of integers, as lists."""
    sizes: dict[str, Any] = {}
    for name, value in vars(module).items():
        if name.startswith(("_", "secateur_")) or isinstance(value, bool):
            continue
        if _is_size(value):
            sizes[name] = list(value) if isinstance(value, tuple) else value
    return sizes


def _is_size(value: Any) -> bool:
    parts = value if isinstance(value, tuple) and value else (value,)
    return all(isinstance(part, int) and not isinstance(part, bool) for part in parts)


def apply(model: nn.Module, edit: Edit) -> None:
    """Repeat one recorded edit on a newly built network, in place, whatever device it is on (meta too).

    Raises SecateurError for an edit of a newer version.
    """
    match edit["edit"]:
        case "resize":
            _resize(model.get_submodule(edit["layer"]), edit["attributes"])
        case "split-c2f":
            split_c2f(model, edit["layer"])
        case "factorize":
            factors.repeat(model, edit["layer"], edit["scheme"], edit["ranks"])
        case "share":
            shared.repeat(model, edit["layer"], edit["filters"], scaled=edit["scaled"])
        case "drop":
            dropped.repeat(model, edit["layer"], edit["shape"], shortcut=edit["shortcut"], pair=edit["pair"])
        case "plain":
            foreign.make_plain(model.get_submodule(edit["layer"]))
        case "free-heads":
            attention.repeat(model, edit["layer"])
        case "unshare":
            shared.unshare(model, edit["layer"])
        case unknown:
            raise SecateurError(
                f"The checkpoint has an edit that is not known here: {unknown}",
                "It was written by a newer version of secateur.",
                "Update secateur, or make the checkpoint anew.",
            )
    record(model, edit)


def _resize(module: nn.Module, attributes: dict[str, Any]) -> None:
    own = vars(module)
    for name, value in attributes.items():
        size = tuple(value) if isinstance(value, list) else value
        if name not in own or name.startswith("_") or not _is_size(size):
            raise SecateurError(
                f"The checkpoint changes {name} of a layer to what is no size",
                "",
                "It is damaged or was made by somebody else's program: make it anew.",
            )
        setattr(module, name, size)


def reshape(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Give every parameter and buffer of `model` the shape and type it has in `state`, in place; contents are lost.

    What is one tensor under several names stays one.
    """
    made: dict[int, Tensor] = {}
    replaced: list[Tensor] = []
    for prefix, module in model.named_modules():
        for name, tensor in [*module._parameters.items(), *module._buffers.items()]:
            full = f"{prefix}.{name}" if prefix else name
            stored = state.get(full, state.get(f"{prefix}.parametrizations.{name}.original"))
            if tensor is None or stored is None:
                continue
            if stored.shape == tensor.shape and stored.dtype == tensor.dtype:
                continue
            if id(tensor) not in made:
                empty = torch.empty(stored.shape, dtype=stored.dtype, device=tensor.device)
                trained = tensor.requires_grad
                made[id(tensor)] = nn.Parameter(empty, trained) if name in module._parameters else empty
                replaced.append(tensor)  # kept alive, so that no other tensor gets its id
            held = module._parameters if name in module._parameters else module._buffers
            held[name] = made[id(tensor)]


def place_missing(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Give buffers and parameters that the constructor registered as None the tensors that `state` has for them."""
    for prefix, module in model.named_modules():
        for held in (module._parameters, module._buffers):
            for name, tensor in held.items():
                stored = state.get(f"{prefix}.{name}" if prefix else name)
                if tensor is None and stored is not None:
                    held[name] = nn.Parameter(stored) if held is module._parameters else stored.clone()
