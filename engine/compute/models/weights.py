"""Weights from files: state_dicts in safetensors or torch's own format, never a pickled program."""

import pickle
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from engine.errors import SecateurError
from engine.params.preset import Model

UNREADABLE = (
    SafetensorError,
    pickle.UnpicklingError,
    struct.error,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
)
"""What readers of foreign bytes raise, depending on the bytes."""
LISTED = 6
"""How many names of an unfitting state_dict an error shows."""


def read_state(path: Path) -> dict[str, Tensor]:
    """The state_dict in `path` (`.safetensors`, or `.pth`/`.pt` read with `weights_only`)."""
    if not path.is_file():
        raise SecateurError(
            f"No weights at {path}", "model.weights names a file that does not exist.", "Correct the path."
        )
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        raise SecateurError(
            f"Weights {path} can't be read",
            f"{type(error).__name__}: {(str(error).strip() or 'no reason given').splitlines()[0]}",
            "A state_dict is needed: torch.save(model.state_dict(), …) or a .safetensors file. "
            "Pickled whole models are refused because reading one runs the code inside it.",
        ) from error
    if not isinstance(state, Mapping) or not all(isinstance(v, Tensor) for v in state.values()):
        raise SecateurError(
            f"Weights {path} hold no state_dict",
            f"The file holds {type(state).__name__}; a mapping from names to tensors is needed.",
            "Save model.state_dict() itself.",
        )
    return dict(state)


def load_into(model: nn.Module, state: dict[str, Tensor], source: str) -> None:
    """Load `state` strictly; an error lists what is missing, unexpected or of another shape."""
    own = model.state_dict()
    wrong = [f"missing {name}" for name in own.keys() - state.keys()]
    wrong += [f"unexpected {name}" for name in state.keys() - own.keys()]
    wrong += [
        f"{name} is {tuple(state[name].shape)}, the model has {tuple(own[name].shape)}"
        for name in own.keys() & state.keys()
        if own[name].shape != state[name].shape
    ]
    if wrong:
        more = f"\n  … and {len(wrong) - LISTED} more" if len(wrong) > LISTED else ""
        raise SecateurError(
            f"The weights in {source} do not fit the model",
            "\n".join(f"  {line}" for line in sorted(wrong)[:LISTED]) + more,
            "Name the architecture they belong to, with the data's channels and classes.",
        )
    model.load_state_dict(state)


def pretrained_state(params: Model) -> tuple[dict[str, Tensor], int]:
    """torchvision's default pretrained state_dict and its number of classes.

    Taken from torch's hub folder; downloaded only when `allow_download` says so.
    """
    import torchvision

    if not params.name.startswith("torchvision/"):
        raise SecateurError(
            f"There are no pretrained weights for {params.name}",
            "Only torchvision/… models have them.",
            "Use weights: random, or the path of a state_dict.",
        )
    name = params.name.removeprefix("torchvision/")
    weights = torchvision.models.get_model_weights(name).DEFAULT
    file = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[-1]
    if not file.is_file() and not params.allow_download:
        raise SecateurError(
            f"The pretrained weights of {params.name} are not on this machine",
            f"Looked for {file}; model.allow_download is false.",
            f"On a node with internet set model.allow_download: true once, or copy {weights.url} there.",
        )
    try:
        state = weights.get_state_dict(progress=False, check_hash=True)
    except (OSError, RuntimeError) as error:
        raise SecateurError(
            f"The pretrained weights of {params.name} could not be downloaded",
            f"{type(error).__name__}: {error}",
            "Compute nodes often have no internet: download on the login node.",
        ) from error
    return dict(state), len(weights.meta["categories"])
